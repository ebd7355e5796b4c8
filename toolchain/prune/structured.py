"""Structured pruning as a project asks for it: the least important units first, then those that nothing needs."""

from __future__ import annotations

from toolchain.model.graph import Graph
from toolchain.project import PruneSection
from toolchain.prune import surgery
from toolchain.results import RemovedGroup


def cut(graph: Graph, section: PruneSection) -> Graph:
    """``structured_sparsity`` of every family of coupled units cut out, and then the dead ones; ``skip`` stays whole.

    A unit's importance is ``criterion``, the norm of its weights. Raises ProjectError for a layer in ``skip`` that does
    not exist.
    """
    if section.structured_sparsity:
        tracing = surgery.trace(graph)
        norms = surgery.unit_norms(tracing, section.criterion)
        plan = surgery.plan_sparsity(graph, section.structured_sparsity, norms, section.skip, tracing)
        graph = surgery.apply(graph, plan)
    return surgery.remove_dead(graph, section.skip)


def removed_groups(before: Graph, after: Graph) -> tuple[RemovedGroup, ...]:
    """For every layer (or ``layer/heads``) that lost units, how many it had and has."""
    if before is after:
        return ()
    left = surgery.trace(after).spaces
    return tuple(
        RemovedGroup(layer=space, before=len(labels), after=len(left[space]))
        for space, labels in surgery.trace(before).spaces.items() if len(left[space]) < len(labels)
    )  # fmt: skip
