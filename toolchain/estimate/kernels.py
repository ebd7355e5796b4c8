"""Layers with a kernel: dense, convolution, depthwise, scale."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from toolchain.estimate.amounts import Products, kernel_counts, multipliers, products, regime, turns
from toolchain.estimate.block import block_dsp, block_memory, block_of, memory_copies
from toolchain.estimate.coefficients import Coefficients
from toolchain.estimate.counting import Counts
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.kinds import layer_amounts
from toolchain.estimate.operator_library import product_stages, unhurried
from toolchain.estimate.partition_costs import (
    IN_UNKNOWN_TURNS,
    TURNS_UNKNOWN,
    in_loop,
    in_partitions,
    in_turns,
    in_turns_of_loop,
    loop_spread,
)
from toolchain.estimate.partitions import Partitions, all_at_once, partitions
from toolchain.estimate.price import EXACT, Figure, Price, Spread, figure, widened
from toolchain.estimate.schedule import Schedule, schedule, ternary_levels
from toolchain.estimate.stream_cycles import convolution_cycles, dense_cycles, turning_cycles
from toolchain.estimate.streams import window_memory
from toolchain.network.constant_products import dsp_blocks

#: Vitis: cycles of the one product that all share in a DSP block (three of three layers).
_ONLY_DSP_CYCLES = 5
_UNKNOWN = "the weights are not known: zeros and equal weights are not counted, so this is an upper bound"
_UNSURE = "products of 10 to 15 bits: the tool may put them into fabric or into DSP blocks"


def kernel_price(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    """The price of a layer that multiplies by constants or by weights in memory."""
    if regime(layer) == "block":
        return _block(layer, design, coefficients)
    if layer.weights is None and layer.adder_graph is None:
        return _unknown_weights(layer, design, coefficients)
    if layer.strategy == "distributed_arithmetic":
        return _distributed(layer, design, coefficients)
    return _constant(layer, design, coefficients)


def _figures(
    layer: DesignLayer, design: Design, coefficients: Coefficients, counts: Counts | None
) -> tuple[Figure, Figure]:
    amounts = layer_amounts(layer, design, counts)
    lut = figure("lut", amounts["lut"], design.tool, coefficients)
    return lut, figure("ff", amounts["ff"], design.tool, coefficients)


def _measured(*found: Figure) -> str:
    kinds = {item.measured for item in found}
    return "none" if "none" in kinds else "foreign" if "foreign" in kinds else "own"


def _constant(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    counts = kernel_counts(layer)
    place = schedule(counts, layer, design)
    made = products(layer, counts, design)
    lut, ff = _figures(layer, design, coefficients, counts)
    rounds = turns(layer, counts, design.tool)
    cycles, interval = _timing(layer, place, rounds, _last_turn(layer, counts, made, place), design)
    lines = [_counting(layer, counts)]
    notes: list[str] = []
    if layer.reuse_factor > 1:
        built = math.ceil(made.in_dsp + made.fabric)
        lines.append(f"reuse factor {layer.reuse_factor}: {built} multipliers at once, {rounds} rounds")
    if place.chained:
        notes.append(f"{counts.n_in * counts.n_out} products: Vitis leaves such sums unbalanced, in long chains")
    doubtful = _doubtful(layer, counts)
    if doubtful:
        notes.append(_UNSURE)
    several = partitions(layer, design)
    if in_turns_of_loop(layer, design):
        interval = float(max(2, rounds))
    shared = multipliers(layer, counts, design)
    if design.tool == "vivado" and layer.window and layer.reuse_factor > 1 and design.io_type == "io_stream":
        cycles = turning_cycles(design, place.cycles, rounds, counts.fan_in)
    latency, least, interval = _positions(layer, design, float(cycles), interval, shared.turns if shared else 1)
    if several != Partitions(1, 1) and design.io_type == "io_parallel":
        lines.append(f"{several.pixels} positions at once, {several.number} partitions one after the other")
        lut, ff = in_partitions(lut, ff, layer, design)
        if shared and shared.turns > 1:
            lines.append(f"they share multipliers, each for {shared.turns} products one after the other")
            lut, ff = in_turns(lut, ff, layer, counts, made, design)
    spread = {
        "dsp": _dsp_spread(made, doubtful, layer), "lut": lut.spread, "ff": ff.spread,
        "latency_cycles": _latency_spread(layer, place, design), "initiation_interval": _interval_spread(layer),
    }  # fmt: skip
    wider, said = loop_spread(layer, design, interval)
    spread, known = {**spread, **wider}, _measured(lut, ff)
    notes.extend(said)
    if all_at_once(layer, design):
        notes.append(TURNS_UNKNOWN)
        spread, known = {**spread, **IN_UNKNOWN_TURNS}, "none"
    return Price(
        round(made.dsp * several.pixels), window_memory(layer, design), lut.value, ff.value, latency, interval, spread,
        (*lines, lut.line, ff.line), tuple(notes), known, least, None if latency else place.delay_ns,
    )  # fmt: skip


def _counting(layer: DesignLayer, counts: Counts) -> str:
    if layer.strategy == "distributed_arithmetic":
        known = "that da4ml leaves" if layer.adder_graph else "that da4ml may leave"
        return f"{counts.n_in} x {counts.n_out} weights: {counts.tree_adders} adders {known}, no multiplier"
    return (
        f"{counts.n_in} x {counts.n_out} weights, {counts.nonzeros} not zero: {counts.multipliers} multipliers of 3 or "
        f"more digits, {counts.adders} adders of 2 digits (equal weights on one input share); "
        f"{counts.tree_adders} adders sum them"
    )


def _timing(layer: DesignLayer, place: Schedule, rounds: int, last: int, design: Design) -> tuple[int, float]:
    """(cycles, initiation interval) of one evaluation: a pipeline's interval never exceeds its cycles and one more.

    Turns: exact for 30 of 30 Vivado designs; Vitis: ``_last_turn``.
    """
    if layer.reuse_factor == 1:
        slow = layer.strategy == "resource" and design.tool == "vivado" and place.cycles > 0
        return place.cycles, 2.0 if slow else 1.0
    if design.tool == "vivado":
        cycles = max(place.cycles, min(rounds + 1, layer.reuse_factor - 1))
    elif rounds == 1:
        cycles = place.cycles
    else:
        cycles = max(place.cycles, rounds - 1 + last)
    return cycles, float(max(2, min(layer.reuse_factor, cycles + 1)))


def _last_turn(layer: DesignLayer, counts: Counts, made: Products, place: Schedule) -> int:
    """Vitis: cycles after the last product of a sample began: the product's own, and the sums that still wait for it.

    As if sums of three words followed one another, and all but the last two levels came after the last product: exact
    for 30 of 30 layers of Vitis 2021.1 (fan-in 5 to 222, 3.3 and 5 ns, products in DSP blocks and in fabric).
    """
    levels = ternary_levels(counts.fan_in + (1 if layer.biases else 0))
    only = made.in_dsp == 1 and not made.fabric
    return (_ONLY_DSP_CYCLES if only else max(1, place.product_cycles)) + max(0, levels - 2)


def _positions(
    layer: DesignLayer, design: Design, cycles: float, interval: float, turns: int = 1
) -> tuple[float, float | None, float]:
    """(cycles, cycles at least, interval) for a sample, from those of one evaluation.

    ``turns`` of the multipliers that the positions computed at once share.
    """
    reads = _reads(layer)
    if design.io_type == "io_stream" and layer.kind in ("conv1d", "conv2d", "depthwise"):
        return convolution_cycles(layer, design, cycles, interval)
    if design.io_type == "io_stream" and layer.kind == "dense" and layer.positions == 1:
        whole, again = dense_cycles(layer, design, cycles, reads)
        return whole, None, max(interval, again)
    if design.io_type == "io_stream":
        return layer.positions * (reads - 1 + interval) + cycles, None, layer.positions * (reads - 1 + interval)
    if layer.positions > 1:
        found = partitions(layer, design)
        if found.number == 1:
            return cycles, None, max(interval, float(layer.reuse_factor))
        if layer.strategy == "resource":  # the loop over partitions is not pipelined
            each = cycles + 2
            return found.number * each, None, found.number * each
        return in_loop(layer, design, cycles, max(min(interval, cycles + 2), float(turns)), found.number)
    return cycles, None, interval


def _reads(layer: DesignLayer) -> int:
    """Words of the stream that a dense layer reads before it begins."""
    shape = layer.weights.shape if layer.weights is not None else layer.kernel_shape or (1, 1)
    channels = layer.input_shape[-1] if layer.input_shape else shape[0]
    return max(1, int(shape[0]) // max(channels, 1))


def _doubtful(layer: DesignLayer, counts: Counts) -> int:
    """Products whose binding no design has shown: the wider operand has 10 to 15 bits."""
    if layer.binding != "auto":
        return 0
    data = layer.data_width
    return sum(number for bits, number in counts.multiplier_widths if min(data, bits) > 4 and 9 < max(data, bits) < 16)


def _dsp_spread(made: Products, doubtful: int, layer: DesignLayer) -> Spread:
    if not made.dsp:
        return EXACT
    low = max(0.0, 1 - doubtful / max(made.in_dsp, 1))
    return (low, 1.0) if layer.reuse_factor == 1 else (min(low, 0.9), 1.1)


def _latency_spread(layer: DesignLayer, place: Schedule, design: Design) -> Spread:
    if design.io_type == "io_stream" and layer.kind != "dense":
        return (0.7, 1.5)
    if design.tool == "vivado" and design.family == "ultrascale_plus":
        return EXACT if place.cycles == 1 or layer.reuse_factor > 1 else (0.5, 1.5)
    return (0.85, 1.2)


def _interval_spread(layer: DesignLayer) -> Spread:
    if layer.reuse_factor == 1 and layer.strategy != "resource":
        return EXACT
    return (0.9, 1.1) if layer.reuse_factor > 2 else EXACT


def _block(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    block = block_of(layer)
    lut, ff = _figures(layer, design, coefficients, None)
    dsp = block_dsp(block, layer, design)
    took = block.factor + _cycles_beyond(dsp > 0, design)
    cycles, least, interval = _positions(layer, design, took, float(block.factor))
    several = partitions(layer, design)
    dsp *= several.pixels
    if several != Partitions(1, 1) and design.io_type == "io_parallel":
        lut, ff = in_partitions(lut, ff, layer, design)
    notes = []
    seen = design.tool == "vivado" and block.factor > block.n_in
    if design.tool == "vitis":
        notes.append("resource strategy: memory and LUTs of Vitis were not measured at C synthesis")
    small = min(block.n_in, block.n_out) < 32 or max(block.n_in, block.n_out) > 256
    if small:
        notes.append("a kernel outside 32 .. 256 inputs and outputs was not measured with more turns than inputs")
    spread = {
        "dsp": (0.95, 1.0) if block.width > 6 else (0.0, 1.1),
        "bram_18k": EXACT if seen and block.factor <= 1024 else (0.7, 1.15),
        "lut": _away(lut.spread, small, design), "ff": _away(ff.spread, small, design),
        "latency_cycles": (1 - 1 / cycles, 1 + (8 if product_stages(design) > 1 else 1) / cycles),
        "initiation_interval": EXACT,
    }  # fmt: skip
    line = f"{block.n_in} x {block.n_out} weights, reuse factor {block.factor}: block factor {block.multipliers}, "
    lines = (line + f"weights of {block.width} bits in memory", lut.line, ff.line)
    if least is None and layer.positions == 1:
        least = cycles - 1  # 830 of 871 Vivado designs, 42 of 42 Vitis designs
    return Price(
        dsp, float(block_memory(block) + window_memory(layer, design)), lut.value, ff.value, cycles, interval, spread,
        lines, tuple(notes), _measured(lut, ff), least, more_bram_18k=memory_copies(block, design),
    )  # fmt: skip


def _cycles_beyond(in_dsp: bool, design: Design) -> float:
    """Cycles of a kernel beyond its turns: 2 (871 of 871 designs, least or most); where products have stages 5, 4 in
    fabric (22 of 28 layers of five designs, the others up to 13); 1 where the clock is slow (six layers)."""
    if design.io_type == "io_stream":
        return 2.0
    if unhurried(design):
        return 1.0
    return (5.0 if in_dsp else 4.0) if product_stages(design) > 1 else 2.0


def _away(spread: Spread, outside: bool, design: Design) -> Spread:
    """Wider outside the measured sizes or tool."""
    if outside or design.tool == "vitis":
        return widened((min(spread[0], 0.75), max(spread[1], 1.3)), 1.5)
    return spread


def _unknown_weights(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    """Constants that are not known: every weight counts as a multiplier, which is the most there can be."""
    assert layer.kernel_shape is not None
    n_in, n_out = layer.kernel_shape
    if layer.kind == "scale":
        return _unknown_factors(layer, design, coefficients)
    weights = n_in * n_out
    number = math.ceil(weights / layer.reuse_factor)
    wide, narrow = max(layer.data_width, layer.weight_width), min(layer.data_width, layer.weight_width)
    dsp = float(number * dsp_blocks(wide, narrow, design.family)) if wide > 9 and narrow > 4 else 0.0
    bits = max(layer.accumulator_width, 1)
    lut = float(weights * (bits + 3))
    cycles, least, interval = _positions(layer, design, 2.0 + layer.reuse_factor, float(layer.reuse_factor))
    spread = {
        "dsp": (0.2, 1.0), "lut": (0.3, 1.3), "ff": (0.1, 1.5), "latency_cycles": (0.5, 2.0),
        "initiation_interval": (0.5, 1.5),
    }  # fmt: skip
    lines = (f"{weights} weights, none known: {number} multipliers",)
    return Price(dsp, 0.0, lut, lut, cycles, interval, spread, lines, (_UNKNOWN,), "none", least)


def _unknown_factors(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    """A scale whose constants are not known: as if none were zero or a power of two."""
    assert layer.kernel_shape is not None
    bits = max(3, layer.weight_width - 1)
    factor = sum(1 << place for place in range(bits - 1, -1, -2))  # 10101…: every second bit is a digit
    known = replace(layer, weights=np.eye(layer.kernel_shape[1], dtype=np.int64) * factor)
    found = _constant(known, design, coefficients)
    spread = {**found.spread, "dsp": (0.0, 1.0), "lut": (0.3, 1.3), "ff": (0.1, 1.5)}
    return replace(found, spread=spread, notes=(*found.notes, _UNKNOWN), measured="none")


def _distributed(layer: DesignLayer, design: Design, coefficients: Coefficients) -> Price:
    """Sums alone: the adders that da4ml left where they were read or it was asked, else a share of all."""
    found = _constant(layer, design, coefficients)
    lut = (0.6, 1.5) if layer.adder_graph else (0.4, 2.0)
    spread = {"lut": lut, "ff": (0.4, 2.0), "latency_cycles": (0.6, 1.6)}
    notes = (*found.notes, "distributed arithmetic was not measured against synthesis")
    return replace(found, spread={**found.spread, **spread}, notes=notes, measured="none")
