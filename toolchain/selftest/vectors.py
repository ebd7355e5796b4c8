"""Input words of a test: the corners of the input format, small words, sparse ones, and the whole range."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint, Words
from toolchain.network.nodes import FixedPointNetwork
from toolchain.quantize.witness import corner_words


def draw_words(network: FixedPointNetwork, samples: int, rng: np.random.Generator) -> dict[str, Words]:
    """``(samples, *shape)`` words by input name; the corners stand first."""
    return {node.name: _words(node.result, node.shape, samples, rng) for node in network.inputs}


def _words(form: FixedPoint, shape: tuple[int, ...], samples: int, rng: np.random.Generator) -> Words:
    corners = corner_words(form, shape)[:samples]
    left = samples - len(corners)
    full = rng.integers(form.min_word, form.max_word + 1, (left, *shape))
    # A third each: the whole range, words near zero (sums that do not all saturate), and mostly zeros.
    shift = rng.integers(0, max(form.width - 1, 1), (left, *(1,) * len(shape)))
    kind = rng.integers(0, 3, (left, *(1,) * len(shape)))
    near = np.where(kind == 1, full >> shift, full)
    sparse = np.where(kind == 2, near * (rng.random(full.shape) < 0.3), near)
    return np.concatenate([corners, sparse]).astype(np.int64)
