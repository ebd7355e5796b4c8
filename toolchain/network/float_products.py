"""Sums of products in floats: dense layers, scales and convolutions, with few copies and few calls."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import as_strided

from toolchain.network import nodes
from toolchain.network.arithmetic import zero_pad
from toolchain.network.float_words import Values
from toolchain.network.nodes import Linear
from toolchain.network.scratch import empty

#: OpenBLAS computes products of at most so many multiplications in the thread that asks.
_ONE_THREAD = 1 << 18
_FEW_ROWS = 16


def multiplier(node: Linear) -> Callable[[Values, Values], Values]:
    """The sums of products of ``node``: ``(samples, *input shape)`` and its kernel to ``(samples, *node.shape)``."""
    if isinstance(node, nodes.Scale):
        return lambda x, kernel: x * kernel
    if isinstance(node, nodes.Dense):
        return matmul
    assert isinstance(node, nodes.Convolution | nodes.DepthwiseConvolution)
    axes = len(node.strides)
    window, places = node.kernel.shape[:axes], node.shape[:-1]

    def taps(x: Values) -> list[tuple[tuple[int, ...], Values]]:
        padded = zero_pad(x, ((0, 0), *node.padding, (0, 0))) if any(map(any, node.padding)) else x
        found = []
        for tap in np.ndindex(*window):
            starts = [t * d for t, d in zip(tap, node.dilation, strict=True)]
            cuts = [slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(starts, node.strides, places, strict=True)]
            found.append((tap, padded[(slice(None), *cuts)]))
        return found

    def depthwise(x: Values, kernel: Values) -> Values:
        total = np.zeros((len(x), *node.shape), dtype=x.dtype)
        for tap, part in taps(x):
            total += part * kernel[tap]
        return total

    bands = Bands(node) if axes == 1 else None

    def full(x: Values, kernel: Values) -> Values:
        if bands and bands.worth(len(x)):
            padded = zero_pad(x, ((0, 0), *node.padding, (0, 0))) if any(map(any, node.padding)) else x
            return bands.multiply(padded.reshape(len(x), -1), kernel)
        if node.dilation[-1] == 1:
            patches = _runs(node, x)
        else:
            patches = empty((len(x), *places, math.prod(window), x.shape[-1]), x.dtype)
            for tap, part in taps(x):
                patches[..., np.ravel_multi_index(tap, window), :] = part
        return matmul(patches.reshape(len(x), *places, -1), kernel.reshape(-1, kernel.shape[-1]))

    return depthwise if isinstance(node, nodes.DepthwiseConvolution) else full


class Bands:
    """A one-axis convolution as products with band matrices, a few neighbouring places each: no window is copied.

    The zeros beside the kernel add nothing to a sum, nor to the bound on its magnitude. One kernel for each type.
    """

    def __init__(self, node: nodes.Convolution | nodes.DepthwiseConvolution) -> None:
        self.node = node
        self.places = max(1, _FEW_ROWS // node.shape[-1])  # narrower matrices leave the BLAS's registers empty
        self._made: dict[tuple[type, int], Values] = {}

    def worth(self, samples: int) -> bool:
        """Whether the matrices have so many rows that the calls do not count."""
        return samples * self._inputs(self.places) * self.places * self.node.shape[-1] >= _ONE_THREAD // 4

    def multiply(self, rows: Values, kernel: Values) -> Values:
        """The sums for ``rows`` ``(samples, padded places * channels)`` as ``(samples, *node.shape)``."""
        count, channels_out = self.node.shape
        channels_in, stride = kernel.shape[1], self.node.strides[0]
        total = empty((len(rows), count * channels_out), rows.dtype)
        for place in range(0, count, self.places):
            several = min(self.places, count - place)
            band = self._band(kernel, several)
            first = place * stride * channels_in
            taken = rows[:, first : first + len(band)]
            _multiply_rows(taken, band, total[:, place * channels_out : (place + several) * channels_out])
        return total.reshape(len(rows), count, channels_out)

    def _inputs(self, places: int) -> int:
        node = self.node
        across = (places - 1) * node.strides[0] + (node.kernel.shape[0] - 1) * node.dilation[0] + 1
        return int(across * node.kernel.shape[1])

    def _band(self, kernel: Values, places: int) -> Values:
        key = kernel.dtype.type, places
        if key in self._made:
            return self._made[key]
        taps, channels_in, channels_out = kernel.shape
        band = np.zeros((self._inputs(places), places * channels_out), dtype=kernel.dtype)
        for place in range(places):
            for tap in range(taps):
                row = (place * self.node.strides[0] + tap * self.node.dilation[0]) * channels_in
                band[row : row + channels_in, place * channels_out : (place + 1) * channels_out] = kernel[tap]
        self._made[key] = band
        return band


def _runs(node: nodes.Convolution | nodes.DepthwiseConvolution, x: Values) -> Values:
    """The window's values for each place; those along the last window axis lie side by side and are copied at once."""
    padded = zero_pad(x, ((0, 0), *node.padding, (0, 0))) if any(map(any, node.padding)) else x
    padded = np.ascontiguousarray(padded)
    *outer, length = node.kernel.shape[: len(node.strides)]
    *rows, columns = node.shape[:-1]
    run, step = length * x.shape[-1], padded.strides[-2] * node.strides[-1]
    if (columns - 1) * node.strides[-1] + length > padded.shape[-2]:
        raise ValueError(f"{node.name!r}: the last window does not end inside the padded input {padded.shape[1:]}")
    patches = empty((len(x), *rows, columns, math.prod(outer), run), x.dtype)
    for number, tap in enumerate(np.ndindex(*outer)):
        starts = [t * d for t, d in zip(tap, node.dilation, strict=False)]
        cuts = [slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(starts, node.strides, rows, strict=False)]
        part = padded[(slice(None), *cuts)]
        patches[..., number, :] = as_strided(
            part, (*part.shape[:-2], columns, run), (*part.strides[:-2], step, part.strides[-1]), writeable=False
        )
    return patches


def matmul(x: Values, kernel: Values) -> Values:
    """All rows in one product, or in parts so small that the BLAS starts no threads of its own beside ours."""
    flat, n_out = x.reshape(-1, x.shape[-1]), kernel.shape[-1]
    total = empty((len(flat), n_out), x.dtype)
    _multiply_rows(flat, kernel, total)
    return total.reshape(*x.shape[:-1], n_out)


def _multiply_rows(rows: Values, kernel: Values, total: Values) -> None:
    at_once = _ONE_THREAD // max(kernel.size, 1)
    if at_once < _FEW_ROWS or at_once >= len(rows):
        np.matmul(rows, kernel, out=total)
        return
    for start in range(0, len(rows), at_once):
        np.matmul(rows[start : start + at_once], kernel, out=total[start : start + at_once])
