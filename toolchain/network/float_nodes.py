"""Each kind of node as a few float instructions on a batch, with the largest integer that can occur in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import numpy as np

from toolchain.network import nodes
from toolchain.network.arithmetic import crop, zero_pad
from toolchain.network.float_products import multiplier
from toolchain.network.float_words import FLOATS, NoFloatsError, Span, Values
from toolchain.network.nodes import Linear, Merge, Node

Step = Callable[[list[Values]], Values]


@dataclass(frozen=True)
class Exact:
    """A node's exact value: how to compute it, its span, and the largest integer on the way."""

    step: Callable[[list[Values]], Values]  # may use its inputs, must not change them; a new array unless ``moves``
    span: Span
    largest: int
    moves: bool = False
    rectified: bool = False  # what is negative becomes zero in the change of format


@singledispatch
def exact_in_floats(node: Node, before: list[Span]) -> Exact:
    """The value of ``node`` before its format, from inputs within ``before``. Raises NoFloatsError."""
    raise NoFloatsError


@exact_in_floats.register
def _(node: nodes.Relu, before: list[Span]) -> Exact:
    return Exact(lambda inputs: inputs[0], before[0], before[0].magnitude, moves=True, rectified=True)


@exact_in_floats.register
def _(node: nodes.Requantize, before: list[Span]) -> Exact:
    return Exact(lambda inputs: inputs[0], before[0], before[0].magnitude, moves=True)


@exact_in_floats.register(nodes.Reshape)
@exact_in_floats.register(nodes.Permute)
@exact_in_floats.register(nodes.ZeroPadding)
@exact_in_floats.register(nodes.Crop)
def _(node: Node, before: list[Span]) -> Exact:
    x = before[0]
    span = Span(min(x.low, 0), max(x.high, 0), x.fractional_bits)
    return Exact(lambda inputs: _move(node, inputs[0]), span, x.magnitude, moves=True)


def _move(node: Node, x: Values) -> Values:
    if isinstance(node, nodes.Permute):
        return np.transpose(x, (0, *(axis + 1 for axis in node.axes)))
    if isinstance(node, nodes.ZeroPadding):
        return zero_pad(x, ((0, 0), *node.padding, (0, 0)))
    if isinstance(node, nodes.Crop):
        return crop(x, ((0, 0), *node.cropping, (0, 0)))
    return x.reshape(len(x), *node.shape)


@exact_in_floats.register
def _(node: nodes.Table, before: list[Span]) -> Exact:
    words, mask = node.words, node.words.size - 1
    span = Span(int(words.min()), int(words.max()), node.result.fractional_bits)
    if span.magnitude >= 1 << 53:
        raise NoFloatsError
    by_kind = {kind: words.astype(kind) for _, kind in FLOATS}

    def step(inputs: list[Values]) -> Values:
        return np.asarray(by_kind[inputs[0].dtype.type][inputs[0].astype(np.int64) & mask])

    return Exact(step, span, max(span.magnitude, before[0].magnitude))


@exact_in_floats.register
def _(node: nodes.Concatenate, before: list[Span]) -> Exact:
    factors, spans = _common(before)
    span = Span(min(x.low for x in spans), max(x.high for x in spans), spans[0].fractional_bits)

    def step(inputs: list[Values]) -> Values:
        return np.concatenate(_scaled(inputs, factors), axis=node.axis + 1)

    return Exact(step, span, span.magnitude)


@exact_in_floats.register
def _(node: Merge, before: list[Span]) -> Exact:
    if isinstance(node, nodes.Multiply):
        return _product(before)
    factors, spans = _common(before)
    grid = spans[0].fractional_bits
    lows, highs = [x.low for x in spans], [x.high for x in spans]
    largest = sum(x.magnitude for x in spans)
    if isinstance(node, nodes.Maximum | nodes.Minimum):
        pick, choose = (np.maximum, max) if isinstance(node, nodes.Maximum) else (np.minimum, min)
        return Exact(_fold(pick, factors), Span(choose(lows), choose(highs), grid), largest)
    if isinstance(node, nodes.Subtract):
        return Exact(_fold(np.subtract, factors), Span(lows[0] - highs[1], highs[0] - lows[1], grid), largest)
    if not isinstance(node, nodes.Add | nodes.Average):
        raise NoFloatsError
    grid += len(before).bit_length() - 1 if isinstance(node, nodes.Average) else 0
    return Exact(_fold(np.add, factors), Span(sum(lows), sum(highs), grid), largest)


