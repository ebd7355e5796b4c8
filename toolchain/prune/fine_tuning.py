"""Training of what is left, the zeros held."""

from __future__ import annotations

from toolchain.model import training
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras
from toolchain.model.kernels import kernel_variables, kernels_of, with_weights_of
from toolchain.prune import masks
from toolchain.results import Job, Samples


def fine_tune(graph: Graph, samples: Samples, plan: training.Training, job: Job) -> Graph:
    """Train the graph and keep the best epoch on the validation part; zeros stay zero, which is asserted."""
    kept = masks.masks_of(graph)
    model = build_keras(graph)
    training.compile_model(model, plan, len(samples.train.x))
    best = training.best_after(0)
    bar = training.progress_callback("fine-tune", plan.epochs, job.progress)
    variables = kernel_variables(graph, model)
    holding = training.keep_zeros([(variables[key], mask) for key, mask in kept.items()])
    training.fit(model, samples.train, samples.validation, plan, [holding, best, bar])
    best.restore(model)
    trained = with_weights_of(graph, model)
    for key, kernel in kernels_of(trained).items():
        assert not kernel[~kept[key]].any(), f"a pruned weight of {key} came back"
    return trained
