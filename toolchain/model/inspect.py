"""What a Keras file holds, read from its JSON alone: no code of the file runs, TensorFlow is not imported."""

from __future__ import annotations

import json
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.model.layer_rules import TABLE_FUNCTIONS
from toolchain.model.saved_model import read_saved_model
from toolchain.model.wiring import Wiring, read_wiring

#: A configuration larger than this is no model that fits an FPGA (and may be a decompression bomb).
LARGEST_CONFIG_BYTES = 16 * 2**20
#: Packages and subpackages whose classes a configuration may name. Others (keras.utils, keras.config …) can do harm.
_PACKAGES = ("keras", "tf_keras", "tensorflow.keras", "qkeras")
_SUBPACKAGES = frozenset(
    (
        "activations",
        "constraints",
        "dtype_policies",
        "engine",
        "initializers",
        "layers",
        "models",
        "regularizers",
        "src",
        "qconvolutional",
        "qlayers",
        "qnormalization",
        "qpooling",
        "qrecurrent",
        "quantizers",
    )
)

#: Functions by name that are Keras' own activations: the name is all that a file holds of them.
_FUNCTIONS = ("relu", "linear", "softmax", *TABLE_FUNCTIONS)


#: What damaged files make json, zipfile and h5py raise, and a missing entry. RuntimeError is an encrypted entry, and of
#: its kinds a packing that zipfile does not know and a text nested too deeply; decompressors have errors of their own.
_UNREADABLE = (
    OSError, EOFError, KeyError, ValueError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True)
class KerasFile:
    """What a model file says of its layers, and the Keras major version that wrote it."""

    path: Path
    version: int
    class_name: str
    config: Any
    wiring: Wiring

    @property
    def layers(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Class name and configuration of every layer, nested models unfolded."""
        return tuple((layer.kind, dict(layer.config)) for layer in self.wiring.layers.values())


def read_keras_file(path: Path, allow_custom_code: bool = False) -> KerasFile:
    """Read ``path`` (.keras, .h5, .hdf5, a SavedModel folder, or the .json of ``model.to_json()``).

    Raises ProjectError when there is no such file, UnsupportedModelError when it is not a Keras model or holds custom
    code.
    """
    if not path.exists():
        raise ProjectError("no such file", where=f"[model] file: {path}")
    config, version = _read_config(path)
    class_name = str(config.get("class_name"))
    if not allow_custom_code:
        _refuse_custom_code({key: value for key, value in config.items() if key != "compile_config"}, path)
    wiring = read_wiring(class_name, config.get("config"), str(path))
    return KerasFile(path, version, class_name, config, wiring)


def _read_config(path: Path) -> tuple[dict[str, Any], int]:
    try:
        text, version = _read_text(path)
        config = _table(text)
        major = int(version.split(".")[0])
    except _UNREADABLE as error:
        raise _not_a_model(path, str(error)) from None
    return config, major


def _table(text: str | bytes) -> dict[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("its configuration is not a table")
    return found


def _read_text(path: Path) -> tuple[str, str]:
    if path.is_dir():
        return read_saved_model(path)
    if path.suffix == ".json":
        if path.stat().st_size > LARGEST_CONFIG_BYTES:
            raise ValueError(f"it is larger than {LARGEST_CONFIG_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
        return text, str(_table(text).get("keras_version", "3"))  # only Keras 2 writes its version
    return _read_zip(path) if zipfile.is_zipfile(path) else _read_h5(path)


def _read_zip(path: Path) -> tuple[str, str]:
    with zipfile.ZipFile(path) as archive:
        for name in ("config.json", "metadata.json"):
            if archive.getinfo(name).file_size > LARGEST_CONFIG_BYTES:
                raise ValueError(f"{name} is larger than {LARGEST_CONFIG_BYTES} bytes")
        metadata = _table(archive.read("metadata.json"))
        return archive.read("config.json").decode(), str(metadata["keras_version"])


def _read_h5(path: Path) -> tuple[str, str]:
    import h5py

    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError(
                "it holds weights alone; give the .json of model.to_json() as file, and this one as weights"
            )
        text, version = file.attrs["model_config"], file.attrs.get("keras_version", "2")
    return _decoded(text), _decoded(version)


def _decoded(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _not_a_model(path: Path, why: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"is not a Keras model: {why[:200]}",
        where=str(path),
        allowed="what model.save() writes: .keras, .h5, a SavedModel of Keras 2; or the .json of model.to_json()",
    )


def _refuse_custom_code(config: Any, path: Path) -> None:
    """Refuse everything that is not plain Keras: Lambda, functions, registered names, modules of other packages."""
    pending: list[tuple[Any, str]] = [(config, "")]
    while pending:
        item, layer = pending.pop()
        if isinstance(item, list):
            pending += [(element, layer) for element in item]
        if not isinstance(item, dict):
            continue
        inner = item.get("config")
        if not layer and isinstance(inner, dict) and "layers" not in inner:
            layer = str(inner.get("name", ""))
        if _is_custom(item):
            found = f"{item.get('class_name')}, {item.get('registered_name') or item.get('module') or 'code'}"
            raise UnsupportedModelError(
                f"holds custom code ({found}); it was not run", where=f"{path}: layer '{layer or item['class_name']}'",
                allowed="Keras' own layers, initializers, regularizers and constraints",
                hint="replace it by standard layers; model.allow_custom_code = true lets a trusted file's code run, "
                "its layers must still be supported ones",
            )  # fmt: skip
        pending += [(element, layer) for element in item.values()]


def _is_custom(item: dict[str, Any]) -> bool:
    if "class_name" not in item or item["class_name"] in ("__tuple__", "__keras_tensor__"):
        return False
    name, registered = str(item["class_name"]), str(item.get("registered_name") or "")
    plain_function = name == "function" and item.get("config") in _FUNCTIONS
    if name in ("Lambda", "__lambda__", "function", "__bytes__", "__typespec__") and not plain_function:
        return True
    module = str(item.get("module") or "keras")
    return ">" in name or ">" in registered or not (_is_keras(module) or (plain_function and module == "builtins"))


def _is_keras(module: str) -> bool:
    for package in _PACKAGES:
        if module == package:
            return True
        if module.startswith(f"{package}."):
            return module.removeprefix(f"{package}.").split(".")[0] in _SUBPACKAGES
    return False
