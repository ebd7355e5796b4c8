"""How far an int8 model's words can be from the network's, proven from the formats: per node and for the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.ranges import Range, accumulate
from toolchain.tflite.operators import Int8Model, LinearOperator, Operator, ReshapeOperator


@dataclass(frozen=True, slots=True)
class LayerBound:
    """``words``: the largest possible difference at ``node``, in words of its int8 tensor; 0 is proven equality.

    ``own_words`` is what this operator adds to the differences that it is handed.
    """

    node: str
    layer: str
    words: int
    own_words: int
    reason: str


def bound_differences(network: FixedPointNetwork, model: Int8Model, everywhere: bool = False) -> list[LayerBound]:
    """The bound after every operator, for the same input words in both and the reference kernels; ``everywhere``: for
    any kernel that rounds to nearest.
    """
    difference = np.zeros(model.input.shape, dtype=object)
    found = []
    for operator in model.operators:
        difference, own, reason = _after(operator, difference, everywhere)
        most = math.ceil(max(difference.flat))
        found.append(LayerBound(operator.nodes[-1], network[operator.nodes[-1]].layer, most, own, reason))
    return found


def _after(operator: Operator, difference: Words, everywhere: bool) -> tuple[Words, int, str]:
    if isinstance(operator, ReshapeOperator):
        return difference.reshape(operator.output.shape), 0, "the same words"
    if not isinstance(operator, LinearOperator):
        return difference, 0, "clipping brings words no further apart"
    magnitudes = np.abs(operator.kernel.astype(np.int64)).astype(object)
    node = replace(operator.node, kernel=magnitudes, bias=None, bias_format=None)
    moved = accumulate(node, Range(difference * 0, difference, 0)).high
    own = [int(not exact) for exact in (operator.tie_everywhere if everywhere else operator.tie_exact)]
    columns = [_rounded(moved[..., c], shift, own[c]) for c, shift in enumerate(operator.shift)]
    reason = "rounds as the network does" if not any(own) else "rounds ties its own way in some channels"
    return np.stack(columns, axis=-1), max(own), reason


def _rounded(moved: Words, shift: int, own: int) -> Words:
    """Two roundings to nearest of sums that are ``moved`` apart end at most so many words apart."""
    scale = 2.0**-shift
    return np.array([math.ceil(float(m) * scale) + own for m in moved.flat], dtype=object).reshape(moved.shape)
