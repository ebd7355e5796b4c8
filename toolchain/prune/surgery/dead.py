"""Dead units: those that feed nothing, and those whose value never changes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from toolchain.model.graph import Array, Graph, Layer
from toolchain.prune.surgery.constants import Values, constants, is_unpadded
from toolchain.prune.surgery.plan import Plan
from toolchain.prune.surgery.planning import make_plan, number_of, skipped
from toolchain.prune.surgery.rules import Binding
from toolchain.prune.surgery.tracing import Group, Tracing, trace

_FOLDABLE = ("Dense", "Conv1D", "Conv2D", "Conv3D")


def plan_dead(graph: Graph, skip: Collection[str] = (), tracing: Tracing | None = None) -> Plan:
    """The plan that takes out every dead group but those of layers in ``skip``; one unit of a layer always stays.

    A group is dead when each layer that reads it has only zero weights for it, or reads a constant that can move into
    its bias: any constant into a Dense or unpadded convolution that is called once, zero into every layer. Raises
    ProjectError for a name in ``skip`` that does not exist.
    """
    tracing = tracing or trace(graph)
    stay = skipped(tracing, skip)
    readers = _readers(tracing)
    gone: list[Group] = []
    for group in tracing.groups:
        labels = np.concatenate([tracing.spaces[space][list(units)] for space, units in group.units.items()])
        member = np.isin(tracing.record.units.everyone(), tracing.record.units.groups(labels))
        if number_of(tracing, group) in stay or not _is_dead(readers, member):
            continue
        one_more = _units([*gone, group])
        if tracing.emptied(tracing.alive(one_more)) is None:
            gone.append(group)
    return make_plan(tracing, gone, fold_constants=True)


def remove_dead(graph: Graph, skip: Collection[str] = ()) -> Graph:
    """The same function without dead units; repeated, because a cut can leave others without reader or input."""
    from toolchain.prune.surgery.cutting import apply

    while True:
        plan = plan_dead(graph, skip)
        if plan.is_empty:
            return graph
        graph = apply(graph, plan)


def with_folded_constants(tracing: Tracing, units: Mapping[str, tuple[int, ...]]) -> Graph:
    """The traced graph, at its size, with what the constant ones of ``units`` give added to the biases behind them."""
    gone = ~tracing.alive(units)
    changed = []
    for reader in _readers(tracing):
        values = np.where(gone[reader.binding.labels] & reader.matters & np.isfinite(reader.values), reader.values, 0.0)
        if values.any():
            assert reader.folds
            changed.append(_with_more_bias(tracing.graph.layers[reader.binding.layer], values))
    return tracing.graph.with_layers(*changed)


def _with_more_bias(layer: Layer, values: Values) -> Layer:
    kernel = layer.weights["kernel"]
    added: Array = values @ kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0)
    bias = layer.weights.get("bias", np.zeros(kernel.shape[-1])) + added
    return replace(layer.with_config(use_bias=True), weights={**layer.weights, "bias": bias})


@dataclass(frozen=True, eq=False)
class _Reader:
    """One weight that reads channels: where it is not zero, what it reads, and whether its layer can take constants."""

    binding: Binding
    matters: np.ndarray
    values: Values
    folds: bool


def _readers(tracing: Tracing) -> list[_Reader]:
    known = constants(tracing)
    read: dict[str, list[tuple[np.ndarray, Values]]] = {}
    for call, _, _ in tracing.graph.walk():
        for tensor in call.inputs:
            channels = tracing.record.channels.get(tensor)
            if channels is not None:
                unknown = np.full(len(channels.labels), np.nan)
                read.setdefault(call.layer, []).append((channels.labels, known.get(tensor, unknown)))
    found = []
    for binding in tracing.record.bindings.values():
        if binding.role not in ("reads", "inside"):
            continue
        layer = tracing.graph.layers[binding.layer]
        rows = np.moveaxis(layer.weights[binding.weight], binding.axis, 0).reshape(len(binding.labels), -1)
        matters = np.ones(len(rows), dtype=np.bool_) if _zero_counts(layer) else (rows != 0).any(axis=1)
        folds = layer.kind in _FOLDABLE and is_unpadded(layer) and tracing.graph.uses(layer.name) == 1
        # a padded layer can take no constant but zero; one that several tensors enter is not followed
        sources = read.get(binding.layer, [])
        alone = len(sources) == 1 and len(sources[0][0]) == len(binding.labels) and binding.role == "reads"
        values = sources[0][1] if alone else np.full(len(binding.labels), np.nan)
        found.append(_Reader(binding, matters, values, folds))
    return found


def _is_dead(readers: list[_Reader], member: np.ndarray) -> bool:
    for reader in readers:
        mine = member[reader.binding.labels] & reader.matters
        constant = np.isfinite(reader.values) if reader.folds else reader.values == 0
        if (mine & ~constant).any():
            return False
    return True


def _zero_counts(layer: Layer) -> bool:
    """Whether a zero weight may count: a quantizer such as ``binary`` makes a one of it."""
    if not layer.kind.startswith("Q"):
        return False
    for key, value in layer.config.items():
        if key.endswith("_quantizer") and key != "bias_quantizer" and value:
            one_bit = re.search(r"quantized_bits\(1\b|'bits': 1\b", str(value))
            if "quantized_bits" not in str(value) or one_bit:
                return True
    return False


def _units(groups: list[Group]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for group in groups:
        for space, units in group.units.items():
            found[space] = (*found.get(space, ()), *units)
    return found
