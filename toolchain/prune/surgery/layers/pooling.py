"""Pooling, padding, cropping and upsampling: places change, channels do not."""

from __future__ import annotations

from toolchain.prune.surgery.channels import Channels
from toolchain.prune.surgery.layers.functions import check_activation, check_quantizers
from toolchain.prune.surgery.rules import Site, rule

_AXES = ("1D", "2D", "3D")


@rule(
    *(f"{kind}Pooling{axes}" for kind in ("Max", "Average", "GlobalMax", "GlobalAverage") for axes in _AXES),
    *(f"{kind}{axes}" for kind in ("ZeroPadding", "Cropping", "UpSampling") for axes in _AXES),
    keeps_zero=True,
)
def places(site: Site) -> Channels:
    """The channels stay on the last axis."""
    return site.result(site.input().labels)


@rule("QAveragePooling2D", "QGlobalAveragePooling2D")
def quantized_average(site: Site) -> Channels:
    """An average, then a quantizer."""
    read = site.input()
    check_quantizers(site)
    check_activation(site, read.labels)
    return site.result(read.labels)
