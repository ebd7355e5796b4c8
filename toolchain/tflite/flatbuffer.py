"""An ``IntegerModel`` as a TFLite flatbuffer, written directly: the same model gives the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.tflite.grids import Grid
from toolchain.tflite.operators import IntegerModel, Tensor
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


def to_bytes(model: IntegerModel, metadata: Mapping[str, bytes] | None = None) -> bytes:
    """The flatbuffer: integers in and out, one signature ``serving_default`` with the network's port names."""
    from toolchain.tflite.flatbuffer_operators import add_operator

    contents = FileContents(load_schema())
    for port in model.inputs:
        contents.activation(port.tensor)
    for operator in model.operators:
        add_operator(contents, operator)
    return contents.finish(model, metadata or {})


@dataclass
class FileContents:
    """Collects tensors, constants and operators; activations have their network node's name."""

    schema: Any
    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [AlignedBuffer()])
    operators: list[Any] = field(default_factory=list)
    codes: list[tuple[int, int]] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def finish(self, model: IntegerModel, metadata: Mapping[str, bytes]) -> bytes:
        """The bytes of everything collected, with ``model``'s ports."""
        import flatbuffers  # type: ignore[import-untyped]

        packed = self._model(model, metadata)
        builder = flatbuffers.Builder(1024)
        builder.Finish(packed.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _model(self, model: IntegerModel, metadata: Mapping[str, bytes]) -> Any:
        schema = self.schema
        inputs = [(port.name, self.places[port.tensor.name]) for port in model.inputs]
        outputs = [(port.name, self.places[port.tensor.name]) for port in model.outputs]
        graph = schema.SubGraphT(
            tensors=self.tensors, inputs=[place for _, place in inputs], outputs=[place for _, place in outputs],
            operators=self.operators, name="main",
        )  # fmt: skip
        signature = schema.SignatureDefT(
            inputs=[schema.TensorMapT(name, place) for name, place in inputs],
            outputs=[schema.TensorMapT(name, place) for name, place in outputs],
            signatureKey=SIGNATURE,
        )
        entries = []
        for name, content in metadata.items():
            self.buffers.append(AlignedBuffer(content))
            entries.append(schema.MetadataT(name, len(self.buffers) - 1))
        codes = [
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), version=version, builtinCode=code)
            for code, version in self.codes
        ]
        return schema.ModelT(
            version=_SCHEMA_VERSION, operatorCodes=codes, subgraphs=[graph], description=model.name,
            buffers=self.buffers, signatureDefs=[signature], metadata=entries,
        )  # fmt: skip

    def operator(self, name: str, version: int, inputs: list[int], output: int, options: tuple[str, Any]) -> None:
        """``options``: the name of the table of options (or NONE) and the table."""
        code = (getattr(self.schema.BuiltinOperator, name), version)
        if code not in self.codes:
            self.codes.append(code)
        kind, table = options
        self.operators.append(
            self.schema.OperatorT(
                opcodeIndex=self.codes.index(code),
                inputs=inputs,
                outputs=[output],
                builtinOptionsType=getattr(self.schema.BuiltinOptions, kind),
                builtinOptions=table,
            )
        )

    def activation(self, tensor: Tensor) -> int:
        """The tensor's place; made when it is met first."""
        if tensor.name not in self.places:
            self.places[tensor.name] = self.tensor(tensor.name, tensor.shape, tensor.grid)
        return self.places[tensor.name]

    def tensor(self, name: str, shape: tuple[int, ...], grid: Grid | None) -> int:
        """An activation; without a grid, int32."""
        kinds = self.schema.TensorType
        kind = kinds.INT32 if grid is None else kinds.INT8 if grid.bits == 8 else kinds.INT16
        self.tensors.append(
            self.schema.TensorT(
                shape=[1, *shape],
                shapeSignature=[-1, *shape],
                type=kind,
                buffer=0,
                name=name,
                quantization=self.grid(grid) if grid else None,
                hasRank=True,
            )
        )
        return len(self.tensors) - 1

    def constant(self, name: str, data: NDArray[Any], quantization: Any = None) -> int:
        kinds = self.schema.TensorType
        known = {np.int8: kinds.INT8, np.int16: kinds.INT16, np.int32: kinds.INT32, np.int64: kinds.INT64}
        order = data.astype(data.dtype.newbyteorder("<"))
        self.buffers.append(AlignedBuffer(np.ascontiguousarray(order).tobytes()))
        self.tensors.append(
            self.schema.TensorT(
                shape=list(data.shape),
                type=known[data.dtype.type],
                buffer=len(self.buffers) - 1,
                name=name,
                quantization=quantization,
                hasRank=True,
            )
        )
        return len(self.tensors) - 1

    def quantization(self, scale: list[float], dimension: int = 0) -> Any:
        zeros = [0] * len(scale)
        return self.schema.QuantizationParametersT(scale=scale, zeroPoint=zeros, quantizedDimension=dimension)

    def grid(self, grid: Grid) -> Any:
        return self.schema.QuantizationParametersT(scale=[grid.scale], zeroPoint=[grid.zero_point])

    def reshape(self, source: int, target: int, shape: tuple[int, ...]) -> None:
        wanted = np.array([-1, *shape], dtype=np.int32)
        table = self.constant(f"{self.tensors[target].name}/shape", wanted)
        chosen = ("ReshapeOptions", self.schema.ReshapeOptionsT(newShape=wanted.tolist()))
        self.operator("RESHAPE", 1, [source, table], target, chosen)

    def reshaped(self, source: int, tensor: Tensor, shape: tuple[int, ...], name: str) -> int:
        """``tensor`` at ``source`` under another shape."""
        target = self.tensor(name, shape, tensor.grid)
        self.reshape(source, target, shape)
        return target
