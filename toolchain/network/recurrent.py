"""Recurrent layers as compositions: one step (a tick in, the state in and out), and a window unrolled.

The cells are those of ``cells.py``. Every gate is one sum over the concatenation of input and state in a format of its
own, and a table; so each word is defined and hardware gives it exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolchain.fixed_point import FixedPoint
from toolchain.network import cells
from toolchain.network.builder import NetworkBuilder
from toolchain.network.cells import Activation, Bias, CellWeights
from toolchain.network.compositions import function
from toolchain.network.functions import Function, sigmoid
from toolchain.network.nodes import IntArray

State = tuple[str, ...]
#: One step: builder, name, input, state before (empty: all zero), weights, formats -> state after, the output first.
Step = Callable[[NetworkBuilder, str, str, State, "RecurrentWeights", "RecurrentFormats"], State]


@dataclass(frozen=True)
class RecurrentWeights:
    """Words of one format: kernel ``(channels, gates · units)``, recurrent ``(units, gates · units)``, bias
    ``(gates · units,)``; ``recurrent_bias`` is the second one of a GRU with ``reset_after``."""

    kernel: IntArray
    recurrent: IntArray
    bias: IntArray
    form: FixedPoint
    bias_form: FixedPoint
    recurrent_bias: IntArray | None = None

    @property
    def words(self) -> CellWeights:
        return CellWeights(self.kernel, self.recurrent, self.bias, self.recurrent_bias)


@dataclass(frozen=True)
class RecurrentFormats:
    """``gate``: the sums, input of the tables; ``activation``: of the gates' tables; ``candidate``: of the table of the
    new values; ``state``: the output; ``cell``: an LSTM's second state, input of its table."""

    gate: FixedPoint
    activation: FixedPoint
    candidate: FixedPoint
    state: FixedPoint
    cell: FixedPoint | None = None
    gate_function: Function = sigmoid
    candidate_function: Function = np.tanh

    def of(self, role: str) -> FixedPoint | None:
        """The format of a product, sum or difference; None: every bit."""
        return {"state": self.state, "memory": self.cell, "candidate_sum": self.gate}.get(role)


def simple_rnn_step(
    b: NetworkBuilder, name: str, x: str, state: State, weights: RecurrentWeights, formats: RecurrentFormats
) -> State:  # fmt: skip
    """The table gives the state: ``candidate`` is not used."""
    return cells.simple_rnn(_Nodes(b, name, weights, formats), x, state)


def lstm_step(
    b: NetworkBuilder, name: str, x: str, state: State, weights: RecurrentWeights, formats: RecurrentFormats
) -> State:  # fmt: skip
    """State ``(h, c)``."""
    assert formats.cell is not None
    return cells.lstm(_Nodes(b, name, weights, formats), x, state)


def gru_step(
    b: NetworkBuilder, name: str, x: str, state: State, weights: RecurrentWeights, formats: RecurrentFormats
) -> State:  # fmt: skip
    """With ``recurrent_bias`` the form that resets after the product, else the one that does before it."""
    cell = cells.gru_reset_before if weights.recurrent_bias is None else cells.gru
    return cell(_Nodes(b, name, weights, formats), x, state)


def unrolled(
    b: NetworkBuilder, name: str, x: str, step: Step, weights: RecurrentWeights, formats: RecurrentFormats
) -> list[State]:  # fmt: skip
    """The states after each step over x ``(steps, channels)``, from a state of zeros. The last output is ``name``."""
    steps, channels = b.shape_of(x)
    found: list[State] = []
    for number in range(steps):
        tick = b.crop(f"{name}_tick{number}", x, ((number, steps - 1 - number),), name)
        tick = b.reshape(f"{name}_x{number}", tick, (channels,), name)
        called = name if number == steps - 1 else f"{name}_step{number}"
        found.append(step(b, called, tick, found[-1] if found else (), weights, formats))
    return found


@dataclass(frozen=True)
class _Nodes:
    """Makes the nodes ``name_role`` of one step; the one with the role ``state`` is called ``name``."""

    builder: NetworkBuilder
    name: str
    weights: RecurrentWeights
    formats: RecurrentFormats

    def sum(self, role: str, gate: int, x: str | None, h: str | None, bias: Bias = "both") -> str:
        b, own = self.builder, self.weights
        read = [one for one in (x, h) if one is not None]
        seen = read[0] if len(read) == 1 else self._seen(read)
        kernel, words = own.words.of(gate, x is not None, h is not None), own.words.bias_of(gate, bias)
        form = own.bias_form
        if bias == "both" and own.recurrent_bias is not None:  # the sum of both may need a bit more
            form = FixedPoint(form.signed, form.integer_bits + 1, form.fractional_bits)
        result = self.formats.gate if bias == "both" else None
        return b.dense(self._called(role), seen, kernel, own.form, words, form, result, self.name)

    def activate(self, role: str, function_of: Activation, x: str) -> str:
        of, form = self.formats.candidate_function, self.formats.candidate
        if function_of == "recurrent_activation":
            of, form = self.formats.gate_function, self.formats.activation
        return function(self.builder, self._called(role), x, of, self.formats.of(role) or form, self.name)

    def multiply(self, role: str, x: str, y: str) -> str:
        return self.builder.multiply(self._called(role), (x, y), self.formats.of(role), self.name)

    def add(self, role: str, x: str, y: str) -> str:
        return self.builder.add(self._called(role), (x, y), self.formats.of(role), self.name)

    def subtract(self, role: str, x: str, y: str) -> str:
        return self.builder.subtract(self._called(role), (x, y), self.formats.of(role), self.name)

    def times_bias(self, role: str, gate: int, x: str) -> str:
        bias = self.weights.words.bias_of(gate, "recurrent")
        assert bias is not None
        return self.builder.scale(self._called(role), x, bias, self.weights.bias_form, layer=self.name)

    def has_recurrent_bias(self, gate: int) -> bool:
        return self.weights.recurrent_bias is not None

    def _called(self, role: str) -> str:
        return self.name if role == "state" else f"{self.name}_{role}"

    def _seen(self, read: list[str]) -> str:
        """The input and a state side by side, made once."""
        name = f"{self.name}_seen" + ("_held" if read[1] == self._called("held") else "")
        if name in self.builder.names:
            return name
        return self.builder.concatenate(name, tuple(read), 0, None, self.name)
