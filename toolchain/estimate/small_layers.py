"""Layers without a kernel: activations, tables, softmax, pooling, padding, merging. Counts, and what little is fitted.

Activations and softmax are fitted (``coefficients.json``). The constants here were read from the few published reports
that have such a layer; their spread says so.
"""

from __future__ import annotations

import math

from toolchain.estimate.amounts import Amounts
from toolchain.estimate.block import memory_blocks
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.operator_library import (
    comparison_luts,
    level_ns,
    older_than,
    period_ns,
    product_ns,
    product_stages,
    rounding_luts,
    unhurried,
    vitis_since_2022,
)

#: Functions that only move or select words.
WIRING = ("concatenate", "transpose", "permute", "clone", "repack", "reshape", "flatten", "crop")
#: Activations that only compare, select or scale by a word that is not here.
COMPARED = ("relu", "linear", "scale", "")
#: A comparison and a selection, in levels of adders.
_COMPARISON_LEVELS = 1.5
#: Softmax: cycles beyond its trees, for its two tables; on 7-series a word of a memory fills its cycle.
_SOFTMAX_TABLES = {"vitis": 4.0, "vivado": 1.0}
_SLOW_TABLES = 4.0
#: The same by Vitis from 2022 on, on UltraScale+ (five designs: 4 to 8 cycles, within 2).
_FAST_TABLES = 2.5
#: Cycles more where the product has stages (Vivado: four designs).
_STAGED_PRODUCT = 3.0
#: A cycle less where no maximum is sought (Vivado: four designs).
_NO_MAXIMUM = 1.0
#: Softmax trees and products are cut more often than the delays say (six Vitis designs).
_SOFTMAX_CUTS = 1.6
#: Look-up tables for each class in io_stream (26 Vivado designs, four Vitis designs).
_STREAM_SOFTMAX_LUT = {"vivado": 285.0, "vitis": 170.0}
#: A forced 18 x 18 product in fabric, in look-up tables (121 published ones).
_WIDE_PRODUCT_LUT = 366


