"""What is counted for each figure of a layer: named amounts, to be multiplied by fitted coefficients and added up.

Regimes: ``constant`` (weights in logic, all products at once), ``sequential`` (latency strategy with a reuse factor:
products take turns), ``registered`` (resource strategy at reuse factor 1), ``block`` (resource strategy: weights in
memory), ``activation``, ``softmax``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from toolchain.estimate.adder_graphs import counts_of, shared
from toolchain.estimate.counting import Counts, KernelOperands, count
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.operator_library import joining_lut, library, rewinds, stage_registers
from toolchain.estimate.partitions import Multipliers, shared_multipliers
from toolchain.estimate.schedule import Schedule, schedule, stages_of
from toolchain.network.constant_products import dsp_blocks, uses_dsp

#: With so few turns the words that are added together come in the same one.
_FEW_TURNS = 2
#: Vivado builds one multiplier more than the limit from this reuse factor on.
_ONE_MORE_FROM = 1024
#: A product in fabric as it is printed: look-up tables for each bit of its area (5 x 6: 23, 6 x 7: 33, 6 x 8: 40), at
#: least those of 5 x 6.
_PRODUCT_LUT, _LEAST_PRODUCT_LUT = 0.8, 23.0
#: Look-up tables beside a product of several stages (1,300 printed ones).
_STAGED_PRODUCT_LUT = 2.0


@dataclass(frozen=True)
class Amounts:
    """``fixed`` is known without a fit (an adder takes one look-up table for each bit); the rest is priced."""

    regime: str
    terms: Mapping[str, float]
    fixed: float = 0.0


def kernel_counts(layer: DesignLayer) -> Counts:
    """Counts of the layer's constants. The weights must be known, or the adders that are left of them."""
    if layer.adder_graph is not None:
        return counts_of(layer.adder_graph)
    assert layer.weights is not None
    operands = KernelOperands(layer.data_width, max(layer.accumulator_width, 1), layer.dropped_bits, layer.data_widths)
    found = count(layer.weights, operands)
    return shared(found) if layer.strategy == "distributed_arithmetic" else found


def regime(layer: DesignLayer) -> str:
    """Which of the regimes a layer with weights is in."""
    if layer.strategy == "resource":
        return "block" if layer.reuse_factor > 1 else "registered"
    return "sequential" if layer.reuse_factor > 1 else "constant"


@dataclass(frozen=True)
class Products:
    """The products of a layer of constants: DSP blocks, how many are in DSP blocks, and those in fabric."""

    dsp: float
    in_dsp: float
    fabric: float
    fabric_products: float  # look-up tables of those in fabric, each as the reports print it
    joined: float = 0.0  # products of several DSP blocks
    joined_lut: float = 0.0  # look-up tables that join those


def products(layer: DesignLayer, counts: Counts, design: Design) -> Products:
    """Where the tool builds each product; a forced product in fabric is built square (8 x 5 as 8 x 8).

    With a reuse factor only as many are built as the tool allows at once; each must hold the widest it serves.
    """
    data, least = layer.data_width, library(design).least_constant_bits
    blocks: list[tuple[int, int]] = []  # (DSP blocks of one product, how many)
    fabric: list[tuple[float, int]] = []  # (look-up tables of one product, how many)
    for bits, number in sorted(counts.multiplier_widths, reverse=True):
        if layer.binding == "dsp" or (layer.binding == "auto" and uses_dsp(data, bits, least)):
            blocks.append((dsp_blocks(max(data, bits), min(data, bits), design.family), number))
        else:
            square = max(bits, data) ** 2
            printed = square if layer.binding == "lut" else max(_LEAST_PRODUCT_LUT, _PRODUCT_LUT * data * bits)
            fabric.append((printed, number))
    limit = counts.multipliers
    several = multipliers(layer, counts, design)
    if layer.reuse_factor > 1 and several is None:
        limit = max(1, limit_of(layer, counts, design.tool))
    dsp = in_dsp = built = joined = 0
    logic = 0.0
    for size, number in blocks:  # the widest first
        taken = min(number, limit - in_dsp)
        in_dsp, dsp = in_dsp + taken, dsp + taken * size
        joined += taken if size > 1 else 0
    for printed, number in fabric:
        taken = min(number, limit - in_dsp - built)
        built, logic = built + taken, logic + taken * printed
    share = several.share if several else 1.0
    wide = max([data, *(bits for bits, _ in counts.multiplier_widths)])
    found = (dsp, in_dsp, built, logic, joined, joined * joining_lut(wide, design))
    return Products(*(amount * share for amount in found))


