"""What the reference kernels must compute with an int8 model, word by word, in numpy."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from toolchain.fixed_point import FixedPoint, Words
from toolchain.network.interpreter import evaluate
from toolchain.network.nodes import Dense, FixedPointNetwork, Input
from toolchain.tflite.grids import Int8Array
from toolchain.tflite.kernels import scale_down_once, scale_down_to_even, scale_down_twice
from toolchain.tflite.operators import (
    Int8Model,
    LimitOperator,
    LinearOperator,
    Operator,
    ReluOperator,
    ReshapeOperator,
)

Rounding = Literal["once", "twice", "to_even"]
_WHOLE = FixedPoint(True, 47, 0)  # exact for every int32 sum


def emulate(model: Int8Model, inputs: Int8Array, rounding: Rounding = "once") -> dict[str, Int8Array]:
    """The int8 words of every tensor, ``(samples, *shape)`` by tensor name, for int8 input words.

    ``once``: of TensorFlow 2.21's reference kernels. ``twice``: of kernels that round FULLY_CONNECTED twice too (TFLite
    to 2.14, TFLite Micro). ``to_even``: of XNNPACK while sums stay below 2**24, and of the generated C.
    """
    words = {model.input.name: inputs.reshape(len(inputs), *model.input.shape)}
    for operator in model.operators:
        source = operator.input.grid.words_of(words[operator.input.name])
        result = _apply(operator, source, rounding) + operator.output.grid.zero_point
        words[operator.output.name] = np.clip(result, -128, 127).astype(np.int8)
    return words


def _apply(operator: Operator, x: Words, rounding: Rounding) -> Words:
    if isinstance(operator, LinearOperator):
        total = sums(operator, x)
        once = isinstance(operator.node, Dense) and rounding == "once"
        scale_down = scale_down_once if once else scale_down_twice
        if rounding == "to_even":
            scale_down = scale_down_to_even
        columns = [scale_down(total[..., c], shift) for c, shift in enumerate(operator.shift)]
        result = np.stack(columns, axis=-1)
        return np.maximum(result, 0) if operator.relu else result
    if isinstance(operator, ReluOperator):
        return np.maximum(x, 0)
    if isinstance(operator, LimitOperator):
        return np.minimum(x, operator.bound) if operator.upper else np.maximum(x, operator.bound)
    assert isinstance(operator, ReshapeOperator)
    return x.reshape(len(x), *operator.output.shape)


def sums(operator: LinearOperator, x: Words) -> Words:
    """The operator's int32 sums, before they are scaled down: ``(samples, *shape)``."""
    port = Input(name="x", shape=operator.input.shape, result=_WHOLE)
    kernel, bias = operator.kernel.astype(np.int64), operator.bias.astype(np.int64)
    node = replace(
        operator.node, inputs=("x",), kernel=kernel, kernel_format=_WHOLE, bias=bias,
        bias_format=_WHOLE, accumulator=_WHOLE, result=_WHOLE,
    )  # fmt: skip
    return evaluate(node, FixedPointNetwork(name="sums", nodes=(port,), outputs=("x",)), [x])
