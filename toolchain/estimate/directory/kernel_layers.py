"""Dense layers, convolutions, separable convolutions and batch normalisation: whatever multiplies by weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.adder_graphs import AdderGraph
from toolchain.estimate.design import DesignLayer, Kind
from toolchain.estimate.directory.generated_code import Element
from toolchain.estimate.directory.reading import (
    Reading,
    Rule,
    Tensor,
    config_of,
    doubt_of,
    implementation_of,
    keep,
    margins_of,
    need,
    padded,
    strategy_of,
    strides_of,
    take_away,
    types_of,
    unread,
)
from toolchain.estimate.directory.sources import Config, LayerCall, Type
from toolchain.estimate.directory.weights import compressed, read_weights


@dataclass(frozen=True, eq=False)
class Kernel:
    """What a layer multiplies with, and how."""

    weights: NDArray[np.int64] | None
    form: Type
    accumulator: Type
    factor: int
    strategy: str
    biases: int  # that are not zero
    multiplier_limit: int = 0
    doubt: str = ""
    graph: AdderGraph | None = None

    def dropped_bits(self, data: Type) -> int:
        """Fractional bits of a product that the accumulator does not hold."""
        return max(0, data.fractional + self.form.fractional - self.accumulator.fractional)


def _kernel(reading: Reading, call: LayerCall, config: Config, shape: tuple[int, int]) -> Kernel:
    inner = _inner(reading, config)
    if (graph := _graph_of(reading, config) or _graph_of(reading, inner)) is not None:  # its weights are code
        data, result = types_of(reading, call)
        return Kernel(None, data, result, 1, "distributed_arithmetic", 0, graph=graph)
    kind = inner.types.get("weight_t") or config.types.get("weight_t") or "model_default_t"
    form = reading.sources.type_of(kind)
    accumulator = reading.sources.type_of(inner.types.get("accum_t") or config.types.get("accum_t") or kind)
    source = inner if "strategy" in inner.words else config
    strategy = strategy_of(reading, source, call)
    factor = inner.numbers.get("reuse_factor", config.numbers.get("reuse_factor", 1))
    weights = call.arguments[2]
    packed = source.words.get("strategy", "").endswith("compressed") or "ompressed" in source.words.get("kernel", "")
    if packed:
        found = compressed(reading.weights, weights, form, shape)
    else:
        found = read_weights(reading.weights, weights, form, shape, strategy == "resource")
    if found is None:
        reading.notes.append(f"layer '{call.name}': no weight file: counted as if no weight were zero or equal")
    return Kernel(
        found, form, accumulator, factor, strategy, _biases(reading, call, inner, config, shape[1]),
        _limit(inner, found, shape, factor), _at_a_port(reading, weights) or doubt_of(source),
    )  # fmt: skip


def _at_a_port(reading: Reading, weights: str) -> str:
    """``BramFactor``: the words come from outside, so none is known to be zero and the memory is not the design's."""
    return "its weights come through a port: estimated as if they were the design's own" * (
        weights in reading.sources.ports
    )


def _inner(reading: Reading, config: Config) -> Config:
    """The struct of the kernel that a convolution calls for each position, or its own."""
    return reading.sources.configs.get(config.types.get("mult_config", ""), config)


def _limit(config: Config, weights: NDArray[np.int64] | None, shape: tuple[int, int], factor: int) -> int:
    """``multiplier_limit`` as the struct says it, or as its kernel computes it from ``n_zeros``; else by the zeros of
    the file, as outputs that nothing reads are taken away later."""
    if "multiplier_limit" in config.numbers:
        return config.numbers["multiplier_limit"]
    if "n_zeros" in config.numbers:
        return math.ceil(math.prod(shape) / factor) - config.numbers["n_zeros"] // factor
    return 0 if weights is None else math.ceil(weights.size / factor) - int((weights == 0).sum()) // factor


def _graph_of(reading: Reading, config: Config) -> AdderGraph | None:
    """The adders of a layer of distributed arithmetic. io_stream: its kernel is a struct around the function."""
    function = config.words.get("dense_da") or config.words.get("kernel", "").replace("_wrapper", "")
    return reading.code.adder_graphs.get(function)


