"""What a Keras file holds, read from its JSON alone: no code of the file runs, TensorFlow is not imported."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import ToolchainError, UnsupportedModelError

SUPPORTED = (
    "InputLayer", "Dense", "Conv1D", "ReLU", "Activation('relu' or 'linear')", "Flatten", "BatchNormalization",
    "Dropout",
)  # fmt: skip
_KINDS = {"InputLayer", "Dense", "Conv1D", "ReLU", "Activation", "Flatten", "BatchNormalization", "Dropout"}
_CPP_WORDS = frozenset(
    [
        "alignas",
        "alignof",
        "and",
        "asm",
        "auto",
        "bitand",
        "bitor",
        "bool",
        "break",
        "case",
        "catch",
        "char",
        "class",
        "compl",
        "concept",
        "const",
        "continue",
        "decltype",
        "default",
        "delete",
        "do",
        "double",
        "else",
        "enum",
        "explicit",
        "export",
        "extern",
        "false",
        "float",
        "for",
        "friend",
        "goto",
        "if",
        "inline",
        "int",
        "long",
        "mutable",
        "namespace",
        "new",
        "noexcept",
        "not",
        "nullptr",
        "operator",
        "or",
        "private",
        "protected",
        "public",
        "register",
        "requires",
        "return",
        "short",
        "signed",
        "sizeof",
        "static",
        "struct",
        "switch",
        "template",
        "this",
        "throw",
        "true",
        "try",
        "typedef",
        "typeid",
        "typename",
        "union",
        "unsigned",
        "using",
        "virtual",
        "void",
        "volatile",
        "while",
        "xor",
        "main",
        "std",
        "nnet",
        "input",
        "output",
    ]
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

    Raises UnsupportedModelError when it is not a Keras model, holds custom code, or is not a chain of known layers.
    """
    config, version = _read_config(path)
    class_name = str(config.get("class_name"))
    if not allow_custom_code:
        _refuse_custom_code(config, path)
    if class_name not in ("Sequential", "Functional", "Model"):
        raise UnsupportedModelError(
            f"holds a {class_name}", where=str(path), allowed="a Sequential or Functional model",
            hint="a subclassed model has no layer list: rebuild it with the functional API",
        )  # fmt: skip
    layers = config.get("config", {}).get("layers", []) if isinstance(config.get("config"), dict) else []
    if not layers:
        raise UnsupportedModelError("holds no layers", where=str(path))
    if class_name != "Sequential":
        _require_chain(config["config"], path)
    return KerasFile(path, version, class_name, tuple((str(item["class_name"]), item["config"]) for item in layers))


def check_layers(file: KerasFile) -> list[ToolchainError]:
    """Every layer that has no exact meaning here, and every name that C++ or a file name cannot carry."""
    problems: list[ToolchainError] = []
    seen: dict[str, str] = {}
    for kind, config in file.layers:
        where = f"{file.path}: layer '{config.get('name', kind)}'"
        problems += _check_kind(kind, config, where)
        problems += check_name(str(config.get("name", kind)), seen, where)
    return problems


def check_name(name: str, seen: dict[str, str], where: str) -> list[ToolchainError]:
    """Whether ``name`` can stand in C++ and in a file name; ``seen`` collects the names so far, lower-cased."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name) or name.lower() in _CPP_WORDS:
        return [
            UnsupportedModelError(
                "this name cannot stand in C++", where=where, allowed="letters, digits and _, no C++ keyword",
                hint="rename the layer and save the model again",
            )
        ]  # fmt: skip
    if name.lower() in seen:
        return [UnsupportedModelError(f"differs from '{seen[name.lower()]}' only in case", where=where)]
    seen[name.lower()] = name
    return []


def _check_kind(kind: str, config: dict[str, Any], where: str) -> list[ToolchainError]:
    allowed = ", ".join(SUPPORTED)
    if kind not in _KINDS:
        return [UnsupportedModelError(f"{kind} is not supported", where=where, allowed=allowed)]
    activation = config.get("activation", "linear")
    if isinstance(activation, dict):
        activation = activation.get("config", activation.get("class_name"))
    if activation not in ("linear", "relu", None):
        return [
            UnsupportedModelError(
                f"activation {activation!r} is not supported", where=where, allowed="relu, linear",
                hint="train on the logits: leave a final sigmoid or softmax out of the model",
            )
        ]  # fmt: skip
    expected = {
        "Conv1D": {"groups": 1, "data_format": "channels_last"},
        "ReLU": {"max_value": None, "negative_slope": 0.0, "threshold": 0.0},
        "Flatten": {"data_format": "channels_last"},
        "BatchNormalization": {},
    }.get(kind, {})
    return [
        UnsupportedModelError(f"{key} = {config[key]!r} is not supported", where=where, allowed=f"{key} = {value!r}")
        for key, value in expected.items()
        if key in config and config[key] not in (value, [value], None)
    ]


def _read_config(path: Path) -> tuple[dict[str, Any], int]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read("config.json"))
                version = json.loads(archive.read("metadata.json")).get("keras_version", "3")
        else:
            import h5py

            with h5py.File(path, "r") as file:
                config = json.loads(file.attrs["model_config"])
                version = file.attrs.get("keras_version", "2")
    except FileNotFoundError:
        raise UnsupportedModelError("no such file", where=str(path)) from None
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UnsupportedModelError(
            f"is not a Keras model: {error}", where=str(path), allowed="a .keras or .h5 file saved by model.save()"
        ) from None
    if not isinstance(config, dict):
        raise UnsupportedModelError("is not a Keras model", where=str(path))
    return config, int(str(version).split(".")[0])


def _refuse_custom_code(config: dict[str, Any], path: Path) -> None:
    for item in _objects(config):
        name, module = item.get("class_name"), str(item.get("module") or "keras")
        registered = item.get("registered_name")
        foreign = not module.startswith(("keras", "tf_keras", "tensorflow.keras", "builtins"))
        if name in ("Lambda", "__lambda__", "function") or foreign or (registered and ">" in str(registered)):
            layer = item.get("config", {}).get("name", name) if isinstance(item.get("config"), dict) else name
            raise UnsupportedModelError(
                f"holds custom code ({name}, {registered or module}); it was not run",
                where=f"{path}: layer '{layer}'",
                hint="replace it by standard layers, or set model.allow_custom_code = true if you trust the file",
            )


def _objects(item: Any) -> list[dict[str, Any]]:
    if isinstance(item, list):
        return [found for element in item for found in _objects(element)]
    if not isinstance(item, dict):
        return []
    inner = [found for key, element in item.items() if key != "compile_config" for found in _objects(element)]
    return [item, *inner] if "class_name" in item and item["class_name"] != "__tuple__" else inner


def _require_chain(config: dict[str, Any], path: Path) -> None:
    previous = ""
    for item in config["layers"]:
        sources = _histories(item.get("inbound_nodes", []))
        name = str(item["config"].get("name", item.get("name", "")))
        if item["class_name"] == "InputLayer":
            if previous:
                raise UnsupportedModelError("has several inputs", where=str(path), allowed="one input, a plain chain")
        elif sources != [previous]:
            raise UnsupportedModelError(
                f"reads {sources or 'nothing'} and not just the layer before it", where=f"{path}: layer '{name}'",
                allowed="a plain chain of layers",
            )  # fmt: skip
        previous = name


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
