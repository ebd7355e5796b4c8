"""Residual branches: ``Add(x, f(x))`` without ``f`` is ``x``."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolchain.model.graph import Graph, Tensor
from toolchain.model.keras_graph import build_keras, call_model, output_shapes


@dataclass(frozen=True)
class Branch:
    """A residual branch: ``out`` is ``shortcut + branch``; ``layers`` are those that nothing else uses."""

    shortcut: Tensor
    branch: Tensor
    out: Tensor
    layers: tuple[str, ...]
    parameters: int


def branches_of(graph: Graph) -> dict[str, Branch]:
    """Every residual branch, by the name of the Add that joins it to a shortcut of its own shape.

    The branch must start at the shortcut, so that without it the shortcut alone carries the value on.
    """
    shapes = output_shapes(graph)
    found = {}
    for call, layer, out in graph.walk():
        if layer.kind != "Add" or len(call.inputs) != 2 or graph.uses(layer.name) > 1:
            continue
        for shortcut, branch in (call.inputs, call.inputs[::-1]):
            start = Tensor(shortcut.layer, shortcut.call)
            if shortcut.index == 0 and start in _before(graph, branch) and shapes[start] == shapes[out]:
                layers = _dropped(graph, out, shortcut)
                parameters = sum(graph.layers[name].parameters for name in layers)
                found[layer.name] = Branch(shortcut, branch, out, layers, parameters)
                break
    return found


def without_branches(graph: Graph, names: Collection[str]) -> Graph:
    """The graph without these residual branches and without the layers that only they used."""
    known = branches_of(graph)
    for name in names:
        branch = known[name]
        graph = graph.without_calls(_gone(graph, branch.out, branch.shortcut))
        known = branches_of(graph)
    return graph


def branch_changes(graph: Graph, samples: Sequence[np.ndarray]) -> dict[str, float]:
    """How much each residual branch changes what it is added to: the mean over samples of ``||h_l - h_(l-1)||``.

    ``samples``: one array for each input of the model, samples first. The branch of the least change goes first.
    """
    known = branches_of(graph)
    if not known:
        return {}
    ends = tuple(tensor for branch in known.values() for tensor in (branch.shortcut, branch.out))
    values = call_model(build_keras(replace(graph, outputs=ends)), list(samples))
    changes = {}
    for place, name in enumerate(known):
        change = np.asarray(values[2 * place + 1] - values[2 * place], dtype=np.float64)
        changes[name] = float(np.sqrt((change.reshape(len(change), -1) ** 2).sum(axis=1)).mean())
    return changes


def _before(graph: Graph, tensor: Tensor) -> set[Tensor]:
    """The calls (by first output) that a tensor is computed from, its own not."""
    calls = {out: call for call, _, out in graph.walk()}
    found: set[Tensor] = set()
    pending = [Tensor(tensor.layer, tensor.call)]
    while pending:
        for read in calls[pending.pop()].inputs:
            start = Tensor(read.layer, read.call)
            if start not in found:
                found.add(start)
                pending.append(start)
    return found


def _gone(graph: Graph, out: Tensor, shortcut: Tensor) -> dict[Tensor, Tensor]:
    """The Add, and the calls that no output needs once its readers read the shortcut."""
    calls = {made: call for call, _, made in graph.walk()}
    needed: set[Tensor] = set()
    pending = [Tensor(tensor.layer, tensor.call) for tensor in graph.outputs]
    while pending:
        made = pending.pop()
        if made in needed:
            continue
        needed.add(made)
        reads = (shortcut,) if made == out else calls[made].inputs
        pending += [Tensor(read.layer, read.call) for read in reads]
    unused = {made for made, call in calls.items() if made not in needed and call.layer not in graph.inputs}
    return {**dict.fromkeys(unused, shortcut), out: shortcut}


def _dropped(graph: Graph, out: Tensor, shortcut: Tensor) -> tuple[str, ...]:
    left = graph.without_calls(_gone(graph, out, shortcut))
    return tuple(name for name in graph.layers if name not in left.layers)
