"""The int8 model as plain C99 without any library: the same integers, ties to even as in QKeras and XNNPACK.

For microcontrollers without TFLite Micro, and to run the whole network bare-metal. It is generated from the same
``IntegerModel`` as the flatbuffer; it is not TFLite.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.network.arithmetic import exact
from toolchain.network.nodes import Convolution, Dense, DepthwiseConvolution, MaxPool, Scale
from toolchain.tflite.operators import (
    ExtremeOperator,
    IntegerModel,
    JoinOperator,
    LimitOperator,
    LinearOperator,
    LookupOperator,
    ModelPort,
    MoveOperator,
    Operator,
    ProductOperator,
    ReluOperator,
    ReshapeOperator,
    SumOperator,
    Tensor,
)

HEADER = "model.h"
SOURCE = "model.c"
KERNELS = "kernels.h"
_COLUMNS = 16


@dataclass(frozen=True, slots=True)
class _Window:
    """An operator's windows over (height, width): sizes, strides, dilation and zeros before."""

    input: tuple[int, int, int]
    output: tuple[int, int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    before: tuple[int, int]


def write_plain_c(folder: Path, model: IntegerModel) -> tuple[Path, ...]:
    """Write ``model.h``, ``model.c`` and ``kernels.h`` of an int8 model into ``folder``; the files."""
    assert model.bits == 8
    folder.mkdir(exist_ok=True)
    kernels = Path(__file__).with_name("plain_c_kernels.h").read_text(encoding="utf-8")
    contents = {HEADER: _header(model), SOURCE: _Source(model).text(), KERNELS: kernels}
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
    return tuple(folder / name for name in contents)


def activation_bytes(model: IntegerModel) -> int:
    """RAM for activations: buffers are shared by tensors that are never needed at once."""
    return sum(_place_buffers(model)[1])


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _parameters(model: IntegerModel) -> list[tuple[str, ModelPort, str]]:
    """(C name, port, qualifier) of every port, inputs first."""
    found = []
    for kind, ports, qualifier in (("input", model.inputs, "const "), ("output", model.outputs, "")):
        for place, port in enumerate(ports):
            found.append((kind if place == 0 else f"{kind}_{place}", port, qualifier))
    return found


def _signature(model: IntegerModel) -> str:
    parts = [f"{kind}int8_t {name}[MODEL_{name.upper()}_SIZE]" for name, _, kind in _parameters(model)]
    return f"void model_invoke({', '.join(parts)})"


def _header(model: IntegerModel) -> str:
    lines = [
        "/* Generated. int8 in, int8 out: value = (word - ZERO_POINT) * SCALE. */",
        "#ifndef MODEL_H", "#define MODEL_H", "#include <stdint.h>", "#ifdef __cplusplus", 'extern "C" {', "#endif", "",
    ]  # fmt: skip
    for name, port, _ in _parameters(model):
        grid, prefix = port.tensor.grid, f"#define MODEL_{name.upper()}"
        lines += [
            f"{prefix}_SIZE {_size(port.tensor.shape)}  /* {_safe(port.name)} */",
            f"{prefix}_SCALE {grid.scale!r}", f"{prefix}_ZERO_POINT ({grid.zero_point})",
        ]  # fmt: skip
    lines += [
        "", "/* One sample; not reentrant: activations stand in static buffers. */", f"{_signature(model)};", "",
        "#ifdef __cplusplus", "}", "#endif", "#endif", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _place_buffers(model: IntegerModel) -> tuple[dict[str, int], list[int]]:
    """The buffer of each operator's result, and the buffers' sizes. A reshape keeps the buffer of what it reads."""
    roots: dict[str, str] = {}
    last_use: dict[str, int] = {}
    for place, operator in enumerate(model.operators):
        for tensor in operator.inputs:
            last_use[roots.get(tensor.name, tensor.name)] = place
        if isinstance(operator, ReshapeOperator):
            roots[operator.output.name] = roots.get(operator.input.name, operator.input.name)
    for port in model.outputs:
        last_use[roots.get(port.tensor.name, port.tensor.name)] = len(model.operators)
    buffers, sizes, free = dict[str, int](), list[int](), list[int]()
    for place, operator in enumerate(model.operators):
        name = operator.output.name
        if name not in roots:
            if not free:
                free.append(len(sizes))
                sizes.append(0)
            buffers[name] = free.pop()
            sizes[buffers[name]] = max(sizes[buffers[name]], _size(operator.output.shape))
        free += [buffers[root] for root, end in last_use.items() if end == place and root in buffers]
    return buffers, sizes


@dataclass
class _Source:
    """Collects constants and calls."""

    model: IntegerModel
    constants: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        buffers, sizes = _place_buffers(self.model)
        parameters = _parameters(self.model)
        for name, port, _ in parameters[: len(self.model.inputs)]:
            self.names[port.tensor.name] = name
        for number, operator in enumerate(self.model.operators):
            output = operator.output.name
            if isinstance(operator, ReshapeOperator):
                self.names[output] = self.names[operator.input.name]
                continue
            self.names[output] = f"buffer{buffers[output]}"
            self._add(operator, f"layer{number}")
        ends = [
            f"  memcpy({name}, {self.names[port.tensor.name]}, MODEL_{name.upper()}_SIZE);"
            for name, port, _ in parameters[len(self.model.inputs) :]
        ]
        lines = [
            "/* Generated. */", f'#include "{HEADER}"', "#include <string.h>", f'#include "{KERNELS}"', "",
            *self.constants, *(f"static int8_t buffer{place}[{size}];" for place, size in enumerate(sizes)), "",
            f"{_signature(self.model)} {{", *self.calls, *ends, "}", "",
        ]  # fmt: skip
        return "\n".join(lines)

    def _add(self, operator: Operator, name: str) -> None:
        target = self.names[operator.output.name]
        sources = [self.names[tensor.name] for tensor in operator.inputs]
        if isinstance(operator, LinearOperator):
            self.constants += _linear(name, operator)
            call = f"convolve(&{name}, {sources[0]}, {target})"
        elif isinstance(operator, ReluOperator | LimitOperator):
            kernel = "at_most" if isinstance(operator, LimitOperator) and operator.upper else "at_least"
            call = f"{kernel}({sources[0]}, {target}, {_bound(operator)}, {_size(operator.output.shape)})"
        elif isinstance(operator, SumOperator | ProductOperator):
            self.constants += _pairwise(name, operator)
            kernel = "multiply" if isinstance(operator, ProductOperator) else "add"
            call = f"{kernel}(&{name}, {sources[0]}, {sources[1]}, {target})"
        elif isinstance(operator, ExtremeOperator):
            kernel, size = "larger" if operator.largest else "smaller", _size(operator.output.shape)
            call = f"{kernel}({sources[0]}, {sources[1]}, {target}, {size})"
        elif isinstance(operator, JoinOperator):
            self._join(operator, sources, target)
            return
        elif isinstance(operator, LookupOperator):
            self.constants += _array(f"static const int8_t {name}_table", operator.table.reshape(-1).tolist())
            first = operator.input.grid.zero_point + operator.first
            width = _size(operator.table.shape[1:])
            numbers = f"{first}, {width}, {_size(operator.input.shape)}"
            call = f"look_up({name}_table, {sources[0]}, {target}, {numbers})"
        else:
            assert isinstance(operator, MoveOperator)
            call = self._move(operator, name, sources[0], target)
        self.calls.append(f"  {call};  /* {_safe(operator.layer)} */")

    def _join(self, operator: JoinOperator, sources: list[str], target: str) -> None:
        """Rows of each input, one behind the other."""
        shape, offset = operator.output.shape, 0
        rows, whole = _size(shape[: operator.axis]), _size(shape[operator.axis :])
        for source, tensor in zip(sources, operator.inputs, strict=True):
            width = _size(tensor.shape[operator.axis :])
            self.calls.append(f"  copy_rows({source}, {target} + {offset}, {rows}, {width}, {whole});")
            offset += width

    def _move(self, operator: MoveOperator, name: str, source: str, target: str) -> str:
        node = operator.node
        if isinstance(node, MaxPool):
            numbers = _window_numbers(_pool_window(operator, node))
            self.constants += [f"static const struct windows {name} = {{{numbers}}};", ""]
            return f"max_pool(&{name}, {source}, {target})"
        places = np.arange(1, _size(operator.input.shape) + 1).reshape(1, *operator.input.shape)
        taken = exact(node, [places], [0])[0].reshape(-1)  # where each word comes from, 0: nowhere
        kind = "uint16_t" if int(taken.max(initial=0)) < 1 << 16 else "uint32_t"
        self.constants += _array(f"static const {kind} {name}_places", taken.tolist())
        zero = operator.output.grid.zero_point
        return f"MOVE({name}_places, {source}, {target}, {zero}, {_size(operator.output.shape)})"


def _bound(operator: Operator) -> int:
    bound = operator.bound if isinstance(operator, LimitOperator) else 0
    return bound + operator.output.grid.zero_point


def _pairwise(name: str, operator: SumOperator | ProductOperator) -> list[str]:
    grids = [tensor.grid for tensor in operator.inputs]
    finest = max(grid.fractional_bits for grid in grids)
    moves = [finest - grid.fractional_bits for grid in grids]
    sign = -1 if isinstance(operator, SumOperator) and operator.subtracts else 1
    numbers = (
        grids[0].zero_point, grids[1].zero_point, operator.output.grid.zero_point, *moves, sign, operator.shift,
        int(operator.relu), _size(operator.output.shape),
    )  # fmt: skip
    return [f"static const struct pair {name} = {{{', '.join(map(str, numbers))}}};", ""]


def _linear(name: str, operator: LinearOperator) -> list[str]:
    separate = isinstance(operator.node, DepthwiseConvolution | Scale)
    stored = np.ascontiguousarray(np.moveaxis(operator.kernel, -1, 0)).reshape(-1)
    zeros = f"{operator.input.grid.zero_point}, {operator.output.grid.zero_point}"
    return [
        *_array(f"static const int8_t {name}_kernel", stored.tolist()),
        *_array(f"static const int32_t {name}_bias", operator.bias.tolist()),
        *_array(f"static const int8_t {name}_shift", operator.shift),
        f"static const struct convolution {name} = {{{{{_window_numbers(_window(operator))}}}, {zeros}, "
        f"{int(operator.relu)}, {int(separate)}, {name}_kernel, {name}_bias, {name}_shift}};",
        "",
    ]  # fmt: skip


def _window_numbers(window: _Window) -> str:
    sizes = (*window.input, *window.output, *window.kernel, *window.strides, *window.dilation, *window.before)
    return ", ".join(map(str, sizes))


def _window(operator: LinearOperator) -> _Window:
    node, shape, result = operator.node, operator.input.shape, operator.output.shape
    if isinstance(node, Dense | Scale):
        rows = _size(shape[:-1])
        return _Window((rows, 1, shape[-1]), (rows, 1, result[-1]), (1, 1), (1, 1), (1, 1), (0, 0))
    assert isinstance(node, Convolution | DepthwiseConvolution)
    return _windows(operator, node.kernel.shape, (node.strides, node.dilation, node.padding))


def _pool_window(operator: MoveOperator, node: MaxPool) -> _Window:
    return _windows(operator, node.window, (node.strides, (1,) * len(node.strides), node.padding))


def _windows(
    operator: Operator, sizes: tuple[int, ...],
    steps: tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]],
) -> _Window:  # fmt: skip
    """Windows over one or two axes as windows over two."""
    strides, dilation, padding = steps
    flat = (1,) * (2 - len(strides))
    before = (*(0 for _ in flat), *(pair[0] for pair in padding))
    input_, output = _image(operator.input), _image(operator.output)
    window = (*flat, *sizes[: len(strides)])
    spans = [(*flat, *strides), (*flat, *dilation), before]
    return _Window(input_, output, _pair(window), _pair(spans[0]), _pair(spans[1]), _pair(spans[2]))


def _image(tensor: Tensor) -> tuple[int, int, int]:
    height, width, channels = (1,) * (3 - len(tensor.shape)) + tensor.shape
    return height, width, channels


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    first, second = values
    return first, second


def _array(declaration: str, values: Iterable[Any]) -> list[str]:
    words = [str(int(value)) for value in values]
    rows = [", ".join(words[start : start + _COLUMNS]) for start in range(0, len(words), _COLUMNS)]
    return [f"{declaration}[{len(words)}] = {{", *(f"  {row}," for row in rows), "};"]


def _safe(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_- " else "_" for letter in text)
