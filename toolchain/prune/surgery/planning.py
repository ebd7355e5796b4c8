"""Plans: chosen units, a share of the least important ones, residual branches. No function here changes a graph."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import ProjectError, nearest
from toolchain.model.graph import Graph
from toolchain.prune.surgery.blocks import branches_of, without_branches
from toolchain.prune.surgery.importance import unit_norms
from toolchain.prune.surgery.plan import Family, Plan
from toolchain.prune.surgery.tracing import Group, Tracing, trace

Chosen = Mapping[str, Iterable[int]]


def plan_units(graph: Graph, units: Chosen, tracing: Tracing | None = None) -> Plan:
    """Cut these units, and all that are coupled with them.

    ``units``: for each layer (or ``layer/heads``) the indices of neurons, filters, recurrent units or heads. Raises
    ProjectError for a layer or unit that does not exist, that must stay (with the reason), or when a layer would be
    left empty.
    """
    tracing = tracing or trace(graph)
    wanted: set[tuple[str, int]] = set()
    for space, chosen in units.items():
        check_space(tracing, space)
        count = len(tracing.spaces[space])
        for unit in chosen:
            if not 0 <= unit < count:
                raise ProjectError(f"has no unit {unit}", where=f"layer '{space}'", allowed=f"0 to {count - 1}")
            wanted.add((space, int(unit)))
    gone = [group for group in tracing.groups if _holds(group, wanted)]
    for space, unit in sorted(wanted - {member for group in gone for member in _members(group)}):
        reason = tracing.record.units.reason(int(tracing.record.units.groups(tracing.spaces[space][[unit]])[0]))
        raise ProjectError(f"unit {unit} cannot be cut: {reason}", where=f"layer '{space}'")
    return make_plan(tracing, gone)


def plan_sparsity(
    graph: Graph,
    sparsity: float | Mapping[str, float],
    importance: Mapping[str, NDArray[np.float64]] | None = None,
    skip: Collection[str] = (),
    tracing: Tracing | None = None,
) -> Plan:  # fmt: skip
    """Cut ``floor(sparsity * groups)`` least important groups from every family of coupled layers.

    ``sparsity``: one fraction for all layers, or one for each of some layers (or ``layer/heads``): of coupled layers
    the largest counts. ``importance``: ``(units,)`` for each layer, default the L2 norm of a unit's weights; a group's
    is the mean over its units. Of equally important groups the first goes first. Layers in ``skip`` and all that is
    coupled with them stay.

    Raises ProjectError for a sparsity outside [0, 1), which would empty a layer, for a layer that does not exist and
    for a named one that must stay; UnsupportedModelError for weights that are not finite.
    """
    tracing = tracing or trace(graph)
    targets = dict(sparsity) if isinstance(sparsity, Mapping) else dict.fromkeys(tracing.spaces, sparsity)
    for space, share in targets.items():
        check_space(tracing, space)
        if not 0 <= share < 1:
            where = f"layer '{space}'" if isinstance(sparsity, Mapping) else "sparsity"
            raise ProjectError(
                f"sparsity {share} would leave nothing" if share >= 1 else f"sparsity is {share}", where=where,
                allowed="0 <= sparsity < 1: a layer is never emptied",
            )  # fmt: skip
        if isinstance(sparsity, Mapping) and space in tracing.left_whole and share:
            raise ProjectError(f"cannot be cut: {tracing.left_whole[space]}", where=f"layer '{space}'")
    return make_plan(tracing, _least(tracing, targets, _checked(tracing, importance), skipped(tracing, skip)))


def plan_branches(graph: Graph, names: Collection[str]) -> Plan:
    """Cut residual branches, given by the layers that add them; the shortcut stays.

    Raises ProjectError for a layer that adds no branch to a shortcut of the same shape.
    """
    known = branches_of(graph)
    for name in names:
        if name not in known:
            raise ProjectError(
                "adds no residual branch" if name in graph.layers else "the model has no such layer",
                where=f"layer '{name}'",
                hint=nearest(name, known) if known else "the model has no residual branch",
            )  # fmt: skip
    before, after = trace(graph), trace(without_branches(graph, names))
    return Plan(
        graph.name, (), tuple(names), {},
        (graph.parameters, after.graph.parameters), (_macs(before), _macs(after)),
    )  # fmt: skip


def make_plan(tracing: Tracing, gone: Iterable[Group], fold_constants: bool = False) -> Plan:
    """The plan that takes out these groups. Raises ProjectError when a layer would be left empty."""
    families: dict[frozenset[str], list[Group]] = {}
    for group in gone:
        families.setdefault(frozenset(group.units), []).append(group)
    everything = _union(group for found in families.values() for group in found)
    alive = tracing.alive(everything)
    empty = tracing.emptied(alive)
    if empty is not None:
        raise ProjectError(
            "would have no unit left", where=f"layer '{empty}'", hint="leave at least one unit of every layer"
        )
    whole = tracing.alive({})
    sizes = (tracing.parameters(whole), tracing.macs(whole))
    described = [_family(tracing, found, sizes) for found in families.values()]
    return Plan(
        tracing.graph.name, tuple(described), (), dict(tracing.left_whole),
        (sizes[0], tracing.parameters(alive)), (sizes[1], tracing.macs(alive)), fold_constants,
    )  # fmt: skip


def skipped(tracing: Tracing, skip: Collection[str]) -> set[int]:
    """The groups of all units that layers in ``skip`` make or carry. Raises ProjectError for an unknown layer."""
    found: set[int] = set()
    for name in skip:
        if name not in tracing.graph.layers:
            check_space(tracing, name, "skip")
            found |= set(tracing.record.units.groups(tracing.spaces[name]).tolist())
        for binding in tracing.bindings(name):
            if binding.role in ("makes", "carries"):
                found |= set(tracing.record.units.groups(binding.labels).tolist())
    return found


def number_of(tracing: Tracing, group: Group) -> int:
    """The label that all units of a group share."""
    space, units = next(iter(group.units.items()))
    return int(tracing.record.units.groups(tracing.spaces[space][[units[0]]])[0])


def check_space(tracing: Tracing, space: str, where: str = "surgery") -> None:
    """Raise ProjectError when no layer of the graph has units of this name."""
    if space not in tracing.spaces:
        known = tracing.graph.layers
        problem = f"layer '{space}' has no units of its own" if space in known else f"the model has no layer '{space}'"
        raise ProjectError(problem, where=where, hint=nearest(space, tracing.spaces))


def _family(tracing: Tracing, gone: list[Group], sizes: tuple[int, int]) -> Family:
    units = _union(gone)
    alive = tracing.alive(units)
    return Family(
        units={space: tuple(sorted(found)) for space, found in units.items()},
        of={space: len(tracing.spaces[space]) for space in units},
        groups=sum(set(group.units) == set(units) for group in tracing.groups),
        groups_gone=len(gone),
        parameters=sizes[0] - tracing.parameters(alive),
        macs=sizes[1] - tracing.macs(alive),
    )


def _least(
    tracing: Tracing, targets: Mapping[str, float], importance: Mapping[str, NDArray[np.float64]], stay: set[int]
) -> list[Group]:
    families: dict[frozenset[str], list[Group]] = {}
    for group in tracing.groups:
        if number_of(tracing, group) not in stay:
            families.setdefault(frozenset(group.units), []).append(group)
    gone = []
    for spaces, groups in families.items():
        share = max(targets.get(space, 0.0) for space in spaces)
        scores = [
            np.mean(np.concatenate([importance[space][list(units)] for space, units in group.units.items()]))
            for group in groups
        ]
        order = np.argsort(np.array(scores), kind="stable")
        gone += [groups[place] for place in order[: int(share * len(groups) + 1e-9)]]
    return gone


def _checked(tracing: Tracing, given: Mapping[str, NDArray[np.float64]] | None) -> Mapping[str, NDArray[np.float64]]:
    """Importances for every layer's units: the given ones, the L2 norm for the rest."""
    if given is None:
        return unit_norms(tracing)
    for space, values in given.items():
        check_space(tracing, space, "importance")
        shape = tracing.spaces[space].shape
        if np.shape(values) != shape or not np.isfinite(values).all():
            raise ProjectError(
                f"importance has shape {np.shape(values)} or values that are not finite",
                where=f"layer '{space}'", allowed=f"{shape[0]} finite numbers",
            )  # fmt: skip
    missing = {space for group in tracing.groups for space in group.units} - set(given)
    if missing:
        raise ProjectError(
            f"no importance for {', '.join(sorted(missing))}", where="importance",
            allowed="one array for every layer that can be cut",
        )  # fmt: skip
    return given


def _members(group: Group) -> set[tuple[str, int]]:
    return {(space, unit) for space, units in group.units.items() for unit in units}


def _holds(group: Group, wanted: set[tuple[str, int]]) -> bool:
    return not wanted.isdisjoint(_members(group))


def _union(groups: Iterable[Group]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for group in groups:
        for space, units in group.units.items():
            found[space] = (*found.get(space, ()), *units)
    return found


def _macs(tracing: Tracing) -> int:
    return tracing.macs(tracing.alive({}))
