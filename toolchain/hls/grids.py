"""The grid that every element of a node really lies on: how many fractional bits its values can use.

Element by element, as hls4ml's exact-precision pass reasons too: a kernel of even words makes even sums, and two inputs
of different formats stay apart in a concatenation.
"""

from __future__ import annotations

from functools import reduce, singledispatch

import numpy as np

from toolchain.fixed_point import FixedPoint
from toolchain.network import nodes
from toolchain.network.arithmetic import crop, zero_pad
from toolchain.network.nodes import IntArray, Linear, Merge, Node
from toolchain.network.windows import reduce_windows, window_indices

#: The grid of a value that is always zero.
NO_GRID = -1024


@singledispatch
def element_grids(node: Node, inputs: list[IntArray]) -> IntArray:
    """Fractional bits of the exact value of each element of ``node``, given those of its inputs: of its shape."""
    return inputs[0]


@element_grids.register
def _(node: nodes.Input, inputs: list[IntArray]) -> IntArray:
    return np.full(node.shape, node.result.fractional_bits)


@element_grids.register
def _(node: Merge, inputs: list[IntArray]) -> IntArray:
    if isinstance(node, nodes.Multiply):
        return np.asarray(sum(inputs))
    finest = reduce(np.maximum, inputs)
    return np.asarray(finest + (len(inputs).bit_length() - 1 if isinstance(node, nodes.Average) else 0))


@element_grids.register(nodes.Table)
@element_grids.register(nodes.Embedding)
def _(node: nodes.Table | nodes.Embedding, inputs: list[IntArray]) -> IntArray:
    return np.full(node.shape, grids_of(node.words, node.result).max())


@element_grids.register
def _(node: nodes.Reshape, inputs: list[IntArray]) -> IntArray:
    return inputs[0].reshape(node.shape)


@element_grids.register
def _(node: nodes.Concatenate, inputs: list[IntArray]) -> IntArray:
    return np.concatenate(inputs, axis=node.axis)


@element_grids.register
def _(node: nodes.Permute, inputs: list[IntArray]) -> IntArray:
    return np.transpose(inputs[0], node.axes)


@element_grids.register
def _(node: nodes.ZeroPadding, inputs: list[IntArray]) -> IntArray:
    return np.asarray(zero_pad(inputs[0] - NO_GRID, (*node.padding, (0, 0))) + NO_GRID)


@element_grids.register
def _(node: nodes.Crop, inputs: list[IntArray]) -> IntArray:
    return np.asarray(crop(inputs[0], (*node.cropping, (0, 0))))


@element_grids.register
def _(node: nodes.MaxPool, inputs: list[IntArray]) -> IntArray:
    return np.asarray(reduce_windows(inputs[0][None], node.window, node.strides, node.padding, NO_GRID)[0])


@element_grids.register(nodes.Dense)
@element_grids.register(nodes.Convolution)
@element_grids.register(nodes.DepthwiseConvolution)
@element_grids.register(nodes.Scale)
def _(node: Linear, inputs: list[IntArray]) -> IntArray:
    grids = _sums(node, inputs[0], grids_of(node.kernel, node.kernel_format))
    if node.bias is not None and node.bias_format is not None:
        grids = np.maximum(grids, grids_of(node.bias, node.bias_format))
    return np.asarray(np.maximum(grids, NO_GRID))


def _sums(node: Linear, x: IntArray, kernel: IntArray) -> IntArray:
    if isinstance(node, nodes.Scale):
        return np.asarray(x + kernel)
    if isinstance(node, nodes.Convolution | nodes.DepthwiseConvolution):
        window = node.kernel.shape[: len(node.strides)]
        taken = window_indices(x.shape, window, node.strides, node.dilation, node.padding)
        flat = np.concatenate([x.reshape(-1, x.shape[-1]), np.full((1, x.shape[-1]), NO_GRID)])
        x = flat[taken]  # (*places, taps, channels)
        if isinstance(node, nodes.DepthwiseConvolution):
            return np.asarray((x + kernel.reshape(-1, kernel.shape[-1])).max(axis=-2))
        x, kernel = x.reshape(*x.shape[:-2], -1), kernel.reshape(-1, kernel.shape[-1])
    return np.stack([(x + column).max(axis=-1) for column in kernel.T], axis=-1)


def grids_of(words: IntArray, form: FixedPoint) -> IntArray:
    """The fractional bits that each of ``words`` uses: ``NO_GRID`` for zero."""
    trailing = np.log2(np.maximum(words & -words, 1).astype(np.float64)).astype(np.int64)  # exact for powers of two
    return np.asarray(np.where(words == 0, NO_GRID, form.fractional_bits - trailing))
