"""The network that a cut one must equal: of full size, with zeros where units go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolchain.model.graph import Array, Call, Graph, Layer, Tensor, map_tensors
from toolchain.model.names import free_name
from toolchain.prune.surgery.blocks import branches_of
from toolchain.prune.surgery.channels import Channels, spread
from toolchain.prune.surgery.cutting import check_whole
from toolchain.prune.surgery.plan import Plan
from toolchain.prune.surgery.rules import RULES
from toolchain.prune.surgery.tracing import Alive, Tracing, trace


def masked(graph: Graph, plan: Plan) -> Graph:
    """The graph with everything the plan takes out silenced, at its old size: to try a plan, and to prove a cut.

    Exactly: a residual branch is multiplied by zero where it is added. The output channels of units that go are
    multiplied by zero straight behind the layer that makes them, its activation included, and again behind every
    layer that makes something else than zero of zeros (a BatchNormalization's shift, a sigmoid, a bias), as far as the
    group's channels reach. Within a layer, the rows that read such units (of a recurrent kernel; of an attention's
    output kernel, for heads) are zero. Raises ProjectError for a plan that is not one for this graph.
    """
    branches = branches_of(graph) if plan.blocks else {}
    for name in plan.blocks:
        branch = branches[name]
        zero = Layer(_free(graph, f"{name}_zero"), "Rescaling", {"scale": 0.0})
        graph = _insert(graph, {branch.branch: zero}, only_reader=branch.out)
    if not plan.units:
        return graph
    tracing = trace(graph)
    check_whole(tracing, plan.units)
    alive = tracing.alive(plan.units)
    quiet = [_quiet_inside(tracing, layer, alive) for layer in graph.layers.values()]
    masks: dict[Tensor, Layer] = {}
    for tensor, channels in tracing.record.channels.items():
        known = RULES.get(graph.layers[tensor.layer].kind)
        if channels is None or alive[channels.labels].all() or (known is not None and known.keeps_zero):
            continue
        name = _free(graph, f"{tensor.layer}_mask_{tensor.call}_{tensor.index}")
        masks[tensor] = Layer(name, "Rescaling", {"scale": _mask(channels, alive).tolist()})
    return _insert(graph.with_layers(*quiet), masks)


def _mask(channels: Channels, alive: Alive) -> Array:
    return np.asarray(spread(alive[channels.labels], len(channels.shape), channels.axis), dtype=np.float64)


def _quiet_inside(tracing: Tracing, layer: Layer, alive: Alive) -> Layer:
    for binding in tracing.bindings(layer.name):
        if binding.role == "inside":
            weight = layer.weights[binding.weight]
            kept = np.asarray(spread(alive[binding.labels], weight.ndim, binding.axis), dtype=np.float64)
            layer = layer.with_weights(**{binding.weight: weight * kept})
    return layer


def _insert(graph: Graph, behind: dict[Tensor, Layer], only_reader: Tensor | None = None) -> Graph:
    """``graph`` with a layer behind each of these tensors, read by all who read the tensor (or by one call)."""

    def moved(tensor: Tensor) -> Tensor:
        return Tensor(behind[tensor].name) if tensor in behind else tensor

    calls: list[Call] = []
    for call, _, out in graph.walk():
        changed = Call(call.layer, map_tensors(call.arguments, moved), map_tensors(call.keywords, moved))
        calls.append(changed if only_reader in (None, out) else call)
        for tensor, layer in behind.items():
            if (tensor.layer, tensor.call) == (out.layer, out.call):
                calls.append(Call(layer.name, (tensor,)))
    layers = {**graph.layers, **{layer.name: layer for layer in behind.values()}}
    outputs = graph.outputs if only_reader is not None else tuple(moved(out) for out in graph.outputs)
    return replace(graph, layers=layers, calls=tuple(calls), outputs=outputs)


def _free(graph: Graph, wanted: str) -> str:
    return free_name(wanted, {name.lower(): name for name in graph.layers})
