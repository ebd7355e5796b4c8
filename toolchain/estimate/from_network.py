"""A quantized network as the design that ``hls`` would write for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.adder_graphs import AdderGraph, solved
from toolchain.estimate.design import Design, DesignLayer, Kind
from toolchain.estimate.partitions import runs_beside
from toolchain.fixed_point import Overflow, Rounding
from toolchain.network import nodes as operators
from toolchain.network.nodes import FixedPointNetwork, Input, Linear, Node
from toolchain.project import HlsSection
from toolchain.target import Fpga, speed_grade

_MERGES: dict[type[Node], str] = {
    operators.Add: "add", operators.Subtract: "subtract", operators.Multiply: "multiply", operators.Maximum: "maximum",
    operators.Minimum: "minimum", operators.Average: "average",
}  # fmt: skip


def design_of(network: FixedPointNetwork, section: HlsSection, fpga: Fpga) -> Design:
    """The design that ``hls`` would write for ``network``. Raises UnsupportedModelError for operators not covered."""
    layers = [
        layer for node in network.nodes if not isinstance(node, Input) for layer in _layers(node, network, section)
    ]
    clock = section.clock_period_ns or fpga.clock_period_ns
    grade = speed_grade(fpga.part)
    beside = section.io_type == "io_parallel" and any(runs_beside(layer) for layer in layers)
    return Design(
        tuple(layers), section.backend, section.io_type, fpga.family, clock, speed_grade=grade, part=fpga.part,
        uncertainty=fpga.clock_uncertainty_percent / 100, dataflow=beside,
    )  # fmt: skip


def _layers(node: Node, network: FixedPointNetwork, section: HlsSection) -> tuple[DesignLayer, ...]:
    """The node's layer; in io_stream the zeros around a convolution's input come from one of their own."""
    found = _layer(node, network, section)
    if not isinstance(node, operators.Convolution | operators.DepthwiseConvolution) or section.io_type != "io_stream":
        return (found,)
    if not np.any(node.padding):
        return (found,)
    inside, bits = found.input_shape, found.data_width
    places = math.prod(inside[:-1])
    words = places * inside[-1]
    return DesignLayer(
        f"{node.name}_padding", "padding", bits, bits, words, places, input_shape=inside,
        margins=_margins(node.padding),
    ), found  # fmt: skip


def _layer(node: Node, network: FixedPointNetwork, section: HlsSection) -> DesignLayer:
    width = max(network[name].result.width for name in node.inputs)
    inside = network[node.inputs[0]].shape
    if isinstance(node, Linear):
        return _linear(node, width, network, section)
    if type(node) in _MERGES:
        return _plain(node, "merge", width, _MERGES[type(node)])
    for kind, made in _MADE.items():
        if isinstance(node, kind):
            return made(node, width, inside)
    raise UnsupportedModelError(f"{type(node).__name__} is not estimated", where=f"layer '{node.name}'")


def _positions(node: Node) -> int:
    return node.size // max(node.shape[-1], 1) if node.shape else 1


def _plain(node: Node, kind: Kind, width: int, function: str = "") -> DesignLayer:
    return DesignLayer(node.name, kind, width, node.result.width, node.size, _positions(node), function=function)


def _activation(node: Node, width: int, inside: tuple[int, ...]) -> DesignLayer:
    form = node.result
    rounds = form.rounding is not Rounding.TRN or form.overflow is not Overflow.WRAP
    function = "relu" if isinstance(node, operators.Relu) else "linear"
    return DesignLayer(
        node.name, "activation", width, form.width, node.size, _positions(node), function=function, result_rounds=rounds
    )


def _pooling(node: Node, width: int, inside: tuple[int, ...]) -> DesignLayer:
    assert isinstance(node, operators.MaxPool)
    return DesignLayer(
        node.name, "pooling", width, node.result.width, node.size, _positions(node), function="max", input_shape=inside,
        window=tuple(node.window), places=node.shape[:-1],
    )  # fmt: skip


def _table(node: Node, width: int, inside: tuple[int, ...]) -> DesignLayer:
    assert isinstance(node, operators.Table)
    return DesignLayer(
        node.name, "table", width, node.result.width, node.size, _positions(node), table_size=len(node.words),
        table_width=node.result.width,
    )  # fmt: skip


def _embedding(node: Node, width: int, inside: tuple[int, ...]) -> DesignLayer:
    assert isinstance(node, operators.Embedding)
    rows, channels = node.words.shape
    return DesignLayer(
        node.name, "embedding", width, node.result.width, node.size, _positions(node), weight_width=node.result.width,
        kernel_shape=(int(rows), int(channels)),
    )  # fmt: skip


def _padding(node: Node, width: int, inside: tuple[int, ...]) -> DesignLayer:
    assert isinstance(node, operators.ZeroPadding)
    return replace(_plain(node, "padding", width), input_shape=node.shape, margins=_margins(node.padding))


def _margins(padding: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    return tuple(number for ends in padding for number in ends)


def _wiring(node: Node, width: int, inside: tuple[int, ...]) -> DesignLayer:
    return _plain(node, "reshape", width)


_MADE: dict[type[Node] | tuple[type[Node], ...], Callable[[Node, int, tuple[int, ...]], DesignLayer]] = {
    (operators.Relu, operators.Requantize): _activation,
    operators.MaxPool: _pooling,
    operators.Table: _table,
    operators.Embedding: _embedding,
    operators.ZeroPadding: _padding,
    (operators.Reshape, operators.Concatenate, operators.Crop, operators.Permute): _wiring,
}


def _linear(node: Linear, width: int, network: FixedPointNetwork, section: HlsSection) -> DesignLayer:
    inside = network[node.inputs[0]].shape
    own = section.layers.get(node.layer or node.name)
    kind, weights, window = _kernel(node)
    fixed = isinstance(node, operators.Scale) or node.constant  # no weights of the model: neither has a choice
    strategy = "latency" if fixed else (own.strategy if own else None) or section.strategy
    factor = 1 if fixed else (own.reuse_factor if own else None) or section.reuse_factor
    shape = inside
    if isinstance(node, operators.Convolution | operators.DepthwiseConvolution):
        padded = (size + sum(ends) for size, ends in zip(inside[:-1], node.padding, strict=True))
        shape = (*padded, inside[-1])
    elif _positions(node) == 1:
        shape = ()
    places, strides, margins = _geometry(node)
    graph = _adders(node, weights, network) if strategy == "distributed_arithmetic" else None
    return DesignLayer(
        node.name, kind, width, node.result.width, node.size, _positions(node), weights, node.kernel_format.width,
        node.accumulator.width, strategy, factor,
        biases=0 if node.bias is None or graph else int(np.count_nonzero(node.bias)), input_shape=shape, window=window,
        pixels=1 if window else 0, implementation="linebuffer" if window else "", adder_graph=graph,
        places=places, strides=strides, margins=margins,
    )  # fmt: skip


def _geometry(node: Linear) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """(places, strides, margins) of a convolution's windows; nothing of any other layer."""
    if not isinstance(node, operators.Convolution | operators.DepthwiseConvolution):
        return (), (), ()
    if any(step != 1 for step in node.dilation):
        return (), (), ()
    return tuple(node.shape[:-1]), tuple(node.strides), tuple(end for ends in node.padding for end in ends)


