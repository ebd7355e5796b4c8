"""Recurrent layers said step by step: Dense layers, tables, products and sums that are shared by all steps.

The formulas are those of Keras 2's LSTM, GRU (both bias conventions) and SimpleRNN. The state begins at zero, so the
first step needs no recurrent weights; where every step must be the same one, zeros are given to it instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.model.graph import Array, Call, Graph, Layer, Tensor, map_tensors
from toolchain.model.names import free_name

RECURRENT = ("SimpleRNN", "LSTM", "GRU")


@dataclass(frozen=True)
class Window:
    """A recurrent layer unrolled: what each step reads, and the states that it gives, in the order of the steps."""

    layer: Layer
    ticks: tuple[Tensor, ...]
    states: tuple[tuple[Tensor, ...], ...]


def with_equal_steps(
    graph: Graph, shapes: dict[Tensor, tuple[int | None, ...]]
) -> tuple[Graph, tuple[Window, ...]]:  # fmt: skip
    """``graph`` unrolled so that the first step is no other than the rest, and where the steps are. Raises as below."""
    unrolling = _Unrolling(graph, shapes, zeros=True)
    made = unrolling.build()
    return made, tuple(unrolling.windows)


def unrolled(graph: Graph, shapes: dict[Tensor, tuple[int | None, ...]]) -> Graph:
    """``graph`` with every recurrent layer unrolled over its window; ``shapes`` are those of every call's output.

    Raises UnsupportedModelError for a window of unknown length, a state that is kept or given out.
    """
    if not any(layer.kind in RECURRENT for layer in graph.layers.values()):
        return graph
    return _Unrolling(graph, shapes).build()


def check_window(windows: tuple[Window, ...]) -> Window:
    """The one recurrent layer that becomes a step. Raises UnsupportedModelError."""
    where = "[model] recurrent = 'step'"
    if len(windows) != 1:
        raise UnsupportedModelError(
            f"the model has {len(windows)} recurrent layers",
            where=where,
            allowed="one, in one direction",
            hint="recurrent = 'unrolled'",
        )  # fmt: skip
    window = windows[0]
    for key in ("return_sequences", "go_backwards"):
        if window.layer.config.get(key):
            raise UnsupportedModelError(
                f"{key} = True: the step has the last output alone, of ticks in their order",
                where=f"layer '{window.layer.name}'", allowed=f"{key} = False", hint="recurrent = 'unrolled'",
            )  # fmt: skip
    if len(window.ticks) < 2:
        raise UnsupportedModelError("a window of one step has no state", where=f"layer '{window.layer.name}'")
    return window


class _Unrolling:
    def __init__(self, graph: Graph, shapes: dict[Tensor, tuple[int | None, ...]], zeros: bool = False) -> None:
        self.graph, self.shapes, self.zeros = graph, shapes, zeros
        self.windows: list[Window] = []
        self.layers: dict[str, Layer] = {}
        self.calls: list[Call] = []
        self.place: dict[Tensor, Tensor] = {}
        self.taken = {name.lower(): name for name in graph.layers}
        self.names: dict[tuple[str, str], str] = {}

    def build(self) -> Graph:
        for call, layer, out in self.graph.walk():
            if layer.kind in RECURRENT:
                self.place[out] = self._unroll(layer, call, out)
                continue
            self.layers[layer.name] = layer
            arguments, keywords = map_tensors(call.arguments, self._moved), map_tensors(call.keywords, self._moved)
            self.calls.append(Call(layer.name, arguments, keywords))
        outputs = tuple(self._moved(out) for out in self.graph.outputs)
        return Graph(self.graph.name, self.layers, tuple(self.calls), self.graph.inputs, outputs)

    def _moved(self, tensor: Tensor) -> Tensor:
        return self.place.get(tensor, tensor)

    def _unroll(self, layer: Layer, call: Call, out: Tensor) -> Tensor:
        read = call.inputs[0]
        steps, features = self.shapes[Tensor(read.layer, read.call)]
        where = f"layer '{layer.name}'"
        if steps is None or len(call.inputs) > 1:
            raise UnsupportedModelError("needs a window of known length and no initial state", where=where)
        for key in ("stateful", "return_state", "time_major"):
            if layer.config.get(key):
                raise UnsupportedModelError(f"{key} = True is not supported", where=where, allowed=f"{key} = False")
        order = range(steps - 1, -1, -1) if layer.config.get("go_backwards") else range(steps)
        cell = _CELLS[layer.kind](self, layer, int(features or 0))
        states: list[Tensor] = []
        ticks: list[Tensor] = []
        kept: list[tuple[Tensor, ...]] = []
        for step in order:
            cropped = self.add(
                layer, f"step{step}", "Cropping1D", [self._moved(read)], {"cropping": (step, steps - 1 - step)}
            )
            now = self.add(layer, f"tick{step}", "Reshape", [cropped], {"target_shape": (features,)})
            if self.zeros and not states:
                cell.begin(self._zeros(layer, now, int(features or 0)))
            states.append(cell.step(now))
            ticks.append(now)
            kept.append(cell.states)
        self.windows.append(Window(layer, tuple(ticks), tuple(kept)))
        if not layer.config.get("return_sequences"):
            return states[-1]
        units = int(layer.config["units"])
        rows = [
            self.add(layer, f"row{at}", "Reshape", [state], {"target_shape": (1, units)})
            for at, state in enumerate(states)
        ]
        return rows[0] if len(rows) == 1 else self.add(layer, "rows", "Concatenate", rows, {"axis": 1})

    def _zeros(self, layer: Layer, tick: Tensor, features: int) -> Tensor:
        units = int(layer.config["units"])
        config = {"units": units, "use_bias": False, "trainable": False}
        return self.add(layer, "zeros", "Dense", [tick], config, {"kernel": np.zeros((features, units))})

    def add(
        self, owner: Layer, role: str, kind: str, inputs: list[Tensor], config: dict[str, Any],
        weights: dict[str, Array] | None = None,
    ) -> Tensor:  # fmt: skip
        """One more call of the layer that plays ``role`` for ``owner``; it is made at its first call."""
        key = (owner.name, role)
        if key not in self.names:
            self.names[key] = free_name(f"{owner.name}_{role}", self.taken)
            self.layers[self.names[key]] = Layer(self.names[key], kind, config, weights or {})
        name = self.names[key]
        self.calls.append(Call(name, (inputs[0] if len(inputs) == 1 else inputs,)))
        return Tensor(name, sum(call.layer == name for call in self.calls) - 1)


class _Cell(ABC):
    """One step of a recurrent layer; ``state`` is None before the first."""

    gates: tuple[str, ...] = ()

    def __init__(self, unrolling: _Unrolling, layer: Layer, features: int) -> None:
        self.unrolling, self.layer, self.features = unrolling, layer, features
        self.units = int(layer.config["units"])
        prefix = next(name.rpartition("/")[0] for name in layer.weights if name.endswith("recurrent_kernel"))
        prefix = f"{prefix}/" if prefix else ""
        self.kernel = layer.weights[f"{prefix}kernel"]
        self.recurrent = layer.weights[f"{prefix}recurrent_kernel"]
        self.bias = layer.weights.get(f"{prefix}bias")
        self.state: Tensor | None = None

    def begin(self, zeros: Tensor) -> None:
        """The state before the first step, where it is to be like any other."""
        self.state = zeros

    @property
    def states(self) -> tuple[Tensor, ...]:
        """All that the next step needs, the output first."""
        return () if self.state is None else (self.state,)

    @abstractmethod
    def step(self, x: Tensor) -> Tensor:
        """One more step's calls; returns the state that it gives."""

    def columns(self, gate: int) -> slice:
        return slice(gate * self.units, (gate + 1) * self.units)

    def dense(self, role: str, inputs: list[Tensor], kernel: Array, bias: Array | None) -> Tensor:
        """A Dense of the inputs side by side."""
        joined = inputs[0] if len(inputs) == 1 else self.add("joined", "Concatenate", inputs, axis=-1)
        weights = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
        config = {"units": kernel.shape[1], "use_bias": bias is not None}
        return self.unrolling.add(self.layer, role, "Dense", [joined], config, weights)

    def gate(self, number: int, x: Tensor, bias: Array | None) -> Tensor:
        """``x W + h U + b`` of one gate."""
        place = self.columns(number)
        kernel = self.kernel[:, place]
        if self.state is None:
            return self.dense(f"{self.gates[number]}_first", [x], kernel, bias)
        whole = np.concatenate([kernel, self.recurrent[:, place]])
        return self.dense(self.gates[number], [x, self.state], whole, bias)

    def add(self, role: str, kind: str, inputs: list[Tensor], **config: Any) -> Tensor:
        return self.unrolling.add(self.layer, role, kind, inputs, config)

    def activate(self, role: str, key: str, x: Tensor) -> Tensor:
        """The layer's ``activation`` or ``recurrent_activation`` of ``x``."""
        function = self.layer.config.get(key, "tanh" if key == "activation" else "sigmoid")
        if function == "linear":
            return x
        if function == "relu":
            return self.add(role, "ReLU", [x])
        return self.add(role, "Activation", [x], activation=function)

    def bias_row(self, row: int | None, gate: int) -> Array | None:
        if self.bias is None:
            return None
        bias = self.bias if row is None else self.bias[row]
        return np.asarray(bias[self.columns(gate)])


