"""Layers that are no operator but a few of them: each function adds the nodes to a builder and returns the last.

The last node is called ``name`` and the others ``name_…``; all have ``layer=name``. What each computes is exact integer
arithmetic like any other node's; where a table or a constant such as 1/3 stands for a real function, the layer is an
approximation of it, with a word for word equal in hardware.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.builder import NetworkBuilder
from toolchain.network.functions import Function, table_words
from toolchain.network.nodes import IntArray
from toolchain.network.windows import Padding, window_indices

_ONE = FixedPoint(False, 1, 0)


def function(b: NetworkBuilder, name: str, x: str, of: Function, result: FixedPoint, layer: str = "") -> str:
    """``of`` as a table over x's format."""
    return b.table(name, x, table_words(of, b.format_of(x), result), result, layer)


def leaky_relu(
    b: NetworkBuilder, name: str, x: str, slopes: IntArray, slope_format: FixedPoint, result: FixedPoint | None = None
) -> str:  # fmt: skip
    """max(x, 0) + slope · min(x, 0), exact; ``slopes`` ``(channels,)`` are PReLU's, all equal ones LeakyReLU's."""
    positive = b.relu(f"{name}_positive", x, layer=name)
    negative = b.subtract(f"{name}_negative", (x, positive), layer=name)
    bent = b.scale(f"{name}_bent", negative, slopes, slope_format, layer=name)
    return b.add(name, (positive, bent), result, name)


def clipped_relu(
    b: NetworkBuilder, name: str, x: str, ceiling: int, ceiling_format: FixedPoint, result: FixedPoint | None = None
) -> str:  # fmt: skip
    """min(max(x, 0), ceiling) = max(x, 0) − max(x − ceiling, 0), exact; ReLU6 has the ceiling 6."""
    channels = b.shape_of(x)[-1]
    ones, below = np.ones(channels, dtype=np.int64), np.full(channels, -ceiling, dtype=np.int64)
    signed = FixedPoint(True, ceiling_format.integer_bits, ceiling_format.fractional_bits)
    lower = b.scale(f"{name}_lower", x, ones, _ONE, below, signed, layer=name)
    beyond = b.relu(f"{name}_beyond", lower, layer=name)
    positive = b.relu(f"{name}_positive", x, layer=name)
    return b.subtract(name, (positive, beyond), result, name)


@dataclass(frozen=True)
class Pooling:
    """Windows of an average, and the fractional bits of 1 / count where the count is no power of two."""

    window: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    reciprocal_bits: int = 16


def average_pool(b: NetworkBuilder, name: str, x: str, pooling: Pooling, result: FixedPoint | None = None) -> str:
    """The mean of the places of each window that lie in the input (Keras' rule).

    Exact where every count is a power of two; otherwise the sum is exact and 1 / count is the nearest word with
    ``reciprocal_bits`` fractional bits.
    """
    shape = b.shape_of(x)
    ones = (1,) * len(pooling.window)
    taken = window_indices(shape, pooling.window, pooling.strides, ones, pooling.padding)
    counts = (taken < np.prod(shape[:-1])).sum(axis=-1)  # (*places,)
    factors, form = reciprocal_words(counts, pooling.reciprocal_bits)
    if len(np.unique(counts)) == 1:
        kernel = np.full((*pooling.window, shape[-1]), factors.flat[0], dtype=np.int64)
        return b.convolution(
            name, x, kernel, form, None, None, result,
            strides=pooling.strides, padding=pooling.padding, depthwise=True, constant=True,
        )  # fmt: skip
    kernel = np.ones((*pooling.window, shape[-1]), dtype=np.int64)
    total = b.convolution(
        f"{name}_sum", x, kernel, _ONE,
        strides=pooling.strides, padding=pooling.padding, depthwise=True, constant=True, layer=name,
    )  # fmt: skip
    flat = b.reshape(f"{name}_flat", total, (int(np.prod(b.shape_of(total))),), name)
    by_place = np.repeat(factors.reshape(-1), shape[-1])
    mean = b.scale(f"{name}_mean", flat, by_place, form, None, None, result, name)
    return b.reshape(name, mean, b.shape_of(total), name)


def reciprocal_words(counts: IntArray, fractional_bits: int) -> tuple[IntArray, FixedPoint]:
    """The words of 1 / ``counts`` and their format: exact when all are powers of two, else the nearest."""
    counts = np.asarray(counts)
    exact = bool((counts & (counts - 1) == 0).all())
    bits = int(counts.max()).bit_length() - 1 if exact else fractional_bits
    words = FixedPoint(False, 1, bits, Rounding.RND_CONV, Overflow.SAT).words_of(1.0 / counts)
    assert words.min() > 0, f"1 / {counts.max()} is below the grid of {bits} fractional bits"
    return words, FixedPoint(False, int(words.max()).bit_length() - bits, bits)


def global_average_pool(
    b: NetworkBuilder, name: str, x: str, result: FixedPoint | None = None, reciprocal_bits: int = 16
) -> str:  # fmt: skip
    """The mean over all axes but the channels: ``(channels,)``."""
    *axes, channels = b.shape_of(x)
    pooling = Pooling(tuple(axes), tuple(axes), ((0, 0),) * len(axes), reciprocal_bits)
    return b.reshape(name, average_pool(b, f"{name}_mean", x, pooling, result), (channels,), name)


def up_sampling(b: NetworkBuilder, name: str, x: str, sizes: tuple[int, ...]) -> str:
    """Each place of each axis but the channels ``sizes`` times over (Keras' ``nearest``)."""
    *axes, channels = b.shape_of(x)
    assert len(axes) == len(sizes)
    todo = [axis for axis, size in enumerate(sizes) if size > 1]
    for axis in todo:  # the places behind this axis side by side, n times: row-major, that is the axis n times as long
        behind = int(np.prod([*axes[axis + 1 :], channels]))
        rows = b.reshape(f"{name}_rows{axis}", x, (int(np.prod(axes[: axis + 1])), behind), name)
        wide = b.concatenate(f"{name}_wide{axis}", (rows,) * sizes[axis], 1, None, name)
        axes[axis] *= sizes[axis]
        x = b.reshape(name if axis == todo[-1] else f"{name}_axis{axis}", wide, (*axes, channels), name)
    return x


def global_max_pool(b: NetworkBuilder, name: str, x: str) -> str:
    """The largest value over all axes but the channels: ``(channels,)``."""
    *axes, channels = b.shape_of(x)
    largest = b.max_pool(f"{name}_largest", x, tuple(axes), tuple(axes), ((0, 0),) * len(axes), name)
    return b.reshape(name, largest, (channels,), name)
