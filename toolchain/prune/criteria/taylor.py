"""Importance by the first-order Taylor term of the loss (Molchanov et al. 2017, arXiv 1611.06440)."""

from __future__ import annotations

import numpy as np

from toolchain.model.graph import Array


def importance(kernel: Array, gradient: Array) -> Array:
    """``|w dL/dw|`` with the gradient of the mean loss; the kernel's shape."""
    return np.abs(kernel * gradient)


def unit_importance(activations: Array, gradients: Array) -> Array:
    """``mean |a dL/da|`` of every unit, ``(units,)``; activations and gradients are ``(samples, ..., units)``."""
    products = activations * gradients
    per_sample = products.reshape(len(products), -1, products.shape[-1]).sum(axis=1)
    return np.asarray(np.abs(per_sample).mean(axis=0))


def summed_importance(sums: Array) -> Array:
    """The same from each sample's sum of ``w dL/dw`` over a unit's weights: ``(units,)`` from ``(samples, units)``."""
    return np.asarray(np.abs(sums).mean(axis=0))
