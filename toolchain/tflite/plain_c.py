"""The int8 model as plain C99 without any library: the same integers, ties to even as in QKeras and XNNPACK.

For microcontrollers without TFLite Micro, and to run the whole network bare-metal. It is generated from the same
``Int8Model`` as the flatbuffer; it is not TFLite.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.network.nodes import Dense
from toolchain.tflite.operators import Int8Model, LimitOperator, LinearOperator, Operator, ReluOperator

HEADER = "model.h"
SOURCE = "model.c"
KERNELS = "kernels.h"
_COLUMNS = 16


@dataclass(frozen=True, slots=True)
class _Window:
    """A linear operator as a convolution over (height, width): sizes, strides, dilation and zeros before."""

    input: tuple[int, int, int]
    output: tuple[int, int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]


def write_plain_c(folder: Path, model: Int8Model) -> tuple[Path, ...]:
    """Write ``model.h``, ``model.c`` and ``kernels.h`` into ``folder``; the files."""
    folder.mkdir(exist_ok=True)
    kernels = Path(__file__).with_name("plain_c_kernels.h").read_text(encoding="utf-8")
    contents = {HEADER: _header(model), SOURCE: _source(model), KERNELS: kernels}
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
    return tuple(folder / name for name in contents)


def activation_bytes(model: Int8Model) -> int:
    """RAM for activations: two buffers of the largest tensor."""
    return 2 * _largest(model)


def _largest(model: Int8Model) -> int:
    return max(_size(tensor.shape) for tensor in (model.input, *(o.output for o in model.operators)))


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _header(model: Int8Model) -> str:
    lines = [
        "/* Generated. int8 in, int8 out: value = (word - ZERO_POINT) * SCALE. */",
        "#ifndef MODEL_H", "#define MODEL_H", "#include <stdint.h>", "",
        f"#define MODEL_INPUT_SIZE {_size(model.input.shape)}",
        f"#define MODEL_OUTPUT_SIZE {_size(model.output.shape)}",
        f"#define MODEL_INPUT_SCALE {model.input.grid.scale!r}",
        f"#define MODEL_INPUT_ZERO_POINT ({model.input.grid.zero_point})",
        f"#define MODEL_OUTPUT_SCALE {model.output.grid.scale!r}",
        f"#define MODEL_OUTPUT_ZERO_POINT ({model.output.grid.zero_point})", "",
        "/* One sample; not reentrant: activations stand in static buffers. */",
        "void model_invoke(const int8_t input[MODEL_INPUT_SIZE], int8_t output[MODEL_OUTPUT_SIZE]);", "",
        "#endif", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _source(model: Int8Model) -> str:
    constants: list[str] = []
    calls: list[str] = []
    source, place = "input", 0
    for number, operator in enumerate(model.operators):
        if isinstance(operator, LinearOperator):
            constants += _linear(f"layer{number}", operator)
            target = f"buffer[{place}]"
            calls.append(f"  convolve(&layer{number}, {source}, {target});  /* {_safe(operator.layer)} */")
            source, place = target, 1 - place
        elif (call := _pointwise(operator)) is not None:
            target = source if source != "input" else f"buffer[{place}]"
            place = place if source != "input" else 1 - place
            calls.append(f"  {call}({source}, {target}, {_arguments(operator)});")
            source = target
    lines = [
        "/* Generated. */", f'#include "{HEADER}"', "#include <string.h>", f'#include "{KERNELS}"', "", *constants,
        f"static int8_t buffer[2][{_largest(model)}];", "",
        "void model_invoke(const int8_t input[MODEL_INPUT_SIZE], int8_t output[MODEL_OUTPUT_SIZE]) {", *calls,
        f"  memcpy(output, {source}, MODEL_OUTPUT_SIZE);", "}", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _pointwise(operator: Operator) -> str | None:
    if isinstance(operator, ReluOperator):
        return "at_least"
    if isinstance(operator, LimitOperator):
        return "at_most" if operator.upper else "at_least"
    return None  # a reshape moves nothing


def _arguments(operator: Operator) -> str:
    bound = operator.bound if isinstance(operator, LimitOperator) else 0
    return f"{bound + operator.output.grid.zero_point}, {_size(operator.output.shape)}"


def _linear(name: str, operator: LinearOperator) -> list[str]:
    window = _window(operator)
    stored = np.ascontiguousarray(np.moveaxis(operator.kernel, -1, 0)).reshape(-1)
    sizes = (*window.input, *window.output, *window.kernel, *window.strides, *window.dilation, *window.before)
    numbers = ", ".join(map(str, (*sizes, operator.input.grid.zero_point, operator.output.grid.zero_point)))
    return [
        *_array(f"static const int8_t {name}_kernel", stored.tolist()),
        *_array(f"static const int32_t {name}_bias", operator.bias.tolist()),
        *_array(f"static const int8_t {name}_shift", operator.shift),
        f"static const struct convolution {name} = {{{numbers}, {int(operator.relu)}, {name}_kernel, {name}_bias, "
        f"{name}_shift}};",
        "",
    ]  # fmt: skip


def _window(operator: LinearOperator) -> _Window:
    node, shape, result = operator.node, operator.input.shape, operator.output.shape
    if isinstance(node, Dense):
        rows = _size(shape[:-1])
        return _Window((rows, 1, shape[-1]), (rows, 1, result[-1]), (1, 1), (1, 1), (1, 1), (0, 0))
    before = tuple(pair[0] for pair in node.padding)
    if len(node.strides) == 1:
        return _Window(
            (1, shape[0], shape[1]), (1, result[0], result[1]), (1, node.kernel.shape[0]), (1, node.strides[0]),
            (1, node.dilation[0]), (0, before[0]),
        )  # fmt: skip
    (height, width, channels), (rows, columns, filters) = shape, result
    return _Window(
        (height, width, channels), (rows, columns, filters), (node.kernel.shape[0], node.kernel.shape[1]),
        (node.strides[0], node.strides[1]), (node.dilation[0], node.dilation[1]), (before[0], before[1]),
    )  # fmt: skip


def _array(declaration: str, values: Iterable[Any]) -> list[str]:
    words = [str(int(value)) for value in values]
    rows = [", ".join(words[start : start + _COLUMNS]) for start in range(0, len(words), _COLUMNS)]
    return [f"{declaration}[{len(words)}] = {{", *(f"  {row}," for row in rows), "};"]


def _safe(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_- " else "_" for letter in text)
