"""The operators' exact values on whole batches of words. The shadow of ``docs/fixed_point_network.md``.

Products and sums run in float32 or float64 BLAS where a bound on the magnitudes proves that no rounding can occur
(every partial sum of integers below 2**24 or 2**53 is exact), in int64 below 2**62, and in Python integers beyond.
"""

from __future__ import annotations

from functools import reduce, singledispatch

import numpy as np

from toolchain.fixed_point import Words, shrink
from toolchain.network import nodes
from toolchain.network.nodes import Linear, Merge, Node
from toolchain.network.windows import reduce_windows, window_indices


@singledispatch
def exact(node: Node, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    """A node's exact value before any format is applied, and the fractional bits of its grid.

    ``grids`` are the fractional bits of its inputs' words.
    """
    raise AssertionError(f"no arithmetic for {type(node).__name__}")


@exact.register(nodes.Dense)
@exact.register(nodes.Convolution)
@exact.register(nodes.DepthwiseConvolution)
@exact.register(nodes.Scale)
def _(node: Linear, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    grid = grids[0] + node.kernel_format.fractional_bits
    total = product_sum(node, inputs[0], node.kernel)
    if node.bias is None or node.bias_format is None:
        return total, grid
    common = max(grid, node.bias_format.fractional_bits)
    bias = node.bias.astype(object) << (common - node.bias_format.fractional_bits)
    if _magnitude(total).bit_length() + common - grid > 61 or _magnitude(bias).bit_length() > 61:
        return shrink((total.astype(object) << (common - grid)) + bias), common
    return (total << (common - grid)) + bias.astype(np.int64), common


def product_sum(node: Linear, x: Words, kernel: Words) -> Words:
    """What ``node`` makes of ``x`` ``(samples, *shape)`` with ``kernel`` for its own and no bias; exact."""
    if isinstance(node, nodes.Scale):
        return _multiply(x, kernel)
    if isinstance(node, nodes.Dense):
        return matmul(x, kernel)
    assert isinstance(node, nodes.Convolution | nodes.DepthwiseConvolution)
    window = kernel.shape[: len(node.strides)]
    taken = window_indices(x.shape[1:], window, node.strides, node.dilation, node.padding)
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    padded = np.concatenate([flat, np.zeros((x.shape[0], 1, x.shape[-1]), dtype=x.dtype)], axis=1)
    patches = padded[:, taken]  # (samples, *out, taps, channels)
    if isinstance(node, nodes.DepthwiseConvolution):
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


@exact.register
def _(node: nodes.Relu, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return np.maximum(inputs[0], 0), grids[0]


@exact.register
def _(node: nodes.Requantize, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return inputs[0], grids[0]


@exact.register
def _(node: nodes.Reshape, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return inputs[0].reshape(inputs[0].shape[0], *node.shape), grids[0]


@exact.register
def _(node: nodes.MaxPool, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    x = inputs[0]
    fill = int(x.min()) if x.size else 0
    return reduce_windows(x, node.window, node.strides, node.padding, fill), grids[0]


@exact.register
def _(node: Merge, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    if isinstance(node, nodes.Multiply):
        total = inputs[0]
        for factor in inputs[1:]:
            total = _multiply(total, factor)
        return total, sum(grids)
    terms, grid = _on_common_grid(inputs, grids)
    if isinstance(node, nodes.Maximum | nodes.Minimum):
        larger = np.maximum if isinstance(node, nodes.Maximum) else np.minimum
        return shrink(np.asarray(reduce(larger, terms))), grid
    if isinstance(node, nodes.Subtract):
        return shrink(np.asarray(terms[0] - terms[1])), grid
    total = shrink(np.asarray(reduce(np.add, terms)))
    return total, grid + (len(terms).bit_length() - 1 if isinstance(node, nodes.Average) else 0)


def _on_common_grid(inputs: list[Words], grids: list[int]) -> tuple[list[Words], int]:
    grid = max(grids)
    carries = len(inputs).bit_length()
    wide = any(_magnitude(x).bit_length() + grid - g + carries > 62 for x, g in zip(inputs, grids, strict=True))
    return [(x.astype(object) if wide else x) << (grid - g) for x, g in zip(inputs, grids, strict=True)], grid


@exact.register
def _(node: nodes.Concatenate, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    terms, grid = _on_common_grid(inputs, grids)
    return shrink(np.concatenate(terms, axis=node.axis + 1)), grid


@exact.register
def _(node: nodes.Table, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return node.words[inputs[0].astype(np.int64) & (node.words.size - 1)], node.result.fractional_bits


@exact.register
def _(node: nodes.Embedding, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return node.words[inputs[0].astype(np.int64)], node.result.fractional_bits


@exact.register
def _(node: nodes.ZeroPadding, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return zero_pad(inputs[0], ((0, 0), *node.padding, (0, 0))), grids[0]


@exact.register
def _(node: nodes.Crop, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return crop(inputs[0], ((0, 0), *node.cropping, (0, 0))), grids[0]


@exact.register
def _(node: nodes.Permute, inputs: list[Words], grids: list[int]) -> tuple[Words, int]:
    return np.transpose(inputs[0], (0, *(axis + 1 for axis in node.axes))), grids[0]


def zero_pad(x: Words, padding: tuple[tuple[int, int], ...]) -> Words:
    """``x`` with zeros before and after each axis; of Python integers where x is (``np.pad`` would put int64 there)."""
    wide = np.zeros([n + sum(ends) for n, ends in zip(x.shape, padding, strict=True)], dtype=x.dtype)
    wide[tuple(slice(before, before + n) for (before, _), n in zip(padding, x.shape, strict=True))] = x
    return wide


def crop(x: Words, cropping: tuple[tuple[int, int], ...]) -> Words:
    """``x`` without the first and last places of each axis."""
    return x[tuple(slice(first, size - last) for size, (first, last) in zip(x.shape, cropping, strict=True))]
