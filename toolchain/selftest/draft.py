"""A random network while it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from toolchain.fixed_point import FixedPoint
from toolchain.network.builder import NetworkBuilder
from toolchain.network.ranges import Range
from toolchain.selftest import random_formats as formats

#: What a user might call a layer, and what hls4ml calls its own variables.
NAMES = (
    "conv_1",
    "dense",
    "q_dense_2",
    "l2",
    "Block1_act",
    "layer3_out",
    "w2",
    "config5",
    "data",
    "res",
    "mult",
    "acc",
)

#: Adds layers behind one and returns the last.
Step = Callable[["Draft", str], str]


@dataclass
class Draft:
    """The builder of a network, and what was used so far."""

    rng: np.random.Generator
    builder: NetworkBuilder
    stream: bool
    names: set[str] = field(default_factory=set)
    drawn: set[str] = field(default_factory=set)  # the steps, by their name

    def name(self, kind: str) -> str:
        """A new name: the kind and a number, or one of ``NAMES``."""
        wanted = str(self.rng.choice(NAMES)) if self.chance(0.15) else f"{kind}{len(self.names)}"
        if wanted.lower() in self.names:
            wanted = f"{kind}{len(self.names)}"
        self.names.add(wanted.lower())
        return wanted

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def count(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def shape(self, x: str) -> tuple[int, ...]:
        return self.builder.shape_of(x)

    def values(self, x: str) -> Range:
        return self.builder.range_of(x)

    def bits(self, x: str) -> int:
        """The width of the words that ``x`` can hold."""
        return self.values(x).smallest_format().width

    def take(self, step: Step, x: str) -> str:
        """``step`` of ``x``, noted."""
        self.drawn.add(step.__name__)
        return step(self, x)

    def size(self, x: str) -> int:
        """How many words ``x`` has."""
        return int(np.prod(self.shape(x)))

    def result_format(self, x: str, widest: int = 16) -> FixedPoint:
        return formats.result_format(self.rng, self.values(x), widest)

    def kernel_format(self, x: str) -> FixedPoint:
        """A format for constants that ``x`` is multiplied with."""
        return formats.kernel_format(self.rng, narrow=self.bits(x) > 16)

    def words(self, shape: tuple[int, ...], form: FixedPoint) -> np.ndarray:
        return formats.pruned_words(self.rng, shape, form)


def choose(draft: Draft, steps: dict[Step, float]) -> Step:
    """One of ``steps``, drawn by its weight."""
    weights = np.array(list(steps.values()))
    step = list(steps)[int(draft.rng.choice(len(steps), p=weights / weights.sum()))]
    draft.drawn.add(step.__name__)
    return step
