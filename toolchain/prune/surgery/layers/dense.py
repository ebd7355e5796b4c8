"""Dense layers and embeddings: neurons are columns of the kernel, inputs its rows."""

from __future__ import annotations

from toolchain.prune.surgery.channels import Channels
from toolchain.prune.surgery.layers.functions import check_activation, check_quantizers
from toolchain.prune.surgery.rules import Site, rule


@rule("Dense", "QDense")
def dense(site: Site) -> Channels:
    """Kernel ``(inputs, units)``, applied to the last axis."""
    read = site.input()
    check_quantizers(site)
    units = site.units(int(site.option("units")))
    site.bind("reads", "kernel", 0, read.labels)
    site.bind("makes", "kernel", 1, units)
    site.bind("makes", "bias", 0, units)
    site.size("units", units)
    site.works("kernel", site.shape[:-1])
    check_activation(site, units)
    return site.result(units)


@rule("Embedding")
def embedding(site: Site) -> Channels:
    """Table ``(words, units)``."""
    for read in site.inputs:
        if read is not None:
            site.keep(read.labels, "they are indices")
    units = site.units(int(site.option("output_dim")))
    site.bind("makes", "embeddings", 1, units)
    site.size("output_dim", units)
    return site.result(units)
