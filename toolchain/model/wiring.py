"""How a Keras configuration wires its layers, in Keras 2's and Keras 3's spelling. Needs no TensorFlow.

Sequential, functional and nested models become one flat list of calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolchain.errors import UnsupportedModelError
from toolchain.model.graph import Call, Tensor, map_tensors
from toolchain.model.operations import as_layer, is_operation

MODELS = ("Sequential", "Functional", "Model")


@dataclass(frozen=True)
class WiredLayer:
    """One layer of a configuration; ``path``: the names of the models it is nested in, then its own."""

    name: str
    kind: str
    config: Mapping[str, Any]
    path: tuple[str, ...]
    operation: bool = False  # it stands for a bare operation: the model has no layer of this name


@dataclass
class Wiring:
    """Layers by their name in the flat graph, calls in topological order, inputs and outputs."""

    layers: dict[str, WiredLayer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    inputs: tuple[str, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    _names: dict[tuple[str, ...], str] = field(default_factory=dict)

    def name_of(self, path: tuple[str, ...]) -> str:
        """The flat name of the layer at ``path``: its own, or with its model's before it where that is taken."""
        if path not in self._names:
            name, taken = path[-1], set(self._names.values())
            for outer in reversed(path[:-1]):
                if name not in taken:
                    break
                name = f"{outer}_{name}"
            number = 2
            wanted = name
            while name in taken:
                name, number = f"{wanted}_{number}", number + 1
            self._names[path] = name
        return self._names[path]

    def call(self, path: tuple[str, ...], item: Mapping[str, Any], arguments: Any, keywords: Any) -> Tensor:
        """Add one call and return its first output."""
        name = self.name_of(path)
        self.layers.setdefault(
            name, WiredLayer(name, str(item["class_name"]), item["config"], path, is_operation(item))
        )
        number = sum(call.layer == name for call in self.calls)
        given = {key: value for key, value in keywords.items() if value is not None}  # Keras 3 writes mask = None
        self.calls.append(Call(name, tuple(arguments), given))
        return Tensor(name, number)


def read_wiring(class_name: str, config: Any, where: str) -> Wiring:
    """The calls of a model's configuration. Raises UnsupportedModelError when it cannot be followed."""
    wiring = Wiring()
    try:
        inputs = _inputs_of(wiring, class_name, config, where)
        outputs = _model(wiring, class_name, config, (), inputs, where)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise UnsupportedModelError(f"its layer list cannot be read: {error!r}"[:300], where=where) from None
    wiring.inputs = tuple(tensor.layer for tensor in inputs)
    wiring.outputs = tuple(_leaves(outputs))
    return wiring


def _items(class_name: str, config: Any, where: str) -> list[Mapping[str, Any]]:
    items = config.get("layers") if isinstance(config, Mapping) else config  # Keras 2.2 kept a bare list
    if class_name not in MODELS:
        raise UnsupportedModelError(
            f"holds a {class_name}", where=where, allowed="a Sequential or Functional model",
            hint="a subclassed model has no layer list: rebuild it with the functional API",
        )  # fmt: skip
    if not isinstance(items, list) or not items:
        raise UnsupportedModelError("holds no layers", where=where)
    for item in items:
        whole = isinstance(item, Mapping) and isinstance(item.get("class_name"), str)
        nested = whole and item["class_name"] in MODELS
        if not whole or not (nested or isinstance(item.get("config"), Mapping)):
            raise UnsupportedModelError("is not a Keras model: a layer has no class or no configuration", where=where)
    return items


def _inputs_of(wiring: Wiring, class_name: str, config: Any, where: str) -> list[Tensor]:
    """The outermost model's input layers as calls; a Sequential model without one gets one."""
    items = _items(class_name, config, where)
    if class_name == "Sequential":
        first = items[0]
        if first["class_name"] != "InputLayer":
            first = {"class_name": "InputLayer", "config": {"name": "samples", **_shape_key(first, config)}}
        return [wiring.call((_name(first),), first, (), {})]
    by_name = {_name(item): item for item in items}
    names = [entry[0] for entry in _entries(config["input_layers"])]
    return [wiring.call((name,), by_name[name], (), {}) for name in names]


def _shape_key(item: Mapping[str, Any], config: Any) -> dict[str, Any]:
    inner = item["config"]
    inner = inner if isinstance(inner, Mapping) else {}
    shape = inner.get("batch_input_shape") or inner.get("batch_shape")
    if shape is None and isinstance(config, Mapping):
        shape = config.get("build_input_shape")
    return {"batch_shape": shape} if shape is not None else {}


def _model(
    wiring: Wiring, class_name: str, config: Any, path: tuple[str, ...], inputs: list[Tensor], where: str
) -> Any:
    items = _items(class_name, config, where)
    if class_name == "Sequential":
        value: Any = inputs[0]
        for item in items:
            if item["class_name"] != "InputLayer":
                value = _apply(wiring, item, path, ((value,), {}), where)
        return value
    return _functional(wiring, config, items, path, inputs, where)


