"""Convolutions in io_parallel: how many positions are computed at once, what brings them their words, what stores them.

hls4ml computes ``pixels`` positions at once (the parallelization factor) and goes through the sample in partitions, one
each reuse factor. A pointwise convolution of one axis under the latency strategy computes all at once. Read from the
modules of six published designs (Vivado HLS 2019.2 and 2020.1, Vitis HLS 2024.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.multiplexers import indexed_luts
from toolchain.estimate.streams import Logic, fifo

#: Vitis: look-up tables for each place that a word of a window may come from, whatever the word's width is.
_PLACE_LUT = 5.25
#: More words than this Vivado cannot store by a multiplexer: a selection for each instead (never measured).
_MOST_WAYS = 256
#: A FIFO of two words between layers that run side by side: look-up tables (Vivado: and one for each bit), flip-flops.
_WORD_LUT, _WORD_FF = {"vivado": 12.0, "vitis": 67.0}, {"vivado": 5.0, "vitis": 99.0}
#: Its handshake in the top function, and the selection of a word that its layer keeps.
_HANDSHAKE_LUT, _HANDSHAKE_FF, _KEPT_LUT = 13.0, 1.0, 9.0


@dataclass(frozen=True)
class Partitions:
    """``pixels`` positions at once, ``number`` times one after the other."""

    pixels: int
    number: int


def partitions(layer: DesignLayer, design: Design) -> Partitions:
    """Of a layer with a kernel; everything is one partition of one position where it has none."""
    if design.io_type != "io_parallel" or layer.positions <= 1:
        return Partitions(1, layer.positions)
    pointwise = layer.kind == "conv1d" and layer.implementation == "pointwise" and layer.strategy == "latency"
    if pointwise or layer.kind in ("scale", "dense"):
        return Partitions(layer.positions, 1)
    pixels = max(1, layer.pixels)
    return Partitions(pixels, math.ceil(layer.positions / pixels))


def gathered_lut(layer: DesignLayer, design: Design, found: Partitions) -> float:
    """Words of the windows chosen by the partition: every place a selection (exact for 72 windows of 9 partitions)."""
    if found.number <= 1:
        return 0.0
    words = found.pixels * math.prod(layer.window) * (layer.input_shape[-1] if layer.input_shape else 1)
    return float(words * found.number * (_PLACE_LUT if design.tool == "vitis" else layer.data_width))


def stored_lut(layer: DesignLayer, design: Design, found: Partitions) -> float:
    """Vivado stores through a pointer that moves: two multiplexers of all words for each word (two layers exact)."""
    if found.number <= 1 or design.tool == "vitis":
        return 0.0
    if layer.words > _MOST_WAYS:
        return 2.0 * layer.words * layer.result_width
    return 2.0 * layer.words * indexed_luts(layer.words, design)


def stored_ff(layer: DesignLayer, design: Design, found: Partitions) -> float:
    """Words that are kept until the last partition, beside those that a layer hands on."""
    return float(layer.words * layer.result_width) if found.number > 1 and design.tool == "vivado" else 0.0


def input_fifo(design: Design) -> Logic:
    """Vivado: a FIFO of two whole inputs in front of a design in dataflow, which half of six designs have."""
    layer = design.layers[0]
    shape = layer.input_shape or (layer.kernel_shape or (0,))[:1]
    bits = math.prod(shape) * layer.data_width
    return fifo(2, bits) if design.tool == "vivado" and bits else Logic(0, 0.0, 0.0)


def word_fifos(layer: DesignLayer, design: Design) -> tuple[float, float]:
    """(look-up tables, flip-flops) behind a layer of a design in dataflow: a FIFO for each word, and its register."""
    width = layer.result_width
    lut = _WORD_LUT[design.tool] + (width if design.tool == "vivado" else 0) + _HANDSHAKE_LUT + _KEPT_LUT
    return layer.words * lut, layer.words * (_WORD_FF[design.tool] + _HANDSHAKE_FF + width)