def _biases(reading: Reading, call: LayerCall, inner: Config, config: Config, count: int) -> int:
    kind = inner.types.get("bias_t") or config.types.get("bias_t")
    if kind is None or len(call.arguments) < 4:
        return 0
    found = read_weights(reading.weights, call.arguments[3], reading.sources.type_of(kind), (1, count), False)
    return count if found is None else int(np.count_nonzero(found))


def dense(reading: Reading, call: LayerCall) -> None:
    config = config_of(reading, call)
    data, result = types_of(reading, call)
    n_in, n_out = need(config, "n_in"), need(config, "n_out")
    if (graph := _graph_of(reading, config)) is not None:
        _keep_graph(reading, call, data, result, graph)
        return
    kernel = _kernel(reading, call, config, (n_in, n_out))
    elements = reading.tensor(call.arguments[0], data).elements
    if kernel.weights is not None and len(elements) == n_in:
        dead = np.array([element is None for element in elements])
        kernel = replace(kernel, weights=np.where(dead[:, None], 0, kernel.weights))
    if kernel.weights is not None and kernel.strategy == "latency" and not reading.sources.streams:
        take_away(reading, call.arguments[0], unread(kernel.weights))
    layer = DesignLayer(
        call.name, "dense", data.width, result.width, n_out, 1, kernel.weights, kernel.form.width,
        kernel.accumulator.width, kernel.strategy, kernel.factor, kernel.dropped_bits(data), kernel.accumulator.rounds,
        kernel.biases, kernel_shape=(n_in, n_out), doubt=kernel.doubt,
        multiplier_limit=kernel.multiplier_limit,
        data_widths=tuple(_reach(element, data) for element in elements) if len(elements) == n_in else (),
    )  # fmt: skip
    constant = _constant_channels(reading, kernel.weights, kernel)
    layer = replace(layer, words=max(1, n_out - constant))
    keep(reading, call, layer, Tensor(1, n_out, result.width, constant), (call.arguments[1],))


def _reach(element: Element, data: Type) -> int:
    """Bits from the least one of the words' common type to the greatest of this one."""
    return 0 if element is None else max(1, min(data.width, element.integer + data.fractional))


def distributed(reading: Reading, call: LayerCall) -> None:
    """A dense layer whose function da4ml wrote."""
    data, result = types_of(reading, call)
    _keep_graph(reading, call, data, result, reading.code.adder_graphs[call.function])


def _keep_graph(reading: Reading, call: LayerCall, data: Type, result: Type, graph: AdderGraph) -> None:
    layer = DesignLayer(
        call.name, "dense", data.width, result.width, graph.n_out, strategy="distributed_arithmetic",
        kernel_shape=(graph.n_in, graph.n_out), adder_graph=graph,
    )  # fmt: skip
    keep(reading, call, layer, Tensor(1, graph.n_out, result.width), (call.arguments[1],))


def convolution(kind: Kind) -> Rule:
    def add(reading: Reading, call: LayerCall) -> None:
        config = config_of(reading, call)
        data, result = types_of(reading, call)
        two = config.numbers.get("in_height", -1) > 0
        places = (need(config, "out_height"), need(config, "out_width")) if two else (need(config, "out_width"),)
        window = (need(config, "filt_height"), need(config, "filt_width")) if two else (need(config, "filt_width"),)
        channels, filters = need(config, "n_chan"), config.numbers.get("n_filt", 0) or need(config, "n_chan")
        depthwise = kind == "depthwise"
        shape = (math.prod(window) * channels, filters)
        if depthwise and not _is_whole(reading.weights, call.arguments[2], math.prod(shape)):
            shape = (math.prod(window), filters)
        kernel = _kernel(reading, call, config, shape)
        weights = kernel.weights
        if depthwise and weights is not None and len(weights) == math.prod(window):
            weights = _diagonal(weights, channels)
        said = _inner(reading, config).numbers.get("multiplier_limit", 0)
        axes = (need(config, "in_height"), need(config, "in_width")) if two else (need(config, "in_width"),)
        layer = DesignLayer(
            call.name, kind, data.width, result.width, math.prod(places) * filters, math.prod(places), weights,
            kernel.form.width, kernel.accumulator.width, kernel.strategy, kernel.factor, kernel.dropped_bits(data),
            kernel.accumulator.rounds, kernel.biases, input_shape=(*padded(config, axes), channels), window=window,
            inlined="multiplier_limit" not in config.numbers,
            kernel_shape=(math.prod(window) * channels, filters),
            doubt=kernel.doubt or _older(reading, kernel, config),
            pixels=config.numbers.get("n_pixels", 0), implementation=implementation_of(config),
            adder_graph=kernel.graph, places=places, strides=strides_of(config, two), margins=margins_of(config, two),
            multiplier_limit=said if depthwise else kernel.multiplier_limit,  # zeros between channels are none
        )  # fmt: skip
        constant = _constant_channels(reading, weights, kernel)
        layer = replace(layer, words=math.prod(places) * max(1, filters - constant))
        keep(reading, call, layer, Tensor(math.prod(places), filters, result.width, constant), (call.arguments[1],))

    return add


