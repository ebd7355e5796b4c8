"""A kernel that is evaluated for several positions at once, one partition after the other: its price and its cycles."""

from __future__ import annotations

from dataclasses import replace

from toolchain.estimate.amounts import Products, multipliers
from toolchain.estimate.counting import Counts
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.multiplexers import state_luts
from toolchain.estimate.partitions import gathered_lut, partitions, stored_ff, stored_lut, wrapper_cycles
from toolchain.estimate.price import Figure, Spread

#: Share of the bits of a product that wait for its sum, where multipliers are shared by several positions.
_WAITING, _FEW_TURNS = 0.5, 4
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

    Vitis: exact, or one cycle more, for 21 of 24 loops of three authors (2022.2 to 2023.2); a sample begins when the
    one before it has left the layer.
    """
    whole = (number - 1) * each + max(1.0, cycles) + 1
    if design.tool == "vivado" or not design.dataflow:
        return max(whole, (number - 1) * each + min(each, whole) + 1), None, number * each
    whole = (whole if each == 1 else number * each) + wrapper_cycles(layer, design)
    return whole, None, whole + 1
