"""Why two words differ, found by experiment: the layer is computed again with one thing changed until all agree."""

from __future__ import annotations

from itertools import product

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, Words
from toolchain.network.interpreter import evaluate, exact_value
from toolchain.network.nodes import Dense, FixedPointNetwork, Input, Linear, Node


def find_cause(node: Node, network: FixedPointNetwork, inputs: list[Words], found: Words, form: FixedPoint) -> str:
    """One sentence on what makes ``found`` (words of ``node`` in the compiled format ``form``) out of equal inputs."""
    if isinstance(node, Input):
        return "the input words were not read as they were written"
    for experiment in (_constant_offset, _other_modes, _narrow, _one_weight):
        text = experiment(node, network, inputs, found, form)
        if text:
            return text
    return "not explained by another rounding, overflow, width, bias or single weight: compare the layer's source"


def _difference(node: Node, network: FixedPointNetwork, inputs: list[Words], found: Words, form: FixedPoint) -> Words:
    """found - expected on their common grid."""
    grid = max(form.fractional_bits, node.result.fractional_bits)
    expected = evaluate(node, network, inputs) << (grid - node.result.fractional_bits)
    return np.asarray((found << (grid - form.fractional_bits)) - expected)


def _other_modes(node: Node, network: FixedPointNetwork, inputs: list[Words], found: Words, form: FixedPoint) -> str:
    exact, fractional_bits = exact_value(node, network, inputs)
    for rounding, overflow in product(Rounding, Overflow):
        if (rounding, overflow) != (node.result.rounding, node.result.overflow):
            other = form.with_modes(rounding, overflow)
            if np.array_equal(other.requantize(exact, fractional_bits), found):
                return (
                    f"the hardware computes {other.ap_fixed()}, the network {node.result.ap_fixed()}: "
                    f"{_mode_change(node.result, other)}"
                )
    return ""


def _mode_change(asked: FixedPoint, other: FixedPoint) -> str:
    parts = []
    if asked.rounding is not other.rounding:
        parts.append(f"rounding {other.rounding} instead of {asked.rounding}")
    if asked.overflow is not other.overflow:
        parts.append(f"overflow {other.overflow} instead of {asked.overflow}")
    return ", ".join(parts)


def _narrow(node: Node, network: FixedPointNetwork, inputs: list[Words], found: Words, form: FixedPoint) -> str:
    exact, fractional_bits = exact_value(node, network, inputs)
    for rounding, overflow in product(Rounding, Overflow):
        if not form.same_grid(node.result) and np.array_equal(
            form.with_modes(rounding, overflow).requantize(exact, fractional_bits), found
        ):
            return f"the compiled type {form.ap_fixed()} is not the network's {node.result.ap_fixed()}"
    if isinstance(node, Linear):
        for width in range(1, node.accumulator.width):
            less = node.accumulator.width - width
            narrow = FixedPoint(
                node.accumulator.signed, node.accumulator.integer_bits - less, node.accumulator.fractional_bits
            )
            wrapped = narrow.requantize(exact, fractional_bits)
            if np.array_equal(form.requantize(wrapped, narrow.fractional_bits), found):
                return f"the accumulator wraps: it has {less} bits less than {node.accumulator.ap_fixed()}"
    return ""


def _constant_offset(
    node: Node, network: FixedPointNetwork, inputs: list[Words], found: Words, form: FixedPoint
) -> str:
    difference = _difference(node, network, inputs, found, form)
    rows = difference.reshape(-1, difference.shape[-1])
    if isinstance(node, Linear) and len(rows) > 1 and (rows == rows[0]).all() and rows[0].any():
        grid = max(form.fractional_bits, node.result.fractional_bits)
        units = np.flatnonzero(rows[0])
        return f"bias[{int(units[0])}] is off by {rows[0][units[0]] * 2.0**-grid:g} ({len(units)} biases differ)"
    return ""


def _one_weight(node: Node, network: FixedPointNetwork, inputs: list[Words], found: Words, form: FixedPoint) -> str:
    if not isinstance(node, Dense):
        return ""
    difference = _difference(node, network, inputs, found, form)
    units = np.flatnonzero(difference.reshape(-1, difference.shape[-1]).any(axis=0))
    if len(units) != 1:
        return ""
    column = difference[..., units[0]].reshape(-1).astype(np.float64)
    x = inputs[0].reshape(-1, inputs[0].shape[-1]).astype(np.float64)
    for place in range(x.shape[1]):
        used = x[:, place] != 0
        if not used.any() or column[~used].any():
            continue
        ratios = column[used] / x[used, place]
        if (ratios == ratios[0]).all() and ratios[0]:
            grid = max(form.fractional_bits, node.result.fractional_bits)
            step = grid - network[node.inputs[0]].result.fractional_bits
            return f"weight[{place}, {int(units[0])}] is off by {ratios[0] * 2.0**-step:g}"
    return f"the weights of unit {int(units[0])} differ"
