"""The calls of a top function as layers of a ``Design``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.design import DesignLayer, Kind
from toolchain.estimate.directory.sources import Config, LayerCall, Sources, Type
from toolchain.estimate.directory.weights import compressed, read_weights

WIRING = (
    "clone_stream", "repack_stream", "transpose", "transpose_1d", "transpose_2d", "transpose_3d", "concatenate1d",
    "concatenate2d", "concatenate3d", "reshape", "flatten",
)  # fmt: skip
ACTIVATIONS = (
    "relu", "linear", "leaky_relu", "thresholded_relu", "prelu", "hard_sigmoid", "hard_tanh", "binary_tanh",
    "ternary_tanh", "relu_max", "relu1", "relu6", "clipped_relu", "argmax",
)  # fmt: skip
TABLES = ("sigmoid", "tanh", "softplus", "softsign", "elu", "selu", "unary_lut", "exponential", "swish")
MERGES = {
    "add": "add", "subtract": "subtract", "multiply": "multiply", "average": "average", "maximum": "maximum",
    "minimum": "minimum", "dot1d": "dot",
}  # fmt: skip
_STRATEGIES = {
    "latency": "latency", "resource": "resource", "resource_unrolled": "resource", "unrolled": "resource",
    "compressed": "resource", "distributed_arithmetic": "distributed_arithmetic",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """What a variable holds: places and channels, and the width of a word."""

    positions: int
    channels: int
    width: int


@dataclass
class Reading:
    """The layers so far, the variables, and what was noticed."""

    sources: Sources
    weights: Path
    tensors: dict[str, Tensor] = field(default_factory=dict)
    layers: list[DesignLayer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    configs: dict[str, str] = field(default_factory=dict)  # layer -> the struct that configures it

    def tensor(self, name: str, fallback: Type) -> Tensor:
        """The variable that is read; of a port only its type is known."""
        name = self.sources.aliases.get(name, name)
        return self.tensors.get(name, Tensor(1, fallback.pack, fallback.width))


def read_layers(sources: Sources, weights: Path) -> Reading:
    """Every layer in the order of the calls, and notes. Raises UnsupportedModelError for a function not known."""
    reading = Reading(sources, weights)
    for call in sources.calls:
        rule = _RULES.get(call.function)
        if rule is None:
            raise UnsupportedModelError(
                f"{call.function} is a layer that is not estimated", where=f"{sources.folder}: layer '{call.name}'",
                allowed=", ".join(sorted(_RULES)),
            )  # fmt: skip
        rule(reading, call)
        for name in call.templates:
            if name in sources.configs:
                reading.configs[call.name] = name
    return reading


Rule = Callable[[Reading, LayerCall], None]


def _config(reading: Reading, call: LayerCall) -> Config:
    for name in reversed(call.templates):
        if name in reading.sources.configs:
            return reading.sources.configs[name]
    by_lower = {name.lower(): config for name, config in reading.sources.configs.items()}
    for name in reversed(call.templates):  # hls4ml 1.2 and 1.3 spell Softmax_config in one place
        if name.lower() in by_lower:
            return by_lower[name.lower()]
    raise UnsupportedModelError(
        f"no configuration struct of {call.function} was found", where=f"{reading.sources.folder}: layer '{call.name}'"
    )


def _types(reading: Reading, call: LayerCall) -> tuple[Type, Type]:
    """The types that a call reads and gives."""
    structs = {name.lower() for name in reading.sources.configs}
    names = [name for name in call.templates if name.lower() not in structs]
    data = reading.sources.type_of(names[0])
    typed = [name for name in names[1:] if not name.isdigit()]
    return data, reading.sources.type_of(typed[-1]) if typed else data


def _out(call: LayerCall) -> str:
    """The variable that a call writes: its last argument that is no weight."""
    names = [name for name in call.arguments if name.endswith("_out") or "_cpy" in name or "layer" in name]
    return names[-1] if names else call.arguments[min(1, len(call.arguments) - 1)]


def _keep(reading: Reading, call: LayerCall, layer: DesignLayer, tensor: Tensor, outs: tuple[str, ...] = ()) -> None:
    reading.layers.append(layer)
    for name in outs or (_out(call),):
        reading.tensors[name] = tensor


def _need(config: Config, *names: str) -> int:
    for name in names:
        if name in config.numbers:
            return config.numbers[name]
    raise UnsupportedModelError(f"does not say {names[0]}", where=f"struct {config.name}")


def _strategy(reading: Reading, config: Config, call: LayerCall) -> str:
    word = config.words.get("strategy", "latency").rpartition("::")[2].lower()
    kernel = config.words.get("kernel", "")
    if word not in _STRATEGIES:
        raise UnsupportedModelError(f"strategy {word!r} is not known", where=f"layer '{call.name}'")
    if word in ("compressed", "resource_unrolled", "unrolled") or "nrolled" in kernel or "ompressed" in kernel:
        reading.notes.append(f"layer '{call.name}': strategy {word} was never measured; counted as resource")
    return _STRATEGIES[word]


@dataclass(frozen=True, eq=False)
class Kernel:
    """What a layer multiplies with, and how."""

    weights: NDArray[np.int64] | None
    form: Type
    accumulator: Type
    factor: int
    strategy: str
    biases: int  # that are not zero

    def dropped_bits(self, data: Type) -> int:
        """Fractional bits of a product that the accumulator does not hold."""
        return max(0, data.fractional + self.form.fractional - self.accumulator.fractional)


def _kernel(reading: Reading, call: LayerCall, config: Config, shape: tuple[int, int]) -> Kernel:
    inner = reading.sources.configs.get(config.types.get("mult_config", ""), config)
    kind = inner.types.get("weight_t") or config.types.get("weight_t") or "model_default_t"
    form = reading.sources.type_of(kind)
    accumulator = reading.sources.type_of(inner.types.get("accum_t") or config.types.get("accum_t") or kind)
    source = inner if "strategy" in inner.words else config
    strategy = _strategy(reading, source, call)
    factor = inner.numbers.get("reuse_factor", config.numbers.get("reuse_factor", 1))
    weights = call.arguments[2]
    packed = source.words.get("strategy", "").endswith("compressed") or "ompressed" in source.words.get("kernel", "")
    if packed:
        found = compressed(reading.weights, weights, form, shape)
    else:
        found = read_weights(reading.weights, weights, form, shape, strategy == "resource")
    if found is None:
        reading.notes.append(f"layer '{call.name}': no weight file: counted as if no weight were zero or equal")
    return Kernel(found, form, accumulator, factor, strategy, _biases(reading, call, inner, config, shape[1]))


def _biases(reading: Reading, call: LayerCall, inner: Config, config: Config, count: int) -> int:
    kind = inner.types.get("bias_t") or config.types.get("bias_t")
    if kind is None or len(call.arguments) < 4:
        return 0
    found = read_weights(reading.weights, call.arguments[3], reading.sources.type_of(kind), (1, count), False)
    return count if found is None else int(np.count_nonzero(found))


def _dense(reading: Reading, call: LayerCall) -> None:
    config = _config(reading, call)
    data, result = _types(reading, call)
    n_in, n_out = _need(config, "n_in"), _need(config, "n_out")
    kernel = _kernel(reading, call, config, (n_in, n_out))
    layer = DesignLayer(
        call.name, "dense", data.width, result.width, n_out, 1, kernel.weights, kernel.form.width,
        kernel.accumulator.width, kernel.strategy, kernel.factor, kernel.dropped_bits(data), kernel.accumulator.rounds,
        kernel.biases, kernel_shape=(n_in, n_out),
    )  # fmt: skip
    _keep(reading, call, layer, Tensor(1, n_out, result.width), (call.arguments[1],))


def _convolution(kind: Kind) -> Rule:
    def add(reading: Reading, call: LayerCall) -> None:
        config = _config(reading, call)
        data, result = _types(reading, call)
        two = "in_height" in config.numbers
        places = (_need(config, "out_height"), _need(config, "out_width")) if two else (_need(config, "out_width"),)
        window = (_need(config, "filt_height"), _need(config, "filt_width")) if two else (_need(config, "filt_width"),)
        channels, filters = _need(config, "n_chan"), config.numbers.get("n_filt", 0) or _need(config, "n_chan")
        depthwise = kind == "depthwise"
        shape = (math.prod(window) * channels, filters)
        if depthwise and not _is_whole(reading.weights, call.arguments[2], math.prod(shape)):
            shape = (math.prod(window), filters)
        kernel = _kernel(reading, call, config, shape)
        weights = kernel.weights
        if depthwise and weights is not None and len(weights) == math.prod(window):
            weights = _diagonal(weights, channels)
        axes = (_need(config, "in_height"), _need(config, "in_width")) if two else (_need(config, "in_width"),)
        layer = DesignLayer(
            call.name, kind, data.width, result.width, math.prod(places) * filters, math.prod(places), weights,
            kernel.form.width, kernel.accumulator.width, kernel.strategy, kernel.factor, kernel.dropped_bits(data),
            kernel.accumulator.rounds, kernel.biases, input_shape=(*_padded(config, axes), channels), window=window,
            kernel_shape=(math.prod(window) * channels, filters),
        )  # fmt: skip
        _keep(reading, call, layer, Tensor(math.prod(places), filters, result.width), (call.arguments[1],))

    return add


def _padded(config: Config, axes: tuple[int, ...]) -> tuple[int, ...]:
    ends = (("pad_top", "pad_bottom"), ("pad_left", "pad_right"))[-len(axes) :]
    return tuple(
        size + sum(config.numbers.get(name, 0) for name in names) for size, names in zip(axes, ends, strict=True)
    )


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


def _separable(reading: Reading, call: LayerCall) -> None:
    """Older hls4ml wrote both halves as one call with two kernels."""
    config = _config(reading, call)
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
    _convolution("depthwise")(reading, first)
    _convolution("conv2d" if two else "conv1d")(reading, second)


def _normalize(reading: Reading, call: LayerCall) -> None:
    config = _config(reading, call)
    data, result = _types(reading, call)
    words = _need(config, "n_in")
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
    _keep(reading, call, layer, Tensor(max(1, words // channels), channels, result.width), (call.arguments[1],))


def _elementwise(kind: Kind) -> Rule:
    def add(reading: Reading, call: LayerCall) -> None:
        config = _config(reading, call)
        data, result = _types(reading, call)
        words = config.numbers.get("n_in") or config.numbers.get("n_elem") or 0
        before = reading.tensor(call.arguments[0], data)
        words = words or before.positions * before.channels
        channels = before.channels if before.channels and words % before.channels == 0 else words
        table = config.types.get("table_t") or config.types.get("exp_table_t")
        function = MERGES.get(call.function, call.function)
        layer = DesignLayer(
            call.name, kind, data.width, result.width, words, max(1, words // channels), function=function,
            table_size=config.numbers.get("table_size", config.numbers.get("exp_table_size", 0)),
            table_width=reading.sources.type_of(table).width if table else 18, result_rounds=result.rounds,
        )  # fmt: skip
        _keep(reading, call, layer, Tensor(max(1, words // channels), channels, result.width))

    return add


def _cast(reading: Reading, call: LayerCall) -> None:
    """A change of format that this toolchain writes itself."""
    data, result = (reading.sources.type_of(name) for name in call.templates[:2])
    words = reading.sources.number(call.templates[2])
    before = reading.tensor(call.arguments[0], data)
    channels = before.channels if before.channels and words % before.channels == 0 else words
    layer = DesignLayer(
        call.name, "activation", data.width, result.width, words, words // channels, function="linear",
        result_rounds=result.rounds,
    )  # fmt: skip
    _keep(reading, call, layer, Tensor(words // channels, channels, result.width), (call.arguments[1],))


def _pooling(reading: Reading, call: LayerCall) -> None:
    config = _config(reading, call)
    data, result = _types(reading, call)
    two = "2d" in call.function
    whole = call.function.startswith("global")
    axes = (_need(config, "in_height"), _need(config, "in_width")) if two else (_need(config, "in_width", "n_in"),)
    channels = _need(config, "n_filt", "n_chan")
    window: tuple[int, ...]
    places: tuple[int, ...]
    if whole:
        window, places = axes, (1,)
    elif two:
        window = (_need(config, "pool_height"), _need(config, "pool_width"))
        places = (_need(config, "out_height"), _need(config, "out_width"))
    else:
        window, places = (_need(config, "pool_width", "pool_size"),), (_need(config, "out_width", "n_out"),)
    function = "average" if "average" in config.words.get("pool_op", "").lower() else "max"
    layer = DesignLayer(
        call.name, "pooling", data.width, result.width, math.prod(places) * channels, math.prod(places),
        function=function, input_shape=(*_padded(config, axes), channels), window=window,
    )  # fmt: skip
    _keep(reading, call, layer, Tensor(math.prod(places), channels, result.width), (call.arguments[1],))


def _spatial(kind: Kind) -> Rule:
    def add(reading: Reading, call: LayerCall) -> None:
        config = _config(reading, call)
        data, result = _types(reading, call)
        two = "out_height" in config.numbers or "new_height" in config.numbers
        height = _need(config, "out_height", "new_height") if two else 1
        width = _need(config, "out_width", "new_width")
        channels = _need(config, "n_chan")
        words = height * width * channels
        layer = DesignLayer(call.name, kind, data.width, result.width, words, height * width)
        _keep(reading, call, layer, Tensor(height * width, channels, result.width), (call.arguments[1],))

    return add


def _wiring(reading: Reading, call: LayerCall) -> None:
    names = [name for name in call.templates if name not in reading.sources.configs and not name.strip().isdigit()]
    data = reading.sources.type_of(names[0])
    clone = call.function == "clone_stream"
    inputs = call.arguments[:2] if call.function.startswith("concatenate") else call.arguments[:1]
    outs = call.arguments[1:] if clone else (call.arguments[len(inputs)],)
    before = [reading.tensor(name, data) for name in inputs]
    channels = sum(tensor.channels for tensor in before) if len(before) > 1 else before[0].channels
    positions, width = before[0].positions, before[0].width
    layer = DesignLayer(
        call.name, "reshape", width, width, positions * channels, positions, function=call.function.split("_")[0]
    )
    _keep(reading, call, layer, Tensor(positions, channels, width), tuple(outs))


def _embedding(reading: Reading, call: LayerCall) -> None:
    config = _config(reading, call)
    data, result = _types(reading, call)
    n_in, n_out, rows = _need(config, "n_in"), _need(config, "n_out"), _need(config, "vocab_size")
    layer = DesignLayer(
        call.name, "embedding", data.width, result.width, n_in * n_out, n_in, weight_width=result.width,
        kernel_shape=(rows, n_out),
    )  # fmt: skip
    _keep(reading, call, layer, Tensor(n_in, n_out, result.width), (call.arguments[1],))


def _recurrent(reading: Reading, call: LayerCall) -> None:
    config = _config(reading, call)
    data, result = _types(reading, call)
    function = next((name for name in ("gru", "lstm") if name in call.function), "simple_rnn")
    n_in, units = _need(config, "n_in"), _need(config, "n_state", "n_out")
    steps, given = _need(config, "n_sequence"), config.numbers.get("n_sequence_out", 1)
    gates = {"gru": 3, "lstm": 4}.get(function, 1)
    inner = reading.sources.configs.get(config.types.get("mult_config1", ""), config)
    second = reading.sources.configs.get(config.types.get("mult_config2", ""), inner)
    form = reading.sources.type_of(config.types.get("weight_t", "model_default_t"))
    strategy = _strategy(reading, inner, call)
    named = [name for name in call.arguments if name.startswith("w") and not name.startswith("wr")]
    again = [name for name in call.arguments if name.startswith("wr")]
    shapes = ((n_in, gates * units), (units, gates * units))
    kernel = read_weights(reading.weights, named[0], form, shapes[0], strategy == "resource") if named else None
    recurrent = read_weights(reading.weights, again[0], form, shapes[1], strategy == "resource") if again else None
    if kernel is None or recurrent is None:
        reading.notes.append(f"layer '{call.name}': no weight file: counted as if no weight were zero or equal")
    table = reading.sources.configs.get(config.types.get("ACT_CONFIG_T", ""))
    layer = DesignLayer(
        call.name, "recurrent", data.width, result.width, given * units, steps, kernel, form.width,
        reading.sources.type_of(config.types.get("accum_t", "model_default_t")).width, strategy,
        inner.numbers.get("reuse_factor", 1), function=function, recurrent_weights=recurrent,
        kernel_shape=shapes[0], recurrent_shape=shapes[1],
        recurrent_reuse_factor=second.numbers.get("reuse_factor", 0),
        table_size=table.numbers.get("table_size", 1024) if table else 1024,
    )  # fmt: skip
    out = next(name for name in call.arguments[1:] if name not in (*named, *again))
    _keep(reading, call, layer, Tensor(given, units, result.width), (out,))


_RULES: dict[str, Rule] = {
    "dense": _dense,
    **{f"{point}conv_1d_cl": _convolution("conv1d") for point in ("", "pointwise_")},
    **{f"{point}conv_2d_cl": _convolution("conv2d") for point in ("", "pointwise_")},
    "conv_1d_cf": _convolution("conv1d"),
    "conv_2d_cf": _convolution("conv2d"),
    **{f"depthwise_conv_{axes}d_cl": _convolution("depthwise") for axes in (1, 2)},
    **{f"separable_conv_{axes}d_cl": _separable for axes in (1, 2)},
    "normalize": _normalize,
    "cast_format": _cast,
    **dict.fromkeys(("normalize_binary_tanh", "normalize_ternary_tanh"), _elementwise("activation")),
    **dict.fromkeys(ACTIVATIONS, _elementwise("activation")),
    **dict.fromkeys(TABLES, _elementwise("table")),
    **dict.fromkeys(("softmax", "softmax_multidim"), _elementwise("softmax")),
    **dict.fromkeys(MERGES, _elementwise("merge")),
    **{
        f"{whole}pooling{axes}d_{order}": _pooling
        for whole in ("", "global_")
        for axes in (1, 2)
        for order in ("cl", "cf")
    },
    **{f"zeropad{axes}d_{order}": _spatial("padding") for axes in (1, 2) for order in ("cl", "cf")},
    "resize_nearest": _spatial("resize"),
    **dict.fromkeys(WIRING, _wiring),
    "embedding": _embedding,
    **{f"{kind}{form}": _recurrent for kind in ("gru", "lstm", "simple_rnn") for form in ("", "_stack", "_static")},
}
