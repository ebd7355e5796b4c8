"""Keras 3 operations in a configuration (``x + y``, ``x * 2``, ``ops.relu(x)``) as the layers that say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.model.graph import Tensor

Given = tuple[tuple[Any, ...], Mapping[str, Any]]
_MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
#: Operations of one value, and the activation of the same name in a layer.
_FUNCTIONS = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus", "Softsign": "softsign",
    "Silu": "silu", "Selu": "selu", "Elu": "elu", "Gelu": "gelu", "Exp": "exponential", "HardSigmoid": "hard_sigmoid",
    "Relu6": "relu6", "Softmax": "softmax",
}  # fmt: skip
#: What makes an operation another function than the layer's.
_OPTIONS = {"Elu": ("alpha", 1.0), "Gelu": ("approximate", False), "Softmax": ("axis", -1)}


def as_layer(item: Mapping[str, Any], given: Given) -> tuple[Mapping[str, Any], Given]:
    """A layer's item and arguments as they are; an operation's as those of a layer with the same meaning.

    An operation without one keeps its own under the class name ``ops.Name``, which no rule knows.
    """
    if not is_operation(item):
        return item, given
    kind, config = str(item["class_name"]), dict(item.get("config") or {})
    name = str(item.get("name") or config.get("name"))
    values = [*given[0], *given[1].values()]
    for value in values:
        if isinstance(value, (list, tuple)) and kind == "Concatenate":
            return _item(item, "Concatenate", {"name": name, "axis": config.get("axis", -1)}), ((list(value),), {})
    found = _merge(kind, values) or _scaling(kind, values) or _function(kind, config, values)
    if found is None:
        return _item(item, f"ops.{kind}", config | {"name": name}), given
    layer, options, read = found
    return _item(item, layer, options | {"name": name}), ((read,), {})


def is_operation(item: Mapping[str, Any]) -> bool:
    """Whether an item of the layer list is a bare operation and no layer."""
    return str(item.get("module") or "").startswith(("keras.src.ops", "keras.ops"))


def _item(item: Mapping[str, Any], kind: str, config: dict[str, Any]) -> Mapping[str, Any]:
    return {**item, "class_name": kind, "config": config}


def _merge(kind: str, values: list[Any]) -> tuple[str, dict[str, Any], Any] | None:
    if kind in _MERGES and len(values) == 2 and all(isinstance(value, Tensor) for value in values):
        return kind, {}, values
    return None


def _scaling(kind: str, values: list[Any]) -> tuple[str, dict[str, Any], Any] | None:
    """A product, quotient, sum or difference with one number: ``Rescaling``."""
    if kind == "Negative" and len(values) == 1:
        return "Rescaling", {"scale": -1.0, "offset": 0.0}, values[0]
    if len(values) != 2:
        return None
    first, second = values
    read, number = (first, second) if isinstance(first, Tensor) else (second, first)
    if not isinstance(read, Tensor) or isinstance(number, bool) or not isinstance(number, (int, float)):
        return None
    scale, offset = 1.0, 0.0
    if kind == "Multiply":
        scale = float(number)
    elif kind == "Add":
        offset = float(number)
    elif kind == "Subtract":
        scale, offset = (1.0, -float(number)) if read is first else (-1.0, float(number))
    elif kind in ("TrueDivide", "Divide") and read is first and number:
        scale = 1.0 / float(number)
    else:
        return None
    return "Rescaling", {"scale": scale, "offset": offset}, read


def _function(kind: str, config: Mapping[str, Any], values: list[Any]) -> tuple[str, dict[str, Any], Any] | None:
    tensors = [value for value in values if isinstance(value, Tensor)]
    option, usual = _OPTIONS.get(kind, ("", None))
    numbers = [value for value in values if not isinstance(value, Tensor)]
    if kind not in _FUNCTIONS or len(tensors) != 1 or any(value != usual for value in numbers):
        return None
    if option and config.get(option, usual) != usual:
        return None
    return "Activation", {"activation": _FUNCTIONS[kind]}, tensors[0]
