"""Layers that treat every value by itself: activations, and what does nothing at inference."""

from __future__ import annotations

from toolchain.model.folding import TRAINING_ONLY
from toolchain.prune.surgery.channels import Channels, UncuttableError
from toolchain.prune.surgery.layers.functions import check_activation
from toolchain.prune.surgery.layers.normalization import axes_of
from toolchain.prune.surgery.rules import Site, rule


@rule(*TRAINING_ONLY, "SpatialDropout3D", keeps_zero=True)
def nothing(site: Site) -> Channels:
    """At inference its input."""
    return site.input(last=False)


@rule("ReLU", "LeakyReLU", "ELU", "ThresholdedReLU")
def activation_layer(site: Site) -> Channels:
    """One function of one value."""
    return site.input(last=False)


@rule("Activation", "QActivation")
def activation(site: Site) -> Channels:
    """One function of one value, or a softmax, which keeps its channels."""
    read = site.input(last=False)
    check_activation(site, read.labels)
    return read


@rule("Softmax")
def softmax(site: Site) -> Channels:
    """Exact only along other axes than the channels'."""
    read = site.input(last=False)
    if read.axis in axes_of(site.option("axis", -1), len(read.shape)):
        raise UncuttableError("softmax runs over the channels")
    return read


@rule("PReLU")
def prelu(site: Site) -> Channels:
    """A slope for each value, or one for all places along ``shared_axes``."""
    read = site.input(last=False)
    if read.axis + 1 not in (site.option("shared_axes") or ()):
        site.bind("carries", "alpha", read.axis, read.labels)
    return read


@rule("Rescaling")
def rescaling(site: Site) -> Channels:
    """One scale and one offset for all."""
    for key, default in (("scale", 1.0), ("offset", 0.0)):
        if not isinstance(site.option(key, default), (int, float)):
            raise UncuttableError(f"{key} is not one number")
    return site.input(last=False)
