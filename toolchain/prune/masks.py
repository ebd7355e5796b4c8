"""Masks over kernels: True where a weight stays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toolchain.model.chain import Chain

Mask = NDArray[np.bool_]


def masks_of(chain: Chain) -> dict[str, Mask]:
    """Which weights of every kernel are not zero."""
    return {link.name: link.kernel != 0 for link in chain.links if link.kernel is not None}


def exact_mask(kernel: NDArray[np.float64], sparsity: float) -> Mask:
    """At least ``ceil(sparsity * n)`` zeros: the smallest magnitudes go, the first of equal ones first.

    One weight always stays, so that a layer is never emptied by rounding.
    """
    zeros = min(math.ceil(sparsity * kernel.size - 1e-9), kernel.size - 1)
    mask = np.ones(kernel.size, dtype=bool)
    mask[np.argsort(np.abs(kernel).reshape(-1), kind="stable")[:zeros]] = False
    return mask.reshape(kernel.shape) & (kernel != 0) if zeros else kernel != 0


def nonzero(chain: Chain) -> int:
    """Weights that are not zero, over all kernels."""
    return sum(int(np.count_nonzero(link.kernel)) for link in chain.links if link.kernel is not None)


def sparsity(chain: Chain) -> float:
    """Zeros / weights over all kernels."""
    weights = sum(link.kernel.size for link in chain.links if link.kernel is not None)
    zeros = sum(int((link.kernel == 0).sum()) for link in chain.links if link.kernel is not None)
    return zeros / weights if weights else 0.0
