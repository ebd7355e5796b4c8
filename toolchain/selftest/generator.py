"""Random quantized networks, the same for the same seed: what the hardware path must compute exactly or refuse."""

from __future__ import annotations

import numpy as np

from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.selftest import linear_steps as linear
from toolchain.selftest import other_steps as other
from toolchain.selftest import random_formats as formats
from toolchain.selftest.draft import Draft, Step, choose

_VECTOR: dict[Step, float] = {
    linear.dense: 5, linear.scale: 1, other.relu: 0.5, other.requantize: 0.5, other.merge: 1.5, other.table: 1.5,
    other.concatenate: 0.5,
}  # fmt: skip
_SPATIAL: dict[Step, float] = {
    linear.convolution: 5, linear.depthwise: 1.5, linear.scale: 0.7, linear.dense: 1, other.max_pool: 1.5,
    other.merge: 1.2, other.table: 0.7, other.concatenate: 0.6, other.zero_padding: 0.4, other.crop: 0.4,
    other.permute: 0.5, other.relu: 0.3, other.requantize: 0.3,
}  # fmt: skip


def draw(seed: tuple[int, ...], stream: bool) -> FixedPointNetwork:
    """The random network of ``seed``; ``stream`` leaves out some of what only io_parallel can do."""
    draft = Draft(np.random.default_rng(seed), NetworkBuilder("selftest"), stream)
    axes = int(draft.rng.choice([0, 1, 2], p=[0.4, 0.35, 0.25]))
    x = _input(draft, axes)
    if axes == 0 and draft.chance(0.1):
        axes, x = 1, other.embedding(draft, x)
    if axes:
        for _ in range(draft.count(1, 2)):
            x = choose(draft, _SPATIAL)(draft, x)
        x = linear.dense(draft, other.flatten(draft, x))
    outputs = []
    if draft.chance(0.15):
        x = other.merge(draft, x) if draft.chance(0.5) else _join(draft, x)
    for _ in range(draft.count(1, 2)):
        x = choose(draft, _VECTOR)(draft, x)
        if draft.chance(0.06):
            outputs.append(linear.dense(draft, x))
    if draft.chance(0.7):
        x = linear.dense(draft, x)
    if draft.chance(0.1):
        x = other.reshape(draft, x)
    return draft.builder.build((*outputs, x))


def _input(draft: Draft, axes: int) -> str:
    low, high = {0: (2, 12), 1: (3, 10), 2: (3, 6)}[axes]
    sizes = tuple(draft.count(low, high) for _ in range(max(axes, 1)))
    shape = sizes if axes == 0 else (*sizes, draft.count(1, 3))
    return draft.builder.input(draft.name("x"), shape, formats.input_format(draft.rng))


def _join(draft: Draft, x: str) -> str:
    """A second input port, concatenated."""
    port = draft.builder.input(draft.name("y"), (draft.count(2, 5),), formats.input_format(draft.rng))
    return draft.builder.concatenate(draft.name("concat"), (x, linear.dense(draft, port)), -1)
