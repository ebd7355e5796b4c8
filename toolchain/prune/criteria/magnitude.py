"""Importance of a weight by its magnitude (Han et al. 2015, "Learning both weights and connections")."""

from __future__ import annotations

import numpy as np

from toolchain.model.graph import Array


def importance(kernel: Array) -> Array:
    """``|w|``, the kernel's shape."""
    return np.abs(kernel)
