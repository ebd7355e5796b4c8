"""FixedPointNetwork to TFLite's int8 operators: the same integers, power-of-two scales, nothing re-quantized.

A linear node and the ReLUs and format changes after it become one operator, as long as at most one of the formats
rounds or saturates: TFLite rounds once per operator. Anything else is refused with the layer's name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.nodes import (
    Convolution,
    Dense,
    FixedPointNetwork,
    Input,
    Linear,
    Node,
    Relu,
    Requantize,
    Reshape,
)
from toolchain.network.ranges import Range, accumulate
from toolchain.tflite.grids import LEVELS, Grid, Span, format_span, grid_from
from toolchain.tflite.linear import Target, build_linear
from toolchain.tflite.operators import (
    Int8Model,
    LimitOperator,
    NotExpressibleError,
    Operator,
    ReluOperator,
    ReshapeOperator,
    Tensor,
)


@dataclass(frozen=True, slots=True)
class Ports:
    """The grids of the two ports (``ports.choose_ports``)."""

    input: Grid
    output: Grid


def lower(network: FixedPointNetwork, ports: Ports) -> Int8Model:
    """The int8 model of ``network``. Raises NotExpressibleError with the layer and the reason."""
    return _Lowering(network, ports).run()


class _Lowering:
    """Walks the chain; ``tensor`` and ``range`` are what the next operator reads."""

    def __init__(self, network: FixedPointNetwork, ports: Ports) -> None:
        self.network, self.ports = network, ports
        self.operators: list[Operator] = []
        self.nodes = _chain(network)
        start = self.nodes[0]
        self.first = self.tensor = Tensor(start.name, start.shape, ports.input)
        self.range = _port_range(start, ports.input)

    def run(self) -> Int8Model:
        self._limit_input(self.nodes[0])
        place = 1
        while place < len(self.nodes):
            node = self.nodes[place]
            group = [node]
            if isinstance(node, Linear):
                for follower in self.nodes[place + 1 :]:
                    if not isinstance(follower, Relu | Requantize):
                        break
                    group.append(follower)
            self._lower_group(group, is_last=place + len(group) == len(self.nodes))
            place += len(group)
        return Int8Model(
            self.network.name, self.nodes[0].name, self.nodes[-1].name, self.first, self.tensor, tuple(self.operators)
        )

    def _lower_group(self, group: list[Node], is_last: bool) -> None:
        node = group[0]
        if isinstance(node, Dense | Convolution):
            self._lower_linear(node, group, is_last)
        elif isinstance(node, Reshape):
            self._append(ReshapeOperator, node, self.tensor.grid)
            self.range = Range(
                self.range.low.reshape(node.shape), self.range.high.reshape(node.shape), self.range.fractional_bits
            )
        elif isinstance(node, Relu | Requantize):
            self._lower_format_change(node)
        else:
            raise NotExpressibleError(f"layer '{node.layer}': {type(node).__name__} has no exact int8 form here")

    def _lower_format_change(self, node: Node) -> None:
        found = self.range
        if isinstance(node, Relu):
            found = Range(np.maximum(found.low, 0), np.maximum(found.high, 0), found.fractional_bits)
        if not found.fits(node.result):
            raise NotExpressibleError(f"layer '{node.layer}': rounds or saturates apart from a linear layer")
        if isinstance(node, Relu):
            self._append(ReluOperator, node, self.tensor.grid)
        self.range = found

    def _lower_linear(self, node: Dense | Convolution, group: list[Node], is_last: bool) -> None:
        total = accumulate(node, self.range)
        if not total.fits(node.accumulator):
            raise NotExpressibleError(
                f"layer '{node.layer}': its accumulator {node.accumulator} rounds or may overflow"
            )
        formats = _fuse(group, total)
        target, after = self._target(formats, group[-1], is_last)
        shape = group[-1].shape
        output = Tensor(group[-1].name, shape, target.grid)
        names = tuple(member.name for member in group)
        operator = build_linear(node, self.tensor, output, target)
        self.operators.append(replace(operator, nodes=names))
        self.tensor, self.range = output, after
        for bound, upper in target.limits:
            self._append(LimitOperator, group[-1], self.tensor.grid, bound=bound, upper=upper)

    def _target(self, formats: _Fused, last: Node, is_last: bool) -> tuple[Target, Range]:
        """The grid, rounding and clipping of a linear operator's result."""
        found = formats.range
        levels = max(found.highest, 0) - min(found.lowest, 0) + 1
        if levels <= LEVELS:
            grid, limits = _place(formats)
            return Target(grid, formats.rounding, formats.relu, True, limits), found
        if not is_last:
            raise NotExpressibleError(
                f"layer '{last.layer}': its results take {levels} levels ({last.result}); int8 holds {LEVELS}"
            )
        # The network's last result is wider than 8 bits: it is rounded to the port's grid, from the sum itself.
        form = FixedPoint(True, 20, self.ports.output.fractional_bits, Rounding.RND_INF, Overflow.SAT)
        return Target(self.ports.output, None, formats.relu, formats.lossy is None, ()), found.through(form)

    def _limit_input(self, node: Node) -> None:
        """int8 words that the network's input format cannot hold are saturated first."""
        grid = self.ports.input
        span = port_span(node, grid)
        if span.low > grid.low:
            self._append(LimitOperator, node, grid, bound=span.low, upper=False)
        if span.high < grid.high:
            self._append(LimitOperator, node, grid, bound=span.high, upper=True)

    def _append(self, kind: type[Operator], node: Node, grid: Grid, **more: object) -> None:
        suffix = "" if node.name not in {self.first.name, *(o.output.name for o in self.operators)} else "_limit"
        name = node.name + suffix * (1 + sum(o.output.name.startswith(node.name + "_limit") for o in self.operators))
        output = Tensor(name, node.shape, grid)
        self.operators.append(kind(input=self.tensor, output=output, nodes=(node.name,), layer=node.layer, **more))
        self.tensor = output


