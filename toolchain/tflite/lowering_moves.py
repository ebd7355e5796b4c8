"""Nodes that move words or look them up, as operators: every kernel computes these exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolchain.fixed_point import Rounding
from toolchain.network.nodes import (
    Concatenate,
    Crop,
    Embedding,
    MaxPool,
    Node,
    Permute,
    Requantize,
    Reshape,
    Table,
    ZeroPadding,
)
from toolchain.network.ranges import Range, exact_range
from toolchain.tflite.fusion import fuse
from toolchain.tflite.grids import exact_grid
from toolchain.tflite.lowering_state import Lowering, Value
from toolchain.tflite.lowering_sums import follow, format_change
from toolchain.tflite.operators import (
    JoinOperator,
    LookupOperator,
    MoveOperator,
    NotExpressibleError,
    ReshapeOperator,
    Tensor,
)

_LARGEST_TABLE = 1 << 12


def move(work: Lowering, node: Node, group: list[Node]) -> Value:
    source = work.values[node.inputs[0]]
    output = Tensor(work.new_name(node.name), node.shape, source.tensor.grid)
    fields = {"inputs": (source.tensor,), "output": output, "nodes": (node.name,), "layer": node.layer}
    if isinstance(node, Reshape):
        work.operators.append(ReshapeOperator(**fields))  # type: ignore[arg-type]
    else:
        assert isinstance(node, MaxPool | ZeroPadding | Crop | Permute)
        work.operators.append(MoveOperator(**fields, node=node))  # type: ignore[arg-type]
    moved = Value(output, exact_range(node, [source.range]), source.rounding)
    return follow(work, moved, node, group)


def join(work: Lowering, node: Node, group: list[Node]) -> Value:
    """Concatenation: formats after it are applied to each input by itself, which is the same."""
    assert isinstance(node, Concatenate)
    terms = [work.values[name] for name in node.inputs]
    formats = fuse(group, exact_range(node, [term.range for term in terms]))
    if formats.lossy is not None or formats.relu:
        terms = [_reformatted(work, term, group, k) for k, term in enumerate(terms)]
    grid = work.common_grid(terms, node)
    terms = [work.on_grid(term, grid, node, str(k)) for k, term in enumerate(terms)]
    output = Tensor(work.new_name(group[-1].name), node.shape, grid)
    work.operators.append(JoinOperator(
        inputs=tuple(term.tensor for term in terms), output=output, nodes=tuple(n.name for n in group),
        layer=node.layer, axis=node.axis,
    ))  # fmt: skip
    joined = exact_range(node, [term.range for term in terms])
    return Value(output, joined, formats.rounding)


def lookup(work: Lowering, node: Node, group: list[Node]) -> Value:
    """Table and Embedding: exact in every kernel."""
    assert isinstance(node, Table | Embedding)
    source, form = work.values[node.inputs[0]], work.network[node.inputs[0]].result
    grid, drop = source.tensor.grid, form.fractional_bits - source.tensor.grid.fractional_bits
    if drop < 0:
        raise NotExpressibleError(f"layer '{node.layer}': its input's scale is finer than its table")
    low, high = source.range.lowest, source.range.highest
    move = grid.fractional_bits - source.range.fractional_bits
    low, high = max(low << move, grid.low), min(high << move, grid.high)
    if high - low >= _LARGEST_TABLE:
        raise NotExpressibleError(f"layer '{node.layer}': a table of {high - low + 1} rows, {_LARGEST_TABLE} allowed")
    rows = node.words[(np.arange(low, high + 1) << drop) & (len(node.words) - 1)]
    bits = node.result.fractional_bits
    exact = Range(np.array(int(rows.min()), dtype=object), np.array(int(rows.max()), dtype=object), bits)
    target = exact_grid(exact.lowest, exact.highest, bits, work.bits) or work.port_of(node)
    if target is None:
        raise work.too_wide(node, exact)
    table = target.quantize(rows, bits, Rounding.RND_CONV)
    output = Tensor(work.new_name(node.name), node.shape, target)
    work.operators.append(LookupOperator(
        inputs=(source.tensor,), output=output, nodes=(node.name,), layer=node.layer, table=table, first=low,
    ))  # fmt: skip
    spread = Range(np.full(node.shape, exact.lowest, object), np.full(node.shape, exact.highest, object), bits)
    return follow(work, Value(output, spread, Rounding.RND_CONV), node, group)


def _reformatted(work: Lowering, term: Value, group: list[Node], place_: int) -> Value:
    """One input of a concatenation through the formats after it."""
    node = group[0]
    members = [
        replace(member, name=f"{member.name}_{place_}", inputs=(f"{node.name}_{place_}",), shape=term.tensor.shape)
        for member in group[1:]
    ]
    head = Requantize(
        name=f"{node.name}_{place_}", inputs=("",), shape=term.tensor.shape, result=node.result, layer=node.layer
    )
    work.values[""] = term
    return format_change(work, head, [head, *members])
