"""Look-up tables and flip-flops of layers in io_stream, counted as the tools build them: one regime for each kind.

The counts price themselves: a fit finds how far off all of them are together (``counted``, near 1). Constants are those
of the modules of about 40 published designs; see ``streams.py``.
"""

from __future__ import annotations

import math

from toolchain.estimate.amounts import Amounts
from toolchain.estimate.block import Block, block_dsp
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.multiplexers import chooses_by_index, indexed_luts, selection_luts
from toolchain.estimate.operator_library import fabric_product_luts, level_ns, period_ns, rewinds
from toolchain.estimate.small_layers import COMPARED, word_luts
from toolchain.estimate.streams import dense_ports, line_buffer, window_logic

#: A multiplexer of more ways than this is a chain of selections.
_MOST_WAYS = 256
#: Beyond an accumulator's bits; look-up tables to find an accumulator again, once and while there are few of them.
_ADDER_LUT, _OUTPUT_LUT, _FEW_OUTPUTS_LUT, _FEW_OUTPUTS = 2.0, 45.0, 65.0, 12
#: Vivado: what each word that a dense layer has gathered costs (four selections of two), and how often it is kept.
_GATHERED_LUT, _GATHERED_COPIES = 36.0, 4.0
#: A pipelined kernel keeps its input where the clock is faster than this.
_HURRIED_NS = 8.0
#: How often a word of a window, an accumulator, and a product are kept.
_WINDOW_COPIES, _OUTPUT_COPIES, _PRODUCT_COPIES = 1.6, 3.0, 1.5
#: Two selections for each input of a kernel whose loop rewinds: 12 of 13 modules of one author (Vitis 2024.2) exact.
_REWOUND_LUT = 18.0
#: A stream's port, for each word.
_PORT = 18.0


def memory_amounts(block: Block, layer: DesignLayer, design: Design) -> dict[str, Amounts]:
    """A kernel whose weights are in memory, in io_stream."""
    rounded = float(block.multipliers * layer.accumulator_width) if layer.accumulator_rounds else 0.0
    dense = layer.kind == "dense"
    around = dense_ports(layer, design) if dense else window_logic(layer, design)
    lut = _memory_lut(block, layer, design) + around.lut
    held = max(layer.accumulator_width, 1)
    number, gathered = block.multipliers, block.n_in * layer.data_width
    copies = (
        (_GATHERED_COPIES if design.tool == "vivado" else 2.0 if rewinds(design) else 1.0) if dense else _WINDOW_COPIES
    )
    turning = layer.data_width if block.factor < block.n_in else 0
    ff = copies * gathered + number * (turning + block.width + _PRODUCT_COPIES * held) + around.ff
    ff += _OUTPUT_COPIES * block.n_out * held if design.tool == "vivado" else block.n_out * held
    return {
        "lut": Amounts("stream_block", {"counted": lut, "rounded_bits": rounded}),
        "ff": Amounts("stream_block", {"counted": ff, "rounded_bits": rounded}),
    }


def _memory_lut(block: Block, layer: DesignLayer, design: Design) -> float:
    """Selected words, accumulators, and what finds an accumulator again."""
    held, number, turns = max(layer.accumulator_width, 1), block.multipliers, block.factor
    lut = number * (held + _ADDER_LUT)
    if layer.binding == "auto" and min(block.width, layer.data_width) > 1 and not block_dsp(block, layer, design):
        lut += number * fabric_product_luts(max(block.width, layer.data_width))
    if turns > block.n_in:
        lut += indexed_luts(block.n_in, design) + number * indexed_luts(block.n_out, design)
        few = _FEW_OUTPUTS_LUT * min(block.n_out, _FEW_OUTPUTS) if layer.kind != "dense" else 0.0
        lut += (_OUTPUT_LUT * block.n_out + few) * held / 16
    elif turns == block.n_in or rewinds(design):
        lut += indexed_luts(block.n_in, design)
    elif not chooses_by_index(layer) or design.tool == "vitis":
        lut += number * selection_luts(turns, design) * layer.data_width / 16
    elif block.n_in > _MOST_WAYS:
        lut += math.ceil(block.n_in / turns) * (turns - 1) * layer.data_width
    else:
        lut += number * indexed_luts(block.n_in, design)
    if rewinds(design):
        lut += _REWOUND_LUT * block.n_in
    if layer.kind == "dense":
        lut += _PORT * block.n_out + (_GATHERED_LUT * block.n_in if design.tool == "vivado" else 0.0)
    return lut