def multipliers(layer: DesignLayer, counts: Counts, design: Design) -> Multipliers | None:
    """Those that the windows computed at once share; None where there is one window only."""
    if layer.weights is None:
        return None
    return shared_multipliers(layer, design, max(1, limit_of(layer, counts, design.tool)))


def at_once(layer: DesignLayer, counts: Counts, tool: str) -> int:
    """Multipliers that are built: all, or the limit that the reuse factor sets."""
    if layer.reuse_factor == 1:
        return counts.multipliers
    return min(counts.multipliers, max(1, limit_of(layer, counts, tool)))


def limit_of(layer: DesignLayer, counts: Counts, tool: str) -> int:
    """Multipliers at once: hls4ml's own limit, exact for 38 of 38 Vitis layers.

    Channels that do not mix are no zeros (three layers), and a scale's factors are counted for each word of the sample
    (eight layers). Vivado keeps one more from a reuse factor of 1,024 on (15 of 15 designs); not where that would
    exceed the limit at the next smaller divisor: pruned layers were not measured.
    """
    factor, weights = layer.reuse_factor, counts.n_in * counts.n_out
    if layer.kind == "scale":
        return math.ceil(layer.words / factor)
    zeros = 0 if layer.kind == "depthwise" else counts.zeros
    limit = layer.multiplier_limit or math.ceil(weights / factor) - zeros // factor
    if tool == "vivado" and factor >= _ONE_MORE_FROM:
        below = next(divisor for divisor in range(_ONE_MORE_FROM - 1, 0, -1) if weights % divisor == 0)
        return max(limit, min(limit + 1, weights // below - zeros // below))
    return limit


def constant_amounts(layer: DesignLayer, counts: Counts, design: Design) -> dict[str, Amounts]:
    """``lut`` and ``ff`` of a layer whose weights are constants.

    lut: an adder has one look-up table for each bit of its wider operand (fixed) and a few more unless it is half of a
    ternary one; a product in a DSP block has some around it; products that wait for a shared multiplier are selected; a
    shift register has one for each bit.
    ff: the words alive where the schedule cuts the sums or where one waits for another, shift registers, and products
    that were rounded or saturated.
    """
    place = schedule(counts, layer, design)
    name = regime(layer)
    made = products(layer, counts, design)
    biases = min(layer.biases, counts.n_out)
    adders = counts.tree_adders + biases
    waiting = counts.multipliers - at_once(layer, counts, design.tool)
    rounded = float(counts.nonzeros * layer.accumulator_width) if layer.accumulator_rounds else 0.0
    known = library(design)
    several = multipliers(layer, counts, design)
    once = several.adders if several else 1.0
    summed, full = counts.tree_bits, counts.full_adders
    if place.chained:  # a sum that grows with each addition soon has the accumulator's width
        summed, full = counts.tree_adders * layer.accumulator_width, counts.tree_adders
    bits = summed + counts.product_bits * once + biases * layer.accumulator_width + place.shift_bits
    bits += counts.selection_bits + known.port * _ports(layer, counts, place, design)
    staged = stages_of(layer, counts, design) > 1
    terms: dict[str, float] = {"products_that_take_turns": waiting, "rounded_bits": rounded}
    if staged:
        bits += _STAGED_PRODUCT_LUT * made.in_dsp
    else:
        bits += made.joined_lut
        if name != "registered":  # nothing surrounds the blocks of 35 designs
            terms["products_in_dsp"] = made.in_dsp - made.joined
    growing = adders + (counts.product_adders - counts.negated_pairs) * once - full
    bits -= counts.negated_bits * once  # the sum subtracts
    terms["operators_printed"] = made.fabric_products + known.adder * growing + known.full_adder * full
    ff = {**_registers(layer, counts, place, design, made), "rounded_bits": rounded}
    return {"lut": Amounts(name, terms, bits), "ff": Amounts(name, ff, _held(layer, counts, place, design, made))}


def _ports(layer: DesignLayer, counts: Counts, place: Schedule, design: Design) -> int:
    """Outputs that a kernel of its own holds while the design is stalled: where a sample may begin each cycle."""
    apart = layer.kind == "dense" and design.io_type == "io_parallel" and regime(layer) == "constant"
    stalls = place.cycles > (1 if rewinds(design) else 0)
    return _outputs(layer, counts) if apart and stalls else 0


def _outputs(layer: DesignLayer, counts: Counts) -> int:
    """Words of one evaluation that anything reads."""
    return min(counts.n_out, max(1, layer.words // max(layer.positions, 1)))


def _input_bits(layer: DesignLayer, counts: Counts) -> int:
    return sum(layer.data_widths) if layer.data_widths else counts.n_in * layer.data_width


def _held(layer: DesignLayer, counts: Counts, place: Schedule, design: Design, made: Products) -> float:
    """Flip-flops that need no fit: results, words read by a kernel of two cycles or more, and inside multipliers.

    A design of one layer by Vivado has its ports counted for itself.
    """
    stages = stages_of(layer, counts, design)
    inside = made.in_dsp * stage_registers(stages) + (stages - 1) * counts.bits_at(0)  # other products wait
    alone = len(design.layers) == 1 and design.tool == "vivado"
    if alone or not _ports(layer, counts, place, design):
        return inside
    words = _input_bits(layer, counts) if place.cycles > 1 else 0
    return inside + _outputs(layer, counts) * layer.result_width + words


def _registers(layer: DesignLayer, counts: Counts, place: Schedule, design: Design, made: Products) -> dict[str, float]:
    """Of a design of one layer Vivado keeps the input, and the output where a sample begins each cycle (port bits)."""
    window = layer.data_width * counts.n_in if design.io_type == "io_stream" else 0
    alone = design.io_type == "io_parallel" and len(design.layers) == 1 and design.tool == "vivado"
    ports = float(layer.data_width * counts.n_in) if alone else 0.0
    common = {"window_bits": float(window), "chain_bits": place.chain_bits, "shift_bits": place.shift_bits}
    if regime(layer) == "sequential":
        alive = place.cut_bits
        if turns(layer, counts, design.tool) > _FEW_TURNS:
            alive = max(alive, _waiting_bits(counts, place))
        return {**common, "cut_bits": alive, "port_bits": ports}
    if regime(layer) == "registered":  # which begins every other cycle: its results are held, not its input
        ports = float(layer.result_width * _outputs(layer, counts)) if alone or place.cycles else 0.0
        alive = max(place.cut_bits, _first_sums(counts, made)) if place.cycles else 0.0
        return {**common, "cut_bits": alive, "product_bits": place.product_bits, "port_bits": ports}
    if alone and place.cycles:
        ports += layer.result_width * _outputs(layer, counts)
    return {**common, "cut_bits": place.cut_bits, "product_bits": place.product_bits, "port_bits": ports}


def _first_sums(counts: Counts, made: Products) -> float:
    """Bits of the first sums that have a product of a DSP block: these leave room for one adder in their cycle."""
    share = counts.multiplied * made.in_dsp / max(1, counts.nonzeros * counts.multipliers)
    return counts.bits_at(1) * (1 - (1 - min(1.0, share)) ** 2)


def _waiting_bits(counts: Counts, place: Schedule) -> float:
    """Bits kept where products take many turns, each once: of two words that are added one waits for the other.

    That is half of them; and of the other half those whose sums fill the cycle: each sum that goes on in its cycle was
    the later one, which has probability one half.
    """
    return 0.0 if place.chained else sum(counts.level_bits[:-1]) * (0.5 + 0.5**place.held)


def turns(layer: DesignLayer, counts: Counts, tool: str) -> int:
    """How often the multipliers are used for one word."""
    return math.ceil(counts.multipliers / at_once(layer, counts, tool)) if counts.multipliers else 1
