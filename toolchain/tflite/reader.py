"""Reads back what a ``.tflite`` file says about itself. Nothing in it is executed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from toolchain.errors import UnsupportedModelError
from toolchain.tflite.schema import load_schema

Content = TypeVar("Content")

_IDENTIFIER = b"TFL3"
_LARGEST_BYTES = 2**31 - 1  # flatbuffers' own limit


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output; ``scale`` and ``zero_point`` are None where it is not quantized."""

    name: str
    tensor: str
    kind: str
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a file says: its ports by signature name in the order in which they are fed, operators in order, and
    metadata by name."""

    description: str
    signature: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: tuple[str, ...]
    metadata: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a file declares of one tensor; ``content`` is a constant's bytes."""

    kind: int
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    content: bytes


def read_summary(path: Path) -> Summary:
    """Read ``path``. Raises UnsupportedModelError when it is not a whole TFLite flatbuffer."""
    return _read(path, _summarize)


def read_tensors(path: Path) -> dict[str, Declaration]:
    """Every tensor's declaration, by name. Raises UnsupportedModelError as ``read_summary`` does."""
    return _read(path, declare_tensors)


def _read(path: Path, take: Callable[[bytes], Content]) -> Content:
    try:
        size = path.stat().st_size
        if size > _LARGEST_BYTES:
            raise _refusal(path, f"is {size} bytes long, more than a flatbuffer can be")
        data = path.read_bytes()
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}") from None
    if len(data) < 16 or data[4:8] != _IDENTIFIER:
        raise _refusal(path, "is not a TFLite file (its identifier is missing)")
    try:
        return take(data)
    except (struct.error, ValueError, TypeError, IndexError, KeyError, AttributeError, MemoryError, OverflowError):
        raise _refusal(path, "is damaged: a table points outside the file or lacks what it must have") from None


def _refusal(path: Path, problem: str) -> UnsupportedModelError:
    return UnsupportedModelError(problem, where=str(path), allowed="a .tflite file", hint="export it again")


def _summarize(data: bytes) -> Summary:
    schema = load_schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    metadata = {}
    for item in model.metadata or ():
        content = model.buffers[item.buffer].data
        metadata[_text(item.name)] = b"" if content is None else bytes(content)
    for tensor in graph.tensors:  # what the file claims to hold must be inside it
        model.buffers[tensor.buffer]
    return Summary(
        description=_text(model.description) if model.description else "",
        signature=_text(signature.signatureKey),
        inputs=tuple(_port(schema, graph, item) for item in _in_order(signature.inputs, graph.inputs)),
        outputs=tuple(_port(schema, graph, item) for item in _in_order(signature.outputs, graph.outputs)),
        operators=tuple(names[codes[operator.opcodeIndex]] for operator in graph.operators),
        metadata=metadata,
    )


def declare_tensors(data: bytes) -> dict[str, Declaration]:
    """The declarations in a flatbuffer that is known to be whole."""
    schema = load_schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    found = {}
    for tensor in model.subgraphs[0].tensors:
        quantization, content = tensor.quantization, model.buffers[tensor.buffer].data
        scale = () if quantization is None or quantization.scale is None else quantization.scale
        zero_point = () if quantization is None or quantization.zeroPoint is None else quantization.zeroPoint
        found[_text(tensor.name)] = Declaration(
            int(tensor.type), tuple(int(n) for n in tensor.shape),
            tuple(float(value) for value in scale), tuple(int(value) for value in zero_point),
            b"" if content is None else bytes(content),
        )  # fmt: skip
    return found


def _in_order(items: Any, tensors: Any) -> list[Any]:
    """A signature lists the ports by name; an interpreter takes them in the order of the graph."""
    places = {int(tensor): place for place, tensor in enumerate(tensors)}
    return sorted(items, key=lambda item: places[int(item.tensorIndex)])


def _port(schema: Any, graph: Any, item: Any) -> Port:
    tensor = graph.tensors[item.tensorIndex]
    kinds = {value: name.lower() for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    quantization = tensor.quantization
    quantized = quantization is not None and quantization.scale is not None and len(quantization.scale) > 0
    return Port(
        name=_text(item.name), tensor=_text(tensor.name), kind=kinds[tensor.type],
        shape=tuple(int(n) for n in tensor.shape),
        scale=float(quantization.scale[0]) if quantized else None,
        zero_point=int(quantization.zeroPoint[0]) if quantized else None,
    )  # fmt: skip


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