def with_stream(found: dict[str, Amounts], layer: DesignLayer, design: Design) -> dict[str, Amounts]:
    """Amounts of a kernel of constants in io_stream: what is around it is known without a fit."""
    if layer.kind == "scale":
        lut, ff = layer.words / max(layer.positions, 1) * (_PORT + 2.0 * layer.data_width), 0.0
    else:
        around = dense_ports(layer, design) if layer.kind == "dense" else window_logic(layer, design)
        lut, ff = around.lut, around.ff
    ff += _gathered_copies(layer, design) * found["ff"].terms.get("window_bits", 0.0)
    more = {"lut": lut, "ff": ff}
    return {
        name: Amounts(
            one.regime, {**one.terms, "window_bits": 0.0} if name == "ff" else one.terms, one.fixed + more[name]
        )
        for name, one in found.items()
    }


def _gathered_copies(layer: DesignLayer, design: Design) -> float:
    """How often the words of a window or of a dense layer's input are kept: once more where the kernel is pipelined.

    A scale keeps its products and sums as well, at each stage of a product that does not fit into a cycle.
    """
    if layer.kind == "scale":
        staged = design.tool == "vivado" and design.family == "7series" and layer.reuse_factor == 1
        return 7.5 if staged and period_ns(design) < _HURRIED_NS else 2.0
    if design.tool == "vitis":
        return 1.5
    hurried = period_ns(design) < _HURRIED_NS
    if layer.kind == "dense":
        return 3.0 if hurried else 2.0
    return 1.9 if hurried else 1.0


def activation_stream_amounts(layer: DesignLayer, design: Design) -> dict[str, Amounts]:
    """A comparison and a selection for each word of a position, rounding where the result asks for it, and ports."""
    words = max(1, layer.words // max(layer.positions, 1))
    each = word_luts(layer, design)
    sloped = words * layer.data_width if layer.function not in COMPARED else 0
    ports = _PORT * words + 60 if design.tool == "vivado" else 60.0
    kept = words * layer.data_width * _kept(design) + 18
    return {
        "lut": Amounts("stream_activation", {"counted": words * each + ports, "function_bits": float(sloped)}),
        "ff": Amounts("stream_activation", {"counted": kept, "function_bits": float(sloped)}),
    }


def _kept(design: Design) -> float:
    """How often a word is kept on its way: comparison, selection and rounding, each a level and a half of adders."""
    if design.tool == "vitis":
        return 1.0
    level = level_ns(design)
    period = period_ns(design)
    return float(min(2.0, 3.1 * level / period * math.sqrt(level)))


def pooling_amounts(layer: DesignLayer, design: Design) -> dict[str, Amounts]:
    """A comparison and a selection for each word of a window but one; the words are found by an index (Vivado)."""
    channels, words, width = layer.input_shape[-1], math.prod(layer.window), layer.data_width
    compared = words - 1
    if layer.implementation == "encoded":
        around = window_logic(layer, design)
        lut = around.lut + channels * compared * (1.8 * width + 3)
        ff = around.ff + channels * 2.0 * width
    elif design.tool == "vivado":
        rows = line_buffer(layer)
        found = channels * max(words // 2 - 1, 0) * indexed_luts(words, design)
        lut = 507 + channels * (_PORT + compared * (0.75 * width + 11)) + rows.lut + found
        ff = 260 + rows.ff + channels * width * (words - layer.window[0] + 0.75 * words * _waits(words, design))
    else:
        rows = line_buffer(layer)
        lut = 500 + channels * compared * (width + 15) + rows.lut
        ff = 260 + rows.ff + channels * width * (words - layer.window[0] + 1)
    return {"lut": Amounts("stream_pooling", {"counted": lut}), "ff": Amounts("stream_pooling", {"counted": ff})}


def _waits(words: int, design: Design) -> int:
    """Cycles in which the words of a pooling window wait: each level of comparisons has an index and a selection."""
    level = level_ns(design)
    period = period_ns(design)
    return math.floor(2.2 * math.log2(max(words, 2)) * level / period)


def pooling_turns(layer: DesignLayer, design: Design) -> int:
    """Cycles for each position that a pooling layer reads: its counters close a loop of two and a half adders.

    On UltraScale+ one cycle is enough at 2 ns, too (three designs of one author).
    """
    if design.tool == "vitis" or layer.implementation == "encoded" or design.family == "ultrascale_plus":
        return 1
    level = level_ns(design)
    return 2 if 2.4 * level > period_ns(design) else 1
