"""Normalizations: exact where every channel has a mean of its own, uncuttable where the mean runs over channels."""

from __future__ import annotations

from typing import Any

from toolchain.prune.surgery.channels import Channels, UncuttableError
from toolchain.prune.surgery.layers.functions import check_quantizers
from toolchain.prune.surgery.rules import Site, rule


@rule("BatchNormalization", "QBatchNormalization", "SyncBatchNormalization")
def batch_normalization(site: Site) -> Channels:
    """At inference a scale and a shift for each channel."""
    read = site.input(last=False)
    check_quantizers(site)
    axes = axes_of(site.option("axis", -1), len(read.shape))
    if axes != (read.axis,):
        raise UncuttableError(f"axis = {site.option('axis')} is not the axis of the channels")
    for weight in ("gamma", "beta", "moving_mean", "moving_variance"):
        site.bind("carries", weight, 0, read.labels)
    return Channels(site.shape, read.axis, read.labels)


@rule("LayerNormalization", "GroupNormalization", "UnitNormalization")
def across_channels(site: Site) -> Channels:
    """Mean and variance run over the channels: without one of them the others change."""
    raise UncuttableError("its mean and variance run over the channels, and would change without some of them")


def axes_of(axis: Any, rank: int) -> tuple[int, ...]:
    """Keras' axes, which count the samples as 0, as axes of one sample."""
    axes = axis if isinstance(axis, (list, tuple)) else [axis]
    return tuple(int(place) + rank if int(place) < 0 else int(place) - 1 for place in axes)
