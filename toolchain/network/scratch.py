"""Memory that one batch after another computes in: fresh pages cost more than the arithmetic on them."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Scratch:
    """Blocks handed out in the order of the first batch; for one thread at a time."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.uint8]] = []
        self._taken = 0

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Inside, ``empty`` takes from here in this thread; the arrays of the last batch are given up."""
        self._taken, _LENT.scratch = 0, self
        try:
            yield
        finally:
            _LENT.scratch = None

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(block.size for block in self._blocks)

    def take(self, size: int) -> NDArray[np.uint8]:
        """The next block, of ``size`` bytes."""
        if self._taken == len(self._blocks):
            self._blocks.append(np.empty(size, dtype=np.uint8))
        elif self._blocks[self._taken].size < size:
            self._blocks[self._taken] = np.empty(size, dtype=np.uint8)
        self._taken += 1
        return self._blocks[self._taken - 1][:size]


_LENT = threading.local()


def empty(shape: tuple[int, ...], kind: Any) -> NDArray[Any]:
    """An array like ``np.empty``'s: of the scratch that is lent to this thread, which takes it back, else a new one."""
    scratch: Scratch | None = getattr(_LENT, "scratch", None)
    kind = np.dtype(kind)
    if scratch is None:
        return np.empty(shape, dtype=kind)
    block: NDArray[Any] = scratch.take(math.prod(shape) * kind.itemsize).view(kind)
    return block.reshape(shape)


def converted(x: NDArray[Any], kind: Any) -> NDArray[Any]:
    """A copy of ``x`` in another type, or the same."""
    copy = empty(x.shape, kind)
    np.copyto(copy, x, casting="unsafe")
    return copy