def _older(reading: Reading, kernel: Kernel, config: Config) -> str:
    """Why an hls4ml that knows no partitions may build a convolution otherwise (four designs of two authors)."""
    if reading.sources.streams or "n_pixels" in config.numbers:
        return ""
    if not reading.sources.dataflow and kernel.strategy == "latency":
        return ""  # a pipelined top function: all positions at once
    return "an older hls4ml: how many positions this convolution computes at once is not known"


def _constant_channels(reading: Reading, weights: NDArray[np.int64] | None, kernel: Kernel) -> int:
    """Channels whose weights are all zero: only a bias is left of them. Streams carry them all the same, and weights in
    memory are read whatever they are."""
    in_memory = kernel.strategy == "resource" and kernel.factor > 1
    if weights is None or reading.sources.streams or in_memory:
        return 0
    return int((~weights.any(axis=0)).sum())


def _is_whole(folder: Path, name: str, size: int) -> bool:
    """Whether a depthwise kernel's file has the zeros between channels too, as hls4ml up to 0.8 wrote it."""
    file = folder / f"{name}.txt"
    return file.is_file() and file.read_bytes().count(b",") + 1 >= size


def _diagonal(kernel: NDArray[np.int64], channels: int) -> NDArray[np.int64]:
    """Channels that do not mix as a block diagonal ``(places * channels, channels)``."""
    matrix = np.zeros((len(kernel) * channels, kernel.shape[1]), dtype=np.int64)
    for channel in range(min(channels, kernel.shape[1])):
        matrix[channel::channels, channel] = kernel[:, channel]
    return matrix


def separable(reading: Reading, call: LayerCall) -> None:
    """Older hls4ml wrote both halves as one call with two kernels."""
    config = config_of(reading, call)
    names = [config.types.get(key, "") for key in ("depthwise_config", "pointwise_config")]
    if any(name not in reading.sources.configs for name in names):
        raise UnsupportedModelError("its two configurations were not found", where=f"layer '{call.name}'")
    middle = f"{call.name}_depthwise"
    first = LayerCall(
        "depthwise", (call.templates[0], call.templates[-2], names[0]),
        (call.arguments[0], f"{middle}_out", call.arguments[2]), middle,
    )  # fmt: skip
    second = LayerCall(
        "pointwise", (call.templates[0], call.templates[-2], names[1]),
        (f"{middle}_out", call.arguments[1], call.arguments[3]), call.name,
    )  # fmt: skip
    two = "2d" in call.function
    convolution("depthwise")(reading, first)
    convolution("conv2d" if two else "conv1d")(reading, second)


def normalize(reading: Reading, call: LayerCall) -> None:
    config = config_of(reading, call)
    data, result = types_of(reading, call)
    words = need(config, "n_in")
    channels = config.numbers.get("n_filt", -1)
    channels = words if channels <= 0 else channels
    form = reading.sources.type_of(config.types.get("scale_t", "model_default_t"))
    found = read_weights(reading.weights, call.arguments[2], form, (channels, 1), False)
    weights = None if found is None else np.diag(found[:, 0])
    layer = DesignLayer(
        call.name, "scale", data.width, result.width, words, max(1, words // channels), weights, form.width,
        reading.sources.type_of(config.types.get("accum_t", "model_default_t")).width if "accum_t" in config.types
        else data.width + form.width, "latency", config.numbers.get("reuse_factor", 1),
        kernel_shape=(channels, channels),
    )  # fmt: skip
    keep(reading, call, layer, Tensor(max(1, words // channels), channels, result.width), (call.arguments[1],))
