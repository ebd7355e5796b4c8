"""Builds a ``FixedPointNetwork`` node by node, giving every sum an accumulator that provably cannot overflow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolchain.fixed_point import FixedPoint
from toolchain.network.nodes import (
    Add,
    Convolution,
    Dense,
    DepthwiseConvolution,
    FixedPointNetwork,
    Input,
    IntArray,
    Linear,
    MaxPool,
    Node,
    Relu,
    Requantize,
    Reshape,
    Scale,
)
from toolchain.network.ranges import Range, accumulate, exact_range, result_range
from toolchain.network.windows import Padding, output_length

_UNKNOWN = FixedPoint(True, 0, 0)  # stands where the proven format is put before the node is added


class NetworkBuilder:
    """Each method adds one operator and returns its name. ``result=None`` keeps every bit of the exact value."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[Node] = []
        self._ranges: dict[str, Range] = {}

    def range_of(self, name: str) -> Range:
        return self._ranges[name]

    def shape_of(self, name: str) -> tuple[int, ...]:
        return next(node.shape for node in self._nodes if node.name == name)

    def input(self, name: str, shape: tuple[int, ...], form: FixedPoint) -> str:
        return self._add(Input(name=name, shape=shape, result=form, layer=name), form)

    def dense(
        self,
        name: str,
        x: str,
        kernel: IntArray,
        kernel_format: FixedPoint,
        bias: IntArray | None = None,
        bias_format: FixedPoint | None = None,
        result: FixedPoint | None = None,
        layer: str = "",
    ) -> str:
        shape = (*self.shape_of(x)[:-1], kernel.shape[1])
        node = Dense(
            name=name, inputs=(x,), shape=shape, result=_UNKNOWN, layer=layer or name, kernel=kernel,
            kernel_format=kernel_format, bias=bias, bias_format=bias_format, accumulator=_UNKNOWN,
        )  # fmt: skip
        return self._add_linear(node, result)

    def convolution(
        self,
        name: str,
        x: str,
        kernel: IntArray,
        kernel_format: FixedPoint,
        bias: IntArray | None = None,
        bias_format: FixedPoint | None = None,
        result: FixedPoint | None = None,
        *,
        strides: tuple[int, ...],
        padding: Padding,
        dilation: tuple[int, ...] | None = None,
        depthwise: bool = False,
        layer: str = "",
    ) -> str:
        dilation = dilation or (1,) * len(strides)
        window = kernel.shape[: len(strides)]
        axes = self.shape_of(x)[:-1]
        places = [output_length(*place) for place in zip(axes, window, strides, dilation, padding, strict=True)]
        shape = (*places, kernel.shape[-1])
        kind = DepthwiseConvolution if depthwise else Convolution
        node = kind(
            name=name, inputs=(x,), shape=shape, result=_UNKNOWN, layer=layer or name, kernel=kernel,
            kernel_format=kernel_format, bias=bias, bias_format=bias_format, accumulator=_UNKNOWN,
            strides=strides, dilation=dilation, padding=padding,
        )  # fmt: skip
        return self._add_linear(node, result)

    def scale(
        self,
        name: str,
        x: str,
        kernel: IntArray,
        kernel_format: FixedPoint,
        bias: IntArray | None = None,
        bias_format: FixedPoint | None = None,
        result: FixedPoint | None = None,
        layer: str = "",
    ) -> str:
        node = Scale(
            name=name, inputs=(x,), shape=self.shape_of(x), result=_UNKNOWN, layer=layer or name, kernel=kernel,
            kernel_format=kernel_format, bias=bias, bias_format=bias_format, accumulator=_UNKNOWN,
        )  # fmt: skip
        return self._add_linear(node, result)

    def relu(self, name: str, x: str, result: FixedPoint | None = None, layer: str = "") -> str:
        node = Relu(name=name, inputs=(x,), shape=self.shape_of(x), result=_UNKNOWN, layer=layer or name)
        return self._add(node, result)

    def requantize(self, name: str, x: str, result: FixedPoint, layer: str = "") -> str:
        node = Requantize(name=name, inputs=(x,), shape=self.shape_of(x), result=result, layer=layer or name)
        return self._add(node, result)

    def reshape(self, name: str, x: str, shape: tuple[int, ...], layer: str = "") -> str:
        assert np.prod(shape) == np.prod(self.shape_of(x))
        form = next(node.result for node in self._nodes if node.name == x)
        node = Reshape(name=name, inputs=(x,), shape=shape, result=_plain(form), layer=layer or name)
        return self._add(node, node.result)

    def max_pool(
        self, name: str, x: str, window: tuple[int, ...], strides: tuple[int, ...], padding: Padding, layer: str = ""
    ) -> str:
        assert all(max(ends) < size for ends, size in zip(padding, window, strict=True)), "a window of padding only"
        form = next(node.result for node in self._nodes if node.name == x)
        ones = (1,) * len(window)
        axes = self.shape_of(x)[:-1]
        shape = tuple(output_length(*place) for place in zip(axes, window, strides, ones, padding, strict=True))
        node = MaxPool(
            name=name, inputs=(x,), shape=(*shape, self.shape_of(x)[-1]), result=_plain(form), layer=layer or name,
            window=window, strides=strides, padding=padding,
        )  # fmt: skip
        return self._add(node, node.result)

    def add(self, name: str, inputs: tuple[str, ...], result: FixedPoint | None = None, layer: str = "") -> str:
        shape = self.shape_of(inputs[0])
        return self._add(Add(name=name, inputs=inputs, shape=shape, result=_UNKNOWN, layer=layer or name), result)

    def build(self, outputs: tuple[str, ...]) -> FixedPointNetwork:
        return FixedPointNetwork(name=self.name, nodes=tuple(self._nodes), outputs=outputs)

    def _add_linear(self, node: Linear, result: FixedPoint | None) -> str:
        accumulator = accumulate(node, self._ranges[node.inputs[0]]).smallest_format()
        node = replace(node, accumulator=accumulator, result=result or accumulator)
        return self._keep(node)

    def _add(self, node: Node, result: FixedPoint | None) -> str:
        if result is None:
            exact = exact_range(node, [self._ranges[name] for name in node.inputs])
            result = exact.smallest_format()
        return self._keep(replace(node, result=result))

    def _keep(self, node: Node) -> str:
        assert node.name not in self._ranges, f"two nodes are called {node.name}"
        self._ranges[node.name] = result_range(node, [self._ranges[name] for name in node.inputs])
        self._nodes.append(node)
        return node.name


def _plain(form: FixedPoint) -> FixedPoint:
    return FixedPoint(form.signed, form.integer_bits, form.fractional_bits)
