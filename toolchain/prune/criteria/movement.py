"""Importance by the way a weight moves in training (Sanh et al. 2020, "Movement pruning")."""

from __future__ import annotations

from toolchain.model.graph import Array


def importance(trajectory: list[tuple[Array, Array]]) -> Array:
    """``-sum w dL/dw`` over ``(weight, gradient)`` at the steps of a training run; the kernel's shape.

    Positive where training moves the weight away from zero. Scores may be negative: what moves towards zero goes first.
    """
    return -sum((weight * gradient for weight, gradient in trajectory[1:]), trajectory[0][0] * trajectory[0][1])
