"""Stage ``train``: a float model, trained from an architecture or loaded from a Keras file."""

from __future__ import annotations

from typing import Any

from toolchain.data.samples import load as load_samples
from toolchain.errors import UnsupportedModelError
from toolchain.model import artefact, training
from toolchain.model.architectures import build
from toolchain.model.chain import Chain
from toolchain.model.keras_chain import build_keras, chain_of, load_chain
from toolchain.model.tensorflow import load_tensorflow, seed_everything
from toolchain.project import ModelSection, TrainSection
from toolchain.results import DataResult, Job, ModelResult, Samples


def train(data: DataResult, model: ModelSection, section: TrainSection, job: Job) -> ModelResult:
    """Train on the training part, keep the weights of the best validation loss, save into ``job.folder``.

    A model from a file keeps its weights when ``section.epochs`` is 0 and goes on from them otherwise.
    Raises UnsupportedModelError or ProjectError when model and data do not fit together.
    """
    seed_everything(job.seed)
    samples = load_samples(data)
    if model.file:
        chain = load_chain(job.project_folder / model.file, model.allow_custom_code)
        keras_model = build_keras(chain)
        _check_shapes(chain, data)
    else:
        keras_model = build(model, data)
    plan = training.Training(
        epochs=section.epochs, batch_size=section.batch_size, learning_rate=section.learning_rate,
        loss=training.loss_for(data.task), weight_decay=section.weight_decay, patience=section.patience,
    )  # fmt: skip
    training.compile_model(keras_model, plan, len(samples.train.x))
    if plan.epochs:
        _fit_best(keras_model, samples, plan, job)
    chain = chain_of(keras_model)
    loss = training.validation_loss(keras_model, samples.validation)
    artefact.save(keras_model, chain, data, samples.test, job.folder)
    layers = artefact.count_layers(chain)
    return ModelResult(
        layers=layers, parameters=sum(layer.parameters for layer in layers), learning_rate=section.learning_rate,
        batch_size=section.batch_size, epochs=section.epochs, loss=plan.loss, validation_loss=loss,
    )  # fmt: skip


def _fit_best(keras_model: Any, samples: Samples, plan: training.Training, job: Job) -> None:
    keras = load_tensorflow().keras
    callbacks = [training.progress_callback("train", plan.epochs, job.progress)]
    patience = plan.patience or plan.epochs
    callbacks.append(keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True))
    training.fit(keras_model, samples.train, samples.validation, plan, callbacks)


def _check_shapes(chain: Chain, data: DataResult) -> None:
    if chain.input_shape != data.input_shape:
        raise UnsupportedModelError(
            f"takes samples of shape {chain.input_shape}, the data give {data.input_shape}", where="[model] file"
        )
    outputs = chain.shapes()[-1]
    if outputs != (data.outputs,):
        raise UnsupportedModelError(
            f"gives outputs of shape {outputs}, the data's target has {data.outputs}", where="[model] file"
        )
