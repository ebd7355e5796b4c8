"""What the counted things cost. Every coefficient has its meaning and where it was read; docs/estimates.md says how far
each is to be trusted. Stage: C synthesis (what the HLS report will say).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolchain.estimate.counting import Counts, count
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.flip_flops import flip_flops
from toolchain.network.constant_products import LUT_PER_MULTIPLIER_AREA, dsp_blocks, uses_dsp

#: Look-up tables of a latency-strategy layer at reuse factor 1 with a 16-bit accumulator: least squares over 35 designs
#: of Vivado HLS 2020.1 on an UltraScale+ part (mean error 2.6 %).
LUT_PER_NONZERO = 13.3
LUT_PER_TWO_DIGIT_ADDER = 37.0
LUT_PER_NEGATIVE = 10.6
LUT_PER_OUTPUT = -26.0
#: Vitis HLS 2021.1 needs less for the same counts: median over 19 layers.
VITIS_LUT_FACTOR = 0.8
#: Nanoseconds for one level of an adder tree as the tool schedules it (Vitis: 6 layers at 3.33 and 5 ns).
NS_PER_LEVEL = {"vitis": 3.66, "vivado": 1.0}


@dataclass(frozen=True)
class Price:
    """Resources and timing of one layer, with the spread (low, high factors) of each and its explanation."""

    dsp: float
    bram_18k: float
    lut: float
    ff: float
    latency_cycles: float
    initiation_interval: float
    spread: dict[str, tuple[float, float]]
    explanation: tuple[str, ...]
    notes: tuple[str, ...] = ()


def price(layer: DesignLayer, design: Design) -> Price:
    """The price of one layer."""
    if layer.kind == "reshape":
        return Price(0, 0, 0, 0, 0, 1, {}, ("wiring",))
    if layer.weights is None:
        return _activation(layer, design)
    counts = count(layer.weights)
    if layer.strategy == "resource" and layer.reuse_factor > 1:
        return _resource(layer, counts, design)
    if layer.strategy == "distributed_arithmetic":
        return _distributed(layer, counts, design)
    return _latency(layer, counts, design)


def _multipliers(layer: DesignLayer, counts: Counts, design: Design) -> tuple[float, float]:
    """(DSP blocks, look-up tables) of all constant multipliers."""
    dsp, lut = 0.0, 0.0
    for bits, number in counts.multiplier_widths:
        if uses_dsp(layer.data_width, bits):
            dsp += number * dsp_blocks(max(layer.data_width, bits), min(layer.data_width, bits), design.family)
        else:
            lut += number * LUT_PER_MULTIPLIER_AREA * layer.data_width * bits
    return dsp, lut


def _depth(counts: Counts, design: Design) -> int:
    levels = math.ceil(math.log2(max(counts.fan_in, 1))) + 1
    return max(1, round(levels * NS_PER_LEVEL[design.tool] / design.clock_period_ns))


def _multiplier_limit(factor: int, counts: Counts, tool: str) -> int:
    """Multipliers at once: exact for 38 of 38 Vitis layers; Vivado keeps one more from 1,024 on (15 of 15 designs).

    That one is not added where it would exceed the limit at the next smaller divisor: pruned layers were not measured.
    """
    weights = counts.n_in * counts.n_out
    limit = math.ceil(weights / factor) - counts.zeros // factor
    if tool == "vivado" and factor >= 1024:
        below = next(divisor for divisor in range(1023, 0, -1) if weights % divisor == 0)
        return min(limit + 1, weights // below - counts.zeros // below)
    return limit


def _latency(layer: DesignLayer, counts: Counts, design: Design) -> Price:
    dsp, multiplier_lut = _multipliers(layer, counts, design)
    bits = layer.accumulator_width / 16
    adders = (
        LUT_PER_NONZERO * counts.nonzeros + LUT_PER_TWO_DIGIT_ADDER * counts.adders
        + LUT_PER_NEGATIVE * counts.negatives + LUT_PER_OUTPUT * counts.n_out
    )  # fmt: skip
    factor = VITIS_LUT_FACTOR if design.tool == "vitis" else 1.0
    lut = max(adders, 4.0 * counts.nonzeros) * bits * factor + multiplier_lut
    interval, depth, rounds = float(layer.positions), _depth(counts, design), 1
    notes: list[str] = []
    lines = [
        f"{counts.n_in} x {counts.n_out} weights, {counts.nonzeros} not zero: {counts.multipliers} multipliers of 3 or "
        f"more digits, {counts.adders} adders of 2 digits (equal weights on one input share)"
    ]
    if layer.reuse_factor > 1:
        limit = _multiplier_limit(layer.reuse_factor, counts, design.tool)
        shared = min(counts.multipliers, limit)
        dsp *= shared / counts.multipliers if counts.multipliers else 1.0
        rounds = math.ceil(counts.multipliers / shared) if shared else 1
        lines.append(f"reuse factor {layer.reuse_factor}: at most {limit} multipliers at once, {rounds} rounds")
        # Vivado: exact for 30 of 30 designs. Vitis: 2 at reuse factor 2 everywhere, else the rounds and 1 to 6 more.
        extra = 2 if design.tool == "vivado" else 0 if layer.reuse_factor == 2 else 4
        least = 2 if design.tool == "vitis" else 3
        interval = float(layer.positions * max(rounds + extra, least))
        depth = rounds + (1 if design.tool == "vivado" else depth)
        notes.append("latency strategy with a reuse factor above 1: few designs were measured")
    elif layer.strategy == "resource" and design.tool == "vivado":
        interval *= 2.0  # 30 of 35 designs
    ff, ff_spread = flip_flops(layer, counts, design.tool, rounds)
    # Vitis: 80 % of 35 networks; many layers take more cycles than their adder trees (chains, output registers).
    high = 1.6 if design.tool == "vivado" else 3.2
    lut_spread = (0.75, 1.35) if design.tool == "vivado" else (0.65, 1.6)
    if design.tool == "vitis" and counts.n_in >= 190 and layer.reuse_factor == 1:
        high = max(high, counts.n_in / 3 / depth)
        notes.append("Vitis 2021.1 built adder chains of n_in / 3 cycles at 196 and 561 inputs")
    spread = {
        "dsp": (0.97, 1.03) if dsp else (1.0, 1.0), "lut": lut_spread, "ff": ff_spread, "bram_18k": (1.0, 1.0),
        "latency_cycles": (0.7, high), "initiation_interval": (1.0, 1.0) if layer.reuse_factor == 1 else (0.6, 1.5),
    }  # fmt: skip
    narrow = layer.data_width < 10 and dsp == 0 and counts.multipliers > 0
    if narrow or any(9 < max(layer.data_width, b) < 16 and n for b, n in counts.multiplier_widths):
        spread["dsp"] = (0.0 if dsp else 1.0, 1.1)
        notes.append("products of 10 to 15 bits: the tool may put them into fabric or into DSP blocks")
    latency = float(layer.positions - 1 + depth)
    return Price(dsp, 0, lut, ff, latency, interval, spread, tuple(lines), tuple(notes))


def _resource(layer: DesignLayer, counts: Counts, design: Design) -> Price:
    """Block factor designs: zeros save nothing (871 designs of Vivado HLS 2020.1, one layer each)."""
    factor = layer.reuse_factor
    n_in, n_out, width = counts.n_in, counts.n_out, layer.weight_width
    block = math.ceil(n_in * n_out / factor)
    narrow = min(width, layer.data_width)
    few = narrow <= (6 if design.tool == "vitis" else 4)
    dsp = (
        0.0
        if few
        else float(block * dsp_blocks(max(width, layer.data_width), min(width, layer.data_width), design.family))
    )
    if not few and narrow <= 6:
        dsp = max(dsp - 1, 0.0)  # 108 of 124 designs with 6-bit weights
    port = 36 if factor <= 512 else 18 if factor <= 1024 else 9
    bram = math.ceil(block * width / port) + 1 + (1 if factor > n_in else 0)
    wide = factor // n_in > 2
    power = 2 ** max(5, math.ceil(math.log2(n_out)))
    each = {32: 178, 64: 297, 128: 697, 256: 1386}.get(power, 5.4 * power) if wide else 8
    lut = 4614 + 32.4 * n_in + (23.9 if wide else 40.4) * n_out + block * each
    lut += 3.3 * block * (width <= 6) + 740 * (block == 1)
    ff = 115 + 16 * n_out + (15.5 if factor // n_in > 2 else 2.1) * block + 512 * (block == 1)
    if few:
        ff -= 9.2 * block if factor // n_in > 2 else 0
        lut += LUT_PER_MULTIPLIER_AREA * block * width * layer.data_width
    bits = layer.accumulator_width / 16
    notes = [
        "the resource strategy was calibrated on Vivado HLS 2020.1; the logic synthesis needs about a third of its LUTs"
    ]
    small = min(n_in, n_out) < 32
    if small:
        notes.append("layers below 32 inputs or outputs were not measured")
    spread = {
        "dsp": (0.95, 1.0), "bram_18k": (0.8, 1.1), "lut": (0.3 if small else 0.7, 1.3), "ff": (0.6, 1.5),
        "latency_cycles": (0.95, 1.2), "initiation_interval": (1.0, 1.05),
    }  # fmt: skip
    lines = (f"{n_in} x {n_out} weights, reuse factor {factor}: block factor {block}, weights in block RAM",)
    return Price(
        dsp, bram, lut * bits, max(ff, 0) * bits, layer.positions * factor + 2, layer.positions * factor, spread, lines,
        tuple(notes),
    )  # fmt: skip


def _distributed(layer: DesignLayer, counts: Counts, design: Design) -> Price:
    """Adders only: at most one for each digit beyond the first of an output; da4ml's sharing saves about half."""
    adders = max(counts.digits - counts.n_out, 0)
    lut = 0.5 * adders * layer.accumulator_width
    depth = _depth(counts, design)
    spread = {"lut": (0.5, 1.6), "ff": (0.5, 2.0), "latency_cycles": (0.7, 1.6)}
    lines = (f"{counts.digits} signed digits: at most {adders} adders before terms are shared, no DSP",)
    notes = ("distributed arithmetic was not measured against synthesis",)
    return Price(0, 0, lut, lut * 0.6, layer.positions - 1 + depth, layer.positions, spread, lines, notes)


def _activation(layer: DesignLayer, design: Design) -> Price:
    """A comparison, rounding and clipping for each word: read from 30 ReLU modules (21..43 LUT for 16 to 8 bits)."""
    lanes = layer.words if design.io_type == "io_parallel" else max(1, layer.words // max(layer.positions, 1))
    lut = lanes * (1.3 * layer.data_width + 1.5 * layer.result_width)
    ff = lanes * layer.result_width * (1.0 if design.clock_period_ns < 4 else 0.3)
    lines = (f"{lanes} comparisons with rounding and clipping from {layer.data_width} to {layer.result_width} bits",)
    spread = {"lut": (0.5, 1.6), "ff": (0.0, 2.0), "latency_cycles": (0.0, 1.0)}
    return Price(0, 0, lut, ff, 1, 1, spread, lines)
