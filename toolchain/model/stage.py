"""Stage ``train``: a float model, trained from an architecture, loaded from a Keras file or given in memory."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from toolchain.data.outputs import check_outputs
from toolchain.data.ports import check_inputs
from toolchain.data.samples import load as load_samples
from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.model import artefact, training
from toolchain.model.architectures import build
from toolchain.model.feeding import input_shapes, output_shapes_by_name
from toolchain.model.folding import inference_graph
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras, check_predictions, graph_of, output_shapes
from toolchain.model.loading import checked_graph, load_model_file
from toolchain.model.preflight import KERNELS, output_problems
from toolchain.model.rewriting import is_quantized, plain_graph, without_final_activation, without_recurrent
from toolchain.model.tensorflow import load_tensorflow, seed_everything
from toolchain.model.unrolling import check_window, with_equal_steps
from toolchain.project import ModelSection, TrainSection
from toolchain.results import DataResult, Job, ModelResult, RecurrentWindow, Samples


def train(data: DataResult, model: ModelSection, section: TrainSection, job: Job) -> ModelResult:
    """Train on the training part, keep the weights of the best validation loss, save into ``job.folder``.

    A model from a file keeps its weights when ``section.epochs`` is 0 and goes on from them otherwise.
    Raises UnsupportedModelError or ProjectError when model and data do not fit together, or when training diverges.
    """
    seed_everything(job.seed)
    if not model.file:
        if data.targets:
            check_outputs({KERNELS[model.architecture][-1]: (data.outputs,)}, data, "[model] architecture")
        return _train(build(model, data), data, section, job)
    weights = job.project_folder / model.weights if model.weights else None
    graph = load_model_file(job.project_folder / model.file, weights, model.allow_custom_code)
    if model.recurrent == "step":
        return _train_steps(graph, data, section, job)
    return _train_graph(graph, "[model] file", data, section, job)


def from_model(model: Any, data: DataResult, section: TrainSection, job: Job) -> ModelResult:
    """The same for a Keras 2 or Keras 3 model in memory, which is left as it is. Raises as ``train``."""
    seed_everything(job.seed)
    return _train_graph(checked_graph(model), "model", data, section, job)


def _train_steps(graph: Graph, data: DataResult, section: TrainSection, job: Job) -> ModelResult:
    """The recurrent layer as equal steps from here on: they are trained, pruned and quantized together."""
    unrolled, windows = with_equal_steps(graph, output_shapes(graph))
    window = check_window(windows)
    check_predictions(build_keras(graph), unrolled, "[model] recurrent = 'step'")
    made = _train_graph(unrolled, "[model] file", data, section, job)
    steps = RecurrentWindow(
        layer=window.layer.name, ticks=tuple((tick.layer, tick.call) for tick in window.ticks),
        states=tuple(tuple((state.layer, state.call) for state in states) for states in window.states),
        quantizers=window.quantizers,
    )  # fmt: skip
    return made.model_copy(update={"window": steps})


def _train_graph(graph: Graph, where: str, data: DataResult, section: TrainSection, job: Job) -> ModelResult:
    names = tuple(out.layer for out in graph.outputs)
    for problem in output_problems(names, where):
        raise problem
    shapes = output_shapes_by_name(graph)
    # from here on the outputs stand in the alphabetical order of their names, as their targets do
    order = sorted(graph.outputs, key=lambda out: out.layer)
    graph, left_out = without_final_activation(replace(graph, outputs=tuple(order)))
    if len(set(graph.outputs)) < len(graph.outputs):
        raise UnsupportedModelError(
            f"two of the outputs {', '.join(names)} are the same without {' and '.join(left_out)}", where=where,
            allowed="different outputs", hint="give the logits alone",
        )  # fmt: skip
    if is_quantized(graph):
        graph = _recurrent_as_steps(graph, where)
    else:
        # what later stages rewrite must compute the same: seen here, before any training
        check_predictions(build_keras(graph), plain_graph(inference_graph(graph)), where)
    check_inputs(input_shapes(graph), data, where)
    check_outputs(shapes, data, where)
    return _train(build_keras(graph), data, section, job, left_out)


def _recurrent_as_steps(graph: Graph, where: str) -> Graph:
    """A QKeras model's recurrent layers unrolled, with the same quantizers; checked on random samples."""
    made = without_recurrent(graph)
    if made is graph:
        return graph
    if len(made.outputs) > 1 and [out.layer for out in made.outputs] != [out.layer for out in graph.outputs]:
        raise UnsupportedModelError(
            "a recurrent layer is one of several outputs", where=where, allowed="a recurrent layer that others read",
            hint="a QDense behind it",
        )  # fmt: skip
    check_predictions(build_keras(graph), made, where)
    return made


def _train(
    keras_model: Any, data: DataResult, section: TrainSection, job: Job, left_out: tuple[str, ...] = ()
) -> ModelResult:
    samples = load_samples(data)
    plan = training.Training(
        epochs=section.epochs, batch_size=section.batch_size, learning_rate=section.learning_rate,
        loss=training.loss_of(data), weight_decay=section.weight_decay, patience=section.patience,
    )  # fmt: skip
    training.compile_model(keras_model, plan, len(samples.train.x))
    if plan.epochs:
        plan = replace(plan, epochs=_fit_best(keras_model, samples, plan, job))
    loss = training.validation_loss(keras_model, samples.validation)
    if not math.isfinite(loss):
        raise ProjectError(
            f"training diverged: the validation loss is {loss}", where="[train] learning_rate",
            hint=f"a smaller one than {section.learning_rate:g}, or inputs of a smaller scale",
        )  # fmt: skip
    graph = graph_of(keras_model)
    artefact.save(keras_model, graph, data, samples.test, job.folder)
    layers = artefact.count_layers(graph)
    return ModelResult(
        layers=layers, parameters=sum(layer.parameters for layer in layers), learning_rate=section.learning_rate,
        batch_size=section.batch_size, epochs=plan.epochs, loss=plan.loss, validation_loss=loss, left_out=left_out,
    )  # fmt: skip


def _fit_best(keras_model: Any, samples: Samples, plan: training.Training, job: Job) -> int:
    """Train, put the best epoch's weights back, and return how many epochs were trained."""
    keras = load_tensorflow().keras
    patience = plan.patience or plan.epochs
    callbacks = [
        training.progress_callback("train", plan.epochs, job.progress),
        keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True),
        keras.callbacks.TerminateOnNaN(),
    ]
    return training.fit(keras_model, samples.train, samples.validation, plan, callbacks)
