"""GRU and LSTM: two kernels used at every step, tables for the gates, products of the states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from toolchain.estimate.coefficients import Coefficients
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.kernels import kernel_price
from toolchain.estimate.multiplexers import padded_multiplexer_luts
from toolchain.estimate.price import Price, widened
from toolchain.estimate.small_layers import table_blocks
from toolchain.network.reuse_factors import block_reuse_factor

#: Cycles of a step beyond the reuse factor of its kernels, at most: gates, tables, two products of the state one after
#: the other; narrow ones are in fabric and join their neighbours. At least one cycle less (three GRU designs of Vivado
#: 2019.2, exact; one of them is narrow).
_STEP_CYCLES, _NARROW_STEP_CYCLES = 11, 8
#: One less where nothing takes turns (two designs); more on 7-series (a GRU and an LSTM; one of 20 bits
#: and a reuse factor of 144 has 9).
_NO_TURNS, _SLOW_CYCLES = 1, 6
#: Gates that a kernel's columns hold, by function.
_GATES = {"gru": 3, "lstm": 4}
_NARROW = 4  # bits: of the products of states only one of three is then in a DSP block


def recurrent_price(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    """A recurrent layer. DSP and memory follow from the counts (three GRU designs); logic is known to half or twice."""
    gates = _GATES.get(layer.function, 4)
    shape = layer.recurrent_weights.shape if layer.recurrent_weights is not None else layer.recurrent_shape
    units = shape[0] if shape else max(1, layer.words // max(layer.positions, 1))
    inner = replace(
        layer, kind="dense", weights=layer.recurrent_weights, kernel_shape=shape, data_width=layer.result_width,
        positions=1, words=gates * units, reuse_factor=layer.recurrent_reuse_factor or layer.reuse_factor,
    )  # fmt: skip
    outer = replace(layer, kind="dense", positions=1, words=gates * units)
    parts = [kernel_price(_legal(part), design, coefficients) for part in (outer, inner)]
    factor = max(_legal(part).reuse_factor for part in (outer, inner))
    narrow = layer.data_width <= _NARROW
    states = units * (1 if narrow else 3)
    blocks = table_blocks(layer, gates * units)
    lut = sum(part.lut for part in parts) + gates * units * (20.0 * layer.data_width + padded_multiplexer_luts(2))
    ff = sum(part.ff for part in parts) + gates * units * 4.0 * layer.data_width
    step = factor + (_NARROW_STEP_CYCLES if narrow else _STEP_CYCLES) - (_NO_TURNS if factor == 1 else 0)
    step += _SLOW_CYCLES if design.family == "7series" and not narrow else 0
    steps = max(layer.positions, 1)
    cycles = float(steps * step + 1)
    spread = {
        "dsp": (0.85, 1.15), "bram_18k": (0.9, 1.1), "lut": widened((0.6, 1.7), 1.0), "ff": (0.4, 2.0),
        "latency_cycles": (0.85, 1.15), "initiation_interval": (0.85, 1.15),
    }  # fmt: skip
    lines = (
        f"{layer.function or 'recurrent'} of {units} units: {steps} steps of {step} cycles, {states} state products",
        *(line for part in parts for line in part.explanation),
    )
    seen = layer.function == "gru" and layer.strategy == "resource"
    note = "GRU of the resource strategy: three designs were measured"
    if not seen:
        note = f"{layer.function or 'recurrent'}, {layer.strategy} strategy: no report has it, counted like such a GRU"
    return Price(
        sum(part.dsp for part in parts) + states, sum(part.bram_18k for part in parts) + blocks, lut, ff,
        cycles, cycles + 1, spread, lines, (note,), "foreign" if seen else "none", cycles - steps,
    )  # fmt: skip


def _legal(layer: DesignLayer) -> DesignLayer:
    """The layer with the reuse factor that hls4ml really uses for its kernel."""
    shape = layer.weights.shape if layer.weights is not None else layer.kernel_shape
    if shape is None or layer.strategy != "resource":
        return layer
    n_in, n_out = int(np.int64(shape[0])), int(shape[1])
    return replace(layer, reuse_factor=block_reuse_factor(layer.reuse_factor, n_in, n_out))
