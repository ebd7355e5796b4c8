"""Random layers that are several operators: bent and clipped ReLUs, averages, softmax, layer normalisation, repeats."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network import compositions
from toolchain.network.compositions import Pooling
from toolchain.network.functions import BY_NAME
from toolchain.network.normalization import Affine, LayerNormFormats, SoftmaxFormats
from toolchain.network.normalization import layer_normalization as normalize
from toolchain.network.normalization import softmax as softmax_of
from toolchain.network.normalization_formats import softmax_formats
from toolchain.selftest import random_formats as formats
from toolchain.selftest.draft import Draft
from toolchain.selftest.other_steps import LARGEST, WIDEST_INDEX

#: Values of a normalization's rows: each is a sum, a table and a product.
MOST_VALUES = 12
_SAT = (Rounding.RND_CONV, Overflow.SAT)


def narrow(draft: Draft, x: str, widest: int) -> str:
    """``x`` in a format of at most ``widest`` bits."""
    if draft.builder.format_of(x).width <= widest:
        return x
    return draft.builder.requantize(draft.name("q"), x, draft.result_format(x, widest))


def leaky_relu(draft: Draft, x: str) -> str:
    """One slope for all channels, or one for each."""
    x = narrow(draft, x, 16)
    form, channels = formats.kernel_format(draft.rng, narrow=True), draft.shape(x)[-1]
    slopes = draft.words((channels,) if draft.chance(0.5) else (1,), form)
    return compositions.leaky_relu(
        draft.builder, draft.name("leaky"), x, np.resize(slopes, channels), form, _maybe(draft, x)
    )


def clipped_relu(draft: Draft, x: str) -> str:
    x = narrow(draft, x, 16)
    form = FixedPoint(False, draft.count(1, 4), draft.count(0, 4))
    ceiling = draft.count(1, form.max_word)
    return compositions.clipped_relu(draft.builder, draft.name("clipped"), x, ceiling, form, _maybe(draft, x))


def average_pool(draft: Draft, x: str) -> str:
    """Windows side by side or overlapping, now and then with padding, where the counts differ."""
    x = narrow(draft, x, 12)
    axes = draft.shape(x)[:-1]
    window = tuple(min(draft.count(1, 3), length) for length in axes)
    strides = window if draft.chance(0.5) else tuple(draft.count(1, 2) for _ in axes)
    padding = tuple((0, draft.count(0, size - 1)) if draft.chance(0.2) else (0, 0) for size in window)
    pooling = Pooling(window, strides, padding, draft.count(6, 12))
    return compositions.average_pool(draft.builder, draft.name("mean"), x, pooling, _maybe(draft, x))


def global_pool(draft: Draft, x: str) -> str:
    """The mean or the largest value of each channel: one axis, the channels, is left."""
    if draft.chance(0.5):
        return compositions.global_max_pool(draft.builder, draft.name("largest"), x)
    x = narrow(draft, x, 12)
    return compositions.global_average_pool(
        draft.builder, draft.name("mean"), x, draft.result_format(x), draft.count(6, 12)
    )


def up_sampling(draft: Draft, x: str) -> str:
    axes = draft.shape(x)[:-1]
    sizes = [1] * len(axes)
    room = LARGEST // draft.size(x)
    for axis in draft.rng.permutation(len(axes)):
        sizes[axis] = draft.count(1, max(1, min(3, room // int(np.prod(sizes)))))
    if max(sizes) == 1:
        return x
    return compositions.up_sampling(draft.builder, draft.name("repeat"), x, tuple(sizes))


def softmax(draft: Draft, x: str) -> str:
    """With the formats that the product chooses, or others; with and without the maximum."""
    x = narrow(draft, _few(draft, x), 12)
    values, result = draft.shape(x)[-1], FixedPoint(False, draft.count(0, 1), draft.count(2, 10), *_SAT)
    if draft.chance(0.3):
        made = softmax_formats(draft.builder.format_of(x), values, result)
        return softmax_of(draft.builder, draft.name("softmax"), x, made)
    total = draft.count(2, 6)
    made = SoftmaxFormats(
        FixedPoint(True, draft.count(1, 4), draft.count(1, 4), *formats.modes(draft.rng)),
        FixedPoint(False, 1, draft.count(2, 10), *_SAT), FixedPoint(False, total, WIDEST_INDEX - total, *_SAT),
        FixedPoint(False, draft.count(0, 1), draft.count(3, 10), *_SAT), result,
    )  # fmt: skip
    return softmax_of(draft.builder, draft.name("softmax"), x, made, subtract_max=draft.chance(0.7))


def layer_normalization(draft: Draft, x: str) -> str:
    x = narrow(draft, _few(draft, x), 8)
    own, channels = draft.values(x).smallest_format(), draft.shape(x)[-1]
    gamma, beta = (formats.kernel_format(draft.rng, narrow=True) for _ in range(2))
    whole = max(-4, 2 * own.integer_bits)  # the variance of the widest values
    finer = (FixedPoint(False, whole - 3, 8 - whole + 3, *_SAT),) if draft.chance(0.5) else ()
    made = LayerNormFormats(
        FixedPoint(True, own.integer_bits + 1, draft.count(1, 8) - own.integer_bits, *formats.modes(draft.rng)),
        FixedPoint(False, whole, 8 - whole, *_SAT), FixedPoint(False, draft.count(1, 4), draft.count(3, 8), *_SAT),
        FixedPoint(True, draft.count(1, 3), draft.count(2, 8), *formats.modes(draft.rng)),
        FixedPoint(True, draft.count(1, 3), draft.count(1, 8), *formats.modes(draft.rng)), finer,
    )  # fmt: skip
    affine = Affine(draft.words((channels,), gamma), gamma, draft.words((channels,), beta), beta)
    epsilon = float(draft.rng.choice([1e-3, 1e-2, 0.25]))
    return normalize(
        draft.builder, draft.name("layernorm"), x, affine, made, epsilon=epsilon, reciprocal_bits=draft.count(6, 12)
    )


def named_function(draft: Draft, x: str) -> str:
    """One of Keras' activations by its name, as the product makes its table."""
    x = narrow(draft, x, WIDEST_INDEX)
    of = BY_NAME[str(draft.rng.choice(list(BY_NAME)))]
    result = FixedPoint(draft.chance(0.8), draft.count(0, 2), draft.count(1, 8), *_SAT)
    return compositions.function(draft.builder, draft.name("function"), x, of, result)


def _few(draft: Draft, x: str) -> str:
    """``x`` with two axes at most, few and at least two values in a row, and few rows."""
    shape = draft.shape(x)
    if len(shape) < 3 and 2 <= shape[-1] <= MOST_VALUES and draft.size(x) <= LARGEST:
        return x
    size = draft.size(x)
    if len(shape) > 1:
        x = draft.builder.reshape(draft.name("flatten"), x, (size,))
    form, values = draft.kernel_format(x), draft.count(2, MOST_VALUES)
    y = draft.builder.dense(draft.name("dense"), x, draft.words((size, values), form), form)
    return draft.builder.requantize(draft.name("q"), y, draft.result_format(y, 8))


def _maybe(draft: Draft, x: str) -> FixedPoint | None:
    return draft.result_format(x) if draft.chance(0.7) else None
