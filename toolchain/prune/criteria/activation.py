"""Importance of a unit by its mean activation magnitude: units that stay near zero go first."""

from __future__ import annotations

import numpy as np

from toolchain.model.graph import Array


def importance(activations: Array) -> Array:
    """``mean |a|`` over samples and positions, ``(units,)``, from ``(samples, ..., units)``."""
    return np.asarray(np.abs(activations).reshape(-1, activations.shape[-1]).mean(axis=0))
