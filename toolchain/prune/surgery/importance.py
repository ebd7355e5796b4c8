"""How much each unit matters, by the norm of the weights that make it (Li et al. 2017)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from toolchain.model.graph import Array
from toolchain.prune.surgery.tracing import Tracing


def unit_norms(tracing: Tracing, criterion: Literal["l1", "l2"] = "l2") -> dict[str, Array]:
    """L1 or L2 norm of every unit's kernel weights, ``(units,)`` for each layer (or ``layer/heads``).

    All gates of a recurrent unit and all projections of a head count; biases do not.
    """
    found: dict[str, Array] = {}
    for space, labels in tracing.spaces.items():
        total = np.zeros(len(labels))
        layer = tracing.graph.layers[space.split("/")[0]]
        for binding in tracing.bindings(layer.name):
            weight = layer.weights[binding.weight]
            if binding.role != "makes" or not binding.weight.endswith(("kernel", "embeddings")):
                continue
            if not np.isin(binding.labels, labels).all():
                continue
            rows = np.moveaxis(weight, binding.axis, 0).reshape(weight.shape[binding.axis], -1)
            sums = np.abs(rows).sum(axis=1) if criterion == "l1" else (rows**2).sum(axis=1)
            np.add.at(total, np.searchsorted(labels, binding.labels), sums)
        found[space] = total if criterion == "l1" else np.sqrt(total)
    return found
