"""When the sums of constant products are cut by registers: cycles, and the bits each cut keeps.

C synthesis places operators one after the other until the clock period, less its uncertainty, is used up; then it cuts.
Two delays for each device family decide where. They are those the tools' operator libraries give for a 16-bit adder and
a product in one DSP block; they were not fitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolchain.estimate.counting import Counts
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.operator_library import (
    level_ns,
    library,
    older_than,
    period_ns,
    product_ns,
    product_stages,
    wide_product_ns,
)
from toolchain.network.constant_products import dsp_blocks, uses_dsp

#: The last levels of a tree join the cycle before them, as do the last of a cycle that holds several: ternary adders.
_JOINED_LEVELS = 0.65
#: Vitis leaves sums of more products than this unbalanced (4,096 products were balanced, 10,976 were not).
_BALANCED_PRODUCTS = 4096
#: This version of Vitis balances them all.
_BALANCES_FROM = "2023"
#: Two DSP blocks for one product, one after the other.
_CASCADED = 1.6
#: Additions of an unbalanced chain that fit where one level of a tree fits: its operands arrive in order.
_CHAIN_GAIN = 1.5
#: Levels of a tree are looked at in these steps, down to this share of its sums.
_STEP, _NEGLIGIBLE = 0.125, 1e-3


@dataclass(frozen=True)
class Schedule:
    """Cycles of one evaluation, and the register bits between them."""

    cycles: int
    product_cycles: int  # that a product needs beyond its first
    cut_bits: float  # words alive at each cut, summed
    product_bits: float  # of the shared products, for each additional cycle they take
    chain_bits: float  # of unbalanced sums: products that wait for their turn, and a sum for each output and cycle
    shift_bits: float  # products in shift registers, where a sample begins before the one before it ends
    chained: bool
    held: int  # levels of adders that fit into one cycle
    delay_ns: float  # from input to output where nothing is cut


def schedule(counts: Counts, layer: DesignLayer, design: Design) -> Schedule:
    """The schedule of a layer that is evaluated with all its products at once."""
    period = period_ns(design)
    level = level_ns(design)
    product = _product_ns(counts, layer, design)
    stages = stages_of(layer, counts, design)
    waiting = stages if stages > 1 else 0 if product <= period else 3 if _any_dsp(counts, layer) else 1
    if _chains(design) and layer.adder_graph is None and counts.n_in * counts.n_out > _BALANCED_PRODUCTS:
        cycles = max(1, math.floor(counts.fan_in * level / (_CHAIN_GAIN * period)))
        products, sums = counts.bits_at(0), counts.level_bits[-1] if counts.level_bits else 0.0
        chain, shifted = products + cycles * sums, products / layer.reuse_factor
        return Schedule(cycles + waiting, waiting, 0.0, waiting * products, chain, shifted, True, 1, cycles * period)
    levels = math.log2(max(counts.fan_in, 1)) - _JOINED_LEVELS
    held = max(1, math.floor(period / level))  # levels in one cycle
    place, cuts = ((period - product) * held / period if not waiting else 0.0), 0
    bits = 0.0
    joined = _JOINED_LEVELS if held > 1 else 0.0
    while place < levels:
        first = not cuts and not waiting and layer.reuse_factor == 1
        bits += _first_cut(counts, layer, design, held, joined) if first else counts.bits_at(place + joined)
        cuts, place = cuts + 1, place + held
    kept = 0.0 if stages > 1 else waiting * counts.bits_at(0)  # stages hold their words inside the multiplier
    delay = product + max(0.0, levels) * level
    return Schedule(cuts + waiting, waiting, bits, kept, 0.0, 0.0, False, held, delay)


def _first_cut(counts: Counts, layer: DesignLayer, design: Design, held: int, joined: float) -> float:
    """Bits alive where the first cycle ends. A sum is in it when all its products come early enough.

    Products of DSP blocks come latest, those of two digits earlier, wiring at once: of 2**n products that a sum of
    level n has, all must be of a kind that leaves time for n levels.
    """
    period, level = period_ns(design), level_ns(design)
    number = max(1, counts.nonzeros)
    real, pairs = counts.multiplied / number, counts.paired / number
    slow = _product_ns(counts, layer, design)
    rounding = 2 * level if layer.accumulator_rounds else 0.0
    kinds = ((slow, real), (min(slow, 2 * level + rounding), pairs), (rounding, 1 - real - pairs))
    reach = [((period - delay) * held / period + joined, share) for delay, share in kinds if share > 0]
    bits, before, place = 0.0, 1.0, 0.0
    while before > _NEGLIGIBLE and place < len(counts.level_bits):
        after = sum(share for most, share in reach if most >= place + _STEP - 1e-9) ** (2 ** (place + _STEP))
        bits += counts.bits_at(place) * max(0.0, before - after)
        before, place = min(before, after), place + _STEP
    return bits + before * counts.bits_at(place)


def stages_of(layer: DesignLayer, counts: Counts, design: Design) -> int:
    """Stages of the layer's widest product in a DSP block, where the tool chose the block itself."""
    widest = max((bits for bits, _ in counts.multiplier_widths), default=0)
    if layer.binding != "auto" or not uses_dsp(layer.data_width, widest, library(design).least_constant_bits):
        return 1
    return product_stages(design)


def _chains(design: Design) -> bool:
    """Whether long sums stay chains: Vitis 2021.1 left two so, Vitis 2023.1 balanced three."""
    return design.tool == "vitis" and older_than(design, _BALANCES_FROM)


def ternary_levels(words: int) -> int:
    """Levels of adders of three words each that sum ``words``."""
    levels, held = 0, 1
    while held < words:
        levels, held = levels + 1, 3 * held
    return levels


def _any_dsp(counts: Counts, layer: DesignLayer) -> bool:
    if layer.binding != "auto":
        return layer.binding == "dsp" and counts.multipliers > 0
    return any(uses_dsp(layer.data_width, bits) for bits, _ in counts.multiplier_widths)


def _product_ns(counts: Counts, layer: DesignLayer, design: Design) -> float:
    """The slowest kind of product decides: in a DSP block, of two digits, negated, or wiring."""
    level = level_ns(design)
    rounding = 2 * level if layer.accumulator_rounds else 0.0
    if counts.selection_bits:
        return rounding + 0.5 * level
    if counts.multipliers:
        longest = max(bits for bits, _ in counts.multiplier_widths)
        wide, narrow = max(longest, layer.data_width), min(longest, layer.data_width)
        cascade = _CASCADED if dsp_blocks(wide, narrow, design.family) > 1 else 1.0
        alone = (
            stages_of(layer, counts, design) == 1 and uses_dsp(layer.data_width, longest) and layer.binding == "auto"
        )
        return (wide_product_ns(design) if alone else product_ns(design)) * cascade + rounding
    block = product_ns(design)
    return rounding + (min(2 * level, block) if counts.adders else level if counts.product_adders else 0.0)
