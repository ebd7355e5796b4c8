"""Carry out a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.errors import ProjectError
from toolchain.model.graph import Graph, Layer
from toolchain.prune.surgery.blocks import branches_of, without_branches
from toolchain.prune.surgery.dead import with_folded_constants
from toolchain.prune.surgery.plan import Plan
from toolchain.prune.surgery.rules import Path, Size, count_kept
from toolchain.prune.surgery.tracing import Alive, Tracing, trace


def apply(graph: Graph, plan: Plan) -> Graph:
    """The graph without what the plan takes out; ``graph`` itself is not changed.

    It computes what ``masked(graph, plan)`` does, exactly but for the order of float additions: every kernel row, gate,
    bias and statistic of a channel that is zero is left out. A plan with ``fold_constants`` computes what ``graph``
    does.

    Raises ProjectError when the plan is not one for this graph: a layer or unit it names does not exist or must stay,
    only part of a group would go, or the sizes it was made with differ.
    """
    graph, tracing = resolve(graph, plan)
    if not plan.units:
        return graph
    if plan.fold_constants:
        graph = with_folded_constants(tracing, plan.units)
    alive = tracing.alive(plan.units)
    return graph.with_layers(*(_smaller(tracing, graph.layers[name], alive) for name in _touched(tracing, alive)))


def resolve(graph: Graph, plan: Plan) -> tuple[Graph, Tracing]:
    """The graph without the plan's residual branches, and its tracing. Raises ProjectError like ``apply``."""
    before = graph.parameters
    if plan.blocks:
        known = branches_of(graph)
        for name in plan.blocks:
            if name not in known:
                raise _mismatch(name, "adds no residual branch in this model")
        graph = without_branches(graph, plan.blocks)
    tracing = trace(graph)
    if before != plan.parameters[0]:
        raise _mismatch(plan.model, f"the model has {before:,} parameters, the plan's had {plan.parameters[0]:,}")
    for space, count in plan.of.items():
        if space not in tracing.spaces or len(tracing.spaces[space]) != count:
            raise _mismatch(space, f"does not have the {count} units that the plan speaks of")
    check_whole(tracing, plan.units)
    return graph, tracing


def check_whole(tracing: Tracing, units: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ProjectError unless ``units`` are whole groups that may go and that leave no layer empty."""
    for space, chosen in units.items():
        if min(chosen) < 0 or max(chosen) >= len(tracing.spaces[space]):
            raise _mismatch(space, f"has no unit {max(chosen)}")
    alive = tracing.alive(units)
    for space, labels in tracing.spaces.items():
        gone = set(np.flatnonzero(~alive[labels]).tolist())
        if gone != set(units.get(space, ())):
            raise _mismatch(space, f"units {sorted(gone)} are coupled with what the plan cuts and would be cut in part")
        for unit in gone:
            reason = tracing.record.units.reason(int(tracing.record.units.groups(labels[[unit]])[0]))
            if reason is not None:
                raise _mismatch(space, f"unit {unit} cannot be cut: {reason}")
    empty = tracing.emptied(alive)
    if empty is not None:
        raise _mismatch(empty, "would have no unit left")


def _mismatch(name: str, problem: str) -> ProjectError:
    return ProjectError(problem, where=f"plan: '{name}'", hint="make the plan again for this model")


def _touched(tracing: Tracing, alive: Alive) -> list[str]:
    bound = [(binding.layer, binding.labels) for binding in tracing.record.bindings.values()]
    bound += [(size.layer, size.labels) for size in tracing.record.sizes.values()]
    return list(dict.fromkeys(layer for layer, labels in bound if not alive[labels].all()))


def _smaller(tracing: Tracing, layer: Layer, alive: Alive) -> Layer:
    weights = dict(layer.weights)
    for binding in tracing.bindings(layer.name):
        kept = np.flatnonzero(alive[binding.labels])
        weights[binding.weight] = np.take(weights[binding.weight], kept, axis=binding.axis)
    config: Any = dict(layer.config)
    for (name, path), size in tracing.record.sizes.items():
        if name == layer.name:
            config = _set(config, path, _value(size, alive))
    for name, path in tracing.record.resets:
        if name == layer.name:
            config = _set(config, path, None)
    return replace(layer, weights=weights, config=config)


def _value(size: Size, alive: Alive) -> Any:
    count = count_kept(size.labels, alive)
    if size.channels is None:
        return count
    shape = list(size.channels.shape)
    shape[size.channels.axis] = count
    return tuple(shape)


def _set(config: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """``config`` with the key at ``path`` set; nothing is changed in place."""
    first, *rest = path
    return {**config, first: _set(config[first], tuple(rest), value) if rest else value}
