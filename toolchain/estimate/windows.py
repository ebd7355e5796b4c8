"""Windows of a convolution in io_parallel: which words each of them holds in each partition, and which products differ.

hls4ml computes ``pixels`` windows at once, one partition after the other. A word of a window at one of those places
comes from one word of the input in each partition. Places that always hold the same words are one for the tool, one
that always holds zeros (padding) is none, and equal weights on one place share a product.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from toolchain.estimate.design import DesignLayer
from toolchain.network.constant_products import csd_digits

#: Beyond this many products none are looked for that are equal: it would take seconds.
_MOST_PRODUCTS = 2_000_000


def is_known(layer: DesignLayer) -> bool:
    """Whether the layer says where its windows lie."""
    axes = len(layer.window)
    told = len(layer.places) == len(layer.strides) == axes and len(layer.margins) == 2 * axes
    return bool(axes) and told and len(layer.input_shape) == axes + 1 and math.prod(layer.places) == layer.positions


def window_words(layer: DesignLayer) -> NDArray[np.int64]:
    """Words of one channel in each window ``(positions, places of the window)``; -1 where it holds padding."""
    words = np.zeros((1, 1), dtype=np.int64)
    inside = np.ones((1, 1), dtype=bool)
    for axis, places in enumerate(layer.places):
        before, after = layer.margins[2 * axis : 2 * axis + 2]
        size = layer.input_shape[axis] - before - after
        first = np.arange(places)[:, None] * layer.strides[axis] - before
        found = first + np.arange(layer.window[axis])[None, :]
        shape = (len(words) * places, words.shape[1] * layer.window[axis])
        good = inside[:, None, :, None] & ((found >= 0) & (found < size))[None, :, None, :]
        words = (words[:, None, :, None] * size + found[None, :, None, :]).reshape(shape)
        inside = good.reshape(shape)
    return np.where(inside, words, -1)


@lru_cache(maxsize=256)
def _places(layer: DesignLayer, pixels: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(sequences of words that differ ``(sequences, partitions)``, the sequence of each place ``(pixels, places)``)."""
    words = window_words(layer)
    number = math.ceil(len(words) / pixels)
    whole = np.full((number * pixels, words.shape[1]), -1, dtype=np.int64)
    whole[: len(words)] = words
    sequences, where = np.unique(whole.reshape(number, -1).T, axis=0, return_inverse=True)
    return sequences, where.reshape(pixels, -1)


def selections(layer: DesignLayer, pixels: int) -> dict[int, int]:
    """How many selections there are of how many words (padding is one), for all channels."""
    sequences, _ = _places(layer, pixels)
    ordered = np.sort(sequences[(sequences >= 0).any(axis=1)], axis=1)
    ways = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
    channels = layer.input_shape[-1]
    return {int(number): count * channels for number, count in Counter(ways.tolist()).items() if number > 1}


@dataclass(frozen=True)
class Distinct:
    """Products of all windows computed at once that differ, and how many all windows have."""

    products: int
    of: int

    @property
    def share(self) -> float:
        """One where there are none."""
        return self.products / self.of if self.of else 1.0


@lru_cache(maxsize=256)
def distinct_products(layer: DesignLayer, pixels: int, adders: bool = False) -> Distinct:
    """Of weights of three digits or more, or those that are ``adders`` alone: equal ones once, none of padding."""
    assert layer.weights is not None
    sequences, where = _places(layer, pixels)
    kernel = layer.weights.reshape(where.shape[1], layer.input_shape[-1], -1)
    digits = csd_digits(kernel)
    place, channel, output = np.nonzero((digits == 2) | ((digits == 1) & (kernel < 0)) if adders else digits >= 3)
    found = np.unique(np.stack([channel, kernel[place, channel, output], place], axis=1), axis=0)
    used = where[:, found[:, 2]]
    real: NDArray[np.bool_] = np.asarray((sequences >= 0).any(axis=1))[used]
    if used.size > _MOST_PRODUCTS:
        return Distinct(int(real.sum()), used.size)
    _, weight = np.unique(found[:, :2], axis=0, return_inverse=True)
    pairs = weight.reshape(-1)[None, :] * len(sequences) + used
    return Distinct(len(np.unique(pairs[real])), used.size)
