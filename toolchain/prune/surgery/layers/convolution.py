"""Convolutions: filters are the last axis of a kernel; depthwise ones have no filters of their own."""

from __future__ import annotations

import numpy as np

from toolchain.prune.surgery.channels import Channels, UncuttableError
from toolchain.prune.surgery.layers.functions import check_activation, check_quantizers
from toolchain.prune.surgery.rules import Site, rule


@rule("Conv1D", "Conv2D", "Conv3D", "QConv1D", "QConv2D")
def convolution(site: Site) -> Channels:
    """Kernel ``(*window, channels, filters)``."""
    return _convolution(site, reads=-2, makes=-1)


@rule("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "QConv2DTranspose")
def transposed(site: Site) -> Channels:
    """Kernel ``(*window, filters, channels)``."""
    return _convolution(site, reads=-1, makes=-2)


def _convolution(site: Site, reads: int, makes: int) -> Channels:
    read = site.input()
    check_quantizers(site)
    if int(site.option("groups", 1)) != 1:
        raise UncuttableError(f"groups = {site.option('groups')}: every group must keep as many channels")
    filters = site.units(int(site.option("filters")))
    site.bind("reads", "kernel", reads, read.labels)
    site.bind("makes", "kernel", makes, filters)
    site.bind("makes", "bias", 0, filters)
    site.size("filters", filters)
    site.works("kernel", (site.shape if makes == -1 else read.shape)[:-1])
    check_activation(site, filters)
    return site.result(filters)


@rule("DepthwiseConv1D", "DepthwiseConv2D", "QDepthwiseConv2D")
def depthwise(site: Site) -> Channels:
    """Kernel ``(*window, channels, multiplier)``: a channel goes with all the filters that read it alone."""
    read = site.input()
    check_quantizers(site)
    made = np.repeat(read.labels, int(site.option("depth_multiplier", 1)))
    site.bind("carries", "depthwise_kernel", -2, read.labels)
    site.bind("carries", "bias", 0, made)
    site.works("depthwise_kernel", site.shape[:-1])
    check_activation(site, made)
    return site.result(made)


@rule("SeparableConv1D", "SeparableConv2D", "QSeparableConv1D", "QSeparableConv2D")
def separable(site: Site) -> Channels:
    """A depthwise kernel, then one of ``(1, …, channels * multiplier, filters)``."""
    read = site.input()
    check_quantizers(site)
    between = np.repeat(read.labels, int(site.option("depth_multiplier", 1)))
    filters = site.units(int(site.option("filters")))
    site.bind("reads", "depthwise_kernel", -2, read.labels)
    site.bind("reads", "pointwise_kernel", -2, between)
    site.bind("makes", "pointwise_kernel", -1, filters)
    site.bind("makes", "bias", 0, filters)
    site.size("filters", filters)
    site.works("depthwise_kernel", site.shape[:-1])
    site.works("pointwise_kernel", site.shape[:-1])
    check_activation(site, filters)
    return site.result(filters)
