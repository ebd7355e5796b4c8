"""Random QKeras models, the same for the same seed, read by the product's own reader and held against QKeras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolchain.fixed_point import Words
from toolchain.model.keras_graph import qkeras_objects
from toolchain.model.tensorflow import load_tensorflow
from toolchain.network import interpreter
from toolchain.quantize import witness
from toolchain.quantize.from_qkeras import Reading, read_qkeras

#: Largest shapes: (features,), (steps, channels), (rows, columns, channels).
_SIZES = {0: (2, 12), 1: (3, 9), 2: (3, 6)}
#: Bits that a table, or a factor of a product of tensors, may read.
_NARROW = 8
_FUNCTIONS = ("tanh", "sigmoid", "elu", "softplus", "hard_sigmoid")
_MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average", "Concatenate")


def draw(seed: tuple[int, ...], stream: bool) -> Reading:
    """The network of the random QKeras model of ``seed``; ``stream`` leaves out what only io_parallel can do.

    Raises UnsupportedModelError when the reader refuses the model.
    """
    return read_qkeras(_Drawing(np.random.default_rng(seed), stream).model(), "selftest")


def different_node(reading: Reading, words: dict[str, Words]) -> str:
    """The first node whose values are not QKeras' for ``words``, or ``""`` when all are.

    Raises UnsupportedModelError for a layer whose sums no float is proven to hold.
    """
    expected, _ = witness.layer_outputs(reading, words)
    found = interpreter.run(reading.network, words)
    for node in reading.network.nodes:
        if not np.array_equal(node.result.values_of(found[node.name]), expected[node.name]):
            return node.name
    return ""


class _Drawing:
    """A functional model in the making; every method takes a tensor and gives the next one."""

    def __init__(self, rng: np.random.Generator, stream: bool) -> None:
        self.keras = load_tensorflow().keras  # before QKeras, which imports it another way
        qkeras_objects()
        import qkeras

        self.rng, self.stream, self.qkeras = rng, stream, qkeras
        self.layers = self.keras.layers
        self.count = 0

    def model(self) -> Any:
        axes = int(self.rng.choice([0, 1, 2], p=[0.4, 0.35, 0.25]))
        sizes = [self.between(*_SIZES[axes]) for _ in range(max(axes, 1))]
        port = self.keras.Input((*sizes, self.between(1, 3)) if axes else tuple(sizes), name="port")
        width = self.between(2, 12)
        x = self.quantized(port, self.qkeras.quantized_bits(width, self.between(0, min(3, width - 1)), alpha=1))
        if axes:
            for _ in range(self.between(1, 2)):
                x = self.one_of(self.convolution, self.convolution, self.pooling, self.moving, self.merge)(x)
            if axes == 1 and self.chance(0.3):
                x = self.recurrent(x)
            else:
                x = self.dense(self.layers.Flatten(name=self.name("flatten"))(x))
        for _ in range(self.between(1, 2)):
            x = self.one_of(self.dense, self.dense, self.merge, self.function)(x)
        if self.chance(0.7):
            x = self.kernel(self.qkeras.QDense, "last", self.between(1, 4))(x)
        model = self.keras.Model(port, x)
        for layer in model.layers:
            layer.set_weights([self.weights(array.shape) for array in layer.get_weights()])
        return model

    def weights(self, shape: tuple[int, ...]) -> np.ndarray:
        """Random weights, some of them pruned away."""
        sparsity = float(self.rng.choice([0.0, 0.25, 0.5, 0.75, 0.9]))
        drawn = self.rng.normal(0, float(self.rng.choice([0.2, 0.6, 1.5])), shape)
        return np.asarray(drawn * (self.rng.random(shape) >= sparsity), np.float32)

    def dense(self, x: Any) -> Any:
        return self.finish(self.kernel(self.qkeras.QDense, "dense", self.between(1, 8))(x))

    def convolution(self, x: Any) -> Any:
        axes = [int(n) for n in x.shape[1:-1]]
        window = tuple(min(self.between(1, 3), n) for n in axes)
        padding = str(self.rng.choice(["valid", "same", "causal"] if len(axes) == 1 else ["valid", "same"]))
        stride = self.between(1, 2)
        if len(axes) == 1:
            dilation = 2 if stride == 1 and 2 * window[0] <= axes[0] and self.chance(0.2) else 1
            made = self.kernel(
                self.qkeras.QConv1D, "conv", self.between(1, 4), window[0], strides=stride, padding=padding,
                dilation_rate=dilation,
            )  # fmt: skip
        elif self.chance(0.3):
            made = self.kernel(self.qkeras.QDepthwiseConv2D, "depthwise", window, strides=stride, padding=padding)
        else:
            made = self.kernel(
                self.qkeras.QConv2D, "conv", self.between(1, 4), window, strides=stride, padding=padding
            )  # fmt: skip
        return self.finish(made(x))

    def pooling(self, x: Any) -> Any:
        axes = [int(n) for n in x.shape[1:-1]]
        window = tuple(min(self.between(1, 3), n) for n in axes)
        kind = getattr(self.layers, f"MaxPooling{len(axes)}D")
        if np.prod(window) in (2, 4) and self.chance(0.4):
            kind = getattr(self.layers, f"AveragePooling{len(axes)}D")
        return kind(window if len(axes) > 1 else window[0], name=self.name("pool"))(x)

    def moving(self, x: Any) -> Any:
        """Padding, cropping, or the axes in another order."""
        axes, kind = len(x.shape) - 2, self.rng.random()
        if kind < 0.4:
            return getattr(self.layers, f"ZeroPadding{axes}D")(self.between(0, 1), name=self.name("pad"))(x)
        if kind < 0.7 and min(int(n) for n in x.shape[1:-1]) > 2:
            return getattr(self.layers, f"Cropping{axes}D")(1, name=self.name("crop"))(x)
        order = tuple(int(axis) + 1 for axis in self.rng.permutation(len(x.shape) - 1))
        return self.layers.Permute(order, name=self.name("permute"))(x)

    def merge(self, x: Any) -> Any:
        """The tensor and one or two layers that read it, joined."""
        kind = str(self.rng.choice(_MERGES))
        parts = [self.branch(x), self.branch(x) if kind == "Multiply" or self.chance(0.4) else x]
        joined = getattr(self.layers, kind)(name=self.name(kind.lower()))(parts)
        return self.quantized(joined, self.activation()) if self.chance(0.6) else joined

    def branch(self, x: Any) -> Any:
        channels = int(x.shape[-1])
        if len(x.shape) == 2:
            made = self.kernel(self.qkeras.QDense, "branch", channels)
        else:
            kind = self.qkeras.QConv1D if len(x.shape) == 3 else self.qkeras.QConv2D
            made = self.kernel(kind, "branch", channels, 1)
        return self.quantized(made(x), self.activation(_NARROW))

    def function(self, x: Any) -> Any:
        """A table: a function of a narrow word and the quantizer behind it."""
        narrow = self.quantized(x, self.activation(_NARROW))
        if self.chance(0.3):
            return self.quantized(narrow, self.qkeras.quantized_relu(self.between(3, 8), 1, negative_slope=0.25))
        of = self.layers.Activation(str(self.rng.choice(_FUNCTIONS)), name=self.name("function"))(narrow)
        return self.quantized(of, self.qkeras.quantized_bits(self.between(2, 10), 1, alpha=1))

    def recurrent(self, x: Any) -> Any:
        """A recurrent layer over two or three steps, its activations hard and its state quantized."""
        steps = int(x.shape[1])
        most = min(self.between(2, 3), steps)
        if steps > most:
            x = self.layers.Cropping1D((steps - most, 0), name=self.name("crop"))(x)
        x = self.quantized(x, self.qkeras.quantized_bits(self.between(3, 8), 2, alpha=1))
        kind, make, given = str(self.rng.choice(["QSimpleRNN", "QLSTM", "QGRU"])), self.qkeras.quantized_bits, {}
        for key in ("kernel_quantizer", "recurrent_quantizer", "bias_quantizer", "state_quantizer"):
            given[key] = make(self.between(3, 7), self.between(0, 1), alpha=1)
        given["activation"] = self.qkeras.quantized_tanh(self.between(3, 7), symmetric=int(self.chance(0.3)))
        if kind != "QSimpleRNN":
            given["implementation"] = self.between(1, 2)
            if self.chance(0.7):
                given["recurrent_activation"] = self.qkeras.quantized_sigmoid(self.between(3, 6))
        if kind == "QGRU":
            given["reset_after"] = self.chance(0.5)
        made = getattr(self.qkeras, kind)
        y = made(self.between(1, 3), name=self.name("recurrent"), use_bias=self.chance(0.85), **given)(x)
        return self.quantized(y, self.activation())

    def finish(self, x: Any) -> Any:
        return self.quantized(x, self.activation()) if self.chance(0.85) else x

    def kernel(self, kind: Any, role: str, *sizes: Any, **options: Any) -> Any:
        """A layer of ``kind`` with random quantizers, now and then with its activation inside."""
        first = "depthwise" if kind is self.qkeras.QDepthwiseConv2D else "kernel"
        bias_width = self.between(2, 16)
        return kind(
            *sizes, name=self.name(role), use_bias=self.chance(0.85),
            activation=self.activation() if self.chance(0.15) else None,
            bias_quantizer=self.qkeras.quantized_bits(bias_width, self.between(0, min(2, bias_width - 1)), alpha=1),
            **{f"{first}_quantizer": self.kernel_quantizer(), f"{first}_initializer": "zeros"}, **options,
        )  # fmt: skip

    def kernel_quantizer(self) -> Any:
        """Each kind that has an exact meaning."""
        kind, width = self.rng.random(), self.between(2, 16)
        if kind < 0.08:
            return self.qkeras.binary(alpha=1)
        if kind < 0.16:
            return self.qkeras.ternary(alpha=1)
        if kind < 0.24:
            return self.qkeras.quantized_po2(self.between(3, 5), 1)
        if kind < 0.32:
            return self.qkeras.quantized_bits(self.between(3, 8), 0, alpha="auto_po2")
        integer = self.between(0, min(2, width - 1))
        return self.qkeras.quantized_bits(
            width, integer, symmetric=int(self.chance(0.3)), keep_negative=self.chance(0.9), alpha=1
        )  # fmt: skip

    def activation(self, widest: int = 16) -> Any:
        width = self.between(2, widest)
        if self.chance(0.6):
            return self.qkeras.quantized_relu(width, self.between(0, 3))
        return self.qkeras.quantized_bits(width, self.between(0, min(3, width - 1)), alpha=1)

    def quantized(self, x: Any, quantizer: Any) -> Any:
        return self.qkeras.QActivation(quantizer, name=self.name("q"))(x)

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def between(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def one_of(self, *steps: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return steps[int(self.rng.integers(len(steps)))]
