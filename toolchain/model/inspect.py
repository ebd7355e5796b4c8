"""What a Keras file holds, read from its JSON alone: no code of the file runs, TensorFlow is not imported."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import ProjectError, UnsupportedModelError

#: A configuration larger than this is no model that fits an FPGA (and may be a decompression bomb).
LARGEST_CONFIG_BYTES = 16 * 2**20
#: Packages and subpackages whose classes a configuration may name. Others (keras.utils, keras.config …) can do harm.
_PACKAGES = ("keras", "tf_keras", "tensorflow.keras")
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
    )
)


@dataclass(frozen=True)
class KerasFile:
    """A model file's layers (class name, Keras config) in order, and the Keras major version that wrote it."""

    path: Path
    version: int
    class_name: str
    layers: tuple[tuple[str, dict[str, Any]], ...]


def read_keras_file(path: Path, allow_custom_code: bool = False) -> KerasFile:
    """Read ``path`` (.keras, .h5, .hdf5).

    Raises ProjectError when there is no such file, UnsupportedModelError when it is not a Keras model, holds custom
    code, or is not a chain of layers.
    """
    if not path.exists():
        raise ProjectError("no such file", where=f"[model] file: {path}")
    config, version = _read_config(path)
    class_name = str(config.get("class_name"))
    if not allow_custom_code:
        _refuse_custom_code({key: value for key, value in config.items() if key != "compile_config"}, path)
    if class_name not in ("Sequential", "Functional", "Model"):
        raise UnsupportedModelError(
            f"holds a {class_name}", where=str(path), allowed="a Sequential or Functional model",
            hint="a subclassed model has no layer list: rebuild it with the functional API",
        )  # fmt: skip
    inner = config.get("config")
    items = inner.get("layers") if isinstance(inner, dict) else inner  # Keras 2.2 kept a bare list
    if not isinstance(items, list) or not items:
        raise UnsupportedModelError("holds no layers", where=str(path))
    layers = tuple(_layer_of(item, path) for item in items)
    if class_name != "Sequential":
        _require_chain(items, inner if isinstance(inner, dict) else {}, path)
    return KerasFile(path, version, class_name, layers)


def _layer_of(item: Any, path: Path) -> tuple[str, dict[str, Any]]:
    if isinstance(item, dict) and isinstance(item.get("class_name"), str) and isinstance(item.get("config"), dict):
        return item["class_name"], item["config"]
    raise UnsupportedModelError("is not a Keras model: a layer has no class or no configuration", where=str(path))


def _read_config(path: Path) -> tuple[dict[str, Any], int]:
    try:
        text, version = _read_zip(path) if zipfile.is_zipfile(path) else _read_h5(path)
        config = json.loads(text)
        major = int(version.split(".")[0])
    except (OSError, KeyError, ValueError, TypeError, RecursionError, NotImplementedError, RuntimeError) as error:
        raise _not_a_model(path, str(error)) from None
    except zipfile.BadZipFile as error:
        raise _not_a_model(path, str(error)) from None
    if not isinstance(config, dict):
        raise _not_a_model(path, "its configuration is not a table")
    return config, major


def _read_zip(path: Path) -> tuple[str, str]:
    with zipfile.ZipFile(path) as archive:
        for name in ("config.json", "metadata.json"):
            if archive.getinfo(name).file_size > LARGEST_CONFIG_BYTES:
                raise ValueError(f"{name} is larger than {LARGEST_CONFIG_BYTES} bytes")
        metadata = json.loads(archive.read("metadata.json"))
        return archive.read("config.json").decode(), str(metadata["keras_version"])


def _read_h5(path: Path) -> tuple[str, str]:
    import h5py

    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError("it holds no model_config; files with weights alone cannot be used")
        text, version = file.attrs["model_config"], file.attrs.get("keras_version", "2")
    return _decoded(text), _decoded(version)


def _decoded(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _not_a_model(path: Path, why: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"is not a Keras model: {why[:200]}", where=str(path), allowed="a .keras or .h5 file saved by model.save()"
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
    plain_function = name == "function" and item.get("config") in ("relu", "linear")
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


def _require_chain(items: list[Any], config: dict[str, Any], path: Path) -> None:
    previous = ""
    for item in items:
        sources = _histories(item.get("inbound_nodes", []))
        name = str(item.get("name", item["config"].get("name", "")))
        if item["class_name"] == "InputLayer":
            if previous:
                raise UnsupportedModelError("has several inputs", where=str(path), allowed="one input, a plain chain")
        elif sources != [previous]:
            raise UnsupportedModelError(
                f"reads {', '.join(sources) or 'nothing'} and not just the layer before it",
                where=f"{path}: layer '{name}'", allowed="a plain chain of layers, each used once",
            )  # fmt: skip
        previous = name
    outputs = _histories(config.get("output_layers", []))
    if outputs != [previous]:
        raise UnsupportedModelError(
            f"gives out {', '.join(outputs) or 'nothing'}", where=str(path), allowed=f"the last layer's, '{previous}'"
        )


def _histories(nodes: Any) -> list[str]:
    """The names of the layers that a layer reads, in Keras 3's and Keras 2's spelling."""
    if isinstance(nodes, dict):
        if "keras_history" in nodes:
            return [str(nodes["keras_history"][0])]
        return [name for value in nodes.values() for name in _histories(value)]
    if isinstance(nodes, list):
        if len(nodes) >= 3 and isinstance(nodes[0], str) and isinstance(nodes[1], int) and isinstance(nodes[2], int):
            return [nodes[0]]
        return [name for value in nodes for name in _histories(value)]
    return []
