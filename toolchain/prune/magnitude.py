"""Unstructured pruning: TFMOT's masked training (Zhu and Gupta 2017, "To prune, or not to prune")."""

from __future__ import annotations

from typing import Any

from toolchain.model import training
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras
from toolchain.model.kernels import kernels_of, with_kernels, with_weights_of
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import PruneSection
from toolchain.prune import masks, schedules
from toolchain.results import Job, Samples

#: Layers that TFMOT's wrapper knows; the kernels of others are pruned at the end, exactly, and fine-tuned.
WRAPPED = ("Dense", "Conv1D", "Conv2D", "QDense", "QConv1D", "QConv2D")


def prune_weights(
    graph: Graph, samples: Samples, section: PruneSection, plan: training.Training, job: Job
) -> Graph:  # fmt: skip
    """The graph with at least ``ceil(sparsity * n)`` zeros in every kernel that is not in ``section.skip``.

    Trained with growing masks by TFMOT; of the epochs after the mask has come to rest, the one with the best validation
    loss. Biases are never pruned. Raises ProjectError when the schedule does not fit into the epochs.
    """
    steps = schedules.steps_for(section, len(samples.train.x), plan.batch_size)
    model = _wrapped(graph, section, steps)
    training.compile_model(model, plan, len(samples.train.x))
    from tensorflow_model_optimization.python.core.sparsity.keras import prune as tfmot
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_callbacks

    best = training.best_after(schedules.first_resting_epoch(steps, plan.epochs))
    callbacks = [
        pruning_callbacks.UpdatePruningStep(), best, training.progress_callback("prune", plan.epochs, job.progress)
    ]  # fmt: skip
    training.fit(model, samples.train, samples.validation, plan, callbacks)
    best.restore(model)
    return apply_masks(with_weights_of(graph, tfmot.strip_pruning(model)), section)


def _wrapped(graph: Graph, section: PruneSection, steps: schedules.Steps) -> Any:
    """The graph as a tf_keras model with TFMOT's wrapper round every layer that is to be pruned."""
    keras = load_tensorflow().keras
    from tensorflow_model_optimization.python.core.sparsity.keras import prune as tfmot

    plain = build_keras(graph)
    names = {key.split("/")[0] for key in kernels_of(graph)} - set(section.skip)
    names = {name for name in names if graph.layers[name].kind in WRAPPED}

    def wrap(layer: Any) -> Any:
        # the layer itself and not a copy: it keeps its weights
        return (
            tfmot.prune_low_magnitude(layer, schedules.tfmot_schedule(for_layer(section, layer.name), steps))
            if layer.name in names
            else layer
        )

    return keras.models.clone_model(plain, clone_function=wrap)


def apply_masks(graph: Graph, section: PruneSection) -> Graph:
    """The asked-for zeros in every kernel: TFMOT rounds to nearest, this rounds up."""
    changed = {}
    for key, kernel in kernels_of(graph).items():
        if key.split("/")[0] not in section.skip:
            sparsity = target_of(section, key)
            changed[key] = kernel * masks.exact_mask(kernel, sparsity)
            assert (changed[key] == 0).sum() >= masks.wanted_zeros(kernel.size, sparsity), key
    return with_kernels(graph, changed)


def target_of(section: PruneSection, key: str) -> float:
    """The sparsity that a kernel is to reach: its own or its layer's in ``sparsities``, else ``final_sparsity``."""
    return section.sparsities.get(key, section.sparsities.get(key.split("/")[0], section.final_sparsity))


def suits(section: PruneSection) -> bool:
    """Whether TFMOT's wrapper can do all that the section asks for; ``strategies.gradual`` does the rest."""
    plain = section.weight_criterion == "magnitude" and section.scope == "layer" and section.block == (1, 1)
    return section.strategy == "gradual" and plain and not section.distillation


def for_layer(section: PruneSection, name: str) -> PruneSection:
    """The section with the sparsities of one layer or kernel as if they were everybody's."""
    found = target_of(section, name)
    return section.model_copy(
        update={"final_sparsity": found, "initial_sparsity": min(section.initial_sparsity, found)}
    )
