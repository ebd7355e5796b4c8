"""Recurrent layers said step by step: Dense layers, tables, products and sums that are shared by all steps.

The cells are those of ``network/cells.py``. The state begins at zero, so the first step needs no recurrent weights;
where every step must be the same one, zeros are given to it instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolchain.errors import UnsupportedModelError
from toolchain.model.graph import Array, Call, Graph, Layer, Tensor, map_tensors
from toolchain.model.names import free_name
from toolchain.model.recurrent_steps import QuantizedSteps, Steps
from toolchain.network.cells import GATES

RECURRENT = (*GATES, *(f"Q{kind}" for kind in GATES))


@dataclass(frozen=True)
class Window:
    """A recurrent layer unrolled: what each step reads, and the states that it gives, in the order of the steps."""

    layer: Layer
    ticks: tuple[Tensor, ...]
    states: tuple[tuple[Tensor, ...], ...]
    quantizers: tuple[str, ...] = ()  # QKeras' own of each state, where the next step reads it


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
        make = QuantizedSteps if layer.kind.startswith("Q") else Steps
        cell = make(self.add, layer)
        states: list[Tensor] = []
        ticks: list[Tensor] = []
        kept: list[tuple[Tensor, ...]] = []
        for step in order:
            cropped = self.add(
                layer, f"step{step}", "Cropping1D", [self._moved(read)], {"cropping": (step, steps - 1 - step)}
            )
            now = self.add(layer, f"tick{step}", "Reshape", [cropped], {"target_shape": (features,)})
            if not states and (self.zeros or cell.needs_zeros):
                cell.begin(now)
            states.append(cell.step(now))
            ticks.append(now)
            kept.append(cell.states)
        self.windows.append(Window(layer, tuple(ticks), tuple(kept), cell.quantizers))
        if not layer.config.get("return_sequences"):
            return states[-1]
        units = int(layer.config["units"])
        rows = [
            self.add(layer, f"row{at}", "Reshape", [state], {"target_shape": (1, units)})
            for at, state in enumerate(states)
        ]
        return rows[0] if len(rows) == 1 else self.add(layer, "rows", "Concatenate", rows, {"axis": 1})

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
