"""An ``Int8Model`` as a TFLite flatbuffer, written directly: the same model gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.network.nodes import Convolution, Dense
from toolchain.network.windows import output_length
from toolchain.tflite.operators import (
    Int8Model,
    LimitOperator,
    LinearOperator,
    Operator,
    ReluOperator,
    ReshapeOperator,
    Tensor,
)
from toolchain.tflite.schema import load_schema

SIGNATURE = "serving_default"
_SCHEMA_VERSION = 3
_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # what the schema demands of buffers; kernels load int32 biases and SIMD lanes from them


class AlignedBuffer:
    """A constant's bytes. The generated ``BufferT`` would not keep the schema's alignment."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data

    def Pack(self, builder: Any) -> Any:  # noqa: N802 - the name that the generated code calls
        schema = load_schema()
        if not self.data:
            schema.BufferStart(builder)
            return schema.BufferEnd(builder)
        builder.StartVector(1, len(self.data), _ALIGNMENT)
        builder.head = int(builder.head) - len(self.data)
        builder.Bytes[builder.head : builder.head + len(self.data)] = self.data
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def to_bytes(model: Int8Model, metadata: Mapping[str, bytes] | None = None) -> bytes:
    """The flatbuffer: int8 in and out, one signature ``serving_default`` with the network's port names."""
    return _Writer(load_schema()).write(model, metadata or {})


