"""The exact interpreter: words in, words of every node out. The shadow of ``docs/fixed_point_network.md``.

Products and sums run in float32 or float64 BLAS where a bound on the magnitudes proves that no rounding can occur
(every partial sum of integers below 2**24 or 2**53 is exact), in int64 below 2**62, and in Python integers beyond.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch

import numpy as np

from toolchain.fixed_point import Words, shrink
from toolchain.network.nodes import (
    Add,
    Convolution,
    Dense,
    DepthwiseConvolution,
    FixedPointNetwork,
    Input,
    Linear,
    MaxPool,
    Node,
    Relu,
    Requantize,
    Reshape,
    Scale,
)
from toolchain.network.windows import reduce_windows, window_indices


def quantize_inputs(network: FixedPointNetwork, values: Mapping[str, np.ndarray]) -> dict[str, Words]:
    """The input words of real ``values`` (``(samples, *shape)`` by input name)."""
    return {node.name: node.result.words_of(values[node.name]) for node in network.inputs}


def run(network: FixedPointNetwork, inputs: Mapping[str, Words]) -> dict[str, Words]:
    """The words of every node, ``(samples, *shape)`` by node name, for input words of the same form.

    Raises ValueError when an input is missing, has the wrong shape or holds a word outside its format.
    """
    words: dict[str, Words] = {}
    for node in network.nodes:
        if isinstance(node, Input):
            words[node.name] = _checked(node, inputs)
        else:
            words[node.name] = evaluate(node, network, [words[name] for name in node.inputs])
    return words


def evaluate(node: Node, network: FixedPointNetwork, inputs: list[Words]) -> Words:
    """The words of one node, given those of its inputs."""
    before, fractional_bits = exact_value(node, network, inputs)
    if isinstance(node, Linear):
        before = node.accumulator.requantize(before, fractional_bits)
        fractional_bits = node.accumulator.fractional_bits
    return node.result.requantize(before, fractional_bits)


def exact_value(node: Node, network: FixedPointNetwork, inputs: list[Words]) -> tuple[Words, int]:
    """What the operator gives before any format is applied: integers, and the fractional bits of their grid."""
    return _exact(node, inputs, [network[name].result.fractional_bits for name in node.inputs])


def _checked(node: Input, inputs: Mapping[str, Words]) -> Words:
    if node.name not in inputs:
        raise ValueError(f"no words for input {node.name!r}")
    words = np.asarray(inputs[node.name])
    if words.shape[1:] != node.shape:
        raise ValueError(f"input {node.name!r} has shape {words.shape[1:]}, expected {node.shape}")
    if words.size and not (node.result.min_word <= words.min() and words.max() <= node.result.max_word):
        raise ValueError(f"input {node.name!r} holds a word outside {node.result}")
    return words.astype(np.int64) if words.dtype != object else words


@singledispatch
def _exact(node: Node, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    """The exact value before any format is applied, and the fractional bits of its grid."""
    raise AssertionError(f"no arithmetic for {type(node).__name__}")


@_exact.register(Dense)
@_exact.register(Convolution)
@_exact.register(DepthwiseConvolution)
@_exact.register(Scale)
def _(node: Linear, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    grid = grids[0] + node.kernel_format.fractional_bits
    total = _product_sum(node, inputs[0])
    if node.bias is None or node.bias_format is None:
        return total, grid
    common = max(grid, node.bias_format.fractional_bits)
    bias = node.bias.astype(object) << (common - node.bias_format.fractional_bits)
    if _magnitude(total).bit_length() + common - grid > 61 or _magnitude(bias).bit_length() > 61:
        return shrink((total.astype(object) << (common - grid)) + bias), common
    return (total << (common - grid)) + bias.astype(np.int64), common


def _product_sum(node: Linear, x: Words) -> Words:
    kernel = node.kernel
    if isinstance(node, Scale):
        return _multiply(x, kernel)
    if isinstance(node, Dense):
        return matmul(x, kernel)
    assert isinstance(node, Convolution | DepthwiseConvolution)
    window = kernel.shape[: len(node.strides)]
    taken = window_indices(x.shape[1:], window, node.strides, node.dilation, node.padding)
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    padded = np.concatenate([flat, np.zeros((x.shape[0], 1, x.shape[-1]), dtype=x.dtype)], axis=1)
    patches = padded[:, taken]  # (samples, *out, taps, channels)
    if isinstance(node, DepthwiseConvolution):
        taps = kernel.reshape(-1, kernel.shape[-1])
        bound = _magnitude(x) * _magnitude(taps) * max(1, taps.shape[0])
        if bound.bit_length() > 61:
            return shrink((patches.astype(object) * taps.astype(object)).sum(axis=-2))
        return np.asarray((patches * taps).sum(axis=-2))
    return matmul(patches.reshape(*patches.shape[:-2], -1), kernel.reshape(-1, kernel.shape[-1]))


def matmul(x: Words, kernel: Words) -> Words:
    """``x @ kernel``, exact, by the fastest arithmetic that the magnitudes allow."""
    columns = np.abs(kernel.astype(object)).sum(axis=0) if kernel.size else np.zeros(1, dtype=object)
    bound = _magnitude(x) * int(max(columns.flat, default=0))
    if bound == 0:  # words of any size times zeros: no float may see them
        return np.zeros((*x.shape[:-1], kernel.shape[-1]), dtype=np.int64)
    if bound < 2**24:
        return np.asarray(x.astype(np.float32) @ kernel.astype(np.float32)).astype(np.int64)
    if bound < 2**53:
        return np.asarray(x.astype(np.float64) @ kernel.astype(np.float64)).astype(np.int64)
    if bound < 2**62:
        return np.asarray(x.astype(np.int64) @ kernel)
    return shrink(np.asarray(np.dot(x.astype(object), kernel.astype(object))))


def _multiply(x: Words, factor: Words) -> Words:
    if (_magnitude(x) * _magnitude(factor)).bit_length() > 61:
        return shrink(x.astype(object) * factor.astype(object))
    return np.asarray(x * factor)


def _magnitude(words: Words) -> int:
    return max(abs(int(words.max())), abs(int(words.min()))) if words.size else 0


@_exact.register
def _(node: Relu, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return np.maximum(inputs[0], 0), grids[0]


@_exact.register
def _(node: Requantize, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return inputs[0], grids[0]


@_exact.register
def _(node: Reshape, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return inputs[0].reshape(inputs[0].shape[0], *node.shape), grids[0]


@_exact.register
def _(node: MaxPool, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    x = inputs[0]
    fill = int(x.min()) if x.size else 0
    return reduce_windows(x, node.window, node.strides, node.padding, fill), grids[0]


@_exact.register
def _(node: Add, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    grid = max(grids)
    carries = len(inputs).bit_length()
    wide = any(_magnitude(x).bit_length() + grid - g + carries > 62 for x, g in zip(inputs, grids, strict=True))
    terms = [(x.astype(object) if wide else x) << (grid - g) for x, g in zip(inputs, grids, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return shrink(np.asarray(total)), grid
