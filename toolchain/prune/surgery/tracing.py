"""Follow the channels through a whole graph: which units there are, which go together, which must stay and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError
from toolchain.model.graph import Call, Graph, Layer, Tensor
from toolchain.model.keras_graph import output_shapes
from toolchain.prune.surgery import layers as _layers  # registers the rules
from toolchain.prune.surgery.channels import Channels, Labels, Shape, UncuttableError
from toolchain.prune.surgery.rules import RULES, Binding, Output, Record, Site, count_kept

assert _layers.__all__
Alive = NDArray[np.bool_]


@dataclass(frozen=True)
class Group:
    """Units that go together or not at all: for each layer (or ``layer/heads``) their indices."""

    units: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Tracing:
    """What was found. ``left_whole``: layers (or ``layer/heads``) of which no unit can be cut, with the reason."""

    graph: Graph
    record: Record
    groups: tuple[Group, ...]
    left_whole: Mapping[str, str]
    shapes: Mapping[Tensor, Shape]
    _by_layer: dict[str, list[Binding]] = field(default_factory=dict)

    @property
    def spaces(self) -> Mapping[str, Labels]:
        """The labels of every layer's units."""
        return self.record.units.spaces

    def alive(self, gone: Mapping[str, tuple[int, ...]]) -> Alive:
        """For each label, whether it stays when the groups of these units go."""
        everyone = self.record.units.everyone()
        stays = np.ones(len(everyone), dtype=np.bool_)
        for space, units in gone.items():
            stays[everyone[self.spaces[space][list(units)]]] = False
        return np.asarray(stays[everyone])

    def bindings(self, layer: str) -> list[Binding]:
        """What binds the weights of a layer."""
        if not self._by_layer:
            for binding in self.record.bindings.values():
                self._by_layer.setdefault(binding.layer, []).append(binding)
        return self._by_layer.get(layer, [])

    def weight_shape(self, layer: str, weight: str, alive: Alive) -> tuple[int, ...]:
        """The shape of a weight after the cut."""
        shape = list(self.graph.layers[layer].weights[weight].shape)
        for binding in self.bindings(layer):
            if binding.weight == weight:
                shape[binding.axis] = count_kept(binding.labels, alive)
        return tuple(shape)

    def parameters(self, alive: Alive) -> int:
        """Weights, biases and statistics of all layers after the cut."""
        return sum(
            prod(self.weight_shape(name, weight, alive))
            for name, layer in self.graph.layers.items() for weight in layer.weights
        )  # fmt: skip

    def macs(self, alive: Alive) -> int:
        """Multiply-accumulates for one sample after the cut; an axis whose size is not fixed counts as 1."""
        total = 0
        for work in self.record.work:
            if work.weight is not None:
                total += work.positions * prod(self.weight_shape(work.layer, work.weight, alive))
            elif work.labels is not None:
                total += work.positions * count_kept(work.labels, alive)
        return total

    def emptied(self, alive: Alive) -> str | None:
        """The first layer that would have no unit or no channel left."""
        for space, labels in self.spaces.items():
            if not count_kept(labels, alive):
                return space
        for tensor, channels in self.record.channels.items():
            if channels is not None and not count_kept(channels.labels, alive):
                return tensor.layer
        return None


@lru_cache(maxsize=2)  # planning, cutting and masking follow the same graph, which never changes
def trace(graph: Graph) -> Tracing:
    """Find all groups of a graph. The graph is not changed.

    Units stay when their layer is not trainable, when they reach an output of the model, or when a layer on their way
    has no rule or no exact one. Raises UnsupportedModelError for weights that are not finite.
    """
    for layer in graph.layers.values():
        for name, weight in layer.weights.items():
            if not np.isfinite(weight).all():
                raise UnsupportedModelError(f"{name} has NaN or infinite values", where=f"layer '{layer.name}'")
    shapes = output_shapes(graph)
    record = Record()
    for call, layer, out in graph.walk():
        inputs = tuple(record.channels.get(tensor) for tensor in call.inputs)
        site = Site(record, layer, call, shapes[out], inputs)
        for place, channels in enumerate(_outputs(site)):
            record.channels[Tensor(out.layer, out.call, place)] = channels
    for tensor in graph.outputs:
        found = record.channels.get(tensor)
        if found is not None:
            record.units.keep(found.labels, f"they are the model's output '{tensor.layer}'")
    for name, layer in graph.layers.items():
        if not layer.config.get("trainable", True):
            for binding in record.bindings.values():
                if binding.layer == name and binding.role == "makes":
                    record.units.keep(binding.labels, f"layer '{name}' is not trainable")
    groups, left_whole = _groups(record)
    _name_the_rest(graph, record, left_whole)
    return Tracing(graph, record, groups, left_whole, shapes)


def _outputs(site: Site) -> tuple[Channels | None, ...]:
    """What the layer's rule says of its outputs; where it has none or refuses, everything it touches stays."""
    layer = site.layer
    if layer.kind == "InputLayer":
        return (_whole(site, f"'{layer.name}' is an input of the model"),)
    why = f"{layer.kind} has no rule"
    try:
        made: Output = RULES[layer.kind].rule(site) if layer.kind in RULES else None
    except UncuttableError as error:
        made, why = None, str(error)
    if made is not None:
        return made if isinstance(made, tuple) else (made,)
    for read in site.inputs:
        if read is not None:
            site.keep(read.labels, why)
    for space, labels in site.record.units.spaces.items():
        if space.split("/")[0] == layer.name:
            site.keep(labels, why)
    return (_whole(site, f"'{layer.name}' ({layer.kind}): {why}"),)


def _whole(site: Site, reason: str) -> Channels | None:
    """Channels on the last axis, all of which stay."""
    if not site.shape or site.shape[-1] is None:
        return None
    return site.result(site.record.units.fixed(int(site.shape[-1]), reason))


def _groups(record: Record) -> tuple[tuple[Group, ...], dict[str, str]]:
    units: dict[int, dict[str, list[int]]] = {}
    reasons: dict[str, dict[int, str | None]] = {}
    for space, labels in record.units.spaces.items():
        for unit, group in enumerate(record.units.groups(labels).tolist()):
            units.setdefault(group, {}).setdefault(space, []).append(unit)
            reasons.setdefault(space, {})[unit] = record.units.reason(group)
    free = []
    for group, members in units.items():
        if record.units.reason(group) is not None:
            continue
        whole = next((space for space, found in members.items() if len(found) == len(record.units.spaces[space])), None)
        if whole is None:
            free.append(Group({space: tuple(found) for space, found in members.items()}))
            continue
        why = f"all units of '{whole}' go together: cutting them would empty it"
        for space, found in members.items():
            reasons[space].update(dict.fromkeys(found, why))
        record.units.keep(np.array([group]), why)
    left = {
        space: str(next(iter(found.values()))) for space, found in reasons.items()
        if all(why is not None for why in found.values())
    }  # fmt: skip
    return tuple(free), left


def _name_the_rest(graph: Graph, record: Record, left_whole: dict[str, str]) -> None:
    """Layers with weights that no rule has bound."""
    bound = {binding.layer for binding in record.bindings.values()}
    for call, layer, out in graph.walk():
        if layer.weights and layer.name not in bound and layer.name not in left_whole:
            left_whole[layer.name] = _reason(record, call, layer, out)


def _reason(record: Record, call: Call, layer: Layer, out: Tensor) -> str:
    made = record.channels.get(out)
    why = None if made is None else record.units.reason(int(record.units.groups(made.labels)[0]))
    return why or f"{layer.kind} has no rule"
