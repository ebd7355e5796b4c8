"""hls4ml's layer dictionaries: one function for each of its layers that a node becomes."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.nodes import (
    Convolution,
    Crop,
    Dense,
    DepthwiseConvolution,
    Embedding,
    IntArray,
    Linear,
    MaxPool,
    Node,
    Scale,
    Table,
)
from toolchain.network.windows import Padding

Layer = dict[str, Any]


def plain(kind: str, name: str, x: str, **attributes: Any) -> Layer:
    """A layer of class ``kind`` that reads ``x``."""
    return {"class_name": kind, "name": name, "inputs": [x], **attributes}


def dense(node: Dense, x: str) -> Layer:
    n_in, n_out = node.kernel.shape
    return plain(
        "Dense", node.name, x, n_in=n_in, n_out=n_out, weight_data=values(node.kernel, node.kernel_format),
        bias_data=bias_values(node), use_bias=True,
    )  # fmt: skip


def convolution(
    node: Dense | Convolution | DepthwiseConvolution, x: str, shape: tuple[int, ...], strides: tuple[int, ...],
    padding: Padding,
) -> Layer:  # fmt: skip
    """Over the one or two axes of ``shape`` ``(*axes, channels)``; a Dense is a window of one place."""
    kernel, axes = hardware_kernel(node), len(shape) - 1
    kernel = kernel.reshape((1,) * axes + kernel.shape) if isinstance(node, Dense) else kernel
    data = values(kernel, node.kernel_format)
    depthwise = isinstance(node, DepthwiseConvolution)
    layer = plain(
        f"{'DepthwiseConv' if depthwise else 'Conv'}{axes}D", node.name, x, data_format="channels_last",
        n_chan=shape[-1], n_filt=kernel.shape[-1], padding="same" if any(map(any, padding)) else "valid",
        bias_data=bias_values(node), use_bias=True,
    )  # fmt: skip
    layer |= {"depthwise_data": data[..., None], "depth_multiplier": 1} if depthwise else {"weight_data": data}
    return layer | _spatial(shape, node.shape, strides, padding) | _sizes("filt", kernel.shape[:axes])


def max_pool(node: MaxPool, x: str, shape: tuple[int, ...]) -> Layer:
    axes = len(node.window)
    layer = plain(
        f"MaxPooling{axes}D", node.name, x, data_format="channels_last", n_filt=shape[-1], count_pad=False,
        padding="same" if any(map(any, node.padding)) else "valid",
    )  # fmt: skip
    layer |= _spatial(shape, node.shape, node.strides, node.padding) | _sizes("pool", node.window)
    if axes == 1:
        layer |= {"n_in": shape[0], "n_out": node.shape[0]}
    return layer


def zero_padding(name: str, x: str, shape: tuple[int, ...], padding: Padding) -> Layer:
    after = tuple(n + sum(ends) for n, ends in zip(shape[:-1], padding, strict=True))
    layer = plain(f"ZeroPadding{len(shape) - 1}D", name, x, data_format="channels_last", n_chan=shape[-1])
    return layer | _spatial(shape, (*after, shape[-1]), None, padding)


def crop(node: Crop, x: str, shape: tuple[int, ...]) -> Layer:
    layer = plain(f"Cropping{len(shape) - 1}D", node.name, x, data_format="channels_last", n_chan=shape[-1])
    return layer | _spatial(shape, node.shape, None, node.cropping, "crop")


def scale(node: Scale, x: str) -> Layer:
    return plain(
        "ApplyAlpha", node.name, x, n_in=node.size, n_filt=node.shape[-1] if len(node.shape) > 1 else -1,
        scale_data=values(node.kernel, node.kernel_format), bias_data=bias_values(node),
    )  # fmt: skip


def embedding(node: Embedding, x: str) -> Layer:
    rows, channels = node.words.shape
    data = values(node.words, node.result)
    n_in = node.size // channels
    return plain("Embedding", node.name, x, n_in=n_in, n_out=channels, vocab_size=rows, embeddings_data=data)


def merge(op: str, name: str, first: str, second: str) -> Layer:
    return {"class_name": "Merge", "name": name, "inputs": [first, second], "op": op}


def concatenate(name: str, first: str, second: str, axis: int, rank: int) -> Layer:
    """Along ``axis`` of ``rank`` axes, both without the samples."""
    # Counted from the end: hls4ml's own parts do not agree on what a positive axis is.
    inputs = [first, second]
    return {
        "class_name": "Concatenate", "name": name, "inputs": inputs, "op": f"concatenate{rank}d", "axis": axis - rank,
    }  # fmt: skip


def quantizer(node: Node, form: FixedPoint, name: str, x: str) -> Layer:
    """A change to ``form``, which hls4ml makes the result type of layer ``x``."""

    def mask(value: int) -> np.ndarray:
        return np.full((1,) * (len(node.shape) + 1), value, dtype=np.int16)

    signed = int(form.signed)
    return plain(
        "FixedPointQuantizer", name, x, mask_kbi=(mask(signed), mask(form.width), mask(form.integer_bits + signed)),
        RND=str(form.rounding), SAT=str(form.overflow), fusible=True, overrides={},
    )  # fmt: skip


def is_nothing(node: Node) -> bool:
    """Whether ``node`` multiplies by one and adds zero."""
    if not isinstance(node, Scale):
        return False
    return bool((node.kernel_format.values_of(node.kernel) == 1).all() and not bias_values(node).any())


def hardware_kernel(node: Linear) -> IntArray:
    """The kernel as it stands in hardware: hls4ml ignores dilation, so the zeros between the taps are written out."""
    if not isinstance(node, Convolution | DepthwiseConvolution) or set(node.dilation) == {1}:
        return node.kernel
    axes = range(len(node.dilation))
    spread = [(node.kernel.shape[axis] - 1) * node.dilation[axis] + 1 for axis in axes]
    wide = np.zeros((*spread, *node.kernel.shape[len(spread) :]), dtype=np.int64)
    wide[tuple(slice(None, None, node.dilation[axis]) for axis in axes)] = node.kernel
    return wide


def bias_values(node: Linear) -> np.ndarray:
    """The biases as real numbers, zeros where there are none: ``(outputs,)``."""
    if node.bias is None or node.bias_format is None:
        return np.zeros(node.kernel.shape[-1])
    return values(node.bias, node.bias_format)


def table_values(node: Table, form: FixedPoint, taken: FixedPoint) -> np.ndarray:
    """The values of ``node``'s table in the order of the low bits of words in format ``taken``.

    ``form`` is the format of the node's input; ``taken`` may have fewer bits where these hold every value.
    """
    index = np.arange(1 << taken.width)
    words = np.where(taken.signed & (index >= 1 << (taken.width - 1)), index - (1 << taken.width), index)
    # Values that the node before cannot put out have no word in its format: what stands there is never read.
    own = form.with_modes(Rounding.TRN, Overflow.WRAP).requantize(words, taken.fractional_bits)
    return values(node.words[own & (node.words.size - 1)], node.result)


def values(words: IntArray, form: FixedPoint) -> np.ndarray:
    """The real numbers of ``words``."""
    return np.asarray(form.values_of(words))


_SIDES = (("top", "bottom"), ("left", "right"))
_AXES = ("height", "width")


def _spatial(
    before: tuple[int, ...], after: tuple[int, ...], strides: tuple[int, ...] | None, ends: Padding, side: str = "pad"
) -> Layer:
    """hls4ml's names for the axes of ``before`` and ``after`` ``(*axes, channels)``, the strides and the ends."""
    axes = len(before) - 1
    layer = _sizes("in", before[:-1]) | _sizes("out", after[:-1])
    if strides is not None:
        layer |= _sizes("stride", strides)
    for (first, last), (low, high) in zip(_SIDES[-axes:], ends, strict=True):
        layer |= {f"{side}_{first}": low, f"{side}_{last}": high}
    return layer


def _sizes(what: str, sizes: tuple[int, ...]) -> Layer:
    return {f"{what}_{axis}": size for axis, size in zip(_AXES[-len(sizes) :], sizes, strict=True)}
