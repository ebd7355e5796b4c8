"""Each operator of an ``IntegerModel`` as TFLite's operators; a sequence becomes an image of height 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolchain.network.nodes import (
    Convolution,
    Crop,
    Dense,
    DepthwiseConvolution,
    MaxPool,
    Permute,
    Scale,
    ZeroPadding,
)
from toolchain.network.windows import output_length
from toolchain.tflite.flatbuffer import FileContents
from toolchain.tflite.operators import (
    ExtremeOperator,
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
    Tensor,
    WidenOperator,
)

_NO_OPTIONS: tuple[str, Any] = ("NONE", None)
Window = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]]


def add_operator(file: FileContents, operator: Operator) -> None:
    """Add ``operator``, its constants and its result to ``file``."""
    _WRITERS[type(operator)](file, operator)


def _linear(file: FileContents, operator: Operator) -> None:
    assert isinstance(operator, LinearOperator)
    if isinstance(operator.node, Dense):
        _dense(file, operator)
    else:
        _convolution(file, operator)


def _dense(file: FileContents, operator: LinearOperator) -> None:
    name, source = operator.node.name, file.activation(operator.input)
    keep = len(operator.input.shape) > 1
    scale = [2.0 ** -operator.kernel_bits[0]]
    kernel = file.constant(f"{name}/kernel", operator.kernel.T, file.quantization(scale))
    bias = _bias(file, operator, scale)
    options = file.schema.FullyConnectedOptionsT(
        fusedActivationFunction=_activation(file, operator.relu), keepNumDims=keep
    )
    version = 7 if operator.input.grid.bits == 16 else 5 if keep else 4
    inputs, target = [source, kernel, bias], file.activation(operator.output)
    file.operator("FULLY_CONNECTED", version, inputs, target, ("FullyConnectedOptions", options))


def _convolution(file: FileContents, operator: LinearOperator) -> None:
    node = operator.node
    window = _window(operator)
    source, image = _as_image(file, operator.input, node.name)
    padding = padding_name(image, window)
    if padding is None:
        source = _padded(file, source, operator, image, window[3])
    flat = len(window[0]) == 1
    (sizes, strides, dilation, _) = _two_axes(window)
    scale = [2.0**-bits for bits in operator.kernel_bits]
    channels = operator.kernel.shape[-1]
    common = {
        "padding": getattr(file.schema.Padding, padding or "VALID"), "strideH": strides[0], "strideW": strides[1],
        "dilationHFactor": dilation[0], "dilationWFactor": dilation[1],
        "fusedActivationFunction": _activation(file, operator.relu),
    }  # fmt: skip
    wide = operator.input.grid.bits == 16
    if isinstance(node, Convolution):
        stored = np.moveaxis(operator.kernel.reshape(*sizes, -1, channels), -1, 0)
        kernel = file.constant(f"{node.name}/kernel", stored, file.quantization(scale))
        kind, version = "CONV_2D", 4 if wide else 3
        options = ("Conv2DOptions", file.schema.Conv2DOptionsT(**common))
    else:
        stored = operator.kernel.reshape(1, *sizes, channels)
        kernel = file.constant(f"{node.name}/kernel", stored, file.quantization(scale, 3))
        kind, version = "DEPTHWISE_CONV_2D", 5 if wide else 3
        options = ("DepthwiseConv2DOptions", file.schema.DepthwiseConv2DOptionsT(depthMultiplier=1, **common))
    inputs = [source, kernel, _bias(file, operator, scale)]
    _image_operator(file, operator, (kind, version, inputs, options), flat or image != operator.input.shape)


def _window(operator: LinearOperator) -> Window:
    node = operator.node
    if isinstance(node, Scale):
        return (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0))
    assert isinstance(node, Convolution | DepthwiseConvolution)
    return node.kernel.shape[: len(node.strides)], node.strides, node.dilation, node.padding


def _two_axes(window: Window) -> Window:
    if len(window[0]) == 2:
        return window
    sizes, strides, dilation, padding = window
    return (1, *sizes), (1, *strides), (1, *dilation), ((0, 0), *padding)


def _as_image(file: FileContents, tensor: Tensor, name: str) -> tuple[int, tuple[int, ...]]:
    """The place of ``tensor`` as (height, width, channels), and that shape."""
    source = file.activation(tensor)
    if len(tensor.shape) == 3:
        return source, tensor.shape
    image = (1, int(np.prod(tensor.shape[:-1], dtype=np.int64)), tensor.shape[-1])
    return file.reshaped(source, tensor, image, f"{name}/{tensor.name}/image"), image


def _image_operator(
    file: FileContents, operator: Operator, call: tuple[str, int, list[int], tuple[str, Any]], reshapes: bool
) -> None:
    """The operator on images; its result under the shape that the network gives it."""
    name, version, inputs, options = call
    output = operator.output
    if not reshapes:
        file.operator(name, version, inputs, file.activation(output), options)
        return
    shape = (1, int(np.prod(output.shape[:-1], dtype=np.int64)), output.shape[-1])
    image = file.tensor(f"{output.name}/image", shape, output.grid)
    file.operator(name, version, inputs, image, options)
    file.reshape(image, file.activation(output), output.shape)


def _padded(
    file: FileContents, source: int, operator: Operator, image: tuple[int, ...], padding: tuple[tuple[int, int], ...],
    lowest: bool = False,
) -> int:  # fmt: skip
    """``image`` with zeros around it, or with the lowest word, which never is a maximum."""
    amounts = padding if len(padding) == 2 else ((0, 0), *padding)
    widened = tuple(size + sum(pair) for size, pair in zip(image, (*amounts, (0, 0)), strict=True))
    grid, name = operator.input.grid, operator.output.name
    target = file.tensor(f"{name}/padded", widened, grid)
    inputs = [source, file.constant(f"{name}/padding", np.array([(0, 0), *amounts, (0, 0)], dtype=np.int32))]
    if lowest:
        fill = np.array([grid.lowest], dtype=grid.dtype)
        inputs.append(file.constant(f"{name}/fill", fill, file.grid(grid)))
        file.operator("PADV2", 2, inputs, target, ("PadV2Options", file.schema.PadV2OptionsT()))
    else:
        version = 2 if grid.bits == 8 else 3
        file.operator("PAD", version, inputs, target, ("PadOptions", file.schema.PadOptionsT()))
    return target


def _bias(file: FileContents, operator: LinearOperator, scale: list[float]) -> int:
    grids = [value * operator.input.grid.scale for value in scale]
    words = operator.bias.astype(np.int32 if operator.input.grid.bits == 8 else np.int64)
    return file.constant(f"{operator.node.name}/bias", words, file.quantization(grids))


def _sum(file: FileContents, operator: Operator) -> None:
    assert isinstance(operator, SumOperator)
    wide = operator.output.grid.bits == 16
    activation = _activation(file, operator.relu)
    make = file.schema.SubOptionsT if operator.subtracts else file.schema.AddOptionsT
    options = make(fusedActivationFunction=activation, potScaleInt16=False)
    name, version = ("SUB", 5 if wide else 2) if operator.subtracts else ("ADD", 3 if wide else 2)
    kind = "SubOptions" if operator.subtracts else "AddOptions"
    _two_inputs(file, operator, (name, version), (kind, options))


def _product(file: FileContents, operator: Operator) -> None:
    assert isinstance(operator, ProductOperator)
    options = file.schema.MulOptionsT(fusedActivationFunction=_activation(file, operator.relu))
    version = 4 if operator.output.grid.bits == 16 else 2
    _two_inputs(file, operator, ("MUL", version), ("MulOptions", options))


def _extreme(file: FileContents, operator: Operator) -> None:
    assert isinstance(operator, ExtremeOperator)
    name = "MAXIMUM" if operator.largest else "MINIMUM"
    version = 2 if operator.output.grid.bits == 8 else 3
    options = ("MaximumMinimumOptions", file.schema.MaximumMinimumOptionsT())
    _two_inputs(file, operator, (name, version), options)


def _two_inputs(file: FileContents, operator: Operator, name: tuple[str, int], options: tuple[str, Any]) -> None:
    inputs = [file.activation(tensor) for tensor in operator.inputs]
    file.operator(*name, inputs, file.activation(operator.output), options)


def _relu(file: FileContents, operator: Operator) -> None:
    version = 2 if operator.output.grid.bits == 8 else 3
    inputs = [file.activation(operator.input)]
    file.operator("RELU", version, inputs, file.activation(operator.output), _NO_OPTIONS)


def _limit(file: FileContents, operator: Operator) -> None:
    assert isinstance(operator, LimitOperator)
    grid = operator.output.grid
    word = np.array([operator.bound + grid.zero_point], dtype=grid.dtype)
    inputs = [file.activation(operator.input), file.constant(f"{operator.output.name}/bound", word, file.grid(grid))]
    options = ("MaximumMinimumOptions", file.schema.MaximumMinimumOptionsT())
    name, version = "MINIMUM" if operator.upper else "MAXIMUM", 2 if grid.bits == 8 else 3
    file.operator(name, version, inputs, file.activation(operator.output), options)


def _reshape(file: FileContents, operator: Operator) -> None:
    file.reshape(file.activation(operator.input), file.activation(operator.output), operator.output.shape)


def _widen(file: FileContents, operator: Operator) -> None:
    """CAST, and the zero point that int16 has not subtracted by an ADD on the same scale (exact)."""
    grid, output = operator.input.grid, operator.output
    kinds = file.schema.TensorType
    cast = file.schema.CastOptionsT(inDataType=kinds.INT8, outDataType=kinds.INT16)
    source = file.activation(operator.input)
    if grid.zero_point == 0:
        file.operator("CAST", 1, [source], file.activation(output), ("CastOptions", cast))
        return
    stored = file.tensor(f"{output.name}/stored", output.shape, output.grid)
    file.operator("CAST", 1, [source], stored, ("CastOptions", cast))
    offset = np.array([-grid.zero_point], dtype=np.int16)
    constant = file.constant(f"{output.name}/offset", offset, file.grid(output.grid))
    options = ("AddOptions", file.schema.AddOptionsT(potScaleInt16=False))
    file.operator("ADD", 3, [stored, constant], file.activation(output), options)


def _join(file: FileContents, operator: Operator) -> None:
    assert isinstance(operator, JoinOperator)
    options = file.schema.ConcatenationOptionsT(axis=operator.axis + 1)
    version = 2 if operator.output.grid.bits == 8 else 3
    _two_inputs(file, operator, ("CONCATENATION", version), ("ConcatenationOptions", options))


def _lookup(file: FileContents, operator: Operator) -> None:
    """CAST to int32, an offset that makes every index count from 0, GATHER."""
    assert isinstance(operator, LookupOperator)
    source, result = operator.input, operator.output
    index = file.tensor(f"{result.name}/word", source.shape, None)
    kinds = file.schema.TensorType
    options = file.schema.CastOptionsT(
        inDataType=kinds.INT8 if source.grid.bits == 8 else kinds.INT16, outDataType=kinds.INT32
    )
    file.operator("CAST", 1, [file.activation(source)], index, ("CastOptions", options))
    offset = -source.grid.zero_point - operator.first
    if offset:
        moved = file.tensor(f"{result.name}/row", source.shape, None)
        constant = file.constant(f"{result.name}/offset", np.array([offset], dtype=np.int32))
        file.operator("ADD", 1, [index, constant], moved, ("AddOptions", file.schema.AddOptionsT()))
        index = moved
    table = file.constant(f"{result.name}/table", operator.table, file.grid(result.grid))
    version = 2 if result.grid.bits == 8 else 4
    gather = file.schema.GatherOptionsT(axis=0)
    file.operator("GATHER", version, [table, index], file.activation(result), ("GatherOptions", gather))


def _move(file: FileContents, operator: Operator) -> None:
    assert isinstance(operator, MoveOperator)
    node, wide = operator.node, operator.output.grid.bits == 16
    if isinstance(node, MaxPool):
        _max_pool(file, operator, node)
        return
    inputs, name = [file.activation(operator.input)], operator.output.name
    if isinstance(node, ZeroPadding):
        amounts = np.array([(0, 0), *node.padding, (0, 0)], dtype=np.int32)
        call = ("PAD", 3 if wide else 2, [amounts], ("PadOptions", file.schema.PadOptionsT()))
    elif isinstance(node, Crop):
        begin = np.array([0, *(first for first, _ in node.cropping), 0], dtype=np.int32)
        size = np.array([-1, *node.shape], dtype=np.int32)
        call = ("SLICE", 4 if wide else 2, [begin, size], ("SliceOptions", file.schema.SliceOptionsT()))
    else:
        assert isinstance(node, Permute)
        order = np.array([0, *(axis + 1 for axis in node.axes)], dtype=np.int32)
        call = ("TRANSPOSE", 4 if wide else 2, [order], ("TransposeOptions", file.schema.TransposeOptionsT()))
    kind, version, constants, options = call
    inputs += [file.constant(f"{name}/argument{k}", content) for k, content in enumerate(constants)]
    file.operator(kind, version, inputs, file.activation(operator.output), options)


def _max_pool(file: FileContents, operator: MoveOperator, node: MaxPool) -> None:
    source, image = _as_image(file, operator.input, node.name)
    window: Window = (node.window, node.strides, (1,) * len(node.strides), node.padding)
    padding = padding_name(image, window)
    if padding is None:
        source = _padded(file, source, operator, image, node.padding, lowest=True)
    sizes, strides, *_ = _two_axes(window)
    options = file.schema.Pool2DOptionsT(
        padding=getattr(file.schema.Padding, padding or "VALID"), strideH=strides[0], strideW=strides[1],
        filterHeight=sizes[0], filterWidth=sizes[1],
    )  # fmt: skip
    version = 3 if operator.output.grid.bits == 16 else 2
    call = ("MAX_POOL_2D", version, [source], ("Pool2DOptions", options))
    _image_operator(file, operator, call, image != operator.input.shape)


def _activation(file: FileContents, relu: bool) -> int:
    kinds = file.schema.ActivationFunctionType
    return int(kinds.RELU if relu else kinds.NONE)


def padding_name(image: tuple[int, ...], window: Window) -> str | None:
    """TFLite's name for a window's padding on ``image`` (height, width, channels); None when there is none."""
    sizes, strides, dilation, padding = _two_axes(window)
    if not any(map(any, padding)):
        return "VALID"
    for length, size, stride, spread, pair in zip(image, sizes, strides, dilation, padding, strict=False):
        count = -(-length // stride)
        total = max((count - 1) * stride + (size - 1) * spread + 1 - length, 0)
        same = (total // 2, total - total // 2)
        if same != tuple(pair) or output_length(length, size, stride, spread, same) != count:
            return None
    return "SAME"


_WRITERS: dict[type[Operator], Callable[[FileContents, Operator], None]] = {
    LinearOperator: _linear,
    SumOperator: _sum,
    ProductOperator: _product,
    ReluOperator: _relu,
    LimitOperator: _limit,
    ExtremeOperator: _extreme,
    ReshapeOperator: _reshape,
    WidenOperator: _widen,
    MoveOperator: _move,
    JoinOperator: _join,
    LookupOperator: _lookup,
}
