"""Structured pruning as a project asks for it: the least important units first, then those that nothing needs."""

from __future__ import annotations

import numpy as np

from toolchain.data.ports import unpack
from toolchain.data.samples import load as load_samples
from toolchain.errors import ProjectError
from toolchain.model.feeding import input_shapes
from toolchain.model.folding import inference_graph
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import load_graph
from toolchain.model.rewriting import is_quantized, plain_graph
from toolchain.project import PruneSection
from toolchain.prune import surgery
from toolchain.prune.unit_scores import Evidence, unit_scores
from toolchain.results import DataResult, ModelResult, RemovedGroup

#: Layers whose units are filters.
_FILTERS = ("Conv", "SeparableConv", "DepthwiseConv")
#: Training samples on which residual branches are measured.
_SAMPLES = 1024


def cut(graph: Graph, section: PruneSection, evidence: Evidence) -> Graph:
    """``structured_sparsity`` of every family of coupled units cut out, and then the dead ones; ``skip`` stays whole.

    Raises ProjectError for a layer in ``skip`` that does not exist, for a granularity of which the model has nothing,
    and for units that the criterion has no score for.
    """
    if section.structured_sparsity:
        graph = surgery.apply(graph, plan_for(graph, section, evidence))
    return surgery.remove_dead(graph, section.skip)


def plan_for(graph: Graph, section: PruneSection, evidence: Evidence) -> surgery.Plan:
    """What ``structured_sparsity`` would cut out of ``graph`` as its weights stand. Raises as ``cut``."""
    if section.granularity == "layer":
        return surgery.plan_branches(graph, _least_changing(graph, section, evidence))
    tracing = surgery.trace(graph)
    free = {space for group in tracing.groups for space in group.units}
    chosen = {space for space in free if _is_of(graph, space, section.granularity)} - set(section.skip)
    if not chosen and section.granularity != "unit":
        whole = [f"{space}: {why}" for space, why in tracing.left_whole.items()
                 if _is_of(graph, space, section.granularity)]  # fmt: skip
        raise ProjectError(
            f"the model has no {section.granularity} that can be cut", where="[prune] granularity",
            hint="; ".join(whole[:3]) or "granularity = 'unit' cuts whatever can be cut",
        )  # fmt: skip
    judged = {space for group in tracing.groups if set(group.units) & chosen for space in group.units}
    judged -= {space for space in judged if space.split("/")[0] in section.skip or space in section.skip}
    scores = {space: np.zeros(len(labels)) for space, labels in tracing.spaces.items()}
    scores |= unit_scores(tracing, section, evidence, judged)
    shares = dict.fromkeys(chosen, section.structured_sparsity)
    return surgery.plan_sparsity(graph, shares, scores, section.skip, tracing)


def plan_of_files(data: DataResult, model: ModelResult, section: PruneSection) -> surgery.Plan:
    """The same for a trained model, said in the layers that the stage cuts."""
    unfolded = load_graph(model.folder / "model.keras")
    graph = unfolded if is_quantized(unfolded) else plain_graph(inference_graph(unfolded))
    return plan_for(graph, section, Evidence(load_samples(data).train, model.loss, unfolded))


def removed_groups(before: Graph, after: Graph) -> tuple[RemovedGroup, ...]:
    """For every layer (or ``layer/heads``) that lost units, how many it had and has; none where it went whole."""
    if before is after:
        return ()
    left = {space: len(labels) for space, labels in surgery.trace(after).spaces.items()}
    return tuple(
        RemovedGroup(layer=space, before=len(labels), after=left.get(space, 0))
        for space, labels in surgery.trace(before).spaces.items() if left.get(space, 0) < len(labels)
    )  # fmt: skip


def _is_of(graph: Graph, space: str, granularity: str) -> bool:
    if granularity == "unit":
        return True
    if space.endswith("/heads") or granularity == "head":
        return space.endswith("/heads") and granularity == "head"
    is_filter = graph.layers[space].kind.removeprefix("Q").startswith(_FILTERS)
    return is_filter == (granularity == "filter")


def _least_changing(graph: Graph, section: PruneSection, evidence: Evidence) -> list[str]:
    """Residual branches to take out, the one that changes its shortcut least first: mean ``||h_l - h_(l-1)||``."""
    known = surgery.branches_of(graph)
    free = {name for name, branch in known.items() if not {name, *branch.layers} & set(section.skip)}
    if not free:
        raise ProjectError(
            "the model has no residual branch" if not known else "every residual branch has a layer in skip",
            where="[prune] granularity", allowed="'layer' where an Add joins a branch to a shortcut of its own shape",
            hint="granularity = 'unit' cuts neurons and filters",
        )  # fmt: skip
    x = evidence.train.x[evidence.places(_SAMPLES)].astype(np.float32)
    changes = surgery.branch_changes(graph, list(unpack(x, input_shapes(graph)).values()))
    chosen: list[str] = []
    for name in sorted(free, key=lambda name: (changes[name], name)):
        # a branch within one that is chosen already goes with it
        if len(chosen) < int(section.structured_sparsity * len(free) + 1e-9) and not any(
            name in known[other].layers for other in chosen
        ):
            chosen.append(name)
    return chosen
