"""A second interpreter, deliberately naive: Python fractions and loops; no arithmetic of the first is used."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network import nodes
from toolchain.network.nodes import FixedPointNetwork, Node

Sample = dict[tuple[int, ...], Fraction]


def run(network: FixedPointNetwork, words: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Words of every node for the given input words."""
    samples = len(next(iter(words.values())))
    found: dict[str, list[np.ndarray]] = {node.name: [] for node in network.nodes}
    for number in range(samples):
        values: dict[str, Sample] = {}
        for node in network.nodes:
            if isinstance(node, nodes.Input):
                step = Fraction(2) ** -node.result.fractional_bits
                values[node.name] = {i: int(words[node.name][(number, *i)]) * step for i in places(node.shape)}
            else:
                before = [network[name] for name in node.inputs]
                taken = [values[name] for name in node.inputs]
                exact = compute(node, taken, [one.shape for one in before], before[0].result)
                if isinstance(node, nodes.Linear):
                    exact = {i: change(value, node.accumulator) for i, value in exact.items()}
                values[node.name] = {i: change(value, node.result) for i, value in exact.items()}
            array = np.empty(node.shape, dtype=object)
            for i, value in values[node.name].items():
                word = value * Fraction(2) ** node.result.fractional_bits
                assert word.denominator == 1
                array[i] = int(word)
            found[node.name].append(array)
    return {name: np.stack(rows) for name, rows in found.items()}


def places(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(n) for n in shape)))


