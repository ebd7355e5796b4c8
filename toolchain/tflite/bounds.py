"""How far an integer model's words can be from the network's, proven from the formats: per node and for the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.arithmetic import exact
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.ranges import Range, accumulate
from toolchain.tflite.operators import (
    ExtremeOperator,
    IntegerModel,
    JoinOperator,
    LinearOperator,
    LookupOperator,
    MoveOperator,
    Operator,
    ProductOperator,
    ReshapeOperator,
    SumOperator,
    WidenOperator,
)


@dataclass(frozen=True, slots=True)
class LayerBound:
    """``words``: the largest possible difference at ``node``, in words of its tensor; 0 is proven equality.

    ``own_words`` is what this operator adds to the differences that it is handed.
    """

    node: str
    layer: str
    tensor: str
    words: int
    own_words: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Moved:
    """Differences ``(*shape)`` after an operator, what it adds itself, and why."""

    differences: Words
    own_words: int
    reason: str


_SAME = "the same words"


def bound_differences(network: FixedPointNetwork, model: IntegerModel, everywhere: bool = False) -> list[LayerBound]:
    """The bound after every operator, for the same input words in both and the reference kernels; ``everywhere``: for
    any kernel that rounds to nearest.
    """
    differences = {port.tensor.name: np.zeros(port.tensor.shape, dtype=object) for port in model.inputs}
    found = []
    for operator in model.operators:
        moved = _after(operator, [differences[tensor.name] for tensor in operator.inputs], everywhere)
        differences[operator.output.name] = moved.differences
        most = math.ceil(max(moved.differences.flat))
        node = operator.nodes[-1]
        layer = network[node].layer if node in (n.name for n in network.nodes) else operator.layer
        found.append(LayerBound(node, layer, operator.output.name, most, moved.own_words, moved.reason))
    return found


def output_bounds(network: FixedPointNetwork, model: IntegerModel, everywhere: bool = False) -> tuple[int, ...]:
    """The bound of every output port, in its words."""
    by_tensor = {bound.tensor: bound.words for bound in bound_differences(network, model, everywhere)}
    return tuple(by_tensor.get(port.tensor.name, 0) for port in model.outputs)


def _after(operator: Operator, given: list[Words], everywhere: bool) -> _Moved:
    first = given[0]
    if isinstance(operator, LinearOperator):
        return _after_linear(operator, first, everywhere)
    if isinstance(operator, SumOperator | ProductOperator):
        own = int(not (operator.tie_everywhere if everywhere else operator.tie_exact))
        moved = _sum(operator, given) if isinstance(operator, SumOperator) else _product(operator, given)
        reason = "rounds ties its own way" if own else "rounds as the network does"
        return _Moved(_rounded(moved, operator.shift, own), own, reason)
    if isinstance(operator, LookupOperator):
        return _Moved(_lookup(operator, first), 0, "reads a table: exact")
    if isinstance(operator, WidenOperator):
        return _Moved(first, 0, _SAME)
    if isinstance(operator, ReshapeOperator):
        return _Moved(first.reshape(operator.output.shape), 0, _SAME)
    if isinstance(operator, MoveOperator):
        return _Moved(exact(operator.node, [first[None]], [0])[0][0], 0, _SAME)
    if isinstance(operator, JoinOperator):
        return _Moved(np.concatenate(given, axis=operator.axis), 0, _SAME)
    if isinstance(operator, ExtremeOperator):
        return _Moved(np.maximum(*given), 0, "the larger or smaller of two is no further apart than they are")
    return _Moved(first, 0, "clipping brings words no further apart")


def _after_linear(operator: LinearOperator, difference: Words, everywhere: bool) -> _Moved:
    magnitudes = np.abs(operator.kernel.astype(np.int64))
    node = replace(operator.node, kernel=magnitudes, bias=None, bias_format=None)
    moved = accumulate(node, Range(difference * 0, difference, 0)).high
    own = [int(not kept) for kept in (operator.tie_everywhere if everywhere else operator.tie_exact)]
    columns = [_rounded(moved[..., c], shift, own[c]) for c, shift in enumerate(operator.shift)]
    reason = "rounds as the network does" if not any(own) else "rounds ties its own way in some channels"
    return _Moved(np.stack(columns, axis=-1), max(own), reason)


def _sum(operator: SumOperator, given: list[Words]) -> Words:
    finest = max(tensor.grid.fractional_bits for tensor in operator.inputs)
    pairs = zip(given, operator.inputs, strict=True)
    first, second = (words * (1 << (finest - tensor.grid.fractional_bits)) for words, tensor in pairs)
    return np.asarray(first + second)


def _product(operator: ProductOperator, given: list[Words]) -> Words:
    """|ab - a'b'| for a, a' and b, b' so far apart."""
    first, second = (max(abs(tensor.grid.low), abs(tensor.grid.high)) for tensor in operator.inputs)
    return np.asarray(given[0] * second + given[1] * first + given[0] * given[1])


def _lookup(operator: LookupOperator, difference: Words) -> Words:
    """Rows so many apart hold words at most so many apart."""
    table = operator.table.astype(np.int64).reshape(len(operator.table), -1)
    found: dict[int, int] = {}
    for reach in {min(int(d), len(table) - 1) for d in difference.flat}:
        windows = np.lib.stride_tricks.sliding_window_view(table, reach + 1, axis=0)
        found[reach] = int((windows.max(axis=-1) - windows.min(axis=-1)).max())
    moved = np.array([found[min(int(d), len(table) - 1)] for d in difference.flat], dtype=object)
    if operator.table.ndim > 1:
        moved = np.repeat(moved, operator.table.shape[1])
    return moved.reshape(operator.output.shape)


def _rounded(moved: Words, shift: int, own: int) -> Words:
    """Two roundings to nearest of sums that are ``moved`` apart end at most so many words apart."""
    scale = 2.0**-shift
    flat = np.asarray(moved, dtype=object).flat
    return np.array([math.ceil(float(m) * scale) + own for m in flat], dtype=object).reshape(np.shape(moved))
