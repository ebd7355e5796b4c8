"""Random operators without weights: activations, tables, pooling, merges, and those that only move words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolchain.fixed_point import FixedPoint
from toolchain.selftest import linear_steps
from toolchain.selftest.draft import Draft

#: Words of a tensor behind a step that enlarges it.
LARGEST = 96
#: Bits of a word that may index a table.
WIDEST_INDEX = 10
_MERGES = ("add", "subtract", "multiply", "maximum", "minimum", "average")
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "softplus": lambda x: np.log1p(np.exp(np.minimum(x, 30))),
    "exp": lambda x: np.exp(np.clip(x, -30, 6)),
    "leaky": lambda x: np.where(x > 0, x, x * 0.3),
}


def relu(draft: Draft, x: str) -> str:
    return draft.builder.relu(draft.name("relu"), x, draft.result_format(x))


def requantize(draft: Draft, x: str) -> str:
    return draft.builder.requantize(draft.name("q"), x, draft.result_format(x))


def table(draft: Draft, x: str) -> str:
    """A function of one word, or any words at all."""
    if draft.builder.format_of(x).width > WIDEST_INDEX:
        x = draft.builder.requantize(draft.name("q"), x, draft.result_format(x, WIDEST_INDEX))
    form = draft.builder.format_of(x)
    width = draft.count(2, 12)
    result = FixedPoint(True, 2, width - 3)
    if draft.chance(0.2):
        words = draft.rng.integers(result.min_word, result.max_word + 1, 1 << form.width)
    else:
        index = np.arange(1 << form.width)
        signed = np.where(index > form.max_word, index - (1 << form.width), index)
        function = _FUNCTIONS[str(draft.rng.choice(list(_FUNCTIONS)))]
        values = np.clip(function(form.values_of(signed)), -4, 4)
        words = np.clip(np.round(values / result.lsb), result.min_word, result.max_word).astype(np.int64)
    return draft.builder.table(draft.name("table"), x, words, result)


def embedding(draft: Draft, x: str) -> str:
    """Rows of words by the low bits of a word."""
    index = FixedPoint(False, draft.count(1, 4), 0)
    y = draft.builder.requantize(draft.name("index"), x, index)
    return _rows(draft, y, draft.result_format(x))


def indexed(draft: Draft) -> str:
    """Rows of words by the words of an input port."""
    port = draft.builder.input(draft.name("index"), (draft.count(1, 3),), FixedPoint(False, draft.count(1, 4), 0))
    return _rows(draft, port, FixedPoint(draft.chance(0.8), draft.count(0, 2), draft.count(1, 6)))


def _rows(draft: Draft, index: str, form: FixedPoint) -> str:
    most = draft.builder.format_of(index).max_word + 1
    rows = draft.rng.integers(form.min_word, form.max_word + 1, (draft.count(1, most), draft.count(1, 3)))
    return draft.builder.embedding(draft.name("embed"), index, rows, form)


def max_pool(draft: Draft, x: str) -> str:
    axes = draft.shape(x)[:-1]
    window = tuple(min(draft.count(1, 3), length) for length in axes)
    strides = window if draft.stream or draft.chance(0.6) else tuple(draft.count(1, 2) for _ in axes)
    padding = tuple((0, 0) for _ in axes)
    if draft.chance(0.2) and not (draft.stream and draft.builder.format_of(x).signed):
        padding = tuple((0, draft.count(0, size - 1)) for size in window)
    return draft.builder.max_pool(draft.name("pool"), x, window, strides, padding)


def merge(draft: Draft, x: str) -> str:
    """Two or three branches from one tensor, joined word by word."""
    kind = str(draft.rng.choice(_MERGES, p=[0.4, 0.12, 0.12, 0.12, 0.12, 0.12]))
    parts = [linear_steps.branch(draft, x), linear_steps.branch(draft, x) if draft.chance(0.4) else x]
    if kind in ("add", "maximum", "minimum") and draft.chance(0.2):
        parts.append(linear_steps.branch(draft, x))
    if kind == "multiply" and max(draft.bits(part) for part in parts) > 16:
        kind = "add"
    inputs = tuple(parts[::-1] if draft.chance(0.3) else parts)
    join = getattr(draft.builder, kind)
    return str(join(draft.name(kind), inputs, draft.result_format(inputs[0]) if draft.chance(0.8) else None))


def concatenate(draft: Draft, x: str) -> str:
    if draft.size(x) * 2 > LARGEST:
        return relu(draft, x)
    inputs = (linear_steps.branch(draft, x), linear_steps.branch(draft, x) if draft.chance(0.5) else x)
    axis = draft.count(0, len(draft.shape(x)) - 1) if draft.chance(0.3) and not draft.stream else -1
    form = draft.result_format(inputs[0]) if draft.chance(0.5) else None
    return draft.builder.concatenate(draft.name("concat"), inputs, axis, form)


def zero_padding(draft: Draft, x: str) -> str:
    padding = tuple((draft.count(0, 1), draft.count(0, 2)) for _ in draft.shape(x)[:-1])
    return draft.builder.zero_padding(draft.name("pad"), x, padding)


def crop(draft: Draft, x: str) -> str:
    cropping = tuple((min(draft.count(0, 1), length - 1), 0) for length in draft.shape(x)[:-1])
    return draft.builder.crop(draft.name("crop"), x, cropping)


def permute(draft: Draft, x: str) -> str:
    axes = tuple(int(axis) for axis in draft.rng.permutation(len(draft.shape(x))))
    return draft.builder.permute(draft.name("permute"), x, axes)


def flatten(draft: Draft, x: str) -> str:
    return draft.builder.reshape(draft.name("flatten"), x, (draft.size(x),))


def reshape(draft: Draft, x: str) -> str:
    """Rows and columns that hold the same words."""
    size = draft.size(x)
    rows = int(draft.rng.choice([n for n in range(1, size + 1) if size % n == 0]))
    return draft.builder.reshape(draft.name("shape"), x, (rows, size // rows))
