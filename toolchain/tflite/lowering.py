"""FixedPointNetwork to TFLite's integer operators: the same integers, power-of-two scales, nothing re-quantized.

A node that computes and the ReLUs and format changes after it become one operator, as long as at most one of the
formats rounds or saturates: TFLite rounds once per operator. A change of format that stands alone becomes a depthwise
convolution by one, a function of one word a GATHER. Anything else is refused with the layer's name.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolchain.network import nodes
from toolchain.network.nodes import FixedPointNetwork, Input, Node
from toolchain.network.ranges import Range
from toolchain.tflite import lowering_moves as moves
from toolchain.tflite import lowering_sums as sums
from toolchain.tflite.fusion import group_of
from toolchain.tflite.grids import Grid, Span, format_span
from toolchain.tflite.lowering_state import Lowering, Ports, Value
from toolchain.tflite.operators import IntegerModel, ModelPort, NotExpressibleError, Tensor

__all__ = ["Ports", "lower", "port_span"]

_RULES: dict[type[Node], Callable[[Lowering, Node, list[Node]], Value]] = {
    **dict.fromkeys((nodes.Dense, nodes.Convolution, nodes.DepthwiseConvolution, nodes.Scale), sums.linear),
    **dict.fromkeys((nodes.Add, nodes.Subtract), sums.add),
    nodes.Multiply: sums.product,
    **dict.fromkeys((nodes.Maximum, nodes.Minimum), sums.extreme),
    **dict.fromkeys((nodes.Relu, nodes.Requantize), sums.format_change),
    **dict.fromkeys((nodes.Reshape, nodes.MaxPool, nodes.ZeroPadding, nodes.Crop, nodes.Permute), moves.move),
    nodes.Concatenate: moves.join,
    **dict.fromkeys((nodes.Table, nodes.Embedding), moves.lookup),
}


def lower(network: FixedPointNetwork, ports: Ports) -> IntegerModel:
    """The integer model of ``network``. Raises NotExpressibleError with the layer and the reason."""
    work = Lowering(network, ports)
    inputs = []
    done: set[str] = set()
    for node in network.nodes:
        if node.name in done:
            continue
        if isinstance(node, Input):
            inputs.append(_input(work, node))
            continue
        group = group_of(network, node)
        rule = _RULES.get(type(node))
        if rule is None:
            raise NotExpressibleError(
                f"layer '{node.layer}': {type(node).__name__} has no exact int{work.bits} form here"
            )
        work.values[group[-1].name] = rule(work, node, group)
        done |= {member.name for member in group}
    outputs = tuple(ModelPort(name, work.values[name].tensor, work.values[name].rounding) for name in network.outputs)
    return IntegerModel(network.name, tuple(inputs), outputs, tuple(work.operators))


def _input(work: Lowering, node: Input) -> ModelPort:
    grid = work.ports.inputs[node.name]
    span = port_span(node, grid)
    first = Tensor(work.new_name(node.name), node.shape, grid)
    work.values[node.name] = Value(first, _port_range(node, grid))
    limits = [(span.low, False)] * (span.low > grid.low) + [(span.high, True)] * (span.high < grid.high)
    work.values[node.name] = work.limited(work.values[node.name], node, tuple(limits))
    return ModelPort(node.name, first, node.result.rounding)


def port_span(node: Node, grid: Grid) -> Span:
    """The words on the port's grid that the network's input format holds."""
    return format_span(node.result).coarser(node.result.fractional_bits - grid.fractional_bits)


def _port_range(node: Node, grid: Grid) -> Range:
    """What the port can hold after its limits."""
    span = port_span(node, grid)
    low, high = max(grid.low, span.low), min(grid.high, span.high)
    return Range(np.full(node.shape, low, dtype=object), np.full(node.shape, high, dtype=object), grid.fractional_bits)
