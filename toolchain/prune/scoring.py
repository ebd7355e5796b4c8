"""The scores of a network's weights by the criterion that the project names."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from toolchain.model.graph import Array
from toolchain.model.kernels import Mask
from toolchain.network.constant_products import Operands
from toolchain.project import PruneSection
from toolchain.prune.criteria import hardware, hessian, magnitude, movement, percentile, taylor
from toolchain.prune.magnitude import for_layer, target_of
from toolchain.prune.masked_training import MaskedTraining, Run, Weights
from toolchain.prune.schedules import Steps, sparsity_at
from toolchain.prune.selection import layer_masks, network_masks

#: Training samples, one by one, for the Fisher information.
_FISHER_SAMPLES = 512


def score(
    network: MaskedTraining, weights: Weights, masks: Mapping[str, Mask], section: PruneSection, run: Run
) -> dict[str, Array]:
    """The importance of every weight, by kernel. ``run`` is the training that ``movement`` watches: epoch by epoch."""
    kernels = network.kernels(weights)
    name = section.weight_criterion
    if name == "magnitude":
        return {key: magnitude.importance(kernel) for key, kernel in kernels.items()}
    if name == "taylor":
        gradients = network.gradients(weights)
        return {key: taylor.importance(kernel, gradients[key]) for key, kernel in kernels.items()}
    if name == "movement":
        return _movement(network, weights, masks, run)
    if name == "hessian":
        fisher = network.gradients(weights, _FISHER_SAMPLES, one_by_one=True)
        return {key: hessian.importance(kernel, fisher[key]) for key, kernel in kernels.items()}
    bits = section.hardware_bits
    return {
        key: hardware.importance(kernel, kernel**2, bits, operands(kernel, bits)) for key, kernel in kernels.items()
    }


def operands(kernel: Array, bits: int) -> Operands:
    """Widths around a kernel whose weights and data have ``bits`` bits; the accumulator holds every sum."""
    return Operands(bits, 2 * bits + math.ceil(math.log2(max(kernel.size // kernel.shape[-1], 2))))


def choose(
    network: MaskedTraining,
    weights: Weights,
    masks: Mapping[str, Mask],
    section: PruneSection,
    sparsity: float,
    run: Run,
) -> dict[str, Mask]:
    """The masks at ``sparsity``; of layers in ``[prune] sparsities``, their own times the share of the way done.

    Masked weights stay masked. Kernels of layers in ``skip`` have no mask.
    """
    kernels = network.kernels(weights)
    pruned = {key: kernel for key, kernel in kernels.items() if key.split("/")[0] not in section.skip}
    if section.percentile is not None:
        return {key: percentile.kept(kernel, section.percentile) for key, kernel in pruned.items()}
    alive = {key: masks.get(key, np.ones(kernel.shape, dtype=np.bool_)) for key, kernel in pruned.items()}
    scores = {key: found for key, found in score(network, weights, alive, section, run).items() if key in pruned}
    if section.scope == "network":
        return network_masks(scores, alive, sparsity, section.block)
    share = sparsity / section.final_sparsity if section.final_sparsity else 0.0
    return layer_masks(scores, alive, {key: target_of(section, key) * share for key in pruned}, section.block)


class GrowingMasks:
    """The masks of ``gradual`` at each step of its schedule; ``movement`` adds up from update to update."""

    def __init__(self, network: MaskedTraining, section: PruneSection, steps: Steps) -> None:
        self.network, self.section, self.steps = network, section, steps
        self.moved: dict[str, Array] = {}

    def __call__(self, step: int, weights: Weights, masks: Mapping[str, Mask]) -> Mapping[str, Mask]:
        """The masks from training step ``step`` on; what was masked stays masked."""
        section = self.section
        kernels = self.network.kernels(weights)
        pruned = {key: kernel for key, kernel in kernels.items() if key.split("/")[0] not in section.skip}
        alive = {key: masks.get(key, np.ones(kernel.shape, dtype=np.bool_)) for key, kernel in pruned.items()}
        if section.weight_criterion == "movement":
            gradients = self.network.gradients(weights)
            for key, kernel in pruned.items():
                self.moved[key] = movement.importance([(kernel, gradients[key])]) + self.moved.get(key, 0.0)
            scores = self.moved
        else:
            found = score(self.network, weights, alive, section, Run(1, 0.0))
            scores = {key: found[key] for key in pruned}
        if section.scope == "network":
            return network_masks(scores, alive, sparsity_at(step, section, self.steps), section.block)
        targets = {key: sparsity_at(step, for_layer(section, key), self.steps) for key in pruned}
        return layer_masks(scores, alive, targets, section.block)


def _movement(
    network: MaskedTraining, weights: Weights, masks: Mapping[str, Mask], run: Run
) -> dict[str, Array]:  # fmt: skip
    steps: dict[str, list[tuple[Array, Array]]] = {key: [] for key in network.variables}

    def watch(_: int, found: Weights) -> None:
        kernels, gradients = network.kernels(found), network.gradients(found)
        for key, kernel in kernels.items():
            steps[key].append((kernel, gradients[key]))

    watch(0, weights)
    network.train(weights, masks, Run(run.epochs, run.learning_rate, run.seed, keep_best=False, each_epoch=watch))
    return {key: movement.importance(trajectory) for key, trajectory in steps.items()}
