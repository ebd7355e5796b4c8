"""A kernel that is evaluated for several positions at once, one partition after the other: its price and its cycles."""

from __future__ import annotations

import math
from dataclasses import replace

from toolchain.estimate.amounts import Products, multipliers
from toolchain.estimate.counting import Counts
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.multiplexers import state_luts
from toolchain.estimate.operator_library import older_than
from toolchain.estimate.partitions import gathered_lut, partitions, stored_ff, stored_lut, wrapper_cycles
from toolchain.estimate.price import Figure, Spread

#: Share of the bits of a product that wait for its sum, where multipliers are shared by several positions.
_WAITING, _FEW_TURNS = 0.5, 4
#: Vitis: cycles that a loop over partitions may take more or less than said. From this version on pointwise
#: convolutions were seen in a loop only (two designs); of two of 2022.2 one has them all at once.
_LOOP_CYCLES, _LOOPS_POINTWISE_FROM = 2.0, "2023"
#: All positions at once by an hls4ml that knows no partitions: its limit of multipliers is not in the project. Three
#: designs of one author have 16 to 38 % of them in DSP blocks, and three or six turns.
TURNS_UNKNOWN = "all positions are computed at once; how many turns their multipliers take is not known"
IN_UNKNOWN_TURNS: dict[str, Spread] = {
    "dsp": (0.15, 1.0), "lut": (0.5, 1.2), "ff": (0.25, 1.5), "latency_cycles": (0.5, 3.0),
    "initiation_interval": (1.0, 6.0),
}  # fmt: skip


def in_partitions(lut: Figure, ff: Figure, layer: DesignLayer, design: Design) -> tuple[Figure, Figure]:
    """One kernel for each position at once, and what brings and stores the words of the partitions."""
    found = partitions(layer, design)
    logic = gathered_lut(layer, design, found) + stored_lut(layer, design, found)
    kept = stored_ff(layer, design, found)
    shown = f", times {found.pixels}" + (f", and {{:.0f}} for {found.number} partitions" if found.number > 1 else "")
    away = found.number > 1 and layer.words > 256 and design.tool == "vivado"
    spread = (min(lut.spread[0], 0.7), max(lut.spread[1], 1.6)) if away else lut.spread
    known = "none" if lut.measured == "none" else "foreign" if found.number > 1 else lut.measured
    line = lut.line + shown.format(logic)
    return (
        replace(lut, value=lut.value * found.pixels + logic, line=line, spread=spread, measured=known),
        replace(ff, value=ff.value * found.pixels + kept, line=ff.line + shown.format(kept)),
    )


def in_turns(
    lut: Figure, ff: Figure, layer: DesignLayer, counts: Counts, made: Products, design: Design
) -> tuple[Figure, Figure]:
    """What brings shared multipliers their words, and products that wait for their sums."""
    shared, pixels = multipliers(layer, counts, design), partitions(layer, design).pixels
    assert shared is not None
    chosen = pixels * (made.in_dsp + made.fabric) * state_luts(shared.turns)
    bits = sum(number * (layer.data_width + width) for width, number in counts.multiplier_widths)
    waiting = pixels * _WAITING * bits if shared.turns > _FEW_TURNS else 0.0
    return (
        replace(lut, value=lut.value + chosen, line=f"{lut.line}, and {chosen:.0f} to choose what is multiplied"),
        replace(ff, value=ff.value + waiting, line=f"{ff.line}, and {waiting:.0f} of products that wait"),
    )


def in_loop(
    layer: DesignLayer, design: Design, cycles: float, each: float, number: int
) -> tuple[float, float | None, float]:
    """(cycles, cycles at least, interval) of a loop over partitions that begins one after ``each`` cycles.

    Vitis: exact for 11 of 26 loops of three authors (2022.2 to 2023.2), one cycle off for 12, two for three; a sample
    begins when the one before it has left the layer.
    """
    whole = (number - 1) * each + max(1.0, cycles) + 1
    if design.tool == "vivado" or not design.dataflow:
        return max(whole, (number - 1) * each + min(each, whole) + 1), None, number * each
    whole = (whole if each == 1 else number * each) + wrapper_cycles(layer, design)
    return whole, None, whole + 1


def in_turns_of_loop(layer: DesignLayer, design: Design) -> bool:
    """Whether a partition takes its kernel's turns, two at least: Vitis 2022.2 at a reuse factor of five (four of four
    kernels of one author)."""
    loops = design.tool == "vitis" and design.dataflow and partitions(layer, design).number > 1
    return loops and layer.reuse_factor > 1


def loop_spread(layer: DesignLayer, design: Design, interval: float) -> tuple[dict[str, Spread], tuple[str, ...]]:
    """(spreads that a loop over partitions has beside those of its kernel, notes)."""
    number = partitions(layer, design).number
    if number <= 1 or design.tool == "vivado" or not design.dataflow:
        return {}, ()
    around = _LOOP_CYCLES / max(interval, 1.0)
    if math.prod(layer.window) > 1 or not older_than(design, _LOOPS_POINTWISE_FROM):
        return {"initiation_interval": (max(0.0, 1 - around), 1 + around)}, ()
    many = float(number)
    wide: dict[str, Spread] = {
        "dsp": (1.0, many), "lut": (0.7, many), "ff": (0.7, 2 * many), "initiation_interval": (1 / interval, 1 + around)
    }  # fmt: skip
    return wide, ("pointwise: one of two designs of this version computes all positions at once",)
