"""Nodes that compute, as operators: products and sums, sums and products of tensors, changes of format, extremes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolchain.fixed_point import Rounding
from toolchain.network.nodes import (
    Add,
    Convolution,
    Dense,
    DepthwiseConvolution,
    Maximum,
    Multiply,
    Node,
    Relu,
    Requantize,
    Scale,
    Subtract,
)
from toolchain.network.ranges import accumulate, exact_range
from toolchain.tflite.fusion import fuse
from toolchain.tflite.kernels import Sum, keeps_ties
from toolchain.tflite.linear import build_linear
from toolchain.tflite.lowering_state import ONE, Lowering, Value
from toolchain.tflite.operators import (
    ExtremeOperator,
    NotExpressibleError,
    ProductOperator,
    ReluOperator,
    SumOperator,
    Tensor,
)


def linear(work: Lowering, node: Node, group: list[Node]) -> Value:
    assert isinstance(node, Dense | Convolution | DepthwiseConvolution | Scale)
    source = work.values[node.inputs[0]]
    total = accumulate(node, source.range)
    if not total.fits(node.accumulator):
        raise NotExpressibleError(f"layer '{node.layer}': its accumulator {node.accumulator} rounds or may overflow")
    target, after = work.target(fuse(group, total), group[-1])
    source = work.as_wide(source, target.grid, node)
    output = Tensor(work.new_name(group[-1].name), group[-1].shape, target.grid)
    operator = build_linear(node, source.tensor, output, target)
    work.operators.append(replace(operator, nodes=tuple(member.name for member in group)))
    return work.limited(Value(output, after, operator.rounding), group[-1], target.limits)


def add(work: Lowering, node: Node, group: list[Node]) -> Value:
    """Add and Subtract; of more than two inputs all but the last are summed without rounding first."""
    assert isinstance(node, Add | Subtract)
    first = work.values[node.inputs[0]]
    for place_, name in enumerate(node.inputs[1:-1]):
        partial = replace(node, name=f"{node.name}_sum{place_}", inputs=("", ""))
        exact = exact_range(partial, [first.range, work.values[name].range])
        partial = replace(partial, result=exact.smallest_format())
        first = _sum_of_two(work, (first, work.values[name]), partial, [partial])
    return _sum_of_two(work, (first, work.values[node.inputs[-1]]), node, group)


def _sum_of_two(work: Lowering, terms: tuple[Value, Value], node: Node, group: list[Node]) -> Value:
    pair = replace(node, inputs=("", ""))
    target, after = work.target(fuse(group, exact_range(pair, [term.range for term in terms])), group[-1])
    grids = [term.tensor.grid.fractional_bits for term in terms]
    if max(grids) - min(grids) > 12:
        raise NotExpressibleError(f"layer '{node.layer}': its inputs' scales are 2**{max(grids) - min(grids)} apart")
    shift = max(grids) - target.grid.fractional_bits
    spare = max(grids) - max(term.range.fractional_bits for term in terms)
    rounding = target.rounding or Rounding.RND_INF
    ties = keeps_ties(rounding, shift, Sum(spare, target.relu, "away"), True)
    terms = (work.as_wide(terms[0], target.grid, node), work.as_wide(terms[1], target.grid, node))
    output = Tensor(work.new_name(group[-1].name), node.shape, target.grid)
    work.operators.append(SumOperator(
        inputs=tuple(term.tensor for term in terms), output=output, nodes=tuple(n.name for n in group),
        layer=node.layer, subtracts=isinstance(node, Subtract), shift=shift, relu=target.relu, rounding=rounding,
        tie_exact=ties[0] and target.exact, tie_everywhere=ties[1] and target.exact,
    ))  # fmt: skip
    return work.limited(Value(output, after, rounding), group[-1], target.limits)


def product(work: Lowering, node: Node, group: list[Node]) -> Value:
    assert isinstance(node, Multiply)
    if len(node.inputs) > 2:
        raise NotExpressibleError(f"layer '{node.layer}': a product of {len(node.inputs)} tensors; MUL takes two")
    terms = [work.values[name] for name in node.inputs]
    target, after = work.target(fuse(group, exact_range(node, [term.range for term in terms])), group[-1])
    shift = sum(term.tensor.grid.fractional_bits for term in terms) - target.grid.fractional_bits
    spare = sum(term.tensor.grid.fractional_bits - term.range.fractional_bits for term in terms)
    rounding = target.rounding or Rounding.RND_INF
    ties = keeps_ties(rounding, shift, Sum(spare, target.relu, "twice"), False)
    terms = [work.as_wide(term, target.grid, node) for term in terms]
    output = Tensor(work.new_name(group[-1].name), node.shape, target.grid)
    work.operators.append(ProductOperator(
        inputs=tuple(term.tensor for term in terms), output=output, nodes=tuple(n.name for n in group),
        layer=node.layer, shift=shift, relu=target.relu, rounding=rounding,
        tie_exact=ties[0] and target.exact, tie_everywhere=ties[1] and target.exact,
    ))  # fmt: skip
    return work.limited(Value(output, after, rounding), group[-1], target.limits)


def format_change(work: Lowering, node: Node, group: list[Node]) -> Value:
    """A ReLU or a change of format that no operator before it can take over."""
    source = work.values[node.inputs[0]]
    formats = fuse(group, source.range)
    if formats.lossy is None:
        if any(isinstance(member, Relu) for member in group) and source.range.lowest < 0:
            return work.pointwise(ReluOperator, source, group[-1], formats.range)
        return replace(source, range=formats.range)
    channels = node.shape[-1]
    ones = Scale(
        name=node.name, inputs=node.inputs, shape=node.shape, result=node.result, layer=node.layer,
        kernel=np.ones(channels, dtype=np.int64), kernel_format=ONE, bias=None, bias_format=None,
        accumulator=source.range.smallest_format(),
    )  # fmt: skip
    target, after = work.target(formats, group[-1])
    source = work.as_wide(source, target.grid, node)
    output = Tensor(work.new_name(group[-1].name), node.shape, target.grid)
    operator = build_linear(ones, source.tensor, output, target)
    work.operators.append(replace(operator, nodes=tuple(member.name for member in group)))
    return work.limited(Value(output, after, operator.rounding), group[-1], target.limits)


def extreme(work: Lowering, node: Node, group: list[Node]) -> Value:
    """Maximum and Minimum, two by two, on a grid that holds every input."""
    terms = [work.values[name] for name in node.inputs]
    grid = work.common_grid(terms, node)
    terms = [work.on_grid(term, grid, node, str(k)) for k, term in enumerate(terms)]
    found = terms[0]
    for k, term in enumerate(terms[1:]):
        last = k == len(terms) - 2
        ranges = exact_range(replace(node, inputs=("", "")), [found.range, term.range])
        output = Tensor(work.new_name(node.name if last else f"{node.name}_{k}"), node.shape, grid)
        work.operators.append(ExtremeOperator(
            inputs=(found.tensor, term.tensor), output=output, nodes=(node.name,), layer=node.layer,
            largest=isinstance(node, Maximum),
        ))  # fmt: skip
        found = Value(output, ranges)
    return follow(work, found, node, group)


def follow(work: Lowering, value: Value, node: Node, group: list[Node]) -> Value:
    """The formats behind an operator that takes none over."""
    work.values[node.name] = value
    if not value.range.fits(node.result) and work.port_of(node) is None:
        head = Requantize(name=f"{node.name}_format", inputs=(node.name,), shape=node.shape, result=node.result)
        return format_change(work, replace(head, layer=node.layer), [replace(head, layer=node.layer), *group[1:]])
    return format_change(work, group[1], group[1:]) if len(group) > 1 else value