def _functional(
    wiring: Wiring, config: Any, items: list[Mapping[str, Any]], path: tuple[str, ...], inputs: list[Tensor], where: str
) -> Any:
    values: dict[tuple[str, int], Any] = {}
    for entry, tensor in zip(_entries(config["input_layers"]), inputs, strict=True):
        values[entry[0], int(entry[1])] = tensor

    def resolve(entry: list[Any]) -> Tensor:
        found = values[entry[0], int(entry[1])]
        if isinstance(found, (list, tuple)):
            leaf: Tensor = found[int(entry[2])]
            return leaf
        return Tensor(found.layer, found.call, found.index + int(entry[2]))

    first = _first_numbers(config, items)
    pending = [
        (item, number, node) for item in items if item["class_name"] != "InputLayer"
        for number, node in enumerate(item.get("inbound_nodes", []), start=first.get(_name(item), 0))
    ]  # fmt: skip
    while pending:
        later = []
        for item, number, node in pending:
            arguments, keywords = _arguments(node)
            known = [(ref.layer, ref.call) in values for ref in _leaves((arguments, keywords))]
            if not all(known):
                later.append((item, number, node))
                continue

            def change(ref: Tensor) -> Tensor:
                return resolve([ref.layer, ref.call, ref.index])

            resolved = (map_tensors(arguments, change), map_tensors(keywords, change))
            values[_name(item), number] = _apply(wiring, item, path, resolved, where)
        if len(later) == len(pending):
            raise UnsupportedModelError(f"layer '{_name(pending[0][0])}' reads what no layer gives", where=where)
        pending = later
    outputs = [resolve(list(entry)) for entry in _entries(config["output_layers"])]
    return outputs[0] if len(outputs) == 1 else outputs


def _first_numbers(config: Any, items: list[Mapping[str, Any]]) -> dict[str, int]:
    """The number of each nested model's first call: Keras counts from 1 where a model has a call of its own making."""
    largest: dict[str, int] = {}
    references = [Tensor(str(entry[0]), int(entry[1])) for entry in _entries(config["output_layers"])]
    for item in items:
        for node in item.get("inbound_nodes", []):
            references += _leaves(_arguments(node))
    for reference in references:
        largest[reference.layer] = max(largest.get(reference.layer, 0), reference.call)
    return {
        _name(item): largest.get(_name(item), 0) + 1 - len(item.get("inbound_nodes", []))
        for item in items
        if item["class_name"] in MODELS
    }


def _apply(
    wiring: Wiring, item: Mapping[str, Any], path: tuple[str, ...], given: tuple[tuple[Any, ...], Any], where: str
) -> Any:
    inner = (*path, _name(item))
    if item["class_name"] in MODELS:
        inputs = list(_leaves(given))
        return _model(wiring, item["class_name"], item["config"], inner, inputs, where)
    item, given = as_layer(item, given)
    return wiring.call(inner, item, *given)


def _name(item: Mapping[str, Any]) -> str:
    config = item.get("config")
    inner = config.get("name") if isinstance(config, Mapping) else None
    return str(item.get("name") or inner or item["class_name"])


def _entries(value: Any) -> list[list[Any]]:
    """``["x", 0, 0]`` or a nested list or mapping of them: Keras writes a lone one without the outer list."""
    if isinstance(value, Mapping):
        return [entry for item in value.values() for entry in _entries(item)]
    if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
        return [list(value)]
    return [entry for item in value for entry in _entries(item)]


def _arguments(node: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and keyword arguments of one call, references as ``Tensor(layer, node index, tensor index)``."""
    if isinstance(node, Mapping):  # Keras 3
        return tuple(_references3(node.get("args", ()))), dict(_references3(node.get("kwargs", {})))
    references: list[Tensor] = []
    keywords: dict[str, Any] = {}
    for entry in node if not (node and isinstance(node[0], str)) else [node]:
        references.append(Tensor(str(entry[0]), int(entry[1]), int(entry[2])))
        keywords.update(entry[3] if len(entry) > 3 else {})
    first = references[0] if len(references) == 1 else references
    return (first,), {key: _reference2(value) for key, value in keywords.items()}


def _references3(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            layer, call, index = value["config"]["keras_history"]
            return Tensor(str(layer), int(call), int(index))
        if value.get("class_name") == "__tuple__":
            return [_references3(item) for item in value["config"]]
        return {key: _references3(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_references3(item) for item in value]
    return value


def _reference2(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        if (
            len(value) == 3
            and isinstance(value[0], str)
            and value[0] != "_CONSTANT_VALUE"
            and isinstance(value[1], int)
        ):
            return Tensor(str(value[0]), int(value[1]), int(value[2]))
        if value and value[0] == "_CONSTANT_VALUE":
            return value[2]
        return [_reference2(item) for item in value]
    return value


def _leaves(value: Any) -> list[Tensor]:
    found: list[Tensor] = []
    map_tensors(value, found.append)
    return found
