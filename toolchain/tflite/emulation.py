"""What TFLite's kernels must compute with an integer model, word by word, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.fixed_point import FixedPoint, Words
from toolchain.network.arithmetic import exact
from toolchain.network.interpreter import evaluate
from toolchain.network.nodes import Dense, FixedPointNetwork, Input
from toolchain.tflite.kernels import scale_down_once, scale_down_to_even, scale_down_twice, scale_down_up
from toolchain.tflite.operators import (
    ExtremeOperator,
    IntegerModel,
    JoinOperator,
    LimitOperator,
    LinearOperator,
    LookupOperator,
    MoveOperator,
    Operator,
    ProductOperator,
    ReluOperator,
    ReshapeOperator,
    SumOperator,
    WidenOperator,
)

Rounding = Literal["once", "twice", "to_even"]
QuantizedWords = NDArray[Any]
_WHOLE = FixedPoint(True, 62, 0)  # exact for every sum


def emulate(
    model: IntegerModel, inputs: Mapping[str, QuantizedWords] | QuantizedWords, rounding: Rounding = "once"
) -> dict[str, QuantizedWords]:
    """The words of every tensor, ``(samples, *shape)`` by tensor name, for quantized input words (by port name).

    ``once``: of TensorFlow 2.21's reference kernels. ``twice``: of kernels that round FULLY_CONNECTED twice too (TFLite
    to 2.14, TFLite Micro). ``to_even``: of XNNPACK while sums stay below 2**24, and of the generated C.
    """
    if not isinstance(inputs, Mapping):
        inputs = {model.inputs[0].name: inputs}
    words: dict[str, QuantizedWords] = {}
    for port in model.inputs:
        given = inputs[port.name]
        words[port.tensor.name] = given.reshape(len(given), *port.tensor.shape)
    for operator in model.operators:
        if isinstance(operator, LookupOperator):
            rows = operator.input.grid.words_of(words[operator.input.name]) - operator.first
            words[operator.output.name] = operator.table[np.clip(rows, 0, len(operator.table) - 1)]
            continue
        sources = [tensor.grid.words_of(words[tensor.name]) for tensor in operator.inputs]
        words[operator.output.name] = operator.output.grid.store(_apply(operator, sources, rounding))
    return words


def _apply(operator: Operator, inputs: list[Words], rounding: Rounding) -> Words:
    x = inputs[0]
    if isinstance(operator, LinearOperator):
        return _linear(operator, x, rounding)
    if isinstance(operator, SumOperator):
        scale_down = scale_down_up if rounding == "to_even" and operator.output.grid.bits == 8 else scale_down_once
        total = _aligned_sum(operator, inputs)
        result = scale_down(total, operator.shift)
        return np.maximum(result, 0) if operator.relu else result
    if isinstance(operator, ProductOperator):
        scale_down = scale_down_to_even if rounding == "to_even" else scale_down_twice
        if operator.output.grid.bits == 16:
            scale_down = scale_down_twice
        result = scale_down(inputs[0] * inputs[1], operator.shift)
        return np.maximum(result, 0) if operator.relu else result
    if isinstance(operator, ReluOperator):
        return np.maximum(x, 0)
    if isinstance(operator, LimitOperator):
        return np.minimum(x, operator.bound) if operator.upper else np.maximum(x, operator.bound)
    if isinstance(operator, ExtremeOperator):
        return np.maximum(*inputs) if operator.largest else np.minimum(*inputs)
    if isinstance(operator, JoinOperator):
        return np.concatenate(inputs, axis=operator.axis + 1)
    if isinstance(operator, WidenOperator):
        return x
    if isinstance(operator, MoveOperator):
        return exact(operator.node, [x], [0])[0]
    assert isinstance(operator, ReshapeOperator)
    return x.reshape(len(x), *operator.output.shape)


def _linear(operator: LinearOperator, x: Words, rounding: Rounding) -> Words:
    total = sums(operator, x)
    once = isinstance(operator.node, Dense) and rounding == "once"
    scale_down = scale_down_once if once else scale_down_twice
    if rounding == "to_even":
        scale_down = scale_down_to_even
    if operator.output.grid.bits == 16:
        scale_down = scale_down_once if once else scale_down_up
    columns = [scale_down(total[..., c], shift) for c, shift in enumerate(operator.shift)]
    result = np.stack(columns, axis=-1)
    return np.maximum(result, 0) if operator.relu else result


def _aligned_sum(operator: SumOperator, inputs: list[Words]) -> Words:
    finest = max(tensor.grid.fractional_bits for tensor in operator.inputs)
    first, second = (
        words << (finest - tensor.grid.fractional_bits) for words, tensor in zip(inputs, operator.inputs, strict=True)
    )
    return np.asarray(first - second if operator.subtracts else first + second)


def sums(operator: LinearOperator, x: Words) -> Words:
    """The operator's integer sums, before they are scaled down: ``(samples, *shape)``."""
    port = Input(name="x", shape=operator.input.shape, result=_WHOLE)
    kernel, bias = operator.kernel.astype(np.int64), operator.bias.astype(np.int64)
    node = replace(
        operator.node, inputs=("x",), kernel=kernel, kernel_format=_WHOLE, bias=bias,
        bias_format=_WHOLE, accumulator=_WHOLE, result=_WHOLE,
    )  # fmt: skip
    return evaluate(node, FixedPointNetwork(name="sums", nodes=(port,), outputs=("x",)), [x])
