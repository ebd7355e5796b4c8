"""A Keras model as plain data: layers with their configuration and weights, and the calls that wire them.

Pruning, folding and quantization work on a ``Graph``; TensorFlow is needed only to make one from a model and a model
from one (``keras_graph.py``). Nested models are unfolded into their layers. A layer that is used twice is one ``Layer``
with two ``Call``s. Nothing here is ever changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tensor:
    """Output ``index`` of the ``call``-th call of a layer."""

    layer: str
    call: int = 0
    index: int = 0


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: ``kind`` is its Keras class (``Dense``, ``QConv2D`` …), ``config`` what ``from_config`` takes.

    ``weights`` stand in Keras' order under Keras' names without the layer's own (``kernel``, ``bias``, ``gamma``,
    ``lstm_cell/kernel``, ``query/kernel`` …), as float64 and read-only.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    weights: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        frozen = {}
        for key, value in self.weights.items():
            array = np.array(value, dtype=np.float64)
            array.setflags(write=False)
            frozen[key] = array
        object.__setattr__(self, "weights", frozen)

    @property
    def parameters(self) -> int:
        return sum(int(weight.size) for weight in self.weights.values())

    def with_weights(self, **changed: Array) -> Layer:
        """This layer with some weights replaced."""
        assert set(changed) <= set(self.weights), f"{self.name} has no weight {set(changed) - set(self.weights)}"
        return replace(self, weights={**self.weights, **changed})

    def with_config(self, **changed: Any) -> Layer:
        """This layer with some keys of its configuration replaced."""
        return replace(self, config={**self.config, **changed})


@dataclass(frozen=True)
class Call:
    """One use of a layer. Arguments are nested lists and mappings whose leaves are tensors or constants."""

    layer: str
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Every tensor it reads, in order."""
        return tuple(_tensors((self.arguments, self.keywords)))


@dataclass(frozen=True, eq=False)
class Graph:
    """A functional model: layers by name, calls in topological order (``InputLayer``s first), and its outputs.

    ``inputs`` are the names of the ``InputLayer``s in the order in which the model takes its arguments.
    """

    name: str
    layers: Mapping[str, Layer]
    calls: tuple[Call, ...]
    inputs: tuple[str, ...]
    outputs: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        known: set[Tensor] = set()
        count: dict[str, int] = {}
        for call in self.calls:
            assert call.layer in self.layers, f"no layer {call.layer}"
            for tensor in call.inputs:
                assert Tensor(tensor.layer, tensor.call) in known, f"{call.layer} reads {tensor}, which comes later"
            known.add(Tensor(call.layer, count.get(call.layer, 0)))
            count[call.layer] = count.get(call.layer, 0) + 1
        assert all(Tensor(tensor.layer, tensor.call) in known for tensor in self.outputs)

    def walk(self) -> Iterator[tuple[Call, Layer, Tensor]]:
        """Every call in order, its layer, and its first output."""
        count: dict[str, int] = {}
        for call in self.calls:
            number = count.get(call.layer, 0)
            count[call.layer] = number + 1
            yield call, self.layers[call.layer], Tensor(call.layer, number)

    def readers(self, tensor: Tensor) -> tuple[tuple[Call, Tensor], ...]:
        """The calls that read any output of the call ``tensor`` stems from, with their own first outputs."""
        found = []
        for call, _, out in self.walk():
            if any((read.layer, read.call) == (tensor.layer, tensor.call) for read in call.inputs):
                found.append((call, out))
        return tuple(found)

    def uses(self, layer: str) -> int:
        """How often a layer is called."""
        return sum(call.layer == layer for call in self.calls)

    def is_output(self, tensor: Tensor) -> bool:
        return any((out.layer, out.call) == (tensor.layer, tensor.call) for out in self.outputs)

    def with_layers(self, *changed: Layer) -> Graph:
        """This graph with some layers replaced by ones of the same name."""
        assert {layer.name for layer in changed} <= set(self.layers)
        return replace(self, layers={**self.layers, **{layer.name: layer for layer in changed}})

    def without_calls(self, gone: Mapping[Tensor, Tensor]) -> Graph:
        """Without the calls whose first outputs are the keys of ``gone``; who read one reads its value instead."""

        def target(tensor: Tensor) -> Tensor:
            key = Tensor(tensor.layer, tensor.call)
            while key in gone:
                tensor = gone[key]
                key = Tensor(tensor.layer, tensor.call)
            return tensor

        kept = [(call, out) for call, _, out in self.walk() if out not in gone]
        numbers: dict[Tensor, int] = {}
        for call, out in kept:
            numbers[out] = sum(earlier.layer == call.layer for earlier in numbers)

        def moved(tensor: Tensor) -> Tensor:
            found = target(tensor)
            return replace(found, call=numbers[Tensor(found.layer, found.call)])

        calls = tuple(
            Call(call.layer, map_tensors(call.arguments, moved), map_tensors(call.keywords, moved)) for call, _ in kept
        )
        used = {call.layer for call in calls}
        layers = {name: layer for name, layer in self.layers.items() if name in used}
        return Graph(self.name, layers, calls, self.inputs, tuple(moved(out) for out in self.outputs))

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers.values())


def map_tensors(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """``value`` with every tensor in it replaced by ``change(tensor)``."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(item, change) for item in value)
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
