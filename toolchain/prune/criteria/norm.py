"""Importance by the norm of a unit's incoming weights (Li et al. 2017, "Pruning filters for efficient ConvNets")."""

from __future__ import annotations

from typing import Literal

import numpy as np

from toolchain.model.graph import Array


def importance(kernel: Array, criterion: Literal["l1", "l2"]) -> Array:
    """The L1 or L2 norm over everything but the last axis, ``(units,)``."""
    flat = kernel.reshape(-1, kernel.shape[-1])
    return np.asarray(np.abs(flat).sum(axis=0) if criterion == "l1" else np.sqrt((flat**2).sum(axis=0)))
