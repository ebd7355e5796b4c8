"""Weights pruned as ``[prune]`` asks: by TFMOT where its wrapper can, else by our own masked training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from toolchain.data.evaluation import evaluate, relative_loss
from toolchain.model import training
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras
from toolchain.model.kernels import kernels_of
from toolchain.project import PruneSection
from toolchain.prune import sensitivity
from toolchain.prune.magnitude import prune_weights, suits, target_of
from toolchain.prune.masked_training import MaskedTraining, Teacher, Weights
from toolchain.prune.masks import wanted_zeros
from toolchain.prune.strategies import Setting, Stop, choose_stop
from toolchain.results import DataResult, Job, LayerSensitivity, Samples


@dataclass(frozen=True)
class Pruned:
    """How pruning went: the sparsity that was reached, and the sensitivity analysis with the targets it set."""

    sparsity: float
    sensitivity: tuple[LayerSensitivity, ...] = ()
    targets: dict[str, float] = field(default_factory=dict)


def prune_by_strategy(
    graph: Graph, data: DataResult, samples: Samples, section: PruneSection, plan: training.Training, job: Job
) -> tuple[Graph, Pruned]:
    """The graph with its weights pruned and trained. ``plan`` is gradual pruning's training.

    That the zeros asked for are there is asserted. With ``accuracy_loss``, gradual pruning is done again with twice the
    weights left as long as the metric is worse than that. Raises ProjectError when the schedule does not fit into the
    epochs or a block is larger than a kernel.
    """
    if section.final_sparsity == 0 and section.percentile is None:
        return graph, Pruned(0.0)
    if section.strategy != "gradual" or section.accuracy_loss is None or section.sensitivity:
        return _prune_once(graph, data, samples, section, plan, job)

    def metric(found: Graph) -> float:
        outputs = training.predict(build_keras(found), samples.validation.x)
        return evaluate(data, samples.validation, outputs).value

    dense = metric(graph)
    for less in denser(section):
        pruned, reached = _prune_once(graph, data, samples, less, plan, job)
        if relative_loss(data.metric, dense, metric(pruned)) <= section.accuracy_loss:
            return pruned, reached
    return graph, Pruned(0.0)


def denser(section: PruneSection) -> Iterator[PruneSection]:
    """The section, then with twice, four times … the weights left, as long as any go."""
    factor = 1
    while 1 - factor * (1 - section.final_sparsity) > 0:
        final = 1 - factor * (1 - section.final_sparsity)
        single = {key: max(0.0, 1 - factor * (1 - share)) for key, share in section.sparsities.items()}
        start = min(section.initial_sparsity, final)
        yield section.model_copy(
            update={"final_sparsity": final, "initial_sparsity": start, "sparsities": single, "accuracy_loss": None}
        )
        factor *= 2


def _prune_once(
    graph: Graph, data: DataResult, samples: Samples, section: PruneSection, plan: training.Training, job: Job
) -> tuple[Graph, Pruned]:
    if suits(section) and not section.sensitivity:
        return prune_weights(graph, samples, section, plan, job), Pruned(section.final_sparsity)
    network = MaskedTraining(graph, samples, plan.loss, plan.batch_size)

    def metric(weights: Weights) -> float:
        part = samples.validation
        return evaluate(data, part, network.outputs(weights, part.x)).value

    def worse_by(before: float, after: float) -> float:
        return relative_loss(data.metric, before, after)

    setting = _setting(network, section, plan, job)
    profile: tuple[LayerSensitivity, ...] = ()
    targets: dict[str, float] = {}
    if section.sensitivity and section.accuracy_loss is not None:
        profile = sensitivity.analyse(setting, metric)
        targets = sensitivity.targets(profile, worse_by, section.accuracy_loss, section.final_sparsity)
        section = section.model_copy(update={"sparsities": {**targets, **section.sparsities}})
        setting = _setting(network, section, plan, job)
    if suits(section):
        return prune_weights(graph, samples, section, plan, job), Pruned(section.final_sparsity, profile, targets)
    dense = metric(network.dense)
    stop = choose_stop(setting, lambda weights: worse_by(dense, metric(weights)))
    pruned = network.graph_with(stop.weights)
    _assert_sparse(pruned, section, stop)
    return pruned, Pruned(_reached(section, stop), profile, targets)


def _setting(network: MaskedTraining, section: PruneSection, plan: training.Training, job: Job) -> Setting:
    rate = plan.learning_rate / section.learning_rate_factor
    teacher = None
    if section.distillation:
        outputs = network.outputs(network.dense, network.samples.train.x)
        teacher = Teacher(outputs, section.distillation, section.temperature)
    return Setting(network, section, rate, job.seed, job.progress, teacher)


def _reached(section: PruneSection, stop: Stop) -> float:
    if section.percentile is None or not stop.masks:
        return stop.sparsity
    return float(1 - np.concatenate([mask.reshape(-1) for mask in stop.masks.values()]).mean())


def _assert_sparse(graph: Graph, section: PruneSection, stop: Stop) -> None:
    """Every masked weight is zero, and there are as many as were asked for."""
    kernels = kernels_of(graph)
    for key, mask in stop.masks.items():
        assert not kernels[key][~mask].any(), f"a pruned weight of {key} came back"
    if section.percentile is not None or section.block != (1, 1) or not stop.sparsity:
        return
    share = stop.sparsity / section.final_sparsity
    for key, mask in stop.masks.items():
        if section.scope == "layer":
            assert (~mask).sum() >= wanted_zeros(mask.size, target_of(section, key) * share), key
    if section.scope == "network":
        total = sum(mask.size for mask in stop.masks.values())
        gone = sum(int((~mask).sum()) for mask in stop.masks.values())
        assert gone >= min(wanted_zeros(total, stop.sparsity), total - len(stop.masks))
