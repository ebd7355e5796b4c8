"""Importance of a channel by the scale of its batch normalisation (Liu et al. 2017, "Network slimming")."""

from __future__ import annotations

import numpy as np

from toolchain.model.graph import Array


def importance(gamma: Array) -> Array:
    """``|gamma|``, ``(channels,)``."""
    return np.abs(gamma)
