"""An operator and the ReLUs and format changes after it as one: which format rounds, and the grid of the result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.nodes import FixedPointNetwork, Node, Relu, Requantize
from toolchain.network.ranges import Range
from toolchain.tflite.grids import LEVELS, Bits, Grid, exact_grid, grid_from
from toolchain.tflite.operators import NotExpressibleError


@dataclass(frozen=True, eq=False)
class Fused:
    """What followers do to an exact value: at most one format (``lossy``) rounds or saturates."""

    range: Range
    relu: bool
    rounding: Rounding
    lossy: FixedPoint | None
    cuts_low: bool
    cuts_high: bool


def group_of(network: FixedPointNetwork, node: Node) -> list[Node]:
    """``node`` and the ReLUs and format changes that read it, and one another, alone."""
    group = [node]
    while True:
        last = group[-1]
        readers = network.consumers(last.name)
        if len(readers) != 1 or last.name in network.outputs or not isinstance(readers[0], Relu | Requantize):
            return group
        group.append(readers[0])


def fuse(group: list[Node], total: Range) -> Fused:
    """The group's formats applied to the exact value ``total`` of its first node.

    Raises NotExpressibleError when two of them round or saturate: the operators do so once.
    """
    found, relu, lossy = total, False, None
    cuts_low = cuts_high = False
    for node in group:
        if isinstance(node, Relu):
            found = Range(np.maximum(found.low, 0), np.maximum(found.high, 0), found.fractional_bits)
            relu, cuts_low = True, False
        if found.fits(node.result):
            continue
        if lossy is not None:
            raise NotExpressibleError(f"layer '{node.layer}': two roundings in a row; its operators round once")
        lossy = node.result
        cuts_low, cuts_high = _cuts(found, lossy, node)
        if not lossy.signed:
            relu, cuts_low = True, False
        found = found.through(lossy)
    rounding = lossy.rounding if lossy else Rounding.RND
    return Fused(found, relu, rounding, lossy, cuts_low, cuts_high)


def _cuts(found: Range, form: FixedPoint, node: Node) -> tuple[bool, bool]:
    """Whether ``form`` can saturate at its low and its high end."""
    wide = FixedPoint(True, 4000, form.fractional_bits, form.rounding, Overflow.WRAP)
    rounded = found.through(wide)
    low, high = rounded.lowest < form.min_word, rounded.highest > form.max_word
    if (low or high) and form.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
        raise NotExpressibleError(f"layer '{node.layer}': {form} may overflow without saturating; TFLite saturates")
    return low, high


def place(formats: Fused, bits: Bits) -> tuple[Grid, tuple[tuple[int, bool], ...]] | None:
    """The exact grid, its ends where the format saturates, and as limits (word, is upper) the bounds that no end can
    stand for. None when the values take more levels than a tensor has."""
    low, high = min(formats.range.lowest, 0), max(formats.range.highest, 0)
    grid_bits = formats.range.fractional_bits
    grid = exact_grid(low, high, grid_bits, bits)
    if grid is None:
        return None
    if bits == 8 and formats.cuts_high:
        grid = grid_from(max(high - (LEVELS - 1), -255), grid_bits)
    elif bits == 8 and formats.cuts_low:
        grid = grid_from(low, grid_bits)
    limits = []
    if formats.cuts_low and grid.low < low:
        limits.append((low, False))
    if formats.cuts_high and grid.high > high:
        limits.append((high, True))
    return grid, tuple(limits)
