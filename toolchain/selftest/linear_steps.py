"""Random operators that multiply by constants and sum, each with what usually follows it."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint
from toolchain.network.ranges import Range
from toolchain.network.windows import Padding
from toolchain.selftest import random_formats as formats
from toolchain.selftest.draft import Draft

#: Bits of a result that is passed on without a format of its own.
WIDEST_EXACT = 24


def finish(draft: Draft, x: str) -> str:
    """What follows a sum: usually an activation, or a change of format; always something for a wide one."""
    wide = draft.bits(x) > WIDEST_EXACT
    kind = draft.rng.random()
    if kind < 0.6:
        form = draft.result_format(x)
        if draft.chance(0.9) and form.signed:
            form = FixedPoint(False, form.integer_bits, form.fractional_bits + 1, form.rounding, form.overflow)
        return draft.builder.relu(draft.name("relu"), x, form if wide or draft.chance(0.9) else None)
    if kind < 0.75 or wide:
        return draft.builder.requantize(draft.name("q"), x, draft.result_format(x))
    return x


def dense(draft: Draft, x: str) -> str:
    units = draft.count(1, 8)
    form = draft.kernel_format(x)
    kernel = draft.words((draft.shape(x)[-1], units), form)
    y = draft.builder.dense(draft.name("dense"), x, kernel, form, *_bias(draft, units), _result(draft, x, form))
    return finish(draft, y)


def scale(draft: Draft, x: str) -> str:
    channels = draft.shape(x)[-1]
    form = draft.kernel_format(x)
    kernel = draft.words((channels,), form)
    y = draft.builder.scale(draft.name("norm"), x, kernel, form, *_bias(draft, channels), _result(draft, x, form))
    return finish(draft, y)


def convolution(draft: Draft, x: str) -> str:
    return _convolution(draft, x, depthwise=False)


def depthwise(draft: Draft, x: str) -> str:
    return _convolution(draft, x, depthwise=True)


def shared(draft: Draft, x: str) -> str:
    """One layer of weights called twice, and the sum of both."""
    units, form = draft.count(1, 6), draft.kernel_format(x)
    kernel, bias = draft.words((draft.shape(x)[-1], units), form), _bias(draft, units)
    result, name = _result(draft, x, form), draft.name("shared")
    one = draft.builder.dense(name, x, kernel, form, *bias, result)
    other = draft.builder.relu(draft.name("relu"), x, draft.result_format(x))
    two = draft.builder.dense(draft.name("again"), other, kernel, form, *bias, result, name)
    return finish(draft, draft.builder.add(draft.name("add"), (one, two)))


def branch(draft: Draft, x: str) -> str:
    """A layer whose result has the shape of ``x`` and a format of its own."""
    shape = draft.shape(x)
    form = draft.kernel_format(x)
    kernel = draft.words((shape[-1], shape[-1]), form)
    bias = _bias(draft, shape[-1])
    if len(shape) == 1:
        y = draft.builder.dense(draft.name("branch"), x, kernel, form, *bias)
    else:
        ones = (1,) * (len(shape) - 1)
        y = draft.builder.convolution(
            draft.name("branch"), x, kernel.reshape(*ones, *kernel.shape), form, *bias,
            strides=ones, padding=tuple((0, 0) for _ in ones),
        )  # fmt: skip
    if draft.chance(0.5):
        return draft.builder.relu(draft.name("relu"), y, draft.result_format(y))
    return draft.builder.requantize(draft.name("q"), y, draft.result_format(y))


def _result(draft: Draft, x: str, form: FixedPoint) -> FixedPoint | None:
    """The format of a sum of ``x`` times words of ``form``: every bit, or its own."""
    if draft.chance(0.5):
        return None
    values = draft.values(x)
    reach = values.fractional_bits - form.integer_bits  # products of the largest weight lie on this grid
    return formats.result_format(draft.rng, Range(values.low, values.high, reach))


def _bias(draft: Draft, units: int) -> tuple[np.ndarray | None, FixedPoint | None]:
    if draft.chance(0.15):
        return None, None
    form = formats.kernel_format(draft.rng)
    return draft.words((units,), form), form


def _convolution(draft: Draft, x: str, depthwise: bool) -> str:
    window, strides, dilation = _window(draft, x)
    channels = draft.shape(x)[-1]
    filters = channels if depthwise else draft.count(1, 4)
    form = draft.kernel_format(x)
    shape = (*window, channels) if depthwise else (*window, channels, filters)
    y = draft.builder.convolution(
        draft.name("conv"), x, draft.words(shape, form), form, *_bias(draft, filters), _result(draft, x, form),
        strides=strides, padding=_padding(draft, x, window, strides, dilation), dilation=dilation,
        depthwise=depthwise,
    )  # fmt: skip
    return finish(draft, y)


def _window(draft: Draft, x: str) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Kernel size, strides and dilation that fit the axes of ``x``."""
    axes = draft.shape(x)[:-1]
    window = tuple(min(draft.count(1, 3), length) for length in axes)
    strides = tuple(draft.count(1, 3) if draft.chance(0.4) else 1 for _ in axes)
    dilation = tuple(
        2 if size > 1 and 2 * (size - 1) + 1 <= length and draft.chance(0.15) else 1
        for size, length in zip(window, axes, strict=True)
    )
    return window, strides, dilation


def _padding(
    draft: Draft, x: str, window: tuple[int, ...], strides: tuple[int, ...], dilation: tuple[int, ...]
) -> Padding:
    """Keras' valid, same, or (one axis) causal."""
    axes = draft.shape(x)[:-1]
    spread = [(size - 1) * step + 1 for size, step in zip(window, dilation, strict=True)]
    kind = draft.rng.random()
    if kind < 0.45:
        return tuple((0, 0) for _ in axes)
    if kind < 0.6 and len(axes) == 1:
        return ((spread[0] - 1, 0),)
    totals = [
        max((-(-length // stride) - 1) * stride + size - length, 0)
        for length, size, stride in zip(axes, spread, strides, strict=True)
    ]
    return tuple((total // 2, total - total // 2) for total in totals)
