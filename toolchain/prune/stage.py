"""Stage ``prune``: weights by TFMOT's schedule, then whole neurons and filters, then fine-tuning on what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.data.samples import load as load_samples
from toolchain.errors import ProjectError, nearest
from toolchain.model import artefact
from toolchain.model.chain import Chain, fold_batch_normalization
from toolchain.model.keras_chain import build_keras, chain_of
from toolchain.model.tensorflow import load_tensorflow, seed_everything
from toolchain.project import PruneSection
from toolchain.prune import masks, schedules, surgery
from toolchain.results import DataResult, Job, ModelResult, PruneResult, RemovedGroup, Samples


def prune(data: DataResult, model: ModelResult, section: PruneSection, job: Job) -> PruneResult:
    """Prune the trained model and save it into ``job.folder``.

    BatchNormalization is folded away first. Every kernel that is not in ``section.skip`` ends with at least
    ``ceil(final_sparsity * weights)`` zeros, which is asserted. Raises ProjectError for a layer in ``skip`` that does
    not exist, UnsupportedModelError for a BatchNormalization that cannot be folded.
    """
    seed_everything(job.seed)
    samples = load_samples(data)
    chain = fold_batch_normalization(chain_of(artefact.load_model(model.folder)))
    _check_names(chain, section.skip)
    parameters_before = sum(layer.parameters for layer in artefact.count_layers(chain))
    training = artefact.Training(
        epochs=section.epochs, batch_size=model.batch_size,
        learning_rate=model.learning_rate * section.learning_rate_factor, loss=model.loss,
    )  # fmt: skip
    chain = _prune_weights(chain, samples, section, training, job)
    chain, removed = _remove_units(chain, section)
    chain = _apply(chain, section)
    if removed or section.final_sparsity == 0:
        short = replace(training, epochs=max(1, section.epochs // 3), learning_rate=training.learning_rate * 0.2)
        chain = fine_tune(chain, samples, short, job)
    _assert_sparse(chain, section)
    keras_model = build_keras(chain)
    artefact.compile_model(keras_model, training)
    loss = artefact.validation_loss(keras_model, samples.validation)
    artefact.save(keras_model, chain, data, samples.test, job.folder)
    kept: dict[str, Any] = dict(masks.masks_of(chain))
    np.savez(job.folder / "masks.npz", **kept)
    layers = artefact.count_layers(chain)
    return PruneResult(
        layers=layers, parameters=sum(layer.parameters for layer in layers), learning_rate=model.learning_rate,
        batch_size=model.batch_size, epochs=section.epochs, loss=model.loss, validation_loss=loss,
        sparsity=masks.sparsity(chain), parameters_before=parameters_before, removed=tuple(removed),
    )  # fmt: skip


def _check_names(chain: Chain, skip: tuple[str, ...]) -> None:
    known = [link.name for link in chain.kernels()]
    for name in skip:
        if name not in known:
            raise ProjectError(f"no layer '{name}'", where="[prune] skip", hint=nearest(name, known))


def _prune_weights(
    chain: Chain, samples: Samples, section: PruneSection, training: artefact.Training, job: Job
) -> Chain:
    """TFMOT's masked training; the weights of the best validation loss after the mask has come to rest."""
    if section.final_sparsity == 0:
        return chain
    tf = load_tensorflow()
    from tensorflow_model_optimization.python.core.sparsity.keras import prune as tfmot
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_callbacks

    steps = schedules.steps_for(section, len(samples.train.x), training.batch_size)
    plain = build_keras(chain)

    def wrap(layer: Any) -> Any:
        pruned = layer.name in {link.name for link in chain.kernels()} - set(section.skip)
        return tfmot.prune_low_magnitude(layer, schedules.tfmot_schedule(section, steps)) if pruned else layer

    model = tf.keras.models.clone_model(plain, clone_function=wrap)
    model.build((None, *chain.input_shape))
    for layer in model.layers:
        name = layer.layer.name if hasattr(layer, "layer") else layer.name
        inner = layer.layer if hasattr(layer, "layer") else layer
        inner.set_weights(_initial(plain.get_layer(name), inner))
    artefact.compile_model(model, training)
    first = -(-steps.end_step // -(-len(samples.train.x) // training.batch_size))
    best = best_after(min(first, training.epochs - 1))
    callbacks = [
        pruning_callbacks.UpdatePruningStep(), best, artefact.progress_callback("prune", training.epochs, job.progress)
    ]  # fmt: skip
    artefact.fit(model, samples.train, samples.validation, training, callbacks)
    best.restore(model)
    stripped = tfmot.strip_pruning(model)
    return _with_weights(chain, stripped)


def _initial(source: Any, destination: Any) -> list[Any]:
    """``source``'s weights in the order of ``destination``'s, which holds TFMOT's variables too."""
    known = {
        weight.name.split("/")[-1]: value for weight, value in zip(source.weights, source.get_weights(), strict=True)
    }
    return [
        known.get(weight.name.split("/")[-1], value)
        for weight, value in zip(destination.weights, destination.get_weights(), strict=True)
    ]


def best_after(first_epoch: int) -> Any:
    """A Keras callback that remembers the weights of the best validation loss from ``first_epoch`` on."""
    keras = load_tensorflow().keras

    class Best(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        loss = float("inf")
        weights: Any = None

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            loss = (logs or {}).get("val_loss", float("inf"))
            if epoch >= first_epoch and (self.weights is None or loss < self.loss):
                self.loss, self.weights = loss, self.model.get_weights()

        def restore(self, model: Any) -> None:
            if self.weights is not None:
                model.set_weights(self.weights)

    return Best()


def _with_weights(chain: Chain, model: Any) -> Chain:
    """The chain with the weights of a tf_keras model that has the same layers."""
    links = []
    for link in chain.links:
        if link.kernel is not None:
            weights = [np.asarray(w, dtype=np.float64) for w in model.get_layer(link.name).get_weights()]
            link = replace(link, kernel=weights[0], bias=weights[1] if len(weights) > 1 else None)
        links.append(link)
    return replace(chain, links=tuple(links))


def _remove_units(chain: Chain, section: PruneSection) -> tuple[Chain, list[RemovedGroup]]:
    before = {link.name: link.kernel.shape[-1] for link in chain.links if link.kernel is not None}
    chain, _ = surgery.remove_least(chain, section.structured_sparsity, section.criterion, section.skip)
    chain, _ = surgery.remove_dead(chain)
    after = {link.name: link.kernel.shape[-1] for link in chain.links if link.kernel is not None}
    return chain, [
        RemovedGroup(layer=name, before=before[name], after=after[name])
        for name in before
        if after[name] < before[name]
    ]


def _apply(chain: Chain, section: PruneSection) -> Chain:
    """Exactly the asked-for zeros in every kernel: TFMOT rounds, and cutting units changes the share."""
    links = []
    for link in chain.links:
        if link.kernel is not None and link.name not in section.skip:
            link = replace(link, kernel=link.kernel * masks.exact_mask(link.kernel, section.final_sparsity))
        links.append(link)
    return replace(chain, links=tuple(links))


def fine_tune(chain: Chain, samples: Samples, training: artefact.Training, job: Job) -> Chain:
    """Train what is left; weights that are zero stay zero."""
    model = build_keras(chain)
    artefact.compile_model(model, training)
    best = best_after(0)
    callbacks = [
        keep_zeros(masks.masks_of(chain)), best, artefact.progress_callback("fine-tune", training.epochs, job.progress)
    ]  # fmt: skip
    artefact.fit(model, samples.train, samples.validation, training, callbacks)
    best.restore(model)
    return _with_weights(chain, model)


def keep_zeros(kept: dict[str, masks.Mask]) -> Any:
    """A Keras callback that sets masked weights to zero after every step."""
    keras = load_tensorflow().keras

    class KeepZeros(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            for name, mask in kept.items():
                kernel = self.model.get_layer(name).kernel
                kernel.assign(kernel * mask.astype(np.float32))

    return KeepZeros()


def _assert_sparse(chain: Chain, section: PruneSection) -> None:
    for link in chain.links:
        if link.kernel is not None and link.name not in section.skip and section.final_sparsity > 0:
            zeros = int((link.kernel == 0).sum())
            wanted = min(int(np.ceil(section.final_sparsity * link.kernel.size - 1e-9)), link.kernel.size - 1)
            assert zeros >= wanted, f"{link.name} has {zeros} zeros, {wanted} were asked for"
