"""Layers without a kernel: activations, tables, softmax, pooling, padding, merging. Counts, and what little is fitted.

Activations and softmax are fitted (``coefficients.json``). The constants here were read from the few published reports
that have such a layer; their spread says so.
"""

from __future__ import annotations

import math

from toolchain.estimate.amounts import Amounts
from toolchain.estimate.block import memory_blocks
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.schedule import LEVEL_NS, PRODUCT_NS, UNCERTAINTY

#: Functions that only move or select words.
WIRING = ("concatenate", "transpose", "permute", "clone", "repack", "reshape", "flatten", "crop")
#: Activations that only compare, select or scale by a word that is not here.
_COMPARED = ("relu", "linear", "scale", "")
#: Softmax: cycles beyond its trees, for its two tables; on 7-series a word of a memory fills its cycle.
_SOFTMAX_TABLES = {"vitis": 4.0, "vivado": 1.0}
_SLOW_TABLES = 4.0
#: Softmax trees and products are cut more often than the delays say (six Vitis designs).
_SOFTMAX_CUTS = 1.6
#: A forced 18 x 18 product in fabric, in look-up tables (121 published ones).
_WIDE_PRODUCT_LUT = 366


def lanes(layer: DesignLayer, design: Design) -> int:
    """Words handled at once: all, or one position's in ``io_stream``."""
    return layer.words if design.io_type == "io_parallel" else max(1, layer.words // max(layer.positions, 1))


def period_ns(design: Design) -> float:
    """The clock period without the share that the tool keeps free."""
    return design.clock_period_ns * (1 - UNCERTAINTY[design.tool])


def activation_amounts(layer: DesignLayer, design: Design) -> dict[str, Amounts]:
    """A comparison for each word; rounding and clipping where the result asks for it; registers at a fast clock.

    Functions of a slope (hard_tanh, leaky_relu, …) have a product by a constant, an addition and a second comparison.
    """
    number = lanes(layer, design)
    rounded = number * layer.result_width if layer.result_rounds else 0
    stream = 1.0 if design.io_type == "io_stream" else 0.0
    registers = float(number * layer.data_width * activation_cycles(design))
    sloped = number * layer.data_width if layer.function not in _COMPARED else 0
    lut = {
        "compared_bits": float(number * layer.data_width), "rounded_bits": float(rounded), "stream": stream,
        "function_bits": float(sloped),
    }  # fmt: skip
    ff = {"registered_bits": 0.0 if stream else registers}
    return {
        "lut": Amounts("activation", lut),
        "ff": Amounts("activation", {**ff, "stream": stream, "function_bits": float(sloped)}),
    }


def activation_cycles(design: Design) -> int:
    """A comparison and a selection: one cycle when they do not fit beside their neighbours."""
    level = LEVEL_NS.get(design.family, LEVEL_NS["ultrascale_plus"])
    return math.floor(1.5 * level / period_ns(design))


def softmax_amounts(layer: DesignLayer, design: Design) -> dict[str, Amounts]:
    """By class: subtract, look up, multiply; a word of each class is alive in each cycle."""
    classes = float(softmax_classes(layer))
    fabric = classes * _WIDE_PRODUCT_LUT if layer.binding == "lut" else 0.0
    cycles, io = softmax_cycles(layer, design), "stream_" if design.io_type == "io_stream" else ""
    return {
        "lut": Amounts("softmax", {"classes": classes, "one": 1.0}, fabric),
        "ff": Amounts("softmax", {f"{io}class_cycles": classes * cycles, "one": 1.0}),
    }


def softmax_classes(layer: DesignLayer) -> int:
    """Words of one position."""
    return max(1, layer.words // max(layer.positions, 1))


def softmax_cycles(layer: DesignLayer, design: Design) -> int:
    """A tree that finds the maximum, a table, a tree of sums, a table, a product."""
    level = LEVEL_NS.get(design.family, LEVEL_NS["ultrascale_plus"])
    product = PRODUCT_NS.get(design.family, PRODUCT_NS["ultrascale_plus"])
    trees = 2 * math.log2(max(softmax_classes(layer), 2)) + 2
    tables = _SLOW_TABLES if design.family == "7series" else _SOFTMAX_TABLES[design.tool]
    return round(_SOFTMAX_CUTS * (trees * level + product) / period_ns(design) + tables)


def softmax_memory(layer: DesignLayer, design: Design) -> tuple[int, int]:
    """(18 Kb blocks, DSP blocks). Vitis io_parallel: both exact for 35 designs; others from four designs."""
    classes = softmax_classes(layer)
    dsp = 0 if layer.binding == "lut" else classes
    if layer.data_width <= 4:
        return 0, dsp
    if design.io_type == "io_stream":
        return 5, dsp
    return (classes if design.tool == "vitis" else math.ceil(classes / 2) + 1), dsp


def table_blocks(layer: DesignLayer, number: int) -> int:
    """18 Kb blocks of ``number`` lanes that look up: two share the ports of one memory; small tables are logic."""
    entries = layer.table_size or 1024
    if entries * layer.table_width <= 1024:
        return 0
    return math.ceil(number / 2) * memory_blocks(entries, layer.table_width)


def fifo_blocks(depth: int, width: int, number: int, tool: str) -> int:
    """18 Kb blocks of the FIFOs behind one layer in ``io_stream``; ``number`` words of ``width`` bits at a position.

    Vivado makes one FIFO for each channel and shift registers up to a depth of 16 (exact in three designs); Vitis one
    for all channels (exact in one of two designs).
    """
    if tool == "vivado":
        return number * math.ceil(width / 18) * math.ceil(depth / 1024) if depth > 16 else 0
    return math.ceil(number * width / 18) * math.ceil(depth / 1024) if depth >= 16 else 0


def pooling_cost(layer: DesignLayer, design: Design) -> tuple[float, float]:
    """(look-up tables, flip-flops). Streams: four layers within 12 %; in parallel: one comparison less than words.

    Over the whole input a stream needs no window: each channel has its value so far and the word that was read (one
    layer), a comparison and two selections.
    """
    number, width = lanes(layer, design), layer.data_width
    if design.io_type == "io_stream" and layer.function.startswith("global_"):
        return number * 3.5 * width, number * 2.0 * width
    if design.io_type == "io_stream":
        return 350 + number * (140 + 2.0 * width), 180 + number * (31 + 9.2 * width)
    window = math.prod(layer.window) if layer.window else 2
    return number * (window - 1) * 2.0 * width, float(number * width * activation_cycles(design))
