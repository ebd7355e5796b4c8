"""How much each layer alone can lose: the metric at several sparsities, one layer at a time, without fine-tuning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolchain.model.graph import Array
from toolchain.model.kernels import Mask
from toolchain.prune.masked_training import Weights
from toolchain.prune.scoring import score
from toolchain.prune.selection import layer_masks
from toolchain.prune.strategies import Setting
from toolchain.results import LayerSensitivity

#: Sparsities at which every layer is tried.
TRIED = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95)


def analyse(setting: Setting, metric: Callable[[Weights], float]) -> tuple[LayerSensitivity, ...]:
    """``metric`` of the dense network with one kernel pruned at a time, for every kernel that is not in ``skip``."""
    network, section = setting.network, setting.section
    kernels = network.kernels(network.dense)
    alive: dict[str, Mask] = {key: np.ones(kernel.shape, dtype=np.bool_) for key, kernel in kernels.items()}
    scores: dict[str, Array] = score(network, network.dense, alive, section, setting.fine_tuning)
    found = []
    keys = [key for key in kernels if key.split("/")[0] not in section.skip]
    for place, key in enumerate(keys):
        values = []
        for sparsity in TRIED:
            masks = layer_masks(scores, alive, {key: sparsity}, section.block)
            values.append(metric(network.masked(network.dense, masks)))
        found.append(LayerSensitivity(layer=key, sparsities=TRIED, metric=tuple(values)))
        setting.progress("sensitivity", place + 1, len(keys))
    return tuple(found)


def targets(
    found: tuple[LayerSensitivity, ...], worse_by: Callable[[float, float], float], limit: float, most: float
) -> dict[str, float]:
    """For each kernel the largest tried sparsity, at most ``most``, up to which the metric stays within ``limit``.

    ``worse_by(before, after)`` is the relative loss of the metric.
    """
    chosen = {}
    for layer in found:
        allowed = 0.0
        for sparsity, value in zip(layer.sparsities, layer.metric, strict=True):
            if worse_by(layer.metric[0], value) > limit:
                break
            allowed = sparsity
        chosen[layer.layer] = min(allowed, most)
    return chosen
