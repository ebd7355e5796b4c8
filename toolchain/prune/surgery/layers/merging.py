"""Layers of several inputs: channels that meet in one value go together; a concatenation puts them side by side."""

from __future__ import annotations

from math import prod

import numpy as np

from toolchain.prune.surgery.channels import Channels, UncuttableError
from toolchain.prune.surgery.layers.normalization import axes_of
from toolchain.prune.surgery.rules import Site, rule


@rule("Add", "Subtract", "Average", "Maximum", "Minimum", keeps_zero=True)
def added(site: Site) -> Channels:
    """Zero only where all inputs are zero."""
    return _merged(site, one_zero_suffices=False)


@rule("Multiply", keeps_zero=True)
def multiplied(site: Site) -> Channels:
    """Zero already where one input is zero."""
    return _merged(site, one_zero_suffices=True)


def _merged(site: Site, one_zero_suffices: bool) -> Channels:
    """Inputs of fewer axes are aligned at the last one, as Keras does."""
    rank = len(site.shape)
    found = [(read, read.axis + rank - len(read.shape)) for read in site.every_input()]
    wide = [(read, axis) for read, axis in found if len(read.labels) > 1 or site.shape[axis] == 1]
    narrow = [read for read, axis in found if len(read.labels) == 1 and site.shape[axis] != 1]
    if not wide or len({axis for _, axis in wide}) > 1:
        raise UncuttableError("its inputs have their channels on different axes")
    first, axis = wide[0]
    for read, _ in wide[1:]:
        site.tie(first.labels, read.labels)
    for read in narrow:
        site.keep(read.labels, "one channel meets all channels of another input")
        if not one_zero_suffices:
            site.keep(first.labels, "a single channel is added to every one of its channels")
    if prod(size or 1 for size in site.shape) == 0:
        raise UncuttableError("its output is empty")
    return Channels(site.shape, axis, first.labels)


@rule("Concatenate", keeps_zero=True)
def concatenate(site: Site) -> Channels:
    """Along the channels they stand side by side; along another axis they are tied."""
    found = site.every_input()
    axis = found[0].axis
    if any(read.axis != axis for read in found):
        raise UncuttableError("its inputs have their channels on different axes")
    if axes_of(site.option("axis", -1), len(site.shape)) == (axis,):
        return Channels(site.shape, axis, np.concatenate([read.labels for read in found]))
    for read in found[1:]:
        site.tie(found[0].labels, read.labels)
    return Channels(site.shape, axis, found[0].labels)
