"""FixedPointNetwork to TFLite's integer operators: the same integers, power-of-two scales, nothing re-quantized.

A node that computes and the ReLUs and format changes after it become one operator, as long as at most one of the
formats rounds or saturates: TFLite rounds once per operator. A change of format that stands alone becomes a depthwise
convolution by one, a function of one word a GATHER. Anything else is refused with the layer's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.nodes import (
    Add,
    Concatenate,
    Convolution,
    Crop,
    Dense,
    DepthwiseConvolution,
    Embedding,
    FixedPointNetwork,
    Input,
    Maximum,
    MaxPool,
    Minimum,
    Multiply,
    Node,
    Permute,
    Relu,
    Requantize,
    Reshape,
    Scale,
    Subtract,
    Table,
    ZeroPadding,
)
from toolchain.network.ranges import Range, accumulate, exact_range
from toolchain.tflite.fusion import Fused, fuse, group_of, place
from toolchain.tflite.grids import Grid, Span, exact_grid, format_span
from toolchain.tflite.kernels import Sum, keeps_ties
from toolchain.tflite.linear import Target, build_linear
from toolchain.tflite.operators import (
    ExtremeOperator,
    IntegerModel,
    JoinOperator,
    LimitOperator,
    LookupOperator,
    ModelPort,
    MoveOperator,
    NotExpressibleError,
    Operator,
    ProductOperator,
    ReluOperator,
    ReshapeOperator,
    SumOperator,
    Tensor,
    WidenOperator,
)

_LARGEST_TABLE = 1 << 12
_ONE = FixedPoint(False, 1, 0)


@dataclass(frozen=True, slots=True)
class Ports:
    """The grids of the ports, by node name (``ports.choose_ports``)."""

    inputs: dict[str, Grid]
    outputs: dict[str, Grid]


@dataclass(frozen=True, eq=False)
class _Value:
    """What stands for a node's result: the tensor and the words (its grid's or coarser) that can occur."""

    tensor: Tensor
    range: Range
    rounding: Rounding = Rounding.RND


def lower(network: FixedPointNetwork, ports: Ports) -> IntegerModel:
    """The integer model of ``network``. Raises NotExpressibleError with the layer and the reason."""
    return _Lowering(network, ports).run()


class _Lowering:
    """Walks the nodes in order; ``values`` are those that later nodes can read."""

    def __init__(self, network: FixedPointNetwork, ports: Ports) -> None:
        self.network, self.ports = network, ports
        self.bits = next(iter(ports.inputs.values())).bits
        self.operators: list[Operator] = []
        self.names: set[str] = set()
        self.values: dict[str, _Value] = {}

    def run(self) -> IntegerModel:
        inputs = []
        done: set[str] = set()
        for node in self.network.nodes:
            if node.name in done:
                continue
            if isinstance(node, Input):
                inputs.append(self._input(node))
                continue
            group = group_of(self.network, node)
            self.values[group[-1].name] = self._lower(node, group)
            done |= {member.name for member in group}
        outputs = []
        for name in self.network.outputs:
            value = self.values[name]
            outputs.append(ModelPort(name, value.tensor, value.rounding))
        return IntegerModel(self.network.name, tuple(inputs), tuple(outputs), tuple(self.operators))

    def _lower(self, node: Node, group: list[Node]) -> _Value:
        handler = _HANDLERS.get(type(node))
        if handler is None:
            raise NotExpressibleError(
                f"layer '{node.layer}': {type(node).__name__} has no exact int{self.bits} form here"
            )
        return handler(self, node, group)

    def _input(self, node: Input) -> ModelPort:
        grid = self.ports.inputs[node.name]
        span = port_span(node, grid)
        first = Tensor(self._new_name(node.name), node.shape, grid)
        self.values[node.name] = _Value(first, _port_range(node, grid))
        limits = [(span.low, False)] * (span.low > grid.low) + [(span.high, True)] * (span.high < grid.high)
        self.values[node.name] = self._limited(self.values[node.name], node, tuple(limits))
        return ModelPort(node.name, first, node.result.rounding)

    # operators that compute

    def linear(self, node: Node, group: list[Node]) -> _Value:
        assert isinstance(node, Dense | Convolution | DepthwiseConvolution | Scale)
        source = self.values[node.inputs[0]]
        total = accumulate(node, source.range)
        if not total.fits(node.accumulator):
            raise NotExpressibleError(
                f"layer '{node.layer}': its accumulator {node.accumulator} rounds or may overflow"
            )
        target, after = self._target(fuse(group, total), group[-1])
        source = self._as_wide(source, target.grid, node)
        output = Tensor(self._new_name(group[-1].name), group[-1].shape, target.grid)
        operator = build_linear(node, source.tensor, output, target)
        self.operators.append(replace(operator, nodes=tuple(member.name for member in group)))
        return self._limited(_Value(output, after, operator.rounding), group[-1], target.limits)

    def sum(self, node: Node, group: list[Node]) -> _Value:
        """Add and Subtract; of more than two inputs all but the last are summed without rounding first."""
        assert isinstance(node, Add | Subtract)
        first = self.values[node.inputs[0]]
        for place_, name in enumerate(node.inputs[1:-1]):
            partial = replace(node, name=f"{node.name}_sum{place_}", inputs=("", ""))
            exact = exact_range(partial, [first.range, self.values[name].range])
            partial = replace(partial, result=exact.smallest_format())
            first = self._sum_of_two((first, self.values[name]), partial, [partial])
        return self._sum_of_two((first, self.values[node.inputs[-1]]), node, group)

    def _sum_of_two(self, terms: tuple[_Value, _Value], node: Node, group: list[Node]) -> _Value:
        pair = replace(node, inputs=("", ""))
        target, after = self._target(fuse(group, exact_range(pair, [term.range for term in terms])), group[-1])
        grids = [term.tensor.grid.fractional_bits for term in terms]
        if max(grids) - min(grids) > 12:
            raise NotExpressibleError(
                f"layer '{node.layer}': its inputs' scales are 2**{max(grids) - min(grids)} apart"
            )
        shift = max(grids) - target.grid.fractional_bits
        spare = max(grids) - max(term.range.fractional_bits for term in terms)
        rounding = target.rounding or Rounding.RND_INF
        ties = keeps_ties(rounding, shift, Sum(spare, target.relu, "away"), True)
        terms = (self._as_wide(terms[0], target.grid, node), self._as_wide(terms[1], target.grid, node))
        output = Tensor(self._new_name(group[-1].name), node.shape, target.grid)
        self.operators.append(SumOperator(
            inputs=tuple(term.tensor for term in terms), output=output, nodes=tuple(n.name for n in group),
            layer=node.layer, subtracts=isinstance(node, Subtract), shift=shift, relu=target.relu, rounding=rounding,
            tie_exact=ties[0] and target.exact, tie_everywhere=ties[1] and target.exact,
        ))  # fmt: skip
        return self._limited(_Value(output, after, rounding), group[-1], target.limits)

    def product(self, node: Node, group: list[Node]) -> _Value:
        assert isinstance(node, Multiply)
        if len(node.inputs) > 2:
            raise NotExpressibleError(f"layer '{node.layer}': a product of {len(node.inputs)} tensors; MUL takes two")
        terms = [self.values[name] for name in node.inputs]
        target, after = self._target(fuse(group, exact_range(node, [term.range for term in terms])), group[-1])
        shift = sum(term.tensor.grid.fractional_bits for term in terms) - target.grid.fractional_bits
        spare = sum(term.tensor.grid.fractional_bits - term.range.fractional_bits for term in terms)
        rounding = target.rounding or Rounding.RND_INF
        ties = keeps_ties(rounding, shift, Sum(spare, target.relu, "twice"), False)
        terms = [self._as_wide(term, target.grid, node) for term in terms]
        output = Tensor(self._new_name(group[-1].name), node.shape, target.grid)
        self.operators.append(ProductOperator(
            inputs=tuple(term.tensor for term in terms), output=output, nodes=tuple(n.name for n in group),
            layer=node.layer, shift=shift, relu=target.relu, rounding=rounding,
            tie_exact=ties[0] and target.exact, tie_everywhere=ties[1] and target.exact,
        ))  # fmt: skip
        return self._limited(_Value(output, after, rounding), group[-1], target.limits)

    def format_change(self, node: Node, group: list[Node]) -> _Value:
        """A ReLU or a change of format that no operator before it can take over."""
        source = self.values[node.inputs[0]]
        formats = fuse(group, source.range)
        if formats.lossy is None:
            if any(isinstance(member, Relu) for member in group) and source.range.lowest < 0:
                return self._pointwise(ReluOperator, source, group[-1], formats.range)
            return replace(source, range=formats.range)
        channels = node.shape[-1]
        ones = Scale(
            name=node.name, inputs=node.inputs, shape=node.shape, result=node.result, layer=node.layer,
            kernel=np.ones(channels, dtype=np.int64), kernel_format=_ONE, bias=None, bias_format=None,
            accumulator=source.range.smallest_format(),
        )  # fmt: skip
        target, after = self._target(formats, group[-1])
        source = self._as_wide(source, target.grid, node)
        output = Tensor(self._new_name(group[-1].name), node.shape, target.grid)
        operator = build_linear(ones, source.tensor, output, target)
        self.operators.append(replace(operator, nodes=tuple(member.name for member in group)))
        return self._limited(_Value(output, after, operator.rounding), group[-1], target.limits)

    def extreme(self, node: Node, group: list[Node]) -> _Value:
        """Maximum and Minimum, two by two, on a grid that holds every input."""
        terms = [self.values[name] for name in node.inputs]
        grid = self._common_grid(terms, node)
        terms = [self._on_grid(term, grid, node, str(k)) for k, term in enumerate(terms)]
        found = terms[0]
        for k, term in enumerate(terms[1:]):
            last = k == len(terms) - 2
            ranges = exact_range(replace(node, inputs=("", "")), [found.range, term.range])
            output = Tensor(self._new_name(node.name if last else f"{node.name}_{k}"), node.shape, grid)
            self.operators.append(ExtremeOperator(
                inputs=(found.tensor, term.tensor), output=output, nodes=(node.name,), layer=node.layer,
                largest=isinstance(node, Maximum),
            ))  # fmt: skip
            found = _Value(output, ranges)
        return self._follow(found, node, group)

    # operators that move words

    def move(self, node: Node, group: list[Node]) -> _Value:
        source = self.values[node.inputs[0]]
        output = Tensor(self._new_name(node.name), node.shape, source.tensor.grid)
        fields = {"inputs": (source.tensor,), "output": output, "nodes": (node.name,), "layer": node.layer}
        if isinstance(node, Reshape):
            self.operators.append(ReshapeOperator(**fields))  # type: ignore[arg-type]
        else:
            assert isinstance(node, MaxPool | ZeroPadding | Crop | Permute)
            self.operators.append(MoveOperator(**fields, node=node))  # type: ignore[arg-type]
        moved = _Value(output, exact_range(node, [source.range]), source.rounding)
        return self._follow(moved, node, group)

    def join(self, node: Node, group: list[Node]) -> _Value:
        """Concatenation: formats after it are applied to each input by itself, which is the same."""
        assert isinstance(node, Concatenate)
        terms = [self.values[name] for name in node.inputs]
        formats = fuse(group, exact_range(node, [term.range for term in terms]))
        if formats.lossy is not None or formats.relu:
            terms = [self._reformatted(term, group, k) for k, term in enumerate(terms)]
        grid = self._common_grid(terms, node)
        terms = [self._on_grid(term, grid, node, str(k)) for k, term in enumerate(terms)]
        output = Tensor(self._new_name(group[-1].name), node.shape, grid)
        self.operators.append(JoinOperator(
            inputs=tuple(term.tensor for term in terms), output=output, nodes=tuple(n.name for n in group),
            layer=node.layer, axis=node.axis,
        ))  # fmt: skip
        joined = exact_range(node, [term.range for term in terms])
        return _Value(output, joined, formats.rounding)

    def lookup(self, node: Node, group: list[Node]) -> _Value:
        """Table and Embedding: exact in every kernel."""
        assert isinstance(node, Table | Embedding)
        source, form = self.values[node.inputs[0]], self.network[node.inputs[0]].result
        grid, drop = source.tensor.grid, form.fractional_bits - source.tensor.grid.fractional_bits
        if drop < 0:
            raise NotExpressibleError(f"layer '{node.layer}': its input's scale is finer than its table")
        low, high = source.range.lowest, source.range.highest
        move = grid.fractional_bits - source.range.fractional_bits
        low, high = max(low << move, grid.low), min(high << move, grid.high)
        if high - low >= _LARGEST_TABLE:
            raise NotExpressibleError(
                f"layer '{node.layer}': a table of {high - low + 1} rows, {_LARGEST_TABLE} allowed"
            )
        rows = node.words[(np.arange(low, high + 1) << drop) & (len(node.words) - 1)]
        bits = node.result.fractional_bits
        exact = Range(np.array(int(rows.min()), dtype=object), np.array(int(rows.max()), dtype=object), bits)
        target = exact_grid(exact.lowest, exact.highest, bits, self.bits) or self._port_of(node)
        if target is None:
            raise self._too_wide(node, exact)
        table = target.quantize(rows, bits, Rounding.RND_CONV)
        output = Tensor(self._new_name(node.name), node.shape, target)
        self.operators.append(LookupOperator(
            inputs=(source.tensor,), output=output, nodes=(node.name,), layer=node.layer, table=table, first=low,
        ))  # fmt: skip
        spread = Range(np.full(node.shape, exact.lowest, object), np.full(node.shape, exact.highest, object), bits)
        return self._follow(_Value(output, spread, Rounding.RND_CONV), node, group)

    # helpers of the above

    def _follow(self, value: _Value, node: Node, group: list[Node]) -> _Value:
        """The formats behind an operator that takes none over."""
        self.values[node.name] = value
        if not value.range.fits(node.result) and self._port_of(node) is None:
            head = Requantize(name=f"{node.name}_format", inputs=(node.name,), shape=node.shape, result=node.result)
            return self.format_change(replace(head, layer=node.layer), [replace(head, layer=node.layer), *group[1:]])
        return self.format_change(group[1], group[1:]) if len(group) > 1 else value

    def _target(self, formats: Fused, last: Node) -> tuple[Target, Range]:
        """The grid, rounding and clipping of an operator's result."""
        placed = place(formats, self.bits)
        if placed is not None:
            grid, limits = placed
            return Target(grid, formats.rounding, formats.relu, True, limits), formats.range
        port = self._port_of(last)
        if port is None:
            raise self._too_wide(last, formats.range)
        # The network's result is wider than the port: it is rounded to the port's grid, from the sum itself.
        form = FixedPoint(True, 40, port.fractional_bits, Rounding.RND_INF, Overflow.SAT)
        return Target(port, None, formats.relu, formats.lossy is None, ()), formats.range.through(form)

    def _port_of(self, node: Node) -> Grid | None:
        """The output port that the node's result goes to, through reshapes alone."""
        readers = self.network.consumers(node.name)
        if node.name in self.network.outputs:
            return self.ports.outputs[node.name] if not readers else None
        return self._port_of(readers[0]) if len(readers) == 1 and isinstance(readers[0], Reshape) else None

    def _too_wide(self, node: Node, found: Range) -> NotExpressibleError:
        levels = max(found.highest, 0) - min(found.lowest, 0) + 1
        return NotExpressibleError(
            f"layer '{node.layer}': its results take {levels} levels ({node.result}); int{self.bits} holds "
            f"{1 << self.bits}"
        )

    def _as_wide(self, value: _Value, grid: Grid, node: Node) -> _Value:
        """``value`` as int16 where an operator's result is: TFLite's operators read and write one width."""
        source = value.tensor
        if source.grid.bits == grid.bits:
            return value
        output = Tensor(self._new_name(f"{node.name}_wide"), source.shape, Grid(source.grid.fractional_bits, 0, 16))
        self.operators.append(WidenOperator(inputs=(source,), output=output, nodes=node.inputs[:1], layer=node.layer))
        return replace(value, tensor=output)

    def _common_grid(self, terms: list[_Value], node: Node) -> Grid:
        """The first term's grid where all stand on it, else an exact one for all."""
        grids = {term.tensor.grid for term in terms}
        if len(grids) == 1:
            return grids.pop()
        finest = max(term.range.fractional_bits for term in terms)
        ends = [(t.range.lowest << (finest - t.range.fractional_bits)) for t in terms]
        tops = [(t.range.highest << (finest - t.range.fractional_bits)) for t in terms]
        grid = exact_grid(min(ends), max(tops), finest, self.bits)
        if grid is None:
            raise NotExpressibleError(
                f"layer '{node.layer}': its inputs' formats have no common one of {self.bits} bits",
            )
        return grid

    def _on_grid(self, term: _Value, grid: Grid, node: Node, suffix: str) -> _Value:
        """The same values on another grid that holds them."""
        if term.tensor.grid == grid:
            return term
        name, shape = f"{node.name}_grid{suffix}", term.tensor.shape
        ones = self._ones(name, term, shape, node)
        output = Tensor(self._new_name(name), shape, grid)
        self.operators.append(replace(
            build_linear(ones, term.tensor, output, Target(grid, Rounding.RND, False, True, ())), nodes=(node.name,)
        ))  # fmt: skip
        return _Value(output, term.range)

    def _reformatted(self, term: _Value, group: list[Node], place_: int) -> _Value:
        """One input of a concatenation through the formats after it."""
        node = group[0]
        members = [
            replace(member, name=f"{member.name}_{place_}", inputs=(f"{node.name}_{place_}",), shape=term.tensor.shape)
            for member in group[1:]
        ]
        head = Requantize(
            name=f"{node.name}_{place_}", inputs=("",), shape=term.tensor.shape, result=node.result, layer=node.layer
        )
        self.values[""] = term
        return self.format_change(head, [head, *members])

    def _ones(self, name: str, term: _Value, shape: tuple[int, ...], node: Node) -> Scale:
        return Scale(
            name=name, inputs=("",), shape=shape, result=node.result, layer=node.layer,
            kernel=np.ones(shape[-1], dtype=np.int64), kernel_format=_ONE, bias=None, bias_format=None,
            accumulator=term.range.smallest_format(),
        )  # fmt: skip

    def _limited(self, value: _Value, node: Node, limits: tuple[tuple[int, bool], ...]) -> _Value:
        for bound, upper in limits:
            output = Tensor(self._new_name(node.name), node.shape, value.tensor.grid)
            self.operators.append(LimitOperator(
                inputs=(value.tensor,), output=output, nodes=(node.name,), layer=node.layer, bound=bound, upper=upper
            ))  # fmt: skip
            value = replace(value, tensor=output)
        return value

    def _pointwise(self, kind: type[Operator], source: _Value, node: Node, found: Range) -> _Value:
        output = Tensor(self._new_name(node.name), node.shape, source.tensor.grid)
        self.operators.append(kind(inputs=(source.tensor,), output=output, nodes=(node.name,), layer=node.layer))
        return _Value(output, found, source.rounding)

    def _new_name(self, name: str) -> str:
        """``name``, or with ``_limit`` behind it when that is taken."""
        while name in self.names:
            name += "_limit"
        self.names.add(name)
        return name


_HANDLERS: dict[type[Node], Callable[[_Lowering, Node, list[Node]], _Value]] = {
    **dict.fromkeys((Dense, Convolution, DepthwiseConvolution, Scale), _Lowering.linear),
    **dict.fromkeys((Add, Subtract), _Lowering.sum),
    Multiply: _Lowering.product,
    **dict.fromkeys((Maximum, Minimum), _Lowering.extreme),
    **dict.fromkeys((Relu, Requantize), _Lowering.format_change),
    **dict.fromkeys((Reshape, MaxPool, ZeroPadding, Crop, Permute), _Lowering.move),
    Concatenate: _Lowering.join,
    **dict.fromkeys((Table, Embedding), _Lowering.lookup),
}


def port_span(node: Node, grid: Grid) -> Span:
    """The words on the port's grid that the network's input format holds."""
    return format_span(node.result).coarser(node.result.fractional_bits - grid.fractional_bits)


def _port_range(node: Node, grid: Grid) -> Range:
    """What the port can hold after its limits."""
    span = port_span(node, grid)
    low, high = max(grid.low, span.low), min(grid.high, span.high)
    return Range(np.full(node.shape, low, dtype=object), np.full(node.shape, high, dtype=object), grid.fractional_bits)
