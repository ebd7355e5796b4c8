"""Unstructured pruning: TFMOT's masked training (Zhu and Gupta 2017, "To prune, or not to prune")."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from toolchain.model import training
from toolchain.model.chain import Chain
from toolchain.model.keras_chain import build_keras
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import PruneSection
from toolchain.prune import masks, schedules
from toolchain.prune.fine_tuning import with_weights
from toolchain.results import Job, Samples


def prune_weights(
    chain: Chain, samples: Samples, section: PruneSection, plan: training.Training, job: Job
) -> Chain:  # fmt: skip
    """The chain with at least ``ceil(final_sparsity * n)`` zeros in every kernel that is not in ``section.skip``.

    Trained with growing masks by TFMOT; of the epochs after the mask has come to rest, the one with the best validation
    loss. Biases are never pruned. Raises ProjectError when the schedule does not fit into the epochs.
    """
    if section.final_sparsity == 0:
        return chain
    steps = schedules.steps_for(section, len(samples.train.x), plan.batch_size)
    model = _wrapped(chain, section, steps)
    training.compile_model(model, plan, len(samples.train.x))
    from tensorflow_model_optimization.python.core.sparsity.keras import prune as tfmot
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_callbacks

    best = training.best_after(schedules.first_resting_epoch(steps, plan.epochs))
    callbacks = [
        pruning_callbacks.UpdatePruningStep(), best, training.progress_callback("prune", plan.epochs, job.progress)
    ]  # fmt: skip
    training.fit(model, samples.train, samples.validation, plan, callbacks)
    best.restore(model)
    return apply_masks(with_weights(chain, tfmot.strip_pruning(model)), section)


def _wrapped(chain: Chain, section: PruneSection, steps: schedules.Steps) -> Any:
    """The chain as a tf_keras model with TFMOT's wrapper round every layer that is to be pruned."""
    keras = load_tensorflow().keras
    from tensorflow_model_optimization.python.core.sparsity.keras import prune as tfmot

    plain = build_keras(chain)
    names = {link.name for link in chain.kernels()} - set(section.skip)

    def wrap(layer: Any) -> Any:
        if layer.name not in names:
            return layer
        return tfmot.prune_low_magnitude(layer, schedules.tfmot_schedule(section, steps))

    model = keras.models.clone_model(plain, clone_function=wrap)
    model.build((None, *chain.input_shape))
    for link in chain.kernels():
        layer = next(found for found in model.layers if link.name == getattr(found, "layer", found).name)
        assert link.kernel is not None
        inner = getattr(layer, "layer", layer)
        inner.kernel.assign(link.kernel.astype(inner.kernel.dtype.as_numpy_dtype))
        if link.bias is not None:
            inner.bias.assign(link.bias.astype(inner.bias.dtype.as_numpy_dtype))
    return model


def apply_masks(chain: Chain, section: PruneSection) -> Chain:
    """The asked-for zeros in every kernel: TFMOT rounds to nearest, this rounds up."""
    links = []
    for link in chain.links:
        if link.kernel is not None and link.name not in section.skip:
            kernel = link.kernel * masks.exact_mask(link.kernel, section.final_sparsity)
            assert (kernel == 0).sum() >= masks.wanted_zeros(kernel.size, section.final_sparsity), link.name
            link = replace(link, kernel=kernel)
        links.append(link)
    return replace(chain, links=tuple(links))