def change(value: Fraction, form: FixedPoint) -> Fraction:
    """``value`` in ``form``."""
    scaled = value * Fraction(2) ** form.fractional_bits
    word = rounded(scaled, form.rounding)
    size = 2**form.width
    low, high = (-size // 2, size // 2 - 1) if form.signed else (0, size - 1)
    if form.overflow is Overflow.SAT_SYM and form.signed and form.width > 1:
        low = -high
    if not low <= word <= high:
        if form.overflow is Overflow.WRAP:
            while word > high:
                word -= size * max(1, (word - high) // size)
            while word < low:
                word += size * max(1, (low - word) // size)
        elif form.overflow is Overflow.SAT_ZERO:
            word = 0
        else:
            word = low if word < low else high
    return word * Fraction(2) ** -form.fractional_bits


def rounded(value: Fraction, mode: Rounding) -> int:
    low, high = math.floor(value), math.ceil(value)
    if mode is Rounding.TRN:
        return low
    if mode is Rounding.TRN_ZERO:
        return low if value >= 0 else high
    if value - low != high - value:
        return low if value - low < high - value else high
    if low == high:
        return low
    if mode is Rounding.RND:
        return high
    if mode is Rounding.RND_MIN_INF:
        return low
    if mode is Rounding.RND_ZERO:
        return low if value > 0 else high
    if mode is Rounding.RND_INF:
        return high if value > 0 else low
    return low if low % 2 == 0 else high


def compute(node: Node, inputs: list[Sample], shapes: list[tuple[int, ...]], form: FixedPoint) -> Sample:
    """The exact values of ``node``; ``form`` is the format of its first input."""
    x, shape = inputs[0], shapes[0]
    if isinstance(node, nodes.Linear):
        return {i: linear(node, x, shape, i) for i in places(node.shape)}
    if isinstance(node, nodes.Relu):
        return {i: max(value, Fraction(0)) for i, value in x.items()}
    if isinstance(node, nodes.Requantize):
        return dict(x)
    if isinstance(node, nodes.Reshape):
        return dict(zip(places(node.shape), (x[i] for i in places(shape)), strict=True))
    if isinstance(node, nodes.MaxPool):
        return {i: max(window(node, x, shape, i)) for i in places(node.shape)}
    if isinstance(node, nodes.Merge):
        return {i: merged(node, [part[i] for part in inputs]) for i in places(node.shape)}
    if isinstance(node, nodes.Table | nodes.Embedding):
        return looked_up(node, x, form)
    return moved(node, inputs, shapes)


def merged(node: nodes.Merge, values: list[Fraction]) -> Fraction:
    if isinstance(node, nodes.Subtract):
        return values[0] - values[1]
    if isinstance(node, nodes.Maximum):
        return max(values)
    if isinstance(node, nodes.Minimum):
        return min(values)
    if isinstance(node, nodes.Multiply):
        return math.prod(values)
    assert isinstance(node, nodes.Add | nodes.Average)
    return sum(values, Fraction(0)) / (len(values) if isinstance(node, nodes.Average) else 1)


def looked_up(node: nodes.Table | nodes.Embedding, x: Sample, form: FixedPoint) -> Sample:
    step = Fraction(2) ** -node.result.fractional_bits
    found: Sample = {}
    for i, value in x.items():
        word = value * Fraction(2) ** form.fractional_bits
        row = int(word) if word >= 0 else int(word) + 2**form.width
        if isinstance(node, nodes.Table):
            found[i] = int(node.words[row]) * step
        else:
            found |= {(*i, c): int(node.words[row, c]) * step for c in range(node.shape[-1])}
    return found


def moved(node: Node, inputs: list[Sample], shapes: list[tuple[int, ...]]) -> Sample:
    x, found = inputs[0], {i: Fraction(0) for i in places(node.shape)}
    if isinstance(node, nodes.Concatenate):
        start = 0
        for part, shape in zip(inputs, shapes, strict=True):
            for i, value in part.items():
                found[(*i[: node.axis], i[node.axis] + start, *i[node.axis + 1 :])] = value
            start += shape[node.axis]
        return found
    if isinstance(node, nodes.Permute):
        return {i: x[tuple(i[node.axes.index(a)] for a in range(len(i)))] for i in found}
    if isinstance(node, nodes.ZeroPadding):
        for i, value in x.items():
            found[(*(n + before for n, (before, _) in zip(i, node.padding, strict=False)), i[-1])] = value
        return found
    assert isinstance(node, nodes.Crop)
    return {i: x[(*(n + first for n, (first, _) in zip(i, node.cropping, strict=False)), i[-1])] for i in found}


def linear(node: nodes.Linear, x: Sample, shape: tuple[int, ...], i: tuple[int, ...]) -> Fraction:
    step = Fraction(2) ** -node.kernel_format.fractional_bits
    total = Fraction(0)
    if node.bias is not None and node.bias_format is not None:
        total += int(node.bias[i[-1]]) * Fraction(2) ** -node.bias_format.fractional_bits
    if isinstance(node, nodes.Scale):
        return total + x[i] * int(node.kernel[i[-1]]) * step
    if isinstance(node, nodes.Dense):
        for k in range(shape[-1]):
            total += x[(*i[:-1], k)] * int(node.kernel[k, i[-1]]) * step
        return total
    assert isinstance(node, nodes.Convolution | nodes.DepthwiseConvolution)
    axes = len(node.strides)
    for tap in places(node.kernel.shape[:axes]):
        at = tuple(i[a] * node.strides[a] + tap[a] * node.dilation[a] - node.padding[a][0] for a in range(axes))
        if any(not 0 <= at[a] < shape[a] for a in range(axes)):
            continue
        if isinstance(node, nodes.DepthwiseConvolution):
            total += x[(*at, i[-1])] * int(node.kernel[(*tap, i[-1])]) * step
        else:
            for c in range(shape[-1]):
                total += x[(*at, c)] * int(node.kernel[(*tap, c, i[-1])]) * step
    return total


def window(node: nodes.MaxPool, x: Sample, shape: tuple[int, ...], i: tuple[int, ...]) -> list[Fraction]:
    found = []
    for tap in places(node.window):
        at = tuple(i[a] * node.strides[a] + tap[a] - node.padding[a][0] for a in range(len(node.window)))
        if all(0 <= at[a] < shape[a] for a in range(len(node.window))):
            found.append(x[(*at, i[-1])])
    return found
