"""Random graphs for surgery, as ``Graph``s with random weights: branches, merges, strides, recurrence, attention."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from hypothesis import strategies as st

from toolchain.model.graph import Call, Graph, Layer, Tensor

Shape = tuple[int, ...]
FUNCTIONS = ("linear", "relu", "tanh", "sigmoid")


class Builder:
    """Adds layers to a graph; sizes come from ``pick``, weights from ``random``."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.layers: dict[str, Layer] = {}
        self.calls: list[Call] = []
        self.shapes: dict[Tensor, Shape] = {}
        self.read: set[Tensor] = set()

    def add(self, kind: str, reads: Any, shape: Shape, config: Any = None, weights: Any = None) -> Tensor:
        """A new layer on ``reads`` (a tensor, or a tuple of arguments)."""
        name = f"{kind.lower()}_{len(self.layers)}"
        self.layers[name] = Layer(name, kind, config or {}, weights or {})
        return self.call(name, reads, shape)

    def call(self, name: str, reads: Any, shape: Shape) -> Tensor:
        out = Tensor(name, sum(call.layer == name for call in self.calls))
        self.calls.append(Call(name, reads if isinstance(reads, tuple) else (reads,)))
        self.read |= set(self.calls[-1].inputs)
        self.shapes[out] = shape
        return out

    def input(self, shape: Shape) -> Tensor:
        name = f"x{sum(layer.kind == 'InputLayer' for layer in self.layers.values())}"
        self.layers[name] = Layer(name, "InputLayer", {"shape": shape, "dtype": "float32"})
        return self.call(name, (), shape)

    def weight(self, *shape: int) -> np.ndarray:
        return self.random.normal(size=shape) / np.sqrt(max(1, prod(shape[:-1])))

    def dense(self, read: Tensor, units: int, function: str, kind: str = "Dense") -> Tensor:
        shape = self.shapes[read]
        weights = {"kernel": self.weight(shape[-1], units), "bias": self.weight(units)}
        config: dict[str, Any] = {"units": units, "activation": function}
        if kind == "TimeDistributed":
            config = {"layer": {"class_name": "Dense", "config": config}}
        return self.add(kind, read, (*shape[:-1], units), config, weights)

    def conv(self, read: Tensor, filters: int, width: int, stride: int, padding: str, function: str) -> Tensor:
        *places, channels = self.shapes[read]
        axes = len(places)
        if padding == "same":
            made = [-(-n // stride) for n in places]
        else:
            width = min(width, *places)
            made = [(n - width) // stride + 1 for n in places]
        config = {
            "filters": filters, "kernel_size": (width,) * axes, "strides": (stride,) * axes, "padding": padding,
            "activation": function,
        }  # fmt: skip
        weights = {"kernel": self.weight(*(width,) * axes, channels, filters), "bias": self.weight(filters)}
        return self.add(f"Conv{axes}D", read, (*made, filters), config, weights)

    def separable(self, read: Tensor, filters: int, multiplier: int) -> Tensor:
        high, wide, channels = self.shapes[read]
        config = {"filters": filters, "kernel_size": (2, 2), "padding": "same", "depth_multiplier": multiplier}
        weights = {
            "depthwise_kernel": self.weight(2, 2, channels, multiplier),
            "pointwise_kernel": self.weight(1, 1, channels * multiplier, filters), "bias": self.weight(filters),
        }  # fmt: skip
        return self.add("SeparableConv2D", read, (high, wide, filters), config, weights)

    def depthwise(self, read: Tensor, multiplier: int) -> Tensor:
        high, wide, channels = self.shapes[read]
        config = {"kernel_size": (2, 2), "padding": "same", "depth_multiplier": multiplier}
        weights = {
            "depthwise_kernel": self.weight(2, 2, channels, multiplier), "bias": self.weight(channels * multiplier)
        }  # fmt: skip
        return self.add("DepthwiseConv2D", read, (high, wide, channels * multiplier), config, weights)

    def transposed(self, read: Tensor, filters: int) -> Tensor:
        high, wide, channels = self.shapes[read]
        config = {"filters": filters, "kernel_size": (2, 2), "strides": (2, 2), "padding": "same"}
        weights = {"kernel": self.weight(2, 2, filters, channels), "bias": self.weight(filters)}
        return self.add("Conv2DTranspose", read, (2 * high, 2 * wide, filters), config, weights)

    def normalization(self, read: Tensor, kind: str = "BatchNormalization") -> Tensor:
        channels = self.shapes[read][-1]
        weights = {"gamma": self.random.uniform(-2, 2, channels), "beta": self.weight(channels)}
        if kind == "BatchNormalization":
            weights |= {"moving_mean": self.weight(channels), "moving_variance": self.random.uniform(0.5, 2, channels)}
        return self.add(kind, read, self.shapes[read], {}, weights)

    def recurrent(self, read: Tensor, kind: str, units: int, sequences: bool) -> Tensor:
        steps, channels = self.shapes[read]
        gates = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}[kind]
        cell = {"LSTM": "lstm_cell", "GRU": "gru_cell", "SimpleRNN": "simple_rnn_cell"}[kind]
        bias = (2, 3 * units) if kind == "GRU" else (gates * units,)
        weights = {
            f"{cell}/kernel": self.weight(channels, gates * units),
            f"{cell}/recurrent_kernel": self.weight(units, gates * units), f"{cell}/bias": self.weight(*bias),
        }  # fmt: skip
        config = {"units": units, "return_sequences": sequences}
        return self.add(kind, read, (steps, units) if sequences else (units,), config, weights)

    def bidirectional(self, read: Tensor, units: int, mode: str) -> Tensor:
        steps, channels = self.shapes[read]
        weights = {}
        for side in ("forward", "backward"):
            weights |= {
                f"{side}_l/lstm_cell/kernel": self.weight(channels, 4 * units),
                f"{side}_l/lstm_cell/recurrent_kernel": self.weight(units, 4 * units),
                f"{side}_l/lstm_cell/bias": self.weight(4 * units),
            }  # fmt: skip
        inner = {"class_name": "LSTM", "config": {"name": "l", "units": units, "return_sequences": True}}
        width = 2 * units if mode == "concat" else units
        return self.add("Bidirectional", read, (steps, width), {"layer": inner, "merge_mode": mode}, weights)

    def attention(self, query: Tensor, value: Tensor, heads: int, width: int) -> Tensor:
        wide, deep = self.shapes[query][-1], self.shapes[value][-1]
        weights = {}
        for name, channels in (("query", wide), ("key", deep), ("value", deep)):
            weights |= {
                f"{name}/kernel": self.weight(channels, heads, width),
                f"{name}/bias": self.weight(heads, width),
            }
        weights |= {
            "attention_output/kernel": self.weight(heads, width, wide), "attention_output/bias": self.weight(wide)
        }  # fmt: skip
        blank = {"query_shape": None, "key_shape": None, "value_shape": None}
        config = {"num_heads": heads, "key_dim": width, **blank}
        return self.add("MultiHeadAttention", (query, value), self.shapes[query], config, weights)

    def graph(self, outputs: tuple[Tensor, ...]) -> Graph:
        inputs = [call for call in self.calls if self.layers[call.layer].kind == "InputLayer"]
        calls = (*inputs, *(call for call in self.calls if call not in inputs))
        return Graph("random", self.layers, calls, tuple(call.layer for call in inputs), outputs)


@st.composite
def graphs(draw: st.DrawFn, most: int = 22, without: tuple[str, ...] = ()) -> Graph:
    """Functional models of 3 to ``most`` + 3 layers, one or two inputs, one to three outputs."""
    build = Builder(draw(st.integers(0, 2**16)))
    tensors = [build.input(draw(st.sampled_from([(6, 6, 2), (5, 4, 3), (8, 3), (6, 4), (5,)])))]
    if draw(st.booleans()):
        tensors.append(build.input(draw(st.sampled_from([(6, 6, 2), (8, 3), (5,)]))))
    wanted = draw(st.integers(1, most))
    tries = 0
    while len(build.layers) < wanted and tries < 3 * wanted:
        tries += 1
        recent = tensors[-4:]
        read = recent[draw(st.integers(0, len(recent) - 1))]
        choices = [kind for kind in _STEPS[len(build.shapes[read])] if kind not in without]
        made = _step(draw, build, read, tensors, draw(st.sampled_from(choices)))
        if made is not None and prod(build.shapes[made]) <= 600:
            tensors.append(made)
        elif made is not None:
            tensors.append(build.add(f"GlobalMaxPooling{len(build.shapes[made]) - 1}D", made, build.shapes[made][-1:]))
    return build.graph(_heads(draw, build))


_ANY = (
    "dense",
    "dense",
    "normalization",
    "function",
    "add",
    "multiply",
    "concatenate",
    "residual",
    "shared",
    "flatten",
)
_SLOW = ("time_distributed", "attention", "recurrent", "bidirectional")
_PLACES = ("conv", "conv", "conv", "pool", "global")
_IMAGE = ("depthwise", "separable", "transposed", "pad", "permute", "steps", "gate", "prelu")
_STEPS = {1: (*_ANY, "reshape", "repeat"), 2: (*_ANY, *_PLACES, "layer", *_SLOW), 3: (*_ANY, *_PLACES, *_IMAGE)}


def _step(draw: st.DrawFn, build: Builder, read: Tensor, tensors: list[Tensor], kind: str) -> Tensor | None:
    shape = build.shapes[read]
    units, function = draw(st.integers(2, 5)), draw(st.sampled_from(FUNCTIONS))
    if kind in ("add", "multiply", "concatenate"):
        return _merge(draw, build, read, tensors, kind)
    if kind == "dense":
        return build.dense(read, units, function)
    if kind == "time_distributed":
        return build.dense(read, units, function, "TimeDistributed")
    if kind == "normalization":
        return build.normalization(read)
    if kind == "layer":
        return build.normalization(read, "LayerNormalization")
    if kind == "function":
        return build.add("Activation", read, shape, {"activation": draw(st.sampled_from([*FUNCTIONS, "softmax"]))})
    if kind == "residual":
        made = build.dense(read, shape[-1], function)
        return build.add("Add", ([read, made],), shape)
    if kind == "shared":
        known = [layer for layer in build.layers.values() if layer.kind == "Dense"]
        fit = [layer for layer in known if layer.weights["kernel"].shape[0] == shape[-1]]
        return build.call(fit[0].name, read, (*shape[:-1], fit[0].config["units"])) if fit else None
    if kind == "flatten":
        return build.add("Flatten", read, (prod(shape),))
    if kind == "reshape":
        even = shape[0] % 2 == 0
        return build.add("Reshape", read, (2, shape[0] // 2), {"target_shape": (2, shape[0] // 2)}) if even else None
    if kind == "repeat":
        return build.add("RepeatVector", read, (3, *shape), {"n": 3})
    if kind == "conv":
        stride, padding = draw(st.integers(1, 2)), draw(st.sampled_from(["same", "valid"]))
        return build.conv(read, units, draw(st.integers(1, 3)), stride, padding, function)
    return _wide(draw, build, read, kind, units)


def _wide(draw: st.DrawFn, build: Builder, read: Tensor, kind: str, units: int) -> Tensor | None:
    shape = build.shapes[read]
    axes = len(shape) - 1
    if kind == "recurrent":
        return build.recurrent(read, draw(st.sampled_from(["LSTM", "GRU", "SimpleRNN"])), units, draw(st.booleans()))
    if kind == "attention":
        return build.attention(read, read, draw(st.integers(1, 3)), 2)
    if kind == "bidirectional":
        return build.bidirectional(read, units, draw(st.sampled_from(["concat", "sum"])))
    if kind == "pool":
        name = draw(st.sampled_from(["Max", "Average"]))
        made = tuple(-(-n // 2) for n in shape[:-1])
        return build.add(f"{name}Pooling{axes}D", read, (*made, shape[-1]), {"padding": "same"})
    if kind == "global":
        return build.add(f"Global{draw(st.sampled_from(['Max', 'Average']))}Pooling{axes}D", read, shape[-1:])
    if kind == "depthwise":
        return build.depthwise(read, draw(st.integers(1, 2)))
    if kind == "separable":
        return build.separable(read, units, draw(st.integers(1, 2)))
    if kind == "transposed":
        return build.transposed(read, units)
    if kind == "pad":
        return build.add("ZeroPadding2D", read, (shape[0] + 2, shape[1] + 2, shape[2]))
    if kind == "permute":
        dims = draw(st.sampled_from([(2, 1, 3), (1, 3, 2), (3, 1, 2)]))
        return build.add("Permute", read, tuple(shape[axis - 1] for axis in dims), {"dims": dims})
    if kind == "steps":
        made = (shape[0] * shape[1], shape[2])
        return build.add("Reshape", read, made, {"target_shape": made})
    if kind == "prelu":
        alpha = {"alpha": build.weight(1, 1, shape[2])}
        return build.add("PReLU", read, shape, {"shared_axes": [1, 2]}, alpha)
    pooled = build.add("GlobalAveragePooling2D", read, (1, 1, shape[2]), {"keepdims": True})
    return build.add("Multiply", ([read, build.dense(pooled, draw(st.sampled_from([1, shape[2]])), "sigmoid")],), shape)


def _merge(draw: st.DrawFn, build: Builder, read: Tensor, tensors: list[Tensor], kind: str) -> Tensor | None:
    shape = build.shapes[read]
    if kind == "concatenate":
        fit = [other for other in tensors if other != read and build.shapes[other][:-1] == shape[:-1]]
    else:
        fit = [other for other in tensors if other != read and build.shapes[other] == shape]
    if not fit:
        return None
    other = fit[draw(st.integers(0, len(fit) - 1))]
    if kind == "concatenate":
        return build.add("Concatenate", ([read, other],), (*shape[:-1], shape[-1] + build.shapes[other][-1]))
    names = ["Add", "Subtract", "Average", "Maximum"] if kind == "add" else ["Multiply"]
    return build.add(draw(st.sampled_from(names)), ([read, other],), shape)


def _heads(draw: st.DrawFn, build: Builder) -> tuple[Tensor, ...]:
    """Every tensor that nothing reads, flat; the first two with outputs of their own, the others joined."""
    leaves = [tensor for tensor in build.shapes if tensor not in build.read]
    flat = []
    for leaf in leaves:
        if len(build.shapes[leaf]) > 1:
            leaf = build.add("Flatten", leaf, (prod(build.shapes[leaf]),))
        flat.append(leaf)
    outputs = [build.dense(leaf, 2, "linear") for leaf in flat[:2]]
    if len(flat) > 2:
        width = sum(build.shapes[leaf][0] for leaf in flat[2:])
        joined = flat[2] if len(flat) == 3 else build.add("Concatenate", (flat[2:],), (width,))
        outputs.append(build.dense(joined, 2, "softmax"))
    return tuple(outputs)
