"""Recurrent layers said step by step: Dense layers, tables, products and sums that are shared by all steps.

The cells are those of ``network/cells.py``. The state begins at zero, so the first step needs no recurrent weights;
where every step must be the same one, zeros are given to it instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.model.graph import Array, Call, Graph, Layer, Tensor, map_tensors
from toolchain.model.names import free_name
from toolchain.network.cells import GATES, Activation, Bias, Cell, CellWeights, cell_of

RECURRENT = tuple(GATES)


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
        cell = _Steps(self, layer)
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


class _Steps:
    """Makes one step of a recurrent layer after another; no state is known before the first."""

    def __init__(self, unrolling: _Unrolling, layer: Layer) -> None:
        self.unrolling, self.layer = unrolling, layer
        prefix = next(name.rpartition("/")[0] for name in layer.weights if name.endswith("recurrent_kernel"))
        prefix = f"{prefix}/" if prefix else ""
        bias = layer.weights.get(f"{prefix}bias")
        both = bias is not None and bias.ndim == 2  # a GRU's, with reset_after
        self.weights = CellWeights(
            layer.weights[f"{prefix}kernel"], layer.weights[f"{prefix}recurrent_kernel"],
            bias[0] if bias is not None and both else bias, bias[1] if bias is not None and both else None,
        )  # fmt: skip
        self.cell: Cell[Tensor] = cell_of(layer.kind, bool(layer.config.get("reset_after", True)))
        self.states: tuple[Tensor, ...] = ()

    def begin(self, zeros: Tensor) -> None:
        """The state before the first step, where it is to be like any other."""
        self.states = (zeros,) * (2 if self.layer.kind == "LSTM" else 1)

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
        return self.unrolling.add(self.layer, role, kind, inputs, config)

    def _dense(self, role: str, x: Tensor, kernel: Array, bias: Array | None) -> Tensor:
        weights = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
        config = {"units": kernel.shape[1], "use_bias": bias is not None}
        return self.unrolling.add(self.layer, role, "Dense", [x], config, weights)