@dataclass
class _Writer:
    """Collects tensors, constants and operators; activations have their network node's name."""

    schema: Any
    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [AlignedBuffer()])
    operators: list[Any] = field(default_factory=list)
    codes: list[tuple[int, int]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def write(self, model: Int8Model, metadata: Mapping[str, bytes]) -> bytes:
        import flatbuffers  # type: ignore[import-untyped]

        self.activation(model.input)
        for operator in model.operators:
            self.add(operator)
        packed = self._model(model, metadata)
        builder = flatbuffers.Builder(1024)
        builder.Finish(packed.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _model(self, model: Int8Model, metadata: Mapping[str, bytes]) -> Any:
        schema = self.schema
        first, last = self.places[model.input.name], self.places[model.output.name]
        graph = schema.SubGraphT(
            tensors=self.tensors, inputs=[first], outputs=[last], operators=self.operators, name="main"
        )
        signature = schema.SignatureDefT(
            inputs=[schema.TensorMapT(model.input_name, first)],
            outputs=[schema.TensorMapT(model.output_name, last)],
            signatureKey=SIGNATURE,
        )
        entries = []
        for name, content in metadata.items():
            self.buffers.append(AlignedBuffer(content))
            entries.append(schema.MetadataT(name, len(self.buffers) - 1))
        codes = [
            schema.OperatorCodeT(deprecatedBuiltinCode=code, version=version, builtinCode=code)
            for code, version in self.codes
        ]
        return schema.ModelT(
            version=_SCHEMA_VERSION, operatorCodes=codes, subgraphs=[graph], description=model.name,
            buffers=self.buffers, signatureDefs=[signature], metadata=entries,
        )  # fmt: skip

    def add(self, operator: Operator) -> None:
        options = self.schema.BuiltinOptions
        source = self.places[operator.input.name]
        if isinstance(operator, LinearOperator):
            if isinstance(operator.node, Dense):
                self._dense(operator, source)
            else:
                self._convolution(operator, operator.node, source)
        elif isinstance(operator, ReluOperator):
            self._operator("RELU", 2, [source], self.activation(operator.output), (options.NONE, None))
        elif isinstance(operator, LimitOperator):
            name = "MINIMUM" if operator.upper else "MAXIMUM"
            word = np.array([operator.bound + operator.output.grid.zero_point], dtype=np.int8)
            bound = self.constant(f"{operator.output.name}/bound", word, self._grid(operator.output))
            chosen = (options.MaximumMinimumOptions, self.schema.MaximumMinimumOptionsT())
            self._operator(name, 2, [source, bound], self.activation(operator.output), chosen)
        else:
            assert isinstance(operator, ReshapeOperator)
            self._reshape(source, self.activation(operator.output), operator.output.shape)

    def _dense(self, operator: LinearOperator, source: int) -> None:
        name = operator.node.name
        keep = len(operator.input.shape) > 1
        scale = [2.0 ** -operator.kernel_bits[0]]
        kernel = self.constant(f"{name}/kernel", operator.kernel.T, self._quantization(scale, 0))
        bias = self._bias(operator, scale)
        options = self.schema.FullyConnectedOptionsT(
            fusedActivationFunction=self._activation_code(operator), keepNumDims=keep
        )
        chosen = (self.schema.BuiltinOptions.FullyConnectedOptions, options)
        version = 5 if keep else 4
        target = self.activation(operator.output)
        self._operator("FULLY_CONNECTED", version, [source, kernel, bias], target, chosen)

    def _convolution(self, operator: LinearOperator, node: Convolution, source: int) -> None:
        """CONV_2D; a sequence becomes an image of height 1."""
        flat = len(node.strides) == 1
        window = operator.kernel[None] if flat else operator.kernel
        strides, dilation = ((1, *node.strides), (1, *node.dilation)) if flat else (node.strides, node.dilation)
        if flat:
            source = self._reshaped(source, operator.input, "image")
        padding = padding_name(operator)
        if padding is None:
            source = self._padded(source, operator, flat)
        scale = [2.0**-bits for bits in operator.kernel_bits]
        stored = np.ascontiguousarray(np.moveaxis(window, -1, 0))
        kernel = self.constant(f"{node.name}/kernel", stored, self._quantization(scale, 0))
        bias = self._bias(operator, scale)
        options = self.schema.Conv2DOptionsT(
            padding=getattr(self.schema.Padding, padding or "VALID"), strideH=strides[0], strideW=strides[1],
            dilationHFactor=dilation[0], dilationWFactor=dilation[1],
            fusedActivationFunction=self._activation_code(operator),
        )  # fmt: skip
        chosen = (self.schema.BuiltinOptions.Conv2DOptions, options)
        if not flat:
            self._operator("CONV_2D", 3, [source, kernel, bias], self.activation(operator.output), chosen)
            return
        image = self._tensor(f"{operator.output.name}/image", (1, *operator.output.shape), operator.output)
        self._operator("CONV_2D", 3, [source, kernel, bias], image, chosen)
        self._reshape(image, self.activation(operator.output), operator.output.shape)

    def _reshaped(self, source: int, tensor: Tensor, suffix: str) -> int:
        shape = (1, *tensor.shape)
        target = self._tensor(f"{tensor.name}/{suffix}", shape, tensor)
        self._reshape(source, target, shape)
        return target

    def _padded(self, source: int, operator: LinearOperator, flat: bool) -> int:
        node = operator.node
        assert isinstance(node, Convolution)
        shape = (1, *operator.input.shape) if flat else operator.input.shape
        amounts = ((0, 0), *node.padding) if flat else node.padding
        widened = tuple(size + sum(pair) for size, pair in zip(shape, (*amounts, (0, 0)), strict=True))
        target = self._tensor(f"{node.name}/padded", widened, operator.input)
        table = self.constant(f"{node.name}/padding", np.array([(0, 0), *amounts, (0, 0)], dtype=np.int32))
        chosen = (self.schema.BuiltinOptions.PadOptions, self.schema.PadOptionsT())
        self._operator("PAD", 2, [source, table], target, chosen)
        return target

    def _reshape(self, source: int, target: int, shape: tuple[int, ...]) -> None:
        wanted = np.array([-1, *shape], dtype=np.int32)
        table = self.constant(f"{self.tensors[target].name}/shape", wanted)
        chosen = (self.schema.BuiltinOptions.ReshapeOptions, self.schema.ReshapeOptionsT(newShape=wanted.tolist()))
        self._operator("RESHAPE", 1, [source, table], target, chosen)

    def _operator(self, name: str, version: int, inputs: list[int], output: int, options: tuple[int, Any]) -> None:
        code = (getattr(self.schema.BuiltinOperator, name), version)
        if code not in self.codes:
            self.codes.append(code)
        self.operators.append(
            self.schema.OperatorT(
                opcodeIndex=self.codes.index(code),
                inputs=inputs,
                outputs=[output],
                builtinOptionsType=options[0],
                builtinOptions=options[1],
            )
        )

    def activation(self, tensor: Tensor) -> int:
        """The tensor's place; made when it is met first."""
        if tensor.name not in self.places:
            self.places[tensor.name] = self._tensor(tensor.name, tensor.shape, tensor)
        return self.places[tensor.name]

    def _tensor(self, name: str, shape: tuple[int, ...], like: Tensor) -> int:
        self.tensors.append(
            self.schema.TensorT(
                shape=[1, *shape],
                shapeSignature=[-1, *shape],
                type=self.schema.TensorType.INT8,
                buffer=0,
                name=name,
                quantization=self._grid(like),
                hasRank=True,
            )
        )
        return len(self.tensors) - 1

    def constant(self, name: str, data: NDArray[Any], quantization: Any = None) -> int:
        kinds = {np.dtype(np.int8): self.schema.TensorType.INT8, np.dtype(np.int32): self.schema.TensorType.INT32}
        order = data.astype(data.dtype.newbyteorder("<"))
        self.buffers.append(AlignedBuffer(np.ascontiguousarray(order).tobytes()))
        self.tensors.append(
            self.schema.TensorT(
                shape=list(data.shape),
                type=kinds[data.dtype],
                buffer=len(self.buffers) - 1,
                name=name,
                quantization=quantization,
                hasRank=True,
            )
        )
        return len(self.tensors) - 1

    def _bias(self, operator: LinearOperator, scale: list[float]) -> int:
        grids = [value * operator.input.grid.scale for value in scale]
        return self.constant(f"{operator.node.name}/bias", operator.bias, self._quantization(grids, 0))

    def _quantization(self, scale: list[float], dimension: int) -> Any:
        zeros = [0] * len(scale)
        return self.schema.QuantizationParametersT(scale=scale, zeroPoint=zeros, quantizedDimension=dimension)

    def _grid(self, tensor: Tensor) -> Any:
        grid = tensor.grid
        return self.schema.QuantizationParametersT(scale=[grid.scale], zeroPoint=[grid.zero_point])

    def _activation_code(self, operator: LinearOperator) -> int:
        kinds = self.schema.ActivationFunctionType
        return int(kinds.RELU if operator.relu else kinds.NONE)


def padding_name(operator: LinearOperator) -> str | None:
    """TFLite's name for the convolution's padding; None when only a PAD operator can express it."""
    node = operator.node
    assert isinstance(node, Convolution)
    if not any(map(any, node.padding)):
        return "VALID"
    window = node.kernel.shape[: len(node.strides)]
    for axis, (length, size) in enumerate(zip(operator.input.shape, window, strict=False)):
        stride, spread = node.strides[axis], node.dilation[axis]
        count = -(-length // stride)
        total = max((count - 1) * stride + (size - 1) * spread + 1 - length, 0)
        pair = (total // 2, total - total // 2)
        if pair != tuple(node.padding[axis]) or output_length(length, size, stride, spread, pair) != count:
            return None
    return "SAME"
