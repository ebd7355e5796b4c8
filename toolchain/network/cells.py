"""The recurrent cells, each said once: the sums, functions, products and differences of one step.

What a value is, a ``Maker`` knows: a tensor of a Keras graph (``model/recurrent_steps.py``) or a node of an integer
network (``recurrent.py``). Gates stand in Keras' order. Without a state (an empty tuple: all zero) the sums are of the
input alone, and what would be multiplied by zero is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
#: Keras' arguments that name a cell's two functions.
Activation = Literal["activation", "recurrent_activation"]
#: Which of a GRU's two biases; the others have one, which is ``both``.
Bias = Literal["both", "input", "recurrent"]
#: The gates of each cell, in the order of their columns.
GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}


class Maker(Protocol[T]):
    """Makes the values of one step of one layer. A role names a value: the same role is the same layer in each step."""

    def sum(self, role: str, gate: int, x: T | None, h: T | None, bias: Bias = "both") -> T:
        """``x W + h U + b`` of one gate, of what is there."""

    def activate(self, role: str, function: Activation, x: T) -> T: ...

    def multiply(self, role: str, x: T, y: T) -> T: ...

    def add(self, role: str, x: T, y: T) -> T: ...

    def subtract(self, role: str, x: T, y: T) -> T: ...

    def times_bias(self, role: str, gate: int, x: T) -> T:
        """``x`` times the recurrent bias of one gate."""

    def has_recurrent_bias(self, gate: int) -> bool: ...


#: One step: maker, input, state before -> state after, the output first.
Cell = Callable[[Maker[T], T, tuple[T, ...]], tuple[T, ...]]


@dataclass(frozen=True, eq=False)
class CellWeights:
    """Kernel ``(channels, gates · units)``, recurrent kernel ``(units, gates · units)``, bias ``(gates · units,)`` or
    None, and the second bias of a GRU with ``reset_after``."""

    kernel: NDArray[Any]
    recurrent: NDArray[Any]
    bias: NDArray[Any] | None = None
    recurrent_bias: NDArray[Any] | None = None

    def of(self, gate: int, of_input: bool, of_state: bool) -> NDArray[Any]:
        """The columns of one gate; rows of the input, of the state, or both."""
        parts = [self.kernel] * of_input + [self.recurrent] * of_state
        return np.concatenate([part[:, self._columns(gate)] for part in parts])

    def bias_of(self, gate: int, bias: Bias = "both") -> NDArray[Any] | None:
        wanted = {"input": [self.bias], "recurrent": [self.recurrent_bias], "both": [self.bias, self.recurrent_bias]}
        found = [one[self._columns(gate)] for one in wanted[bias] if one is not None]
        return None if not found else np.asarray(sum(found[1:], found[0]))

    def _columns(self, gate: int) -> slice:
        units = self.recurrent.shape[0]
        return slice(gate * units, (gate + 1) * units)


def simple_rnn(make: Maker[T], x: T, state: tuple[T, ...]) -> tuple[T, ...]:
    """h' = f(x W + h U + b)."""
    return (make.activate("state", "activation", make.sum("state_sum", 0, x, state[0] if state else None)),)


def lstm(make: Maker[T], x: T, state: tuple[T, ...]) -> tuple[T, ...]:
    """c' = f · c + i · g, h' = o · tanh(c') (Hochreiter and Schmidhuber 1997, with forget gate); state ``(h, c)``.

    Gates: input, forget, candidate, output.
    """
    h = state[0] if state else None
    entered = _gate(make, "input_gate", 0, (x, h))
    kept = _gate(make, "forget_gate", 1, (x, h)) if state else None
    candidate = make.activate("candidate_value", "activation", make.sum("candidate", 2, x, h))
    opened = _gate(make, "output_gate", 3, (x, h))
    if kept is None:
        memory = make.multiply("memory", entered, candidate)
    else:
        old = make.multiply("kept", kept, state[1])
        memory = make.add("memory", old, make.multiply("entering", entered, candidate))
    return make.multiply("state", opened, make.activate("shown", "activation", memory)), memory


def gru(make: Maker[T], x: T, state: tuple[T, ...]) -> tuple[T, ...]:
    """h' = z · h + (1 − z) · g, said as g + z · (h − g); g = tanh(x W + b + r · (h U + b')) (Cho et al. 2014 in Keras'
    ``reset_after`` form). Gates: update, reset, candidate."""
    return _gru(make, x, state, reset_after=True)


def gru_reset_before(make: Maker[T], x: T, state: tuple[T, ...]) -> tuple[T, ...]:
    """The earlier form: g = tanh(x W + b + (r · h) U)."""
    return _gru(make, x, state, reset_after=False)


def _gru(make: Maker[T], x: T, state: tuple[T, ...], reset_after: bool) -> tuple[T, ...]:
    h = state[0] if state else None
    update = _gate(make, "update_gate", 0, (x, h))
    total = _candidate_after(make, x, h) if reset_after else _candidate_before(make, x, h)
    candidate = make.activate("candidate_value", "activation", total)
    if h is None:
        return (make.subtract("state", candidate, make.multiply("moved", update, candidate)),)
    moved = make.multiply("moved", update, make.subtract("change", h, candidate))
    return (make.add("state", candidate, moved),)


def _candidate_before(make: Maker[T], x: T, h: T | None) -> T:
    if h is None:
        return make.sum("candidate", 2, x, None)
    return make.sum("candidate", 2, x, make.multiply("held", _gate(make, "reset_gate", 1, (x, h)), h))


def _candidate_after(make: Maker[T], x: T, h: T | None) -> T:
    if h is None and not make.has_recurrent_bias(2):
        return make.sum("candidate", 2, x, None)
    reset = _gate(make, "reset_gate", 1, (x, h))
    if h is None:
        held = make.times_bias("held", 2, reset)
    else:
        held = make.multiply("held", reset, make.sum("candidate_state", 2, None, h, "recurrent"))
    return make.add("candidate_sum", make.sum("candidate_entering", 2, x, None, "input"), held)


def _gate(make: Maker[T], name: str, number: int, read: tuple[T, T | None]) -> T:
    return make.activate(f"{name}_value", "recurrent_activation", make.sum(name, number, *read))


def cell_of(kind: str, reset_after: bool) -> Cell[Any]:
    """The cell of Keras' SimpleRNN, LSTM or GRU."""
    cells: dict[str, Cell[Any]] = {
        "SimpleRNN": simple_rnn, "LSTM": lstm, "GRU": gru if reset_after else gru_reset_before,
    }  # fmt: skip
    return cells[kind]
