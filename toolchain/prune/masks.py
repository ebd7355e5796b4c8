"""Masks over kernels: True where a weight stays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toolchain.model.graph import Graph
from toolchain.model.kernels import Mask, kernels_of


def masks_of(graph: Graph) -> dict[str, Mask]:
    """Which weights of every kernel are not zero."""
    return {key: kernel != 0 for key, kernel in kernels_of(graph).items()}


def exact_mask(kernel: NDArray[np.float64], sparsity: float) -> Mask:
    """At least ``wanted_zeros`` zeros: the smallest magnitudes go, the first of equal ones first.

    TFMOT keeps ``max(round(n * (1 - sparsity)), 1)`` weights (half to even), so it can fall short by one.
    """
    mask = np.ones(kernel.size, dtype=np.bool_)
    mask[np.argsort(np.abs(kernel).reshape(-1), kind="stable")[: wanted_zeros(kernel.size, sparsity)]] = False
    return np.asarray(mask.reshape(kernel.shape) & (kernel != 0))


def wanted_zeros(weights: int, sparsity: float) -> int:
    """``ceil(sparsity * weights)``, but one weight always stays: a layer is never emptied by rounding."""
    return min(math.ceil(sparsity * weights - 1e-9), weights - 1)


def nonzero(graph: Graph) -> int:
    """Weights that are not zero, over all kernels."""
    return sum(int(np.count_nonzero(kernel)) for kernel in kernels_of(graph).values())


def sparsity(graph: Graph) -> float:
    """Zeros / weights over all kernels."""
    weights = sum(kernel.size for kernel in kernels_of(graph).values())
    return 1 - nonzero(graph) / weights if weights else 0.0
