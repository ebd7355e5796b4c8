"""Interval analysis: for every element of every node, the smallest and largest word it can ever hold.

Follows from the input formats and the real integer weights, so "this accumulator cannot overflow" is a proof and not a
measurement. Bounds are Python integers in object arrays: never wrong by overflow themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce, singledispatch

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Words, shrink, smallest_format
from toolchain.network import nodes
from toolchain.network.arithmetic import crop, product_sum, zero_pad
from toolchain.network.nodes import FixedPointNetwork, Linear, Merge, Node
from toolchain.network.windows import reduce_windows


@dataclass(frozen=True, eq=False)
class Range:
    """Inclusive bounds per element: object arrays of a node's shape, on the grid ``2**-fractional_bits``."""

    low: Words
    high: Words
    fractional_bits: int

    @property
    def lowest(self) -> int:
        return int(min(self.low.flat))

    @property
    def highest(self) -> int:
        return int(max(self.high.flat))

    def smallest_format(self) -> FixedPoint:
        return smallest_format(self.lowest, self.highest, self.fractional_bits)

    def fits(self, form: FixedPoint) -> bool:
        """Whether no word of this range needs rounding or is out of range in ``form``."""
        shift = form.fractional_bits - self.fractional_bits
        return shift >= 0 and form.min_word <= self.lowest << shift and self.highest << shift <= form.max_word

    def through(self, form: FixedPoint) -> Range:
        """The range after a change to ``form``."""
        return _through(self.low, self.high, self.fractional_bits, form)


def full_range(form: FixedPoint, shape: tuple[int, ...]) -> Range:
    low = np.full(shape, form.min_word, dtype=object)
    high = np.full(shape, form.max_word, dtype=object)
    return Range(low, high, form.fractional_bits)


def analyse(network: FixedPointNetwork) -> dict[str, Range]:
    """The range of every node's result, by node name."""
    found: dict[str, Range] = {}
    for node in network.nodes:
        found[node.name] = result_range(node, [found[name] for name in node.inputs])
    return found


def result_range(node: Node, inputs: list[Range]) -> Range:
    """The range of ``node``'s result given those of its inputs."""
    before = exact_range(node, inputs)
    if isinstance(node, Linear):
        before = before.through(node.accumulator)
    return before.through(node.result)


@singledispatch
def exact_range(node: Node, inputs: list[Range]) -> Range:
    """The range before any accumulator or result format is applied."""
    raise AssertionError(f"no range rule for {type(node).__name__}")


@exact_range.register
def _(node: nodes.Input, inputs: list[Range]) -> Range:
    return full_range(node.result, node.shape)


@exact_range.register(nodes.Dense)
@exact_range.register(nodes.Convolution)
@exact_range.register(nodes.DepthwiseConvolution)
@exact_range.register(nodes.Scale)
def _(node: Linear, inputs: list[Range]) -> Range:
    return accumulate(node, inputs[0])


def accumulate(node: Linear, x: Range) -> Range:
    """The range of a linear operator's exact sum; needs only its kernel, bias and geometry."""
    positive, negative = np.maximum(node.kernel, 0), np.minimum(node.kernel, 0)
    ends = shrink(np.stack([x.low, x.high]))
    rising, falling = (product_sum(node, ends, part).astype(object) for part in (positive, negative))
    low, high = rising[0] + falling[1], rising[1] + falling[0]
    grid = x.fractional_bits + node.kernel_format.fractional_bits
    fractional_bits = grid
    if node.bias is not None and node.bias_format is not None:
        fractional_bits = max(grid, node.bias_format.fractional_bits)
        bias = node.bias.astype(object) << (fractional_bits - node.bias_format.fractional_bits)
        low, high = (low << (fractional_bits - grid)) + bias, (high << (fractional_bits - grid)) + bias
    return Range(low, high, fractional_bits)


@exact_range.register
def _(node: nodes.Relu, inputs: list[Range]) -> Range:
    x = inputs[0]
    return Range(np.maximum(x.low, 0), np.maximum(x.high, 0), x.fractional_bits)


@exact_range.register
def _(node: nodes.Requantize, inputs: list[Range]) -> Range:
    return inputs[0]


@exact_range.register
def _(node: nodes.Reshape, inputs: list[Range]) -> Range:
    x = inputs[0]
    return Range(x.low.reshape(node.shape), x.high.reshape(node.shape), x.fractional_bits)


@exact_range.register
def _(node: nodes.MaxPool, inputs: list[Range]) -> Range:
    x = inputs[0]
    low = reduce_windows(x.low[None], node.window, node.strides, node.padding, x.lowest)[0]
    high = reduce_windows(x.high[None], node.window, node.strides, node.padding, x.lowest)[0]
    return Range(low, high, x.fractional_bits)


