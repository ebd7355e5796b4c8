"""Structured pruning as a project asks for it: the least important units first, then those that nothing needs."""

from __future__ import annotations

from pathlib import Path

from toolchain.model.folding import inference_graph
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import load_graph
from toolchain.model.rewriting import is_quantized, plain_graph
from toolchain.project import PruneSection
from toolchain.prune import surgery
from toolchain.results import RemovedGroup


def cut(graph: Graph, section: PruneSection) -> Graph:
    """``structured_sparsity`` of every family of coupled units cut out, and then the dead ones; ``skip`` stays whole.

    A unit's importance is ``criterion``, the norm of its weights. Raises ProjectError for a layer in ``skip`` that does
    not exist.
    """
    if section.structured_sparsity:
        graph = surgery.apply(graph, plan_for(graph, section))
    return surgery.remove_dead(graph, section.skip)


def plan_for(graph: Graph, section: PruneSection) -> surgery.Plan:
    """What ``structured_sparsity`` would cut out of ``graph`` as its weights stand. Raises as ``cut``."""
    tracing = surgery.trace(graph)
    norms = surgery.unit_norms(tracing, section.criterion)
    return surgery.plan_sparsity(graph, section.structured_sparsity, norms, section.skip, tracing)


def plan_of_file(file: Path, section: PruneSection) -> surgery.Plan:
    """The same for a trained model's file, said in the layers that the stage cuts."""
    graph = load_graph(file)
    return plan_for(graph if is_quantized(graph) else plain_graph(inference_graph(graph)), section)


def removed_groups(before: Graph, after: Graph) -> tuple[RemovedGroup, ...]:
    """For every layer (or ``layer/heads``) that lost units, how many it had and has."""
    if before is after:
        return ()
    left = surgery.trace(after).spaces
    return tuple(
        RemovedGroup(layer=space, before=len(labels), after=len(left[space]))
        for space, labels in surgery.trace(before).spaces.items() if len(left[space]) < len(labels)
    )  # fmt: skip
