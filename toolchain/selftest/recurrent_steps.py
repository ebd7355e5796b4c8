"""Random recurrent layers: one step with its state at ports, or a window unrolled."""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import FixedPoint
from toolchain.network.cells import GATES
from toolchain.network.recurrent import (
    RecurrentFormats,
    RecurrentWeights,
    Step,
    gru_step,
    lstm_step,
    simple_rnn_step,
    unrolled,
)
from toolchain.selftest import random_formats as formats
from toolchain.selftest.composition_steps import narrow
from toolchain.selftest.draft import Draft

_STEPS: dict[str, Step] = {"SimpleRNN": simple_rnn_step, "LSTM": lstm_step, "GRU": gru_step}


def step(draft: Draft, x: str) -> tuple[str, ...]:
    """A tick ``x`` and a state from ports; the state after it, the output first."""
    x = narrow(draft, x, 12)
    kind, units, made = str(draft.rng.choice(list(_STEPS))), draft.count(1, 3), _formats(draft)
    forms = [made.state] + [made.cell] * (kind == "LSTM")
    ports = [draft.builder.input(draft.name("state"), (units,), _port(form)) for form in forms if form is not None]
    weights = _weights(draft, kind, (draft.shape(x)[-1], units))
    return _STEPS[kind](draft.builder, draft.name(kind.lower()), x, tuple(ports), weights, made)


def window(draft: Draft, x: str) -> str:
    """The last output over the last two or three steps of x ``(steps, channels)``."""
    x = narrow(draft, x, 12)
    steps, channels = draft.shape(x)
    most = draft.count(2, 3)
    if steps > most:
        x = draft.builder.crop(draft.name("crop"), x, ((steps - most, 0),))
    kind, units = str(draft.rng.choice(list(_STEPS))), draft.count(1, 3)
    weights, name = _weights(draft, kind, (channels, units)), draft.name(kind.lower())
    return unrolled(draft.builder, name, x, _STEPS[kind], weights, _formats(draft))[-1][0]


def _weights(draft: Draft, kind: str, sizes: tuple[int, int]) -> RecurrentWeights:
    channels, units = sizes
    form, bias_form = (formats.kernel_format(draft.rng, narrow=True) for _ in range(2))
    columns = GATES[kind] * units
    bias, later = draft.words((columns,), bias_form), draft.words((columns,), bias_form)
    return RecurrentWeights(
        draft.words((channels, columns), form), draft.words((units, columns), form), bias, form, bias_form,
        later if kind == "GRU" and draft.chance(0.5) else None,
    )  # fmt: skip


def _formats(draft: Draft) -> RecurrentFormats:
    """Tables of at most nine bits; results that clip, wrap and round."""

    def form(signed: bool, integer: int, bits: int) -> FixedPoint:
        return FixedPoint(signed, integer, bits - integer - int(signed), *formats.modes(draft.rng))

    gate, cell = (form(True, draft.count(0, 3), draft.count(5, 9)) for _ in range(2))
    activation = form(draft.chance(0.3), draft.count(0, 1), draft.count(3, 9))
    candidate, state = (form(True, draft.count(0, 1), draft.count(3, 9)) for _ in range(2))
    if draft.chance(0.3):
        return RecurrentFormats(gate, activation, candidate, state, cell, np.tanh, lambda x: np.maximum(x, 0.0))
    return RecurrentFormats(gate, activation, candidate, state, cell)


def _port(form: FixedPoint) -> FixedPoint:
    """A port's format: its words only have to lie in it."""
    return FixedPoint(form.signed, form.integer_bits, form.fractional_bits)