@dataclass(frozen=True, eq=False)
class _Fused:
    """What a linear node and its followers do to the exact sum: at most one format rounds or saturates."""

    range: Range
    relu: bool
    rounding: Rounding
    lossy: FixedPoint | None
    cuts_low: bool
    cuts_high: bool


def _fuse(group: list[Node], total: Range) -> _Fused:
    found, relu, lossy = total, False, None
    cuts_low = cuts_high = False
    for node in group:
        if isinstance(node, Relu):
            found = Range(np.maximum(found.low, 0), np.maximum(found.high, 0), found.fractional_bits)
            relu, cuts_low = True, False
        if found.fits(node.result):
            continue
        if lossy is not None:
            raise NotExpressibleError(f"layer '{node.layer}': two roundings in a row; int8 operators round once")
        lossy = node.result
        cuts_low, cuts_high = _cuts(found, lossy, node)
        if not lossy.signed:
            relu, cuts_low = True, False
        found = found.through(lossy)
    rounding = lossy.rounding if lossy else Rounding.RND
    return _Fused(found, relu, rounding, lossy, cuts_low, cuts_high)


def _cuts(found: Range, form: FixedPoint, node: Node) -> tuple[bool, bool]:
    """Whether ``form`` can saturate at its low and its high end."""
    wide = FixedPoint(True, 4000, form.fractional_bits, form.rounding, Overflow.WRAP)
    rounded = found.through(wide)
    low, high = rounded.lowest < form.min_word, rounded.highest > form.max_word
    if (low or high) and form.overflow not in (Overflow.SAT, Overflow.SAT_SYM):
        raise NotExpressibleError(f"layer '{node.layer}': {form} may overflow without saturating; int8 saturates")
    return low, high


def _place(formats: _Fused) -> tuple[Grid, tuple[tuple[int, bool], ...]]:
    """The exact grid, its ends where the format saturates; the bounds that no end can stand for, as limits."""
    low, high = min(formats.range.lowest, 0), max(formats.range.highest, 0)
    grid_bits = formats.range.fractional_bits
    if formats.cuts_high:
        grid = grid_from(max(high - (LEVELS - 1), -255), grid_bits)
    elif formats.cuts_low or low < -128 or high > 127:
        grid = grid_from(low, grid_bits)
    else:
        grid = Grid(grid_bits, 0)
    limits = []
    if formats.cuts_low and grid.low < low:
        limits.append((low, False))
    if formats.cuts_high and grid.high > high:
        limits.append((high, True))
    return grid, tuple(limits)


def _chain(network: FixedPointNetwork) -> list[Node]:
    nodes = list(network.nodes)
    single = isinstance(nodes[0], Input) and len(network.inputs) == 1 and network.outputs == (nodes[-1].name,)
    linked = all(later.inputs == (earlier.name,) for earlier, later in pairwise(nodes))
    if not single or not linked:
        raise NotExpressibleError("the network is not a chain with one input and one output")
    return nodes


def port_span(node: Node, grid: Grid) -> Span:
    """The words on the port's grid that the network's input format holds."""
    return format_span(node.result).coarser(node.result.fractional_bits - grid.fractional_bits)


def _port_range(node: Node, grid: Grid) -> Range:
    """What the port can hold after its limits."""
    span = port_span(node, grid)
    low, high = max(grid.low, span.low), min(grid.high, span.high)
    return Range(np.full(node.shape, low, dtype=object), np.full(node.shape, high, dtype=object), grid.fractional_bits)