class _Simple(_Cell):
    gates = ("state",)

    def step(self, x: Tensor) -> Tensor:
        role = "first" if self.state is None else "next"
        self.state = self.activate(f"{role}_activation", "activation", self.gate(0, x, self.bias_row(None, 0)))
        return self.state


class _Lstm(_Cell):
    """Gates in Keras' order: input, forget, candidate, output."""

    gates = ("input_gate", "forget_gate", "candidate", "output_gate")

    def __init__(self, unrolling: _Unrolling, layer: Layer, features: int) -> None:
        super().__init__(unrolling, layer, features)
        self.memory: Tensor | None = None

    def begin(self, zeros: Tensor) -> None:
        super().begin(zeros)
        self.memory = zeros

    @property
    def states(self) -> tuple[Tensor, ...]:
        return super().states if self.memory is None else (*super().states, self.memory)

    def step(self, x: Tensor) -> Tensor:
        keys = ("recurrent_activation", "recurrent_activation", "activation", "recurrent_activation")
        first = "_first" if self.state is None else ""
        values = [
            self.activate(f"{name}{first}_value", key, self.gate(number, x, self.bias_row(None, number)))
            for number, (name, key) in enumerate(zip(self.gates, keys, strict=True))
            if not (number == 1 and self.memory is None)  # nothing to forget before the first step
        ]
        if self.memory is None:
            entered, candidate, opened = values
            self.memory = self.add("entering_first", "Multiply", [entered, candidate])
        else:
            entered, kept, candidate, opened = values
            old = self.add("kept", "Multiply", [kept, self.memory])
            self.memory = self.add("memory", "Add", [old, self.add("entering", "Multiply", [entered, candidate])])
        shown = self.activate(f"shown{first}", "activation", self.memory)
        self.state = self.add(f"state{first}", "Multiply", [opened, shown])
        return self.state


