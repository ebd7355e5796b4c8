"""One file for a ``FixedPointNetwork``: ``network.json`` and the integer arrays in a zip, reproducible to the byte."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network import nodes as operators
from toolchain.network.nodes import FixedPointNetwork, Node

FORMAT_VERSION = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)
#: What zipfile, json and numpy raise on a file that was cut or changed anywhere. RuntimeError: flagged as encrypted, or
#: of a compression or version that does not exist.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, LookupError, AttributeError, TypeError,
    AssertionError, json.JSONDecodeError,
)  # fmt: skip
_KINDS: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in vars(operators).values()
    if isinstance(kind, type) and issubclass(kind, Node) and kind not in (Node, operators.Linear, operators.Merge)
}


def save(network: FixedPointNetwork, path: Path) -> None:
    """Write ``network`` to ``path``. The same network gives the same bytes."""
    path.write_bytes(to_bytes(network))


def digest(network: FixedPointNetwork) -> str:
    """SHA-256 of the network's bytes: names two equal networks the same."""
    return hashlib.sha256(to_bytes(network)).hexdigest()


def load(path: Path) -> FixedPointNetwork:
    """Read a network written by ``save``. Raises ValueError when the file is not one."""
    try:
        with zipfile.ZipFile(path) as archive:
            text = json.loads(archive.read("network.json"))
            if text["format_version"] != FORMAT_VERSION:
                found = text["format_version"]
                raise ValueError(f"{path}: format version {found}, this version reads {FORMAT_VERSION}")
            nodes = [_decode_node(item, archive) for item in text["nodes"]]
        return FixedPointNetwork(name=text["name"], nodes=tuple(nodes), outputs=tuple(text["outputs"]))
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        raise ValueError(f"{path}: not a fixed-point network: {error}") from error


def to_bytes(network: FixedPointNetwork) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        items = [_encode_node(node, archive) for node in network.nodes]
        text = {
            "format_version": FORMAT_VERSION,
            "name": network.name,
            "outputs": list(network.outputs),
            "nodes": items,
        }
        archive.writestr(zipfile.ZipInfo("network.json", _EPOCH), json.dumps(text, indent=1))
    return buffer.getvalue()


def _encode_node(node: Node, archive: zipfile.ZipFile) -> dict[str, Any]:
    item: dict[str, Any] = {"kind": type(node).__name__}
    for entry in fields(node):
        value = getattr(node, entry.name)
        if isinstance(value, np.ndarray):
            member = f"{node.name}.{entry.name}.npy"
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(value), allow_pickle=False)  # equal words, equal bytes
            archive.writestr(zipfile.ZipInfo(member, _EPOCH), buffer.getvalue())
            value = {"array": member}
        elif isinstance(value, FixedPoint):
            modes = [value.rounding, value.overflow]
            value = {"format": [value.signed, value.integer_bits, value.fractional_bits, *modes]}
        item[entry.name] = value
    return item


def _decode_node(item: dict[str, Any], archive: zipfile.ZipFile) -> Node:
    kind = _KINDS[item.pop("kind")]
    return kind(**{name: _decode(value, archive) for name, value in item.items()})


def _decode(value: Any, archive: zipfile.ZipFile) -> Any:
    if isinstance(value, list):
        return tuple(_decode(element, archive) for element in value)
    if isinstance(value, dict) and "array" in value:
        return np.load(io.BytesIO(archive.read(value["array"])), allow_pickle=False)
    if isinstance(value, dict):
        signed, integer_bits, fractional_bits, rounding, overflow = value["format"]
        return FixedPoint(signed, integer_bits, fractional_bits, Rounding(rounding), Overflow(overflow))
    return value