@exact_range.register
def _(node: Merge, inputs: list[Range]) -> Range:
    if isinstance(node, nodes.Multiply):
        return reduce(_product, inputs)
    inputs = _on_common_grid(inputs)
    lows, highs, grid = [x.low for x in inputs], [x.high for x in inputs], inputs[0].fractional_bits
    if isinstance(node, nodes.Maximum | nodes.Minimum):
        larger = np.maximum if isinstance(node, nodes.Maximum) else np.minimum
        return Range(reduce(larger, lows), reduce(larger, highs), grid)
    if isinstance(node, nodes.Subtract):
        return Range(np.asarray(lows[0] - highs[1]), np.asarray(highs[0] - lows[1]), grid)
    shift = len(inputs).bit_length() - 1 if isinstance(node, nodes.Average) else 0
    return Range(np.asarray(sum(lows), dtype=object), np.asarray(sum(highs), dtype=object), grid + shift)


def _product(a: Range, b: Range) -> Range:
    corners = [np.asarray(x * y) for x in (a.low, a.high) for y in (b.low, b.high)]
    grid = a.fractional_bits + b.fractional_bits
    return Range(reduce(np.minimum, corners), reduce(np.maximum, corners), grid)


def _on_common_grid(inputs: list[Range]) -> list[Range]:
    grid = max(x.fractional_bits for x in inputs)
    shifts = [grid - x.fractional_bits for x in inputs]
    return [Range(x.low << shift, x.high << shift, grid) for x, shift in zip(inputs, shifts, strict=True)]


@exact_range.register
def _(node: nodes.Concatenate, inputs: list[Range]) -> Range:
    inputs = _on_common_grid(inputs)
    low, high = (np.concatenate(ends, axis=node.axis) for ends in ([x.low for x in inputs], [x.high for x in inputs]))
    return Range(low, high, inputs[0].fractional_bits)


@exact_range.register
def _(node: nodes.Table, inputs: list[Range]) -> Range:
    x, size = inputs[0], node.words.size
    found: dict[tuple[int, int], tuple[int, int]] = {}  # by the range of an input element
    for ends in set(zip(x.low.flat, x.high.flat, strict=True)):
        taken = node.words[np.arange(ends[0], ends[1] + 1) & (size - 1)]
        found[ends] = int(taken.min()), int(taken.max())
    bounds = np.array([found[ends] for ends in zip(x.low.flat, x.high.flat, strict=True)], dtype=object)
    low, high = bounds[:, 0].reshape(node.shape), bounds[:, 1].reshape(node.shape)
    return Range(low, high, node.result.fractional_bits)


@exact_range.register
def _(node: nodes.Embedding, inputs: list[Range]) -> Range:
    rows = [node.words[int(a) : int(b) + 1] for a, b in zip(inputs[0].low.flat, inputs[0].high.flat, strict=True)]
    low, high = np.array([part.min(axis=0) for part in rows]), np.array([part.max(axis=0) for part in rows])
    shape, grid = node.shape, node.result.fractional_bits
    return Range(low.astype(object).reshape(shape), high.astype(object).reshape(shape), grid)


@exact_range.register
def _(node: nodes.ZeroPadding, inputs: list[Range]) -> Range:
    x = inputs[0]
    padding = (*node.padding, (0, 0))
    return Range(zero_pad(x.low, padding), zero_pad(x.high, padding), x.fractional_bits)


@exact_range.register
def _(node: nodes.Crop, inputs: list[Range]) -> Range:
    x, cropping = inputs[0], (*node.cropping, (0, 0))
    return Range(crop(x.low, cropping), crop(x.high, cropping), x.fractional_bits)


@exact_range.register
def _(node: nodes.Permute, inputs: list[Range]) -> Range:
    x = inputs[0]
    return Range(np.transpose(x.low, node.axes), np.transpose(x.high, node.axes), x.fractional_bits)


def _through(low: Words, high: Words, fractional_bits: int, form: FixedPoint) -> Range:
    clipped = form.overflow in (Overflow.SAT, Overflow.SAT_SYM)
    # Rounding and clipping are monotonic, so the ends map to the ends; a wrap or a zeroing that can happen is not.
    exact = FixedPoint(True, 4096, form.fractional_bits, form.rounding, Overflow.WRAP)
    rounded_low = exact.requantize(low.astype(object), fractional_bits).astype(object)
    rounded_high = exact.requantize(high.astype(object), fractional_bits).astype(object)
    if clipped:
        rounded_low = np.clip(rounded_low, form.min_word, form.max_word)
        rounded_high = np.clip(rounded_high, form.min_word, form.max_word)
    else:
        out = (rounded_low < form.min_word) | (rounded_high > form.max_word)
        bottom = min(form.min_word, 0)
        rounded_low = np.where(out, bottom, rounded_low)
        rounded_high = np.where(out, form.max_word, rounded_high)
    return Range(rounded_low.astype(object), rounded_high.astype(object), form.fractional_bits)
