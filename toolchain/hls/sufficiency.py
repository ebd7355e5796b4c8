"""Whether the formats that hls4ml chose give the same values as the network's, proven from the network's ranges.

hls4ml leaves out bits that no value uses, so its formats are not the network's own. ``exact_bounds`` knows, beside the
smallest and largest value, on which grid the values really lie: a kernel of even words makes even sums.
"""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow
from toolchain.hls.grids import element_grids
from toolchain.network.nodes import FixedPointNetwork, IntArray
from toolchain.network.ranges import Range, analyse, exact_range


def exact_bounds(network: FixedPointNetwork) -> dict[str, Range]:
    """By node, the bounds of its exact value, before its own format, on the coarsest grid that holds every value."""
    results = analyse(network)
    grids: dict[str, IntArray] = {}
    found: dict[str, Range] = {}
    for node in network.nodes:
        exact = exact_range(node, [results[name] for name in node.inputs])
        grid = np.minimum(element_grids(node, [grids[name] for name in node.inputs]), exact.fractional_bits)
        found[node.name] = _coarser(exact, max(int(grid.max()), -64))
        changes = _is_clipped(found[node.name], node.result)
        clipped = np.full(node.shape, node.result.fractional_bits)
        grids[node.name] = clipped if changes else np.minimum(grid, node.result.fractional_bits)
    return found


def elements(bounds: Range) -> list[Range]:
    """The different bounds of single elements, without those that are always zero."""
    pairs = {(int(low), int(high)) for low, high in zip(bounds.low.flat, bounds.high.flat, strict=True)} - {(0, 0)}
    one = [(np.array([low], dtype=object), np.array([high], dtype=object)) for low, high in sorted(pairs)]
    return [Range(low, high, bounds.fractional_bits) for low, high in one]


def holds(form: FixedPoint, bounds: Range) -> bool:
    """Whether every value in ``bounds`` is one of ``form``'s."""
    return (bounds.lowest == 0 == bounds.highest) or bounds.fits(form)


def find_shortfall(exact: Range, asked: FixedPoint, found: FixedPoint) -> str:
    """Why ``found`` may change a value that ``asked`` does not, or ``""`` when it provably never does.

    ``exact`` bounds the values before either format is applied.
    """
    if exact.lowest == 0 == exact.highest:
        return ""  # zero in every format
    rounds = exact.fractional_bits > asked.fractional_bits
    if rounds and (found.fractional_bits != asked.fractional_bits or found.rounding is not asked.rounding):
        return "rounds otherwise"
    rounded = _rounded(exact, asked)
    too_high, too_low = _beyond(rounded, asked)
    if not too_high and not too_low:
        return "" if holds(found, rounded) else "does not hold every value"
    if asked.overflow is Overflow.WRAP:
        same = found.overflow is Overflow.WRAP and found.same_grid(asked)
        return "" if same else "wraps elsewhere"
    if found.overflow is not asked.overflow:
        return "treats overflow otherwise"
    # Saturation: the bound that values reach must be the same; the other one must only be far enough.
    shift = found.fractional_bits - asked.fractional_bits
    if shift < 0:
        return "does not hold every value"
    grid = found.fractional_bits - rounded.fractional_bits
    if found.max_word != asked.max_word << shift if too_high else found.max_word < rounded.highest << grid:
        return "clips at another value"
    if found.min_word != asked.min_word << shift if too_low else found.min_word > rounded.lowest << grid:
        return "clips at another value"
    return ""


def _coarser(bounds: Range, fractional_bits: int) -> Range:
    """``bounds`` on the grid ``2**-fractional_bits``, outwards where they do not lie on it."""
    shift = bounds.fractional_bits - fractional_bits
    if shift <= 0:
        return bounds
    return Range(bounds.low >> shift, -(-bounds.high >> shift), fractional_bits)


def _rounded(exact: Range, asked: FixedPoint) -> Range:
    if exact.fractional_bits <= asked.fractional_bits:
        return exact
    return exact.through(FixedPoint(True, 4096, asked.fractional_bits, asked.rounding, Overflow.WRAP))


def _beyond(rounded: Range, form: FixedPoint) -> tuple[bool, bool]:
    """Whether values lie above and below the format's own; ``rounded`` is not finer than the format's grid."""
    shift = form.fractional_bits - rounded.fractional_bits
    return rounded.highest << shift > form.max_word, rounded.lowest << shift < form.min_word


def _is_clipped(exact: Range, form: FixedPoint) -> bool:
    return any(_beyond(_rounded(exact, form), form))
