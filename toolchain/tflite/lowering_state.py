"""What the lowering knows so far: the tensors that stand for the network's results, the operators, the names."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.nodes import FixedPointNetwork, Node, Reshape, Scale
from toolchain.network.ranges import Range
from toolchain.tflite.fusion import Fused, place
from toolchain.tflite.grids import Grid, exact_grid
from toolchain.tflite.linear import Target, build_linear
from toolchain.tflite.operators import LimitOperator, NotExpressibleError, Operator, Tensor, WidenOperator

#: The format of a kernel of ones.
ONE = FixedPoint(False, 1, 0)


@dataclass(frozen=True, slots=True)
class Ports:
    """The grids of the ports, by node name (``ports.choose_ports``)."""

    inputs: dict[str, Grid]
    outputs: dict[str, Grid]


@dataclass(frozen=True, eq=False)
class Value:
    """What stands for a node's result: the tensor and the words (its grid's or coarser) that can occur."""

    tensor: Tensor
    range: Range
    rounding: Rounding = Rounding.RND


class Lowering:
    """``values`` are those that later nodes can read; ``operators`` grow in order."""

    def __init__(self, network: FixedPointNetwork, ports: Ports) -> None:
        self.network, self.ports = network, ports
        self.bits = next(iter(ports.inputs.values())).bits
        self.operators: list[Operator] = []
        self.values: dict[str, Value] = {}
        self._names: set[str] = set()

    def target(self, formats: Fused, last: Node) -> tuple[Target, Range]:
        """The grid, rounding and clipping of an operator's result."""
        placed = place(formats, self.bits)
        if placed is not None:
            grid, limits = placed
            return Target(grid, formats.rounding, formats.relu, True, limits), formats.range
        port = self.port_of(last)
        if port is None:
            raise self.too_wide(last, formats.range)
        # The network's result is wider than the port: it is rounded to the port's grid, from the sum itself.
        form = FixedPoint(True, 40, port.fractional_bits, Rounding.RND_INF, Overflow.SAT)
        return Target(port, None, formats.relu, formats.lossy is None, ()), formats.range.through(form)

    def port_of(self, node: Node) -> Grid | None:
        """The output port that the node's result goes to, through reshapes alone."""
        readers = self.network.consumers(node.name)
        if node.name in self.network.outputs:
            return self.ports.outputs[node.name] if not readers else None
        return self.port_of(readers[0]) if len(readers) == 1 and isinstance(readers[0], Reshape) else None

    def too_wide(self, node: Node, found: Range) -> NotExpressibleError:
        levels = max(found.highest, 0) - min(found.lowest, 0) + 1
        return NotExpressibleError(
            f"layer '{node.layer}': its results take {levels} levels ({node.result}); int{self.bits} holds "
            f"{1 << self.bits}"
        )

    def as_wide(self, value: Value, grid: Grid, node: Node) -> Value:
        """``value`` as int16 where an operator's result is: TFLite's operators read and write one width."""
        source = value.tensor
        if source.grid.bits == grid.bits:
            return value
        output = Tensor(self.new_name(f"{node.name}_wide"), source.shape, Grid(source.grid.fractional_bits, 0, 16))
        self.operators.append(WidenOperator(inputs=(source,), output=output, nodes=node.inputs[:1], layer=node.layer))
        return replace(value, tensor=output)

    def common_grid(self, terms: list[Value], node: Node) -> Grid:
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

    def on_grid(self, term: Value, grid: Grid, node: Node, suffix: str) -> Value:
        """The same values on another grid that holds them."""
        if term.tensor.grid == grid:
            return term
        name, shape = f"{node.name}_grid{suffix}", term.tensor.shape
        ones = self.ones(name, term, shape, node)
        output = Tensor(self.new_name(name), shape, grid)
        self.operators.append(replace(
            build_linear(ones, term.tensor, output, Target(grid, Rounding.RND, False, True, ())), nodes=(node.name,)
        ))  # fmt: skip
        return Value(output, term.range)

    def ones(self, name: str, term: Value, shape: tuple[int, ...], node: Node) -> Scale:
        return Scale(
            name=name, inputs=("",), shape=shape, result=node.result, layer=node.layer,
            kernel=np.ones(shape[-1], dtype=np.int64), kernel_format=ONE, bias=None, bias_format=None,
            accumulator=term.range.smallest_format(),
        )  # fmt: skip

    def limited(self, value: Value, node: Node, limits: tuple[tuple[int, bool], ...]) -> Value:
        for bound, upper in limits:
            output = Tensor(self.new_name(node.name), node.shape, value.tensor.grid)
            self.operators.append(LimitOperator(
                inputs=(value.tensor,), output=output, nodes=(node.name,), layer=node.layer, bound=bound, upper=upper
            ))  # fmt: skip
            value = replace(value, tensor=output)
        return value

    def pointwise(self, kind: type[Operator], source: Value, node: Node, found: Range) -> Value:
        output = Tensor(self.new_name(node.name), node.shape, source.tensor.grid)
        self.operators.append(kind(inputs=(source.tensor,), output=output, nodes=(node.name,), layer=node.layer))
        return Value(output, found, source.rounding)

    def new_name(self, name: str) -> str:
        """``name``, or with ``_limit`` behind it when that is taken."""
        while name in self._names:
            name += "_limit"
        self._names.add(name)
        return name
