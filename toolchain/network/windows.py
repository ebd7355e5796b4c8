"""Sliding windows over one or two axes, shared by convolution and pooling."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from toolchain.fixed_point import Words

Padding = tuple[tuple[int, int], ...]


def output_length(length: int, window: int, stride: int, dilation: int, padding: tuple[int, int]) -> int:
    """How many window positions fit on an axis of ``length`` with ``padding`` zeros before and after."""
    return (length + sum(padding) - dilation * (window - 1) - 1) // stride + 1


@cache
def window_indices(
    shape: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: Padding,
) -> NDArray[np.int64]:
    """For each output place, which input places its window covers: ``(*out, taps)``.

    ``shape`` is ``(*axes, channels)``; an index counts the places of ``axes`` in row-major order; a tap in the padding
    has the index one past the last place.
    """
    axes = shape[: len(window)]
    nowhere = int(np.prod(axes))
    columns = []
    for length, size, stride, spread, (before, after) in zip(axes, window, strides, dilation, padding, strict=True):
        count = output_length(length, size, stride, spread, (before, after))
        columns.append(np.arange(count)[:, None] * stride + np.arange(size)[None] * spread - before)
    out = tuple(len(column) for column in columns)
    taken = np.empty((*out, int(np.prod(window))), dtype=np.int64)
    for place in product(*(range(n) for n in out)):
        grids = np.meshgrid(*(column[p] for column, p in zip(columns, place, strict=True)), indexing="ij")
        inside = np.all([(g >= 0) & (g < n) for g, n in zip(grids, axes, strict=True)], axis=0)
        flat = np.ravel_multi_index([np.clip(g, 0, n - 1) for g, n in zip(grids, axes, strict=True)], axes)
        taken[place] = np.where(inside, flat, nowhere).reshape(-1)
    return taken


def reduce_windows(x: Words, window: tuple[int, ...], strides: tuple[int, ...], padding: Padding, fill: int) -> Words:
    """The maximum of each window; ``x`` is ``(samples, *axes, channels)``, ``fill`` must not exceed any word."""
    ones = (1,) * len(window)
    taken = window_indices(x.shape[1:], window, strides, ones, padding)
    flat = x.reshape(x.shape[0], -1, x.shape[-1])
    padded = np.concatenate([flat, np.full((x.shape[0], 1, x.shape[-1]), fill, dtype=x.dtype)], axis=1)
    return np.asarray(padded[:, taken].max(axis=-2))