class _Gru(_Cell):
    """Gates in Keras' order: update, reset, candidate; h' = hh + z (h - hh)."""

    gates = ("update_gate", "reset_gate", "candidate")

    def step(self, x: Tensor) -> Tensor:
        after = bool(self.layer.config.get("reset_after", True)) and self.bias is not None
        first = "_first" if self.state is None else ""
        both = [self._bias(gate, after) for gate in range(3)]
        key = "recurrent_activation"
        update = self.activate(f"update_gate{first}_value", key, self.gate(0, x, both[0]))
        candidate = self.activate(f"candidate{first}_value", "activation", self._candidate(x, both[1], after, first))
        if self.state is None:
            left = self.add("less", "Multiply", [update, candidate])
            self.state = self.add("state_first", "Subtract", [candidate, left])
        else:
            change = self.add("change", "Subtract", [self.state, candidate])
            self.state = self.add("state", "Add", [candidate, self.add("moved", "Multiply", [update, change])])
        return self.state

    def _bias(self, gate: int, after: bool) -> Array | None:
        if not after:
            return self.bias_row(None, gate)
        one, other = self.bias_row(0, gate), self.bias_row(1, gate)
        assert one is not None
        assert other is not None
        return np.asarray(one + other)

    def _candidate(self, x: Tensor, reset_bias: Array | None, after: bool, first: str) -> Tensor:
        """``x W + r (h U + b)`` with reset_after, else ``x W + (r h) U + b``."""
        place, key = self.columns(2), "recurrent_activation"
        kernel, recurrent = self.kernel[:, place], self.recurrent[:, place]
        reset_after = bool(self.layer.config.get("reset_after", True))
        bias = self.bias_row(0 if after else None, 2)
        inner = self.bias_row(1, 2) if after else None
        if self.state is None:
            entering = self.dense("candidate_first", [x], kernel, bias)
            if inner is None or not inner.any():
                return entering
            reset = self.activate("reset_gate_first_value", key, self.gate(1, x, reset_bias))
            return self.add(
                "candidate_sum_first", "Add", [entering, self.dense("inner", [reset], np.diag(inner), None)]
            )
        reset = self.activate("reset_gate_value", key, self.gate(1, x, reset_bias))
        if not reset_after:
            held = self.add("held", "Multiply", [reset, self.state])
            return self.dense("candidate", [x, held], np.concatenate([kernel, recurrent]), bias)
        entering = self.dense("candidate_entering", [x], kernel, bias)
        held = self.add("held", "Multiply", [reset, self.dense("candidate_state", [self.state], recurrent, inner)])
        return self.add("candidate_sum", "Add", [entering, held])


_CELLS: dict[str, Callable[[_Unrolling, Layer, int], _Cell]] = {"SimpleRNN": _Simple, "LSTM": _Lstm, "GRU": _Gru}
