"""Which unit every channel of a tensor belongs to, and which units must go together.

Every unit of a layer (a neuron, a filter, a recurrent unit, a head) has a number, its *label*. A tensor has one axis
along which its labels change; the layers that only move values move the labels, so that index arithmetic is executed
and never derived. Units that one layer adds up, or that one row of a reshaped tensor mixes, are tied: they are one
*group* and go together or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Shape = tuple[int | None, ...]


class UncuttableError(Exception):
    """A layer through which channels cannot be cut exactly; its text is the reason. Never leaves this package."""


@dataclass(frozen=True, eq=False)
class Channels:
    """The labels of a tensor of ``shape`` (without the sample axis): ``labels (shape[axis],)``, the same everywhere
    else."""

    shape: Shape
    axis: int
    labels: Labels

    def __post_init__(self) -> None:
        assert 0 <= self.axis < len(self.shape)
        assert self.shape[self.axis] == len(self.labels), (self.shape, self.axis, len(self.labels))

    @property
    def is_last(self) -> bool:
        return self.axis == len(self.shape) - 1

    def everywhere(self) -> Labels:
        """One label for every value, of the tensor's shape. Raises UncuttableError where a size is not fixed."""
        if None in self.shape:
            raise UncuttableError("one of its sizes is not fixed")
        sizes = tuple(int(size or 0) for size in self.shape)
        return np.broadcast_to(spread(self.labels, len(sizes), self.axis), sizes)


def spread(values: NDArray[np.generic], rank: int, axis: int) -> NDArray[np.generic]:
    """``values (n,)`` as an array of ``rank`` axes, all of size 1 but ``axis``."""
    return values.reshape(tuple(-1 if place == axis else 1 for place in range(rank)))


class Units:
    """All units of a graph, tied into groups (union-find), and those that must stay, with the reason."""

    def __init__(self) -> None:
        self._parent: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._reasons: dict[int, str] = {}
        self.spaces: dict[str, Labels] = {}

    def of(self, space: str, count: int) -> Labels:
        """The labels of the ``count`` units of ``space``: a layer's name, or ``layer/heads``."""
        if space not in self.spaces:
            self.spaces[space] = self._new(count)
        assert len(self.spaces[space]) == count
        return self.spaces[space]

    def fixed(self, count: int, reason: str) -> Labels:
        """Labels of channels that must stay."""
        labels = self._new(count)
        self.keep(labels, reason)
        return labels

    def _new(self, count: int) -> Labels:
        labels = np.arange(len(self._parent), len(self._parent) + count)
        self._parent = np.concatenate([self._parent, labels])
        return labels

    def groups(self, labels: Labels) -> Labels:
        """The group of each label: the smallest label that is tied to it."""
        found = self._parent[labels]
        while True:
            higher = self._parent[found]
            if np.array_equal(higher, found):
                return found
            found = higher

    def tie(self, one: Labels, other: Labels) -> None:
        """Units at the same place of both arrays go together."""
        pairs = np.unique(np.stack([self.groups(one.ravel()), self.groups(other.ravel())]), axis=1)
        for left, right in pairs.T.tolist():
            low, high = sorted(self.groups(np.array([left, right])).tolist())
            if low != high:
                self._parent[high] = low
                if high in self._reasons:
                    self._reasons.setdefault(low, self._reasons[high])

    def keep(self, labels: Labels, reason: str) -> None:
        """These units, and all that are tied to them now or later, must stay."""
        for group in np.unique(self.groups(labels)).tolist():
            self._reasons.setdefault(group, reason)

    def reason(self, group: int) -> str | None:
        """Why a group must stay, or None where it may go."""
        return self._reasons.get(group)

    def everyone(self) -> Labels:
        """The group of every label there is."""
        return self.groups(np.arange(len(self._parent)))

    def collapse(self, everywhere: Labels) -> tuple[int, Labels]:
        """The axis along which labels change and the labels there; the last axis, units tied, where there is none."""
        groups = self.groups(everywhere)
        rank = groups.ndim
        for axis in (rank - 1, *range(rank - 1)):
            rows = np.moveaxis(groups, axis, 0).reshape(groups.shape[axis], -1)
            if (rows == rows[:, :1]).all():
                return axis, np.moveaxis(everywhere, axis, 0).reshape(groups.shape[axis], -1)[:, 0]
        rows = np.moveaxis(groups, rank - 1, 0).reshape(groups.shape[-1], -1)
        self.tie(rows, np.broadcast_to(rows[:, :1], rows.shape))
        return rank - 1, rows[:, 0]
