"""Builds a ``FixedPointNetwork`` node by node, giving every sum an accumulator that provably cannot overflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from toolchain.fixed_point import FixedPoint
from toolchain.network import nodes
from toolchain.network.nodes import FixedPointNetwork, IntArray, Linear, Merge, Node
from toolchain.network.ranges import Range, accumulate, exact_range, result_range
from toolchain.network.windows import Padding, output_length

_UNKNOWN = FixedPoint(True, 0, 0)  # stands where the proven format is put before the node is added


class NetworkBuilder:
    """Each method adds one operator and returns its name. ``result=None`` keeps every bit of the exact value.

    ``layer`` is the Keras layer, for messages and options; ``constant`` marks a kernel that is no weights.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[Node] = []
        self._index: dict[str, Node] = {}
        self._ranges: dict[str, Range] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the nodes so far, in order."""
        return tuple(self._index)

    def range_of(self, name: str) -> Range:
        return self._ranges[name]

    def shape_of(self, name: str) -> tuple[int, ...]:
        return self._index[name].shape

    def format_of(self, name: str) -> FixedPoint:
        return self._index[name].result

    def input(self, name: str, shape: tuple[int, ...], form: FixedPoint) -> str:
        return self._add(nodes.Input(name=name, shape=shape, result=form, layer=name), form)

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
        *,
        constant: bool = False,
    ) -> str:
        shape = (*self.shape_of(x)[:-1], kernel.shape[1])
        node = nodes.Dense(
            name=name, inputs=(x,), shape=shape, result=_UNKNOWN, layer=layer or name, kernel=kernel,
            kernel_format=kernel_format, bias=bias, bias_format=bias_format, accumulator=_UNKNOWN, constant=constant,
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
        constant: bool = False,
        layer: str = "",
    ) -> str:
        dilation = dilation or (1,) * len(strides)
        window = kernel.shape[: len(strides)]
        axes = self.shape_of(x)[:-1]
        places = [output_length(*place) for place in zip(axes, window, strides, dilation, padding, strict=True)]
        shape = (*places, kernel.shape[-1])
        kind = nodes.DepthwiseConvolution if depthwise else nodes.Convolution
        node = kind(
            name=name, inputs=(x,), shape=shape, result=_UNKNOWN, layer=layer or name, kernel=kernel,
            kernel_format=kernel_format, bias=bias, bias_format=bias_format, accumulator=_UNKNOWN,
            strides=strides, dilation=dilation, padding=padding, constant=constant,
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
        node = nodes.Scale(
            name=name, inputs=(x,), shape=self.shape_of(x), result=_UNKNOWN, layer=layer or name, kernel=kernel,
            kernel_format=kernel_format, bias=bias, bias_format=bias_format, accumulator=_UNKNOWN,
        )  # fmt: skip
        return self._add_linear(node, result)

    def relu(self, name: str, x: str, result: FixedPoint | None = None, layer: str = "") -> str:
        node = nodes.Relu(name=name, inputs=(x,), shape=self.shape_of(x), result=_UNKNOWN, layer=layer or name)
        return self._add(node, result)

    def requantize(self, name: str, x: str, result: FixedPoint, layer: str = "") -> str:
        node = nodes.Requantize(name=name, inputs=(x,), shape=self.shape_of(x), result=result, layer=layer or name)
        return self._add(node, result)

    def reshape(self, name: str, x: str, shape: tuple[int, ...], layer: str = "") -> str:
        assert np.prod(shape) == np.prod(self.shape_of(x))
        return self._move(nodes.Reshape, name, x, shape, layer)

    def max_pool(
        self, name: str, x: str, window: tuple[int, ...], strides: tuple[int, ...], padding: Padding, layer: str = ""
    ) -> str:
        assert all(max(ends) < size for ends, size in zip(padding, window, strict=True)), "a window of padding only"
        ones = (1,) * len(window)
        axes = self.shape_of(x)[:-1]
        shape = tuple(output_length(*place) for place in zip(axes, window, strides, ones, padding, strict=True))
        shape = (*shape, self.shape_of(x)[-1])
        return self._move(nodes.MaxPool, name, x, shape, layer, window=window, strides=strides, padding=padding)

    def zero_padding(self, name: str, x: str, padding: Padding, layer: str = "") -> str:
        *axes, channels = self.shape_of(x)
        shape = (*(n + sum(ends) for n, ends in zip(axes, padding, strict=True)), channels)
        return self._move(nodes.ZeroPadding, name, x, shape, layer, padding=padding)

    def crop(self, name: str, x: str, cropping: Padding, layer: str = "") -> str:
        *axes, channels = self.shape_of(x)
        shape = (*(n - sum(ends) for n, ends in zip(axes, cropping, strict=True)), channels)
        assert min(shape) > 0, "nothing is left"
        return self._move(nodes.Crop, name, x, shape, layer, cropping=cropping)

    def permute(self, name: str, x: str, axes: tuple[int, ...], layer: str = "") -> str:
        """``axes`` count from 0, the first after the samples (Keras' Permute counts from 1)."""
        before = self.shape_of(x)
        assert sorted(axes) == list(range(len(before)))
        return self._move(nodes.Permute, name, x, tuple(before[axis] for axis in axes), layer, axes=axes)

    def add(self, name: str, inputs: tuple[str, ...], result: FixedPoint | None = None, layer: str = "") -> str:
        return self._merge(nodes.Add, name, inputs, result, layer)

    def subtract(self, name: str, inputs: tuple[str, str], result: FixedPoint | None = None, layer: str = "") -> str:
        assert len(inputs) == 2
        return self._merge(nodes.Subtract, name, inputs, result, layer)

    def multiply(self, name: str, inputs: tuple[str, ...], result: FixedPoint | None = None, layer: str = "") -> str:
        return self._merge(nodes.Multiply, name, inputs, result, layer)

    def maximum(self, name: str, inputs: tuple[str, ...], result: FixedPoint | None = None, layer: str = "") -> str:
        return self._merge(nodes.Maximum, name, inputs, result, layer)

    def minimum(self, name: str, inputs: tuple[str, ...], result: FixedPoint | None = None, layer: str = "") -> str:
        return self._merge(nodes.Minimum, name, inputs, result, layer)

    def average(self, name: str, inputs: tuple[str, ...], result: FixedPoint | None = None, layer: str = "") -> str:
        """The number of inputs must be a power of two: of three, the exact value has no finite binary fraction."""
        assert len(inputs) & (len(inputs) - 1) == 0
        return self._merge(nodes.Average, name, inputs, result, layer)

    def concatenate(
        self, name: str, inputs: tuple[str, ...], axis: int, result: FixedPoint | None = None, layer: str = ""
    ) -> str:
        """``axis`` counts from 0, the first after the samples; -1 is the last."""
        shapes = [self.shape_of(x) for x in inputs]
        axis %= len(shapes[0])
        assert len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) == 1, "shapes differ elsewhere too"
        shape = (*shapes[0][:axis], sum(one[axis] for one in shapes), *shapes[0][axis + 1 :])
        node = nodes.Concatenate(name=name, inputs=inputs, shape=shape, result=_UNKNOWN, layer=layer or name, axis=axis)
        return self._add(node, result)

    def table(self, name: str, x: str, words: IntArray, result: FixedPoint, layer: str = "") -> str:
        """``words[k]`` on ``result``'s grid for the input word whose low bits, read as unsigned, are k."""
        form = self.format_of(x)
        assert words.shape == (1 << form.width,), f"{words.shape} words for {form.width} bits"
        assert result.min_word <= words.min() <= words.max() <= result.max_word, "a word outside the result format"
        node = nodes.Table(
            name=name, inputs=(x,), shape=self.shape_of(x), result=result, layer=layer or name, words=words
        )  # fmt: skip
        return self._keep(node)

    def embedding(self, name: str, x: str, words: IntArray, result: FixedPoint, layer: str = "") -> str:
        """``words`` ``(rows, channels)``; input words beyond the rows give zeros."""
        form = self.format_of(x)
        assert (form.signed, form.fractional_bits) == (False, 0), f"{form} does not count rows"
        assert words.shape[0] <= 1 << form.width, "rows that no input word names"
        rows = np.zeros((1 << form.width, words.shape[1]), dtype=np.int64)
        rows[: len(words)] = words
        assert result.min_word <= rows.min() <= rows.max() <= result.max_word, "a word outside the result format"
        shape = (*self.shape_of(x), rows.shape[1])
        return self._keep(
            nodes.Embedding(name=name, inputs=(x,), shape=shape, result=result, layer=layer or name, words=rows)
        )

    def build(self, outputs: tuple[str, ...]) -> FixedPointNetwork:
        return FixedPointNetwork(name=self.name, nodes=tuple(self._nodes), outputs=outputs)

    def _merge(
        self, kind: type[Merge], name: str, inputs: tuple[str, ...], result: FixedPoint | None, layer: str
    ) -> str:
        shapes = {self.shape_of(x) for x in inputs}
        assert len(shapes) == 1, f"{name} joins {shapes}"
        assert len(inputs) >= 2
        return self._add(
            kind(name=name, inputs=inputs, shape=shapes.pop(), result=_UNKNOWN, layer=layer or name), result
        )

    def _move(self, kind: type[Node], name: str, x: str, shape: tuple[int, ...], layer: str, **rest: object) -> str:
        form = _plain(self.format_of(x))
        make: Callable[..., Node] = kind
        return self._keep(make(name=name, inputs=(x,), shape=shape, result=form, layer=layer or name, **rest))

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
        self._index[node.name] = node
        return node.name


def _plain(form: FixedPoint) -> FixedPoint:
    return FixedPoint(form.signed, form.integer_bits, form.fractional_bits)