def lanes(layer: DesignLayer, design: Design) -> int:
    """Words handled at once: all, or one position's in ``io_stream``."""
    return layer.words if design.io_type == "io_parallel" else max(1, layer.words // max(layer.positions, 1))


def activation_amounts(layer: DesignLayer, design: Design) -> dict[str, Amounts]:
    """A comparison for each word; rounding and clipping where the result asks for it; registers at a fast clock.

    Functions of a slope (hard_tanh, leaky_relu, …) have a product by a constant, an addition and a second comparison.
    """
    number = lanes(layer, design)
    stream = 1.0 if design.io_type == "io_stream" else 0.0
    registers = float(number * layer.data_width * activation_cycles(design))
    sloped = number * layer.data_width if layer.function not in COMPARED else 0
    lut = {"operators_printed": number * word_luts(layer, design), "stream": stream, "function_bits": float(sloped)}
    ff = {"registered_bits": 0.0 if stream else registers}
    return {
        "lut": Amounts("activation", lut),
        "ff": Amounts("activation", {**ff, "stream": stream, "function_bits": float(sloped)}),
    }


def word_luts(layer: DesignLayer, design: Design) -> float:
    """Look-up tables of one word of an activation: a comparison and a selection (a cast has none), and rounding."""
    found = rounding_luts(layer.result_width, design) if layer.result_rounds else 0.0
    if layer.function == "linear":
        return found
    return found + comparison_luts(layer.data_width, design) + layer.result_width


def activation_cycles(design: Design) -> int:
    """A comparison and a selection: one cycle when they do not fit beside their neighbours."""
    level = level_ns(design)
    return math.floor(_COMPARISON_LEVELS * level / period_ns(design))


def activation_ns(layer: DesignLayer, design: Design) -> float:
    """Nanoseconds of a comparison and a selection, or of the product of a scale."""
    if layer.function == "scale":
        return product_ns(design)
    return _COMPARISON_LEVELS * level_ns(design)


def softmax_amounts(layer: DesignLayer, design: Design) -> dict[str, Amounts]:
    """By class: subtract, look up, multiply; a word of each class is alive in each cycle."""
    classes = float(softmax_classes(layer))
    if design.io_type == "io_stream":
        level = level_ns(design)
        kept = classes * (60 + 240 * level / design.clock_period_ns)
        return {
            "lut": Amounts("stream_softmax", {"counted": classes * _STREAM_SOFTMAX_LUT[design.tool]}),
            "ff": Amounts("stream_softmax", {"counted": kept}),
        }
    fabric = classes * _WIDE_PRODUCT_LUT if layer.binding == "lut" else 0.0
    cycles = softmax_cycles(layer, design)
    return {
        "lut": Amounts("softmax", {"classes": classes, "one": 1.0}, fabric),
        "ff": Amounts("softmax", {"class_cycles": classes * cycles, "one": 1.0}),
    }


def softmax_classes(layer: DesignLayer) -> int:
    """Words of one position."""
    return max(1, layer.words // max(layer.positions, 1))


def softmax_cycles(layer: DesignLayer, design: Design) -> int:
    """A tree that finds the maximum, a table, a tree of sums, a table, a product."""
    level = level_ns(design)
    product = product_ns(design)
    tree = math.log2(max(softmax_classes(layer), 2)) + 1
    trees = tree if layer.function == "latency" else 2 * tree  # hls4ml's "latency" form seeks no maximum
    if vitis_since_2022(design) and design.family != "7series":
        return round((trees * level + product) / period_ns(design) + _FAST_TABLES)
    tables = _SLOW_TABLES if design.family == "7series" else _SOFTMAX_TABLES[design.tool]
    if unhurried(design):
        tables = 1.0
    elif design.tool == "vivado" and product_stages(design) > 1:
        tables += _STAGED_PRODUCT
    if layer.function == "latency":
        tables -= _NO_MAXIMUM
    return round(_SOFTMAX_CUTS * (trees * level + product) / period_ns(design) + tables)


def softmax_memory(layer: DesignLayer, design: Design) -> tuple[int, int]:
    """(18 Kb blocks, DSP blocks).

    Two classes share the ports of a table of exponentials, and one table has the reciprocals. Vitis 2021 gave each
    class a block (35 designs); from 2022 on each table takes two on UltraScale+ (seven designs).
    """
    classes = softmax_classes(layer)
    dsp = 0 if layer.binding == "lut" else classes
    if layer.data_width <= 4:
        return 0, dsp
    if design.io_type == "io_stream":  # 31 designs: products take turns; two lanes share a table, and one inverts
        at_once = math.ceil(classes / layer.reuse_factor)
        dsp = math.ceil(dsp / layer.reuse_factor)
        if design.tool == "vivado":
            return math.ceil(at_once / 2) + 1, dsp
        return classes if older_than(design, "2023") else 5, dsp
    tables = math.ceil(classes / 2) + 1
    if design.tool == "vivado":
        return tables, dsp
    if not vitis_since_2022(design):
        return classes, dsp
    return tables if design.family == "7series" else 2 * tables, dsp


def table_blocks(layer: DesignLayer, number: int) -> int:
    """18 Kb blocks of ``number`` lanes that look up: two share the ports of one memory; small tables are logic."""
    entries = layer.table_size or 1024
    if entries * layer.table_width <= 1024:
        return 0
    return math.ceil(number / 2) * memory_blocks(entries, layer.table_width)


def pooling_cost(layer: DesignLayer, design: Design) -> tuple[float, float]:
    """(look-up tables, flip-flops). In parallel: one comparison less than words.

    Over the whole input a stream needs no window: each channel has its value so far and the word that was read (one
    layer), a comparison and two selections.
    """
    number, width = lanes(layer, design), layer.data_width
    if design.io_type == "io_stream" and layer.function.startswith("global_"):
        return number * 3.5 * width, number * 2.0 * width
    window = math.prod(layer.window) if layer.window else 2
    kept = float(number * width * window / 2 * pooling_cycles(layer, design))
    if not layer.function.endswith("average"):
        return number * (window - 1) * (comparison_luts(width, design) + width), kept
    divided = 0.0 if window & (window - 1) == 0 else 5.0 * width + 80
    return number * ((window - 1) * max(16.0, width + 4.0) + divided), kept


def pooling_cycles(layer: DesignLayer, design: Design) -> int:
    """A tree of comparisons and selections, or of adders and a division by a constant."""
    level = level_ns(design)
    window = math.prod(layer.window) if layer.window else 2
    average = layer.function.endswith("average")
    delay = math.log2(max(window, 2)) * (1.0 if average else _COMPARISON_LEVELS) * level
    if average and window & (window - 1):
        delay += 2 * product_ns(design)
    return math.floor(delay / period_ns(design))
