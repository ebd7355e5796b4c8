"""Weights and biases solved from the words found: unit by unit, one number or the whole column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from toolchain.fixed_point import FixedPoint, Words
from toolchain.network.nodes import (
    DepthwiseConvolution,
    FixedPointNetwork,
    IntArray,
    Linear,
    Node,
    Relu,
    Requantize,
    Reshape,
    Scale,
)
from toolchain.verify.constants import describe, is_channelwise, wide_bias
from toolchain.verify.grids import differing
from toolchain.verify.region import Hypothesis, Region, compute
from toolchain.verify.types import patches_of, with_fields

#: Behind the sum only what changes each word by itself.
_ELEMENTWISE = (Requantize, Relu, Reshape)
#: Words of a format up to this width are all tried for each weight.
_ALL_WORDS = 10
_ROWS = 96
#: Changes that the words do not tell apart, as many as are kept.
_SURVIVORS = 8
#: Samples and numbers of patches that are looked at.
_SAMPLES = 400
_NUMBERS = 1 << 21
#: Differing units that are tried one by one.
_UNITS = 64


@dataclass(frozen=True, eq=False)
class Unit:
    """The sums of one output of a layer: ``rows`` of what it multiplies, and the words found for them."""

    patches: Words  # (rows, terms)
    kernel: IntArray  # (terms,)
    bias: int
    found: Words  # (rows,)


@dataclass(frozen=True, eq=False)
class Sums:
    """How a layer's sums become the words found: its formats, and the elementwise nodes behind it."""

    node: Linear
    network: FixedPointNetwork
    grid_in: int
    behind: tuple[Node, ...]
    form: FixedPoint

    def matches(self, products: Words, bias: Words | int, found: Words) -> np.ndarray:
        """Where ``products`` (on the grid of input times weight) and ``bias`` give ``found``."""
        grid = self.grid_in + self.node.kernel_format.fractional_bits
        bias_form = wide_bias(self.node)[1]
        common = max(grid, bias_form.fractional_bits)
        total = (products << (common - grid)) + (bias << (common - bias_form.fractional_bits))
        words = self.node.accumulator.requantize(total, common)
        form = self.node.result
        words = form.requantize(words, self.node.accumulator.fractional_bits)
        for later in self.behind:
            if not isinstance(later, Reshape):
                words, form = compute(later, [words], [form])
        clipped = self.form.requantize(words, form.fractional_bits)
        return np.asarray(~differing(words, form, found, self.form) | ~differing(clipped, self.form, found, self.form))


def solved(region: Region, node: Node) -> Iterator[Hypothesis]:
    """The weights and biases of ``node`` that the words found show, if few or all of a unit's are others."""
    behind = region.behind(node)
    if not isinstance(node, Linear) or not all(isinstance(later, _ELEMENTWISE) for later in behind):
        return
    sums = Sums(node, region.network, region.formats(node)[0].fractional_bits, behind, region.form)
    patches, found = _rows(region, node)
    wrong = _wrong_units(sums, node, patches, found)
    if not wrong or len(wrong) > _UNITS:
        return
    units = [_unit(node, patches, found, number) for number in wrong]
    single = [_single_changes(sums, unit) for unit in units]
    if all(single):
        # The first of each unit together; where there is but one unit, all that its words do not tell apart.
        for choice in range(len(single[0]) if len(single) == 1 else 1):
            kernel, bias = node.kernel.copy(), wide_bias(node)[0].copy()
            for number, changes in zip(wrong, single, strict=True):
                term, delta = changes[choice]
                if term is None:
                    bias[number] += delta
                else:
                    kernel.reshape(-1, kernel.shape[-1])[term, number] += delta
            yield _hypothesis(node, kernel, bias)
    kernel, bias = node.kernel.copy(), wide_bias(node)[0].copy()
    if all(_column(sums, unit, kernel, bias, number) for number, unit in zip(wrong, units, strict=True)):
        yield _hypothesis(node, kernel, bias)


def _hypothesis(node: Linear, kernel: IntArray, bias: IntArray) -> Hypothesis:
    biased = node if node.bias is not None else replace(node, bias=wide_bias(node)[0], bias_format=wide_bias(node)[1])
    kind, text = describe(biased, kernel, bias)
    return with_fields(biased, kind, text, kernel=kernel, bias=bias)


