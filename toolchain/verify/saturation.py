"""Saturations that a format asks for, counted on data."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Words
from toolchain.network.interpreter import exact_value
from toolchain.network.nodes import Embedding, FixedPointNetwork, Input, Linear, Node, Reshape, Table
from toolchain.network.ranges import Range, analyse, exact_range

_NEVER = (Input, Reshape, Table, Embedding)


def count_saturations(network: FixedPointNetwork, words: dict[str, Words]) -> dict[str, int]:
    """By node, how many of ``words`` (of every node, ``(samples, *shape)``) were clipped or wrapped by its format.

    Only nodes whose interval proves that it can happen stand in the result: 0 says that it can and did not.
    """
    ranges = analyse(network)
    return {
        node.name: _count(node, network, words)
        for node in network.nodes
        if not isinstance(node, _NEVER) and _can_leave(node, [ranges[name] for name in node.inputs])
    }


def _can_leave(node: Node, inputs: list[Range]) -> bool:
    before = exact_range(node, inputs)
    if isinstance(node, Linear):
        before = before.through(node.accumulator)
    rounded = before.through(_unbounded(node.result))
    return rounded.lowest < node.result.min_word or rounded.highest > node.result.max_word


def _count(node: Node, network: FixedPointNetwork, words: dict[str, Words]) -> int:
    exact, grid = exact_value(node, network, [words[name] for name in node.inputs])
    if isinstance(node, Linear):
        exact, grid = node.accumulator.requantize(exact, grid), node.accumulator.fractional_bits
    return int(np.count_nonzero(node.result.leaves(exact, grid)))


def _unbounded(form: FixedPoint) -> FixedPoint:
    return FixedPoint(True, 4096, form.fractional_bits, form.rounding, Overflow.WRAP)
