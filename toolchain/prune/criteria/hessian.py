"""Importance by the second-order term of the loss (LeCun et al. 1990, "Optimal brain damage").

The diagonal of the Hessian is taken as that of the empirical Fisher information, the mean squared gradient.
"""

from __future__ import annotations

from toolchain.model.graph import Array


def importance(kernel: Array, fisher: Array) -> Array:
    """``1/2 F w^2``: how much the loss grows when the weight goes; ``fisher >= 0`` has the kernel's shape."""
    return 0.5 * fisher * kernel**2
