"""Importance of a unit by what no other unit says: of two correlated units one goes."""

from __future__ import annotations

import numpy as np

from toolchain.model.graph import Array


def importance(activations: Array) -> Array:
    """``1 - max |correlation|`` with the units that go later, ``(units,)``, from ``(samples, ..., units)``.

    The unit most correlated with another that is still there goes first, so that of equal units one is kept: ranks by
    importance are the order of removal. A constant unit says nothing: its importance is below all others.
    """
    flat = activations.reshape(-1, activations.shape[-1])
    flat = flat - flat.mean(axis=0)
    length = np.sqrt((flat**2).sum(axis=0))
    constant = length <= 1e-12 * max(float(length.max(initial=0)), 1e-300)
    unit = flat / np.where(constant, 1.0, length)
    correlation = np.abs(unit.T @ unit)
    np.fill_diagonal(correlation, 0.0)
    correlation[constant] = correlation[:, constant] = 0.0
    importance, left = np.where(constant, -1.0, 0.0), ~constant
    lowest = 0.0
    while left.sum() > 1:
        remaining = np.flatnonzero(left)
        largest = correlation[np.ix_(remaining, remaining)].max(axis=1)
        goes = remaining[int(largest.argmax())]
        lowest = max(lowest, 1 - float(largest.max()))  # rounding must not reorder what was decided
        importance[goes] = lowest
        left[goes] = False
    importance[left] = np.nextafter(max(1.0, lowest), np.inf)
    return importance
