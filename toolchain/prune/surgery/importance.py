"""How much each unit matters, by the norm of the weights that make it (Li et al. 2017)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from toolchain.model.graph import Array
from toolchain.prune.surgery.rules import Binding
from toolchain.prune.surgery.tracing import Tracing


def makers(tracing: Tracing, space: str) -> list[Binding]:
    """The weights that make the units of a layer (or ``layer/heads``), biases included, one slice a unit."""
    labels = tracing.spaces[space]
    return [
        binding for binding in tracing.bindings(space.split("/")[0])
        if binding.role == "makes" and np.isin(binding.labels, labels).all()
    ]  # fmt: skip


def unit_norms(tracing: Tracing, criterion: Literal["l1", "l2"] = "l2") -> dict[str, Array]:
    """L1 or L2 norm of every unit's kernel weights, ``(units,)`` for each layer (or ``layer/heads``).

    All gates of a recurrent unit and all projections of a head count; biases do not.
    """
    found: dict[str, Array] = {}
    for space, labels in tracing.spaces.items():
        total = np.zeros(len(labels))
        layer = tracing.graph.layers[space.split("/")[0]]
        for binding in makers(tracing, space):
            weight = layer.weights[binding.weight]
            if not binding.weight.endswith(("kernel", "embeddings")):
                continue
            rows = np.moveaxis(weight, binding.axis, 0).reshape(weight.shape[binding.axis], -1)
            sums = np.abs(rows).sum(axis=1) if criterion == "l1" else (rows**2).sum(axis=1)
            np.add.at(total, np.searchsorted(labels, binding.labels), sums)
        found[space] = total if criterion == "l1" else np.sqrt(total)
    return found
