"""Stage ``prune``: weights by TFMOT's schedule, then whole neurons and filters, then fine-tuning on what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.data.samples import load as load_samples
from toolchain.errors import ProjectError, nearest
from toolchain.model import artefact, training
from toolchain.model.chain import Chain, fold_batch_normalization
from toolchain.model.keras_chain import build_keras, chain_of
from toolchain.model.tensorflow import load_tensorflow, seed_everything
from toolchain.project import PruneSection
from toolchain.prune import masks, schedules, surgery
from toolchain.results import DataResult, Job, ModelResult, PruneResult, RemovedGroup, Samples


def prune(data: DataResult, model: ModelResult, section: PruneSection, job: Job) -> PruneResult:
    """Prune the trained model and save it into ``job.folder``.

    BatchNormalization is folded away first. In every kernel that is not in ``section.skip`` at least
    ``ceil(final_sparsity * weights)`` weights become zero, which is asserted; then units are cut. Raises ProjectError for a layer in ``skip`` that does
    not exist, UnsupportedModelError for a BatchNormalization that cannot be folded.
    """
    seed_everything(job.seed)
    samples = load_samples(data)
    chain = fold_batch_normalization(chain_of(artefact.load_model(model.folder)))
    _check_names(chain, section.skip)
    parameters_before = sum(layer.parameters for layer in artefact.count_layers(chain))
    plan = training.Training(
        epochs=section.epochs, batch_size=model.batch_size,
        learning_rate=model.learning_rate * section.learning_rate_factor, loss=model.loss,
    )  # fmt: skip
    chain = _prune_weights(chain, samples, section, plan, job)
    chain = _apply(chain, section)
    weights_before = sum(link.kernel.size for link in chain.links if link.kernel is not None)
    _assert_sparse(chain, section)
    chain, removed = _remove_units(chain, section)
    if removed or section.final_sparsity == 0:
        short = replace(plan, epochs=max(1, section.epochs // 3), learning_rate=plan.learning_rate * 0.2)
        chain = fine_tune(chain, samples, short, job)
    keras_model = build_keras(chain)
    training.compile_model(keras_model, plan, len(samples.train.x))
    loss = training.validation_loss(keras_model, samples.validation)
    artefact.save(keras_model, chain, data, samples.test, job.folder)
    kept: dict[str, Any] = dict(masks.masks_of(chain))
    np.savez(job.folder / "masks.npz", **kept)
    layers = artefact.count_layers(chain)
    return PruneResult(
        layers=layers, parameters=sum(layer.parameters for layer in layers), learning_rate=model.learning_rate,
        batch_size=model.batch_size, epochs=section.epochs, loss=model.loss, validation_loss=loss,
        sparsity=1 - masks.nonzero(chain) / weights_before, remaining_sparsity=masks.sparsity(chain),
        parameters_before=parameters_before, removed=tuple(removed),
    )  # fmt: skip


def _check_names(chain: Chain, skip: tuple[str, ...]) -> None:
    known = [link.name for link in chain.kernels()]
    for name in skip:
        if name not in known:
            raise ProjectError(f"no layer '{name}'", where="[prune] skip", hint=nearest(name, known))


def _prune_weights(chain: Chain, samples: Samples, section: PruneSection, plan: training.Training, job: Job) -> Chain:
    """TFMOT's masked training; the weights of the best validation loss after the mask has come to rest."""
    if section.final_sparsity == 0:
        return chain
    tf = load_tensorflow()
    from tensorflow_model_optimization.python.core.sparsity.keras import prune as tfmot
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_callbacks

    steps = schedules.steps_for(section, len(samples.train.x), plan.batch_size)
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
    training.compile_model(model, plan, len(samples.train.x))
    first = -(-steps.end_step // -(-len(samples.train.x) // plan.batch_size))
    best = training.best_after(min(first, plan.epochs - 1))
    callbacks = [
        pruning_callbacks.UpdatePruningStep(), best, training.progress_callback("prune", plan.epochs, job.progress)
    ]  # fmt: skip
    training.fit(model, samples.train, samples.validation, plan, callbacks)
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
    """The asked-for zeros in every kernel: TFMOT rounds to nearest, this rounds up."""
    links = []
    for link in chain.links:
        if link.kernel is not None and link.name not in section.skip:
            link = replace(link, kernel=link.kernel * masks.exact_mask(link.kernel, section.final_sparsity))
        links.append(link)
    return replace(chain, links=tuple(links))


def fine_tune(chain: Chain, samples: Samples, plan: training.Training, job: Job) -> Chain:
    """Train what is left; weights that are zero stay zero."""
    model = build_keras(chain)
    training.compile_model(model, plan, len(samples.train.x))
    best = training.best_after(0)
    callbacks = [
        training.keep_zeros(masks.masks_of(chain)), best, training.progress_callback("fine-tune", plan.epochs, job.progress)
    ]  # fmt: skip
    training.fit(model, samples.train, samples.validation, plan, callbacks)
    best.restore(model)
    return _with_weights(chain, model)


def _assert_sparse(chain: Chain, section: PruneSection) -> None:
    for link in chain.links:
        if link.kernel is not None and link.name not in section.skip and section.final_sparsity > 0:
            zeros = int((link.kernel == 0).sum())
            wanted = min(int(np.ceil(section.final_sparsity * link.kernel.size - 1e-9)), link.kernel.size - 1)
            assert zeros >= wanted, f"{link.name} has {zeros} zeros, {wanted} were asked for"