def _adders(node: Linear, weights: NDArray[np.int64], network: FixedPointNetwork) -> AdderGraph | None:
    data = network[node.inputs[0]].result
    bias = None if node.bias is None or node.bias_format is None else node.bias_format.values_of(node.bias)
    words = (data.signed, data.integer_bits, data.fractional_bits)
    return solved(node.kernel_format.values_of(weights), bias, words)


def _kernel(node: Linear) -> tuple[Kind, NDArray[np.int64], tuple[int, ...]]:
    """(kind, matrix ``(n_in, n_out)``, window). Channels that do not mix stand as a block diagonal."""
    kernel = node.kernel
    if isinstance(node, operators.Scale):
        return "scale", np.diag(kernel), ()
    if isinstance(node, operators.DepthwiseConvolution):
        window, channels = kernel.shape[:-1], kernel.shape[-1]
        places = kernel.reshape(-1, channels)
        matrix = np.zeros((math.prod(window) * channels, channels), dtype=np.int64)
        for channel in range(channels):
            matrix[channel::channels, channel] = places[:, channel]
        return "depthwise", matrix, tuple(window)
    if isinstance(node, operators.Convolution):
        window = kernel.shape[:-2]
        kind: Kind = "conv1d" if len(window) == 1 else "conv2d"
        return kind, kernel.reshape(-1, kernel.shape[-1]), tuple(window)
    return "dense", kernel, ()
