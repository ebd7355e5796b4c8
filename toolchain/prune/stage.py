"""Stage ``prune``: weights by TFMOT's schedule, then whole neurons and filters, then fine-tuning of what is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.data.samples import load as load_samples
from toolchain.errors import ProjectError
from toolchain.model import artefact, training
from toolchain.model.chain import Chain, forward, inference_chain
from toolchain.model.keras_chain import build_keras, chain_of
from toolchain.model.tensorflow import seed_everything
from toolchain.project import PruneSection
from toolchain.prune import masks, preflight, surgery
from toolchain.prune.fine_tuning import fine_tune
from toolchain.prune.magnitude import prune_weights
from toolchain.results import DataResult, Job, ModelResult, PruneResult, RemovedGroup, Samples


def prune(data: DataResult, model: ModelResult, section: PruneSection, job: Job) -> PruneResult:
    """Prune the trained model and save it into ``job.folder``: ``model.keras``, ``masks.npz``, ``predictions.npy``.

    Dropout goes and BatchNormalization is folded away first. In every kernel that is not in ``section.skip`` at least
    ``ceil(final_sparsity * weights)`` weights become zero; then ``structured_sparsity`` of the hidden units are cut
    out, and with them the units that the zeros have left without input or reader.

    Raises ProjectError for a layer in ``skip`` that does not exist, a schedule that does not fit, or when the pruned
    model is dead: the same output for every training sample; UnsupportedModelError for a BatchNormalization that cannot
    be folded.
    """
    seed_everything(job.seed)
    samples = load_samples(data)
    chain = inference_chain(chain_of(artefact.load_model(model.folder)))
    for problem in preflight.check(section, tuple(link.name for link in chain.kernels())):
        raise problem
    before = chain
    plan = training.Training(
        epochs=section.epochs, batch_size=model.batch_size,
        learning_rate=model.learning_rate * section.learning_rate_factor, loss=model.loss,
    )  # fmt: skip
    chain = prune_weights(chain, samples, section, plan, job)
    chain = surgery.remove_dead(surgery.remove_least(chain, section), section.skip)
    removed = _removed(before, chain)
    if removed:
        chain = fine_tune(chain, samples, replace(plan, epochs=max(1, section.epochs // 2)), job)
    _check_alive(before, chain, samples)
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
        sparsity=1 - masks.nonzero(chain) / _weights(before), remaining_sparsity=masks.sparsity(chain),
        parameters_before=sum(layer.parameters for layer in artefact.count_layers(before)), removed=removed,
    )  # fmt: skip


def _check_alive(before: Chain, after: Chain, samples: Samples) -> None:
    x = samples.train.x
    if np.ptp(forward(after, x), axis=0).any() or not np.ptp(forward(before, x), axis=0).any():
        return
    small = min(before.kernels(), key=lambda link: link.kernel.size if link.kernel is not None else 0)
    raise ProjectError(
        "too much was pruned: the model gives the same output for every training sample",
        where="[prune] final_sparsity",
        hint=f"less sparsity, or leave small layers whole, for instance skip = ['{small.name}']",
    )  # fmt: skip


def _weights(chain: Chain) -> int:
    return sum(link.kernel.size for link in chain.links if link.kernel is not None)


def _removed(before: Chain, after: Chain) -> tuple[RemovedGroup, ...]:
    groups = []
    for old, new in zip(before.kernels(), after.kernels(), strict=True):
        assert old.kernel is not None
        assert new.kernel is not None
        if new.kernel.shape[-1] < old.kernel.shape[-1]:
            groups.append(RemovedGroup(layer=old.name, before=old.kernel.shape[-1], after=new.kernel.shape[-1]))
    return tuple(groups)
