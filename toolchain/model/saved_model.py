"""The layers of a Keras 2 SavedModel, read from ``keras_metadata.pb`` without TensorFlow.

The file is a protocol buffer: repeated field 1 is an object with field 3 its path and field 5 its metadata as JSON
(tf_keras/protobuf/saved_metadata.proto). Only those are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

LARGEST_METADATA_BYTES = 64 * 2**20


def read_saved_model(folder: Path) -> tuple[str, str]:
    """The model's configuration as JSON text, and the Keras version. Raises ValueError where there is none."""
    file = folder / "keras_metadata.pb"
    if not file.is_file():
        raise ValueError(
            "the folder has no keras_metadata.pb: model.export() keeps no layers; use model.save('m.keras')"
        )
    if file.stat().st_size > LARGEST_METADATA_BYTES:
        raise ValueError(f"keras_metadata.pb is larger than {LARGEST_METADATA_BYTES} bytes")
    for number, node in _fields(file.read_bytes()):
        if number != 1 or not isinstance(node, bytes):
            continue
        inner = {key: value for key, value in _fields(node) if isinstance(value, bytes)}
        if inner.get(3) == b"root":
            metadata = json.loads(inner[5].decode())
            text = json.dumps({"class_name": metadata["class_name"], "config": metadata["config"]})
            return text, "2"
    raise ValueError("keras_metadata.pb names no model")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protocol buffer message: numbers for varints, bytes for what has a length."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield key >> 3, value
        elif kind == 2:
            size, place = _varint(data, place)
            if place + size > len(data):
                raise ValueError("a field is longer than its message")
            yield key >> 3, data[place : place + size]
            place += size
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("a number does not end")
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