def _rows(region: Region, node: Linear) -> tuple[Words, Words]:
    """Patches ``(rows, terms[, channels])`` and found words ``(rows, units)`` of some samples, differing ones first."""
    places = max(1, node.size // node.shape[-1])
    wrong = differing(region.words[region.last.name], region.last.result, region.found, region.form)
    order = np.argsort(~wrong.reshape(len(wrong), -1).any(axis=1), kind="stable")
    most = max(8, _NUMBERS // max(1, places * node.kernel[..., 0].size))
    samples = np.sort(order[: min(_SAMPLES, most)])
    x = region.inputs(node, samples)[0]
    found = region.found[samples].reshape(len(samples) * places, node.shape[-1])
    if isinstance(node, Scale):
        return x.reshape(len(found), 1, -1), found
    patches = patches_of(node, x)
    kept = 2 if isinstance(node, DepthwiseConvolution) else 1
    return patches.reshape(len(found), *patches.shape[-kept:]), found


def _unit(node: Linear, patches: Words, found: Words, unit: int) -> Unit:
    own = patches[..., unit] if is_channelwise(node) else patches
    kernel = node.kernel.reshape(-1, node.kernel.shape[-1])[:, unit]
    return Unit(own, kernel, int(wide_bias(node)[0][unit]), found[:, unit])


def _wrong_units(sums: Sums, node: Linear, patches: Words, found: Words) -> list[int]:
    wrong = []
    for number in range(found.shape[1]):
        unit = _unit(node, patches, found, number)
        if not sums.matches(unit.patches @ unit.kernel, unit.bias, unit.found).all():
            wrong.append(number)
    return wrong


def _first_rows(sums: Sums, unit: Unit) -> np.ndarray:
    """Rows in the order in which they refute: differing ones with other inputs first."""
    right = sums.matches(unit.patches @ unit.kernel, unit.bias, unit.found)
    order = np.argsort(right, kind="stable")
    _, first = np.unique(
        np.concatenate([unit.patches[order], unit.found[order, None]], axis=1), axis=0, return_index=True
    )
    distinct = order[np.sort(first)]
    return distinct[:_ROWS]


def _single_changes(sums: Sums, unit: Unit) -> list[tuple[int | None, int]]:
    """What may have been added to which weight of ``unit`` (None: its bias) to give its words; the smallest first."""
    rows = _first_rows(sums, unit)
    x, found = unit.patches[rows], unit.found[rows]
    products = x @ unit.kernel
    form = wide_bias(sums.node)[1]
    left = _steps(unit.bias, form.min_word, form.max_word)
    for row in range(len(rows)):
        left = left[sums.matches(np.broadcast_to(products[row], left.shape), unit.bias + left, found[row])]
    form = sums.node.kernel_format
    pairs = [(term, _steps(int(word), form.min_word, form.max_word)) for term, word in enumerate(unit.kernel)]
    terms = np.concatenate([np.full(len(steps), term) for term, steps in pairs])
    deltas = np.concatenate([steps for _, steps in pairs])
    for row in range(len(rows)):
        kept = sums.matches(products[row] + deltas * x[row, terms], unit.bias, found[row])
        terms, deltas = terms[kept], deltas[kept]
    order = np.argsort(np.abs(deltas), kind="stable")[:_SURVIVORS]
    biases: list[tuple[int | None, int]] = [(None, int(step)) for step in sorted(left, key=abs)[:1]]
    return biases + [(int(terms[k]), int(deltas[k])) for k in order]


def _steps(word: int, low: int, high: int) -> IntArray:
    """What may have been added to ``word`` of a type from ``low`` to ``high``: any word, or likely ones."""
    if (high - low).bit_length() <= _ALL_WORDS:
        return np.array([new - word for new in range(low, high + 1) if new != word], dtype=np.int64)
    powers = [sign << bit for bit in range((high - low).bit_length()) for sign in (1,)]
    likely = {*powers, *(-power for power in powers), *range(-16, 17), -word, -2 * word, *_bits_lost(word)} - {0}
    return np.array(sorted(likely), dtype=np.int64)


def _bits_lost(word: int) -> set[int]:
    return {((word >> bits) << bits) - word for bits in range(1, abs(word).bit_length() + 1)}


def _column(sums: Sums, unit: Unit, kernel: IntArray, bias: IntArray, number: int) -> bool:
    """Set all weights of ``unit`` and its bias by least squares over rows that nothing clipped."""
    x, found = unit.patches.astype(np.float64), unit.found
    inside = (found > sums.form.min_word) & (found < sums.form.max_word) & ((found != 0) | sums.form.signed)
    if any(isinstance(later, Relu) for later in sums.behind):
        inside &= found != 0
    if int(inside.sum()) < x.shape[1] + 2:
        return False
    step = 2.0 ** -(sums.grid_in + sums.node.kernel_format.fractional_bits)
    bias_step = wide_bias(sums.node)[1].lsb
    matrix = np.concatenate([x * step, np.full((len(x), 1), bias_step)], axis=1)[inside]
    solution, _, rank, _ = np.linalg.lstsq(matrix, sums.form.values_of(found[inside]), rcond=None)
    if rank < matrix.shape[1]:
        return False
    words = np.rint(solution).astype(np.int64)
    if not sums.matches(unit.patches @ words[:-1], words[-1], found).all():
        return False
    kernel.reshape(-1, kernel.shape[-1])[:, number] = words[:-1]
    bias[number] = words[-1]
    return True
