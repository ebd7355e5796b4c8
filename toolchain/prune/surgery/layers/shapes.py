"""Layers that move values: the labels are moved in the same way."""

from __future__ import annotations

import numpy as np

from toolchain.prune.surgery.channels import Channels, UncuttableError
from toolchain.prune.surgery.rules import Site, rule


@rule("InputLayer")
def model_input(site: Site) -> Channels | None:
    """The model's inputs are given."""
    return None  # the tracer keeps the channels of what a rule gives no channels for


@rule("Flatten", keeps_zero=True)
def flatten(site: Site) -> Channels:
    """All values of a sample in one row."""
    return Channels(site.shape, 0, site.input(last=False).everywhere().reshape(-1))


@rule("Reshape", keeps_zero=True)
def reshape(site: Site) -> Channels:
    """The same values in the same order. Its target shape follows the channels."""
    if None in site.shape:
        raise UncuttableError("one of its sizes is not fixed")
    sizes = tuple(int(size or 0) for size in site.shape)
    axis, labels = site.record.units.collapse(site.input(last=False).everywhere().reshape(sizes))
    made = Channels(site.shape, axis, labels)
    site.shape_key("target_shape", made)
    return made


@rule("Permute", keeps_zero=True)
def permute(site: Site) -> Channels:
    """Axes in another order."""
    read = site.input(last=False)
    axes = [int(axis) - 1 for axis in site.option("dims")]
    return Channels(site.shape, axes.index(read.axis), read.labels)


@rule("RepeatVector", keeps_zero=True)
def repeat_vector(site: Site) -> Channels:
    """A vector once for each step."""
    return site.result(np.asarray(site.input().labels))