def _common(before: list[Span]) -> tuple[list[int], list[Span]]:
    """Factors that bring words onto the finest grid, and the spans there."""
    grid = max(x.fractional_bits for x in before)
    shifts = [grid - x.fractional_bits for x in before]
    if max(shifts) > 60:
        raise NoFloatsError
    spans = [Span(x.low << shift, x.high << shift, grid) for x, shift in zip(before, shifts, strict=True)]
    return [1 << shift for shift in shifts], spans


def _scaled(inputs: list[Values], factors: list[int]) -> list[Values]:
    return [x if factor == 1 else x * x.dtype.type(factor) for x, factor in zip(inputs, factors, strict=True)]


def _fold(operation: Callable[..., Values], factors: list[int]) -> Step:
    def step(inputs: list[Values]) -> Values:
        first, *rest = _scaled(inputs, factors)
        total = operation(first, rest[0])
        for x in rest[1:]:
            operation(total, x, out=total)
        return total

    return step


def _product(before: list[Span]) -> Exact:
    span = before[0]
    for x in before[1:]:
        corners = [a * b for a in (span.low, span.high) for b in (x.low, x.high)]
        span = Span(min(corners), max(corners), span.fractional_bits + x.fractional_bits)
    largest = 1
    for x in before:
        largest *= max(x.magnitude, 1)
    return Exact(_fold(np.multiply, [1] * len(before)), span, largest)


@exact_in_floats.register(nodes.Dense)
@exact_in_floats.register(nodes.Convolution)
@exact_in_floats.register(nodes.DepthwiseConvolution)
@exact_in_floats.register(nodes.Scale)
def _(node: Linear, before: list[Span]) -> Exact:
    x, grid = before[0], before[0].fractional_bits + node.kernel_format.fractional_bits
    common, bias = grid, np.zeros(node.kernel.shape[-1], dtype=object)
    if node.bias is not None and node.bias_format is not None:
        common = max(grid, node.bias_format.fractional_bits)
        bias = node.bias.astype(object) << (common - node.bias_format.fractional_bits)
    # On a bias grid finer than the products', these are multiplied up by the kernel.
    kernel = node.kernel.astype(object) << (common - grid)
    alone = isinstance(node, nodes.Scale)
    columns = kernel.reshape(1, -1) if alone else kernel.reshape(-1, kernel.shape[-1])
    positive, negative = np.maximum(columns, 0), np.minimum(columns, 0)
    # Places in the padding are zero, so both ends include it.
    low, high = min(x.low, 0), max(x.high, 0)
    lows = (positive * low + negative * high).sum(axis=0) + bias
    highs = (positive * high + negative * low).sum(axis=0) + bias
    largest = int(max(np.abs(columns).sum(axis=0) * x.magnitude + np.abs(bias), default=0))
    largest = max(largest, int(np.abs(columns).max(initial=0)), x.magnitude)
    if largest >= 1 << 53:
        raise NoFloatsError
    span = Span(int(lows.min()), int(highs.max()), common)
    everywhere = np.tile(bias, node.size // len(bias))  # long rows are added sooner than short ones
    by_kind = {kind: (kernel.astype(kind), everywhere.astype(kind)) for _, kind in FLOATS}
    multiply, add = multiplier(node), bool(bias.any())

    def step(inputs: list[Values]) -> Values:
        weights, offset = by_kind[inputs[0].dtype.type]
        total = multiply(inputs[0], weights)
        if add:
            rows = total.reshape(len(total), -1)
            rows += offset
            return rows.reshape(total.shape)
        return total

    return Exact(step, span, largest)
