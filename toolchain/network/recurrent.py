"""Recurrent layers as compositions: one step (a tick in, the state in and out), and a window unrolled.

Every gate is one sum over the concatenation of input and state, a change of format and a table; so each word is defined
and hardware gives it exactly. Gates stand in Keras' order: LSTM i f c o, GRU z r h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolchain.fixed_point import FixedPoint
from toolchain.network.builder import NetworkBuilder
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
    def units(self) -> int:
        return int(self.recurrent.shape[0])

    def gate(self, number: int, with_input: bool = True, with_state: bool = True) -> IntArray:
        """The columns of one gate; rows of the input, of the state, or both."""
        columns = slice(number * self.units, (number + 1) * self.units)
        parts = [self.kernel[:, columns]] * with_input + [self.recurrent[:, columns]] * with_state
        return np.concatenate(parts)

    def bias_of(self, number: int) -> IntArray:
        return self.bias[number * self.units : (number + 1) * self.units]


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


def simple_rnn_step(
    b: NetworkBuilder, name: str, x: str, state: State, weights: RecurrentWeights, formats: RecurrentFormats
) -> State:  # fmt: skip
    """h' = f(x W + h U + b); the table gives the state: ``candidate`` is not used."""
    seen = _seen(b, name, x, state)
    total = _gate_sum(b, f"{name}_sum", seen, name, _Gate(weights, 0, bool(state)), formats.gate)
    return (function(b, name, total, formats.candidate_function, formats.state, name),)


def lstm_step(
    b: NetworkBuilder, name: str, x: str, state: State, weights: RecurrentWeights, formats: RecurrentFormats
) -> State:  # fmt: skip
    """c' = f · c + i · g, h' = o · tanh(c') (Hochreiter and Schmidhuber 1997, with forget gate); state ``(h, c)``."""
    assert formats.cell is not None
    seen = _seen(b, name, x, state[:1])
    gates = {}
    for number, gate in enumerate("ifgo"):
        if gate == "f" and not state:
            continue  # there is nothing to forget
        total = _gate_sum(b, f"{name}_{gate}_sum", seen, name, _Gate(weights, number, bool(state)), formats.gate)
        of, form = (formats.gate_function, formats.activation)
        if gate == "g":
            of, form = formats.candidate_function, formats.candidate
        gates[gate] = function(b, f"{name}_{gate}", total, of, form, name)
    if state:
        new = b.multiply(f"{name}_new", (gates["i"], gates["g"]), layer=name)
        kept = b.multiply(f"{name}_kept", (gates["f"], state[1]), layer=name)
        cell = b.add(f"{name}_cell", (kept, new), formats.cell, name)
    else:
        cell = b.multiply(f"{name}_cell", (gates["i"], gates["g"]), formats.cell, name)
    shown = function(b, f"{name}_shown", cell, formats.candidate_function, formats.candidate, name)
    return b.multiply(name, (gates["o"], shown), formats.state, name), cell


def gru_step(
    b: NetworkBuilder, name: str, x: str, state: State, weights: RecurrentWeights, formats: RecurrentFormats
) -> State:  # fmt: skip
    """h' = z · h + (1 − z) · g, g = tanh(x W + b + r · (h U + b')) (Cho et al. 2014 in Keras' ``reset_after`` form).

    Without ``recurrent_bias`` the earlier form: g = tanh(x W + b + (r · h) U).
    """
    seen = _seen(b, name, x, state)
    gates = {}
    for number, gate in enumerate("zr"):
        if gate == "r" and not state and weights.recurrent_bias is None:
            continue  # there is nothing to reset
        total = _gate_sum(b, f"{name}_{gate}_sum", seen, name, _Gate(weights, number, bool(state)), formats.gate)
        gates[gate] = function(b, f"{name}_{gate}", total, formats.gate_function, formats.activation, name)
    total = _gru_candidate_sum(b, name, x, state, weights, gates.get("r", ""))
    total = b.requantize(f"{name}_g_narrow", total, formats.gate, name)
    new = function(b, f"{name}_g", total, formats.candidate_function, formats.candidate, name)
    ones, minus = np.ones(weights.units, dtype=np.int64), np.full(weights.units, -1, dtype=np.int64)
    rest = b.scale(f"{name}_rest", gates["z"], minus, FixedPoint(True, 0, 0), ones, FixedPoint(False, 1, 0), layer=name)
    if not state:
        return (b.multiply(name, (rest, new), formats.state, name),)
    taken = b.multiply(f"{name}_taken", (rest, new), layer=name)
    kept = b.multiply(f"{name}_kept", (gates["z"], state[0]), layer=name)
    return (b.add(name, (kept, taken), formats.state, name),)


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
class _Gate:
    """One gate of ``weights``, of the input alone or of input and state."""

    weights: RecurrentWeights
    number: int
    with_state: bool

    @property
    def kernel(self) -> IntArray:
        return self.weights.gate(self.number, with_state=self.with_state)

    @property
    def bias(self) -> tuple[IntArray, FixedPoint]:
        """Both biases in one, which may need a bit more."""
        first, second, form = self.weights.bias_of(self.number), self.weights.recurrent_bias, self.weights.bias_form
        if second is None:
            return first, form
        wider = FixedPoint(form.signed, form.integer_bits + 1, form.fractional_bits)
        return first + second[self.number * self.weights.units :][: self.weights.units], wider


def _seen(b: NetworkBuilder, name: str, x: str, state: State) -> str:
    return b.concatenate(f"{name}_seen", (x, *state), 0, None, name) if state else x


def _gate_sum(b: NetworkBuilder, name: str, seen: str, layer: str, gate: _Gate, form: FixedPoint) -> str:
    return b.dense(name, seen, gate.kernel, gate.weights.form, *gate.bias, form, layer)


def _gru_candidate_sum(
    b: NetworkBuilder, name: str, x: str, state: State, weights: RecurrentWeights, reset: str
) -> str:  # fmt: skip
    kernel, bias = weights.gate(2, with_state=False), weights.bias_of(2)
    form, bias_form = weights.form, weights.bias_form
    if weights.recurrent_bias is None and state:
        held = b.multiply(f"{name}_held", (reset, state[0]), layer=name)
        both = b.concatenate(f"{name}_seen_held", (x, held), 0, None, name)
        return b.dense(f"{name}_g_sum", both, weights.gate(2), form, bias, bias_form, layer=name)
    own = b.dense(f"{name}_g_own", x, kernel, form, bias, bias_form, layer=name)
    if weights.recurrent_bias is None:
        return own
    later = weights.recurrent_bias[2 * weights.units :]
    if not state:
        held = b.scale(f"{name}_held", reset, later, bias_form, layer=name)
    else:
        of_state = weights.gate(2, with_input=False)
        past = b.dense(f"{name}_g_past", state[0], of_state, form, later, bias_form, layer=name)
        held = b.multiply(f"{name}_held", (reset, past), layer=name)
    return b.add(f"{name}_g_sum", (own, held), layer=name)
