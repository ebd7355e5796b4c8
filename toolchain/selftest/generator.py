"""Random quantized networks, the same for the same seed: what the hardware path must compute exactly or refuse."""

from __future__ import annotations

import numpy as np

from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.selftest import composition_steps as composed
from toolchain.selftest import linear_steps as linear
from toolchain.selftest import other_steps as other
from toolchain.selftest import random_formats as formats
from toolchain.selftest import recurrent_steps as recurrent
from toolchain.selftest.draft import Draft, Step, choose

#: Steps from a row of values to another, and how often each is drawn.
VECTOR: dict[Step, float] = {
    linear.dense: 5, linear.scale: 1, other.relu: 0.5, other.requantize: 0.5, other.merge: 1.5, other.table: 1.5,
    other.concatenate: 0.5, linear.shared: 0.3, composed.leaky_relu: 0.4, composed.clipped_relu: 0.3,
    composed.named_function: 0.5, composed.softmax: 0.5, composed.layer_normalization: 0.4,
}  # fmt: skip
#: Steps between tensors with channels behind one or two axes.
SPATIAL: dict[Step, float] = {
    linear.convolution: 5, linear.depthwise: 1.5, linear.scale: 0.7, linear.dense: 1, other.max_pool: 1.5,
    other.merge: 1.2, other.table: 0.7, other.concatenate: 0.6, other.zero_padding: 0.4, other.crop: 0.4,
    other.permute: 0.5, other.relu: 0.3, other.requantize: 0.3, linear.shared: 0.2, composed.leaky_relu: 0.3,
    composed.clipped_relu: 0.2, composed.average_pool: 0.8, composed.up_sampling: 0.4, composed.named_function: 0.3,
}  # fmt: skip
#: Steps that leave a row of values of a tensor of one or two axes.
ENDS: dict[Step, float] = {other.flatten: 6, composed.global_pool: 2}


def draw(seed: tuple[int, ...], stream: bool) -> FixedPointNetwork:
    """The random network of ``seed``; ``stream`` leaves out some of what only io_parallel can do."""
    return drafted(seed, stream)[0]


def drafted(seed: tuple[int, ...], stream: bool) -> tuple[FixedPointNetwork, set[str]]:
    """The same, and the names of the steps that it was drawn with."""
    draft = Draft(np.random.default_rng(seed), NetworkBuilder("selftest"), stream)
    axes = int(draft.rng.choice([0, 1, 2], p=[0.4, 0.35, 0.25]))
    x = _input(draft, axes)
    if axes == 0 and draft.chance(0.1):
        axes, x = 1, draft.take(other.embedding, x)
    if axes:
        x = _row(draft, x)
    outputs: list[str] = []
    if draft.chance(0.2):
        x = draft.take(other.merge, x) if draft.chance(0.4) else _join(draft, x)
    for _ in range(draft.count(1, 2)):
        x = choose(draft, VECTOR)(draft, x)
        if draft.chance(0.1):
            outputs.append(linear.dense(draft, x))
    if draft.chance(0.08):
        x, *states = recurrent.step(draft, x)
        draft.drawn.add(recurrent.step.__name__)
        outputs += states
    if draft.chance(0.7):
        x = draft.take(linear.dense, x)
    if draft.chance(0.1):
        x = draft.take(other.reshape, x)
    return draft.builder.build((*outputs, x)), draft.drawn


def _row(draft: Draft, x: str) -> str:
    """A row of values of a tensor with axes, behind one or two steps."""
    for _ in range(draft.count(1, 2)):
        x = choose(draft, SPATIAL)(draft, x)
    two_axes = len(draft.shape(x)) == 2
    if two_axes and draft.chance(0.12):
        return draft.take(recurrent.window, x)
    if two_axes and draft.chance(0.12):
        rows = composed.softmax if draft.chance(0.5) else composed.layer_normalization
        x = draft.take(rows, x)
    if len(draft.shape(x)) > 1:
        x = choose(draft, ENDS)(draft, x)
    return linear.dense(draft, x)


def _input(draft: Draft, axes: int) -> str:
    low, high = {0: (2, 12), 1: (3, 10), 2: (3, 6)}[axes]
    sizes = tuple(draft.count(low, high) for _ in range(max(axes, 1)))
    shape = sizes if axes == 0 else (*sizes, draft.count(1, 3))
    return draft.builder.input(draft.name("x"), shape, formats.input_format(draft.rng))


def _join(draft: Draft, x: str) -> str:
    """One or two more input ports, of any shape, concatenated."""
    parts = [x]
    for _ in range(draft.count(1, 2)):
        kind = draft.rng.random()
        if kind < 0.5:
            port = draft.builder.input(draft.name("y"), (draft.count(2, 5),), formats.input_format(draft.rng))
        elif kind < 0.75:
            port = draft.take(other.flatten, draft.take(linear.convolution, _input(draft, 1)))
        else:
            port = draft.take(other.flatten, other.indexed(draft))
            draft.drawn.add(other.indexed.__name__)
        parts.append(linear.dense(draft, port))
    return draft.builder.concatenate(draft.name("concat"), tuple(parts), -1)
