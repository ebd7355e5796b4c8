"""What makes the steps of an unrolled recurrent layer: Keras' layers, or QKeras' with the layer's own quantizers."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.model.graph import Array, Layer, Tensor
from toolchain.network.cells import Activation, Bias, Cell, CellWeights, cell_of

#: QKeras' default of every layer but GRU's is Keras': its GRU resets before the product.
_RESET_AFTER = {"GRU": True, "QGRU": False}


class AddLayer(Protocol):
    """Adds one more call of the layer that plays ``role`` for ``owner``; it is made at its first call."""

    def __call__(
        self, owner: Layer, role: str, kind: str, inputs: list[Tensor], config: dict[str, Any],
        weights: dict[str, Array] | None = None,
    ) -> Tensor: ...  # fmt: skip


class Steps:
    """Makes one step of a recurrent layer after another; no state is known before the first."""

    def __init__(self, add_layer: AddLayer, layer: Layer) -> None:
        self.add_layer, self.layer = add_layer, layer
        prefix = next(name.rpartition("/")[0] for name in layer.weights if name.endswith("recurrent_kernel"))
        prefix = f"{prefix}/" if prefix else ""
        bias = layer.weights.get(f"{prefix}bias")
        both = bias is not None and bias.ndim == 2  # a GRU's, with reset_after
        self.weights = CellWeights(
            layer.weights[f"{prefix}kernel"], layer.weights[f"{prefix}recurrent_kernel"],
            bias[0] if bias is not None and both else bias, bias[1] if bias is not None and both else None,
        )  # fmt: skip
        reset_after = layer.config.get("reset_after", _RESET_AFTER.get(layer.kind))
        self.cell: Cell[Tensor] = cell_of(layer.kind.removeprefix("Q"), bool(reset_after))
        self.states: tuple[Tensor, ...] = ()
        self.quantizers: tuple[str, ...] = ()  # the layers that quantize each state where a step reads it

    @property
    def needs_zeros(self) -> bool:
        """Whether the first step must read a state of zeros because it is no simpler without."""
        return False

    def begin(self, tick: Tensor) -> None:
        """The state before the first step, where it is to be like any other: zeros, made of the first tick."""
        self.states = (self._zeros(tick),) * (2 if self.layer.kind.endswith("LSTM") else 1)

    def step(self, x: Tensor) -> Tensor:
        """One more step's calls; returns its output. ``states`` is then all that the next one needs."""
        self.states = self.cell(self, x, self.states)
        return self.states[0]

    def sum(self, role: str, gate: int, x: Tensor | None, h: Tensor | None, bias: Bias = "both") -> Tensor:
        """A Dense of the input and the state side by side."""
        read = [one for one in (x, h) if one is not None]
        kernel = self.weights.of(gate, x is not None, h is not None)
        if bias == "both" and h is None:
            role = f"{role}_first"  # other weights than those of the later steps
        joined = read[0] if len(read) == 1 else self._add("joined", "Concatenate", read, axis=-1)
        return self._dense(role, joined, kernel, self.weights.bias_of(gate, bias))

    def activate(self, role: str, function: Activation, x: Tensor) -> Tensor:
        name = self.layer.config.get(function, "tanh" if function == "activation" else "sigmoid")
        if name == "linear":
            return x
        if name == "relu":
            return self._add(self._role(role), "ReLU", [x])
        return self._add(self._role(role), "Activation", [x], activation=name)

    def multiply(self, role: str, x: Tensor, y: Tensor) -> Tensor:
        return self._add(self._role(role), "Multiply", [x, y])

    def add(self, role: str, x: Tensor, y: Tensor) -> Tensor:
        return self._add(self._role(role), "Add", [x, y])

    def subtract(self, role: str, x: Tensor, y: Tensor) -> Tensor:
        return self._add(self._role(role), "Subtract", [x, y])

    def times_bias(self, role: str, gate: int, x: Tensor) -> Tensor:
        bias = self.weights.bias_of(gate, "recurrent")
        assert bias is not None
        return self._dense(self._role(role), x, np.diag(bias), None)

    def has_recurrent_bias(self, gate: int) -> bool:
        bias = self.weights.bias_of(gate, "recurrent")
        return bias is not None and bool(bias.any())

    def _role(self, role: str) -> str:
        """The first step has layers of its own: its values are of another range."""
        return role if self.states else f"{role}_first"

    def _add(self, role: str, kind: str, inputs: list[Tensor], **config: Any) -> Tensor:
        return self.add_layer(self.layer, role, kind, inputs, config)

    def _dense(self, role: str, x: Tensor, kernel: Array, bias: Array | None) -> Tensor:
        config = {"units": kernel.shape[1], "use_bias": bias is not None}
        return self.add_layer(self.layer, role, "Dense", [x], config, _named(kernel, bias))

    def _zeros(self, tick: Tensor) -> Tensor:
        kernel = np.zeros_like(self.weights.of(0, of_input=True, of_state=False))
        config = {"units": kernel.shape[1], "use_bias": False, "trainable": False}
        return self.add_layer(self.layer, "zeros", "Dense", [tick], config, _named(kernel, None))


