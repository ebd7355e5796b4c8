"""What an ARM user needs beside the int8 file: a C array for TFLite Micro, and what the file is, in JSON."""

from __future__ import annotations

import gzip
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toolchain.network import storage
from toolchain.network.nodes import FixedPointNetwork
from toolchain.results import DataResult
from toolchain.tflite.flatbuffer import SIGNATURE

C_ARRAY = "model_data.h"
_COLUMNS = 20


def write_c_array(model: Path, file: Path) -> None:
    """Write the bytes of ``model`` as a C array, aligned as TFLite Micro needs it."""
    content = model.read_bytes()
    rows = [", ".join(map(str, content[start : start + _COLUMNS])) for start in range(0, len(content), _COLUMNS)]
    lines = [
        f"/* {model.name}, {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()} */",
        "#ifndef MODEL_DATA_H", "#define MODEL_DATA_H", f"#define MODEL_DATA_SIZE {len(content)}",
        "#ifdef __cplusplus", "alignas(16)", "#else", "_Alignas(16)", "#endif",
        "static const unsigned char model_data[MODEL_DATA_SIZE] = {", *(f"  {row}," for row in rows), "};",
        "#endif", "",
    ]  # fmt: skip
    file.write_text("\n".join(lines), encoding="ascii")


def file_metadata(network: FixedPointNetwork, data: DataResult) -> dict[str, bytes]:
    """What an integer file says of itself, by the name of its metadata entry: where it came from and what it means."""
    stored = json.dumps({"toolchain": version("toolchain"), **_meaning(data)}, separators=(",", ":"), sort_keys=True)
    return {"network_sha256": storage.digest(network).encode(), "toolchain": stored.encode()}


def _meaning(data: DataResult) -> dict[str, Any]:
    """The training data's hash, the features that go in, and how a result is read."""
    return {
        "sha256": data.sha256, "source": data.source, "task": data.task, "unit": data.unit,
        "features": list(data.feature_names),
        "result": {"value": "output * scale + offset", "scale": data.y_scale, "offset": data.y_offset},
        **({"outputs": [port.model_dump(mode="json") for port in data.targets]} if data.targets else {}),
    }  # fmt: skip


def add_metadata(description: Path, model: Path, data: DataResult) -> None:
    """Add to ``model.int8.json``: signature, sizes, SHA-256, what the values mean, and the licences of the parts."""
    content: dict[str, Any] = json.loads(description.read_text(encoding="utf-8"))
    stored = model.read_bytes()
    content["file"] = {
        "name": model.name, "size_bytes": len(stored), "gzip_bytes": len(gzip.compress(stored, 9, mtime=0)),
        "sha256": hashlib.sha256(stored).hexdigest(), "signature": SIGNATURE,
    }  # fmt: skip
    content["data"] = _meaning(data)
    content["toolchain"] = version("toolchain")
    content["licenses"] = {
        model.name: "the project's own: weights and structure, no code",
        "runners": "the toolchain's licence; LiteRT and TFLite Micro, which they call, are Apache-2.0",
        "plain_c": "the toolchain's licence; uses the C library's memcpy and nothing else",
        "test_vectors.npz": "that of the data",
    }
    description.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
