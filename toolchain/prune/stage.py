"""Stage ``prune``: weights by the project's strategy, then neurons and filters, then fine-tuning of what is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.data.outputs import output_columns
from toolchain.data.samples import load as load_samples
from toolchain.errors import ProjectError
from toolchain.model import artefact, training
from toolchain.model.folding import inference_graph
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras, load_graph
from toolchain.model.kernels import Mask, kernels_of
from toolchain.model.rewriting import is_quantized, plain_graph
from toolchain.model.tensorflow import seed_everything
from toolchain.project import PruneSection
from toolchain.prune import masks, measure, preflight
from toolchain.prune.fine_tuning import fine_tune
from toolchain.prune.masked_training import MaskedTraining, Run, Teacher
from toolchain.prune.retention import Judge
from toolchain.prune.structured import cut, removed_groups
from toolchain.prune.unit_scores import Evidence
from toolchain.prune.weights import Pruned, prune_by_strategy
from toolchain.results import DataResult, Job, ModelResult, PruneMeasures, PruneResult, Samples


def prune(data: DataResult, model: ModelResult, section: PruneSection, job: Job) -> PruneResult:
    """Prune the trained model and save it into ``job.folder``: ``model.keras``, ``masks.npz``, ``predictions.npy``.

    Dropout goes and BatchNormalization is folded away first. In every kernel that is not in ``section.skip`` at least
    ``ceil(final_sparsity * weights)`` weights become zero (over the network with ``scope = "network"``, fewer where
    ``accuracy_loss`` ends it); then ``structured_sparsity`` of the hidden units are cut
    out, and with them the units that the zeros have left without input or reader.

    Raises ProjectError for a layer in ``skip`` that does not exist, a schedule that does not fit, or when the pruned
    model is dead: the same output for every training sample; UnsupportedModelError for a BatchNormalization that cannot
    be folded.
    """
    seed_everything(job.seed)
    samples = load_samples(data)
    graph = unfolded = load_graph(model.folder / "model.keras")
    if not is_quantized(graph):  # a QKeras model is taken as it is
        graph = plain_graph(inference_graph(graph))
    for problem in preflight.check(section, tuple(key.split("/")[0] for key in kernels_of(graph))):
        raise problem
    before = graph
    plan = training.Training(
        epochs=section.epochs, batch_size=model.batch_size,
        learning_rate=model.learning_rate * section.learning_rate_factor, loss=model.loss,
    )  # fmt: skip
    graph, pruning = prune_by_strategy(graph, data, samples, section, plan, job)
    zeros = masks.masks_of(graph)
    graph = cut(graph, section, Evidence(samples.train, model.loss, unfolded))
    removed = removed_groups(before, graph)
    if removed:
        graph = _after_cutting(before, graph, samples, section, plan, job)
    _check_alive(before, graph, samples, data)
    keras_model = build_keras(graph)
    training.compile_model(keras_model, plan, len(samples.train.x))
    loss = training.validation_loss(keras_model, samples.validation)
    artefact.save(keras_model, graph, data, samples.test, job.folder)
    kept: dict[str, Any] = {key.replace("/", "."): mask for key, mask in masks.masks_of(graph).items()}
    np.savez(job.folder / "masks.npz", **kept)
    layers = artefact.count_layers(graph)
    return PruneResult(
        layers=layers, parameters=sum(layer.parameters for layer in layers), learning_rate=model.learning_rate,
        batch_size=model.batch_size, epochs=section.epochs, loss=model.loss, validation_loss=loss,
        sparsity=1 - masks.nonzero(graph) / _weights(before), remaining_sparsity=masks.sparsity(graph),
        parameters_before=sum(layer.parameters for layer in artefact.count_layers(before)), removed=removed,
        left_out=model.left_out, window=model.window,
        measures=_measures(before, graph, section, pruning, zeros, Judge(data, samples)),
    )  # fmt: skip


def _after_cutting(
    before: Graph, graph: Graph, samples: Samples, section: PruneSection, plan: training.Training, job: Job
) -> Graph:  # fmt: skip
    if section.strategy == "gradual":
        plan = replace(plan, epochs=max(1, section.epochs // 2))
    else:
        plan = replace(
            plan, epochs=max(1, round(section.epochs * section.fine_tune_share)),
            learning_rate=plan.learning_rate / section.learning_rate_factor * section.fine_tune_learning_rate_factor,
        )  # fmt: skip
    if not section.distillation:
        return fine_tune(graph, samples, plan, job)
    teacher = Teacher(training.predict(build_keras(before), samples.train.x), section.distillation, section.temperature)
    network = MaskedTraining(graph, samples, plan.loss, plan.batch_size)
    run = Run(plan.epochs, plan.learning_rate, job.seed, teacher=teacher)
    return network.graph_with(network.train(network.dense, masks.masks_of(graph), run))


def _measures(
    before: Graph, after: Graph, section: PruneSection, pruning: Pruned, zeros: Mapping[str, Mask], judge: Judge
) -> PruneMeasures:
    values = [judge.metric(build_keras(graph)) for graph in (before, after)]
    layers = measure.savings(before, after, judge.alone(before, zeros))
    macs = sum(layer.macs for layer in layers), sum(layer.macs_before for layer in layers)
    multipliers = sum(layer.multipliers_before for layer in layers)
    found = PruneMeasures(
        strategy=section.strategy, final_sparsity=pruning.sparsity, mac_reduction=1 - macs[0] / max(macs[1], 1),
        macs_before=macs[1], multipliers_before=multipliers,
        multipliers_removed=multipliers - sum(layer.multipliers for layer in layers),
        compression_ratio=measure.compression_ratio(before, after), metric=judge.data.metric,
        metric_before=values[0], metric_after=values[1], retention=judge.retention(*values),
        layers=layers, sensitivity=pruning.sensitivity, targets=pruning.targets,
    )  # fmt: skip
    return found.model_copy(update={"notes": measure.notes_on(found, after)})


def _check_alive(before: Graph, after: Graph, samples: Samples, data: DataResult) -> None:
    x = samples.train.x.astype(np.float32)[:4096]
    moving = [np.ptp(training.predict(build_keras(graph), x), axis=0) > 0 for graph in (before, after)]
    columns = output_columns(data) or {"": slice(None)}
    dead = [name for name, own in columns.items() if moving[0][own].any() and not moving[1][own].any()]
    if not dead:
        return
    small, _ = min(kernels_of(before).items(), key=lambda item: item[1].size)
    which = f" '{dead[0]}'" if len(columns) > 1 else ""
    raise ProjectError(
        f"too much was pruned: the model gives the same output{which} for every training sample",
        where="[prune] final_sparsity",
        hint=f"less sparsity, or leave small layers whole, for instance skip = ['{small}']",
    )  # fmt: skip


def _weights(graph: Graph) -> int:
    return sum(kernel.size for kernel in kernels_of(graph).values())