class QuantizedSteps(Steps):
    """The same of a QKeras layer: its quantizers on the weights, its activations and the state that a step reads.

    ``x W + b`` and ``h U`` are sums of their own, as in QKeras: their weights have quantizers of their own, and all
    steps share them. QKeras quantizes the state where it is read; what a step puts out is not quantized again.
    """

    def __init__(self, add_layer: AddLayer, layer: Layer) -> None:
        super().__init__(add_layer, layer)
        _check_quantizers(layer)

    @property
    def needs_zeros(self) -> bool:
        # quantized by itself, a second bias is no part of the first; some quantizers give no zero for a zero
        quantizer = self.layer.config.get("state_quantizer") or {"class_name": "quantized_bits"}
        return self.weights.recurrent_bias is not None or quantizer["class_name"] != "quantized_bits"

    def step(self, x: Tensor) -> Tensor:
        quantizer = self.layer.config.get("state_quantizer")
        if quantizer is not None:
            names = ("state_quantizer", "memory_state_quantizer")
            self.states = tuple(
                self._add(name, "QActivation", [state], activation=quantizer)
                for name, state in zip(names, self.states, strict=False)
            )
            self.quantizers = tuple(state.layer for state in self.states)
        return super().step(x)

    def sum(self, role: str, gate: int, x: Tensor | None, h: Tensor | None, bias: Bias = "both") -> Tensor:
        parts = []
        if x is not None:
            kernel = self.weights.of(gate, of_input=True, of_state=False)
            parts.append(self._quantized(role, "kernel", x, kernel, self.weights.bias_of(gate, "input")))
        if h is not None:
            kernel = self.weights.of(gate, of_input=False, of_state=True)
            later = self.weights.bias_of(gate, "recurrent")
            parts.append(self._quantized(f"{role}_recurrent", "recurrent", h, kernel, later))
        return parts[0] if len(parts) == 1 else self.add(f"{role}_sum", *parts)

    def activate(self, role: str, function: Activation, x: Tensor) -> Tensor:
        found = self.layer.config.get(function)
        if found in (None, "linear"):
            return x
        # named so that a refusal says which argument of the layer it is about
        return self._add(f"{role.removesuffix('_value')}_{function}", "QActivation", [x], activation=found)

    def _quantized(self, role: str, which: str, x: Tensor, kernel: Array, bias: Array | None) -> Tensor:
        config = {
            "units": kernel.shape[1], "use_bias": bias is not None,
            "kernel_quantizer": self.layer.config[f"{which}_quantizer"],
            "bias_quantizer": self.layer.config["bias_quantizer"] if bias is not None else None,
        }  # fmt: skip
        return self.add_layer(self.layer, role, "QDense", [x], config, _named(kernel, bias))

    def _zeros(self, tick: Tensor) -> Tensor:
        kernel = np.zeros_like(self.weights.of(0, of_input=True, of_state=False))
        narrow = {"class_name": "quantized_bits", "config": {"bits": 2, "integer": 0, "alpha": 1.0}}
        config = {"units": kernel.shape[1], "use_bias": False, "kernel_quantizer": narrow, "trainable": False}
        return self.add_layer(self.layer, "zeros", "QDense", [tick], config, _named(kernel, None))


def _check_quantizers(layer: Layer) -> None:
    for problem in quantizer_problems(layer.kind, dict(layer.config), f"layer '{layer.name}'"):
        raise problem


def quantizer_problems(kind: str, config: dict[str, Any], where: str) -> list[UnsupportedModelError]:
    """The quantizers that a QKeras recurrent layer must have for its words to be of fixed formats."""
    needed = ["kernel_quantizer", "recurrent_quantizer"]
    needed += ["bias_quantizer"] if config.get("use_bias", True) else []
    needed += ["activation"] if kind != "QSimpleRNN" else []
    plain = config.get("activation") in (None, "linear")
    if kind != "QSimpleRNN" or plain:  # each step's state would have more bits than the one before
        needed.append("state_quantizer")
    return [
        UnsupportedModelError(
            f"{key} = {config.get(key)}: {kind} then has no fixed format", where=where,
            allowed=f"{key} = quantized_bits(bits, integer, alpha=1), say", hint="train the model with one there",
        )
        for key in needed
        if config.get(key) in (None, "linear")
    ]  # fmt: skip


def _named(kernel: Array, bias: Array | None) -> dict[str, Array]:
    return {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
