"""Convolutions in io_parallel: how many positions are computed at once, what brings them their words, what stores them.

hls4ml computes ``pixels`` positions at once (the parallelization factor) and goes through the sample in partitions, one
each reuse factor. A pointwise convolution of one axis under the latency strategy computes all at once. Read from the
modules of six published designs (Vivado HLS 2019.2 and 2020.1, Vitis HLS 2024.1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.fifo_tables import Logic, characterised_fifo, has_characterised_fifos
from toolchain.estimate.multiplexers import indexed_luts, state_luts
from toolchain.estimate.streams import fifo
from toolchain.estimate.windows import distinct_products, is_known, selections

#: Vitis: look-up tables for each place that a word of a window may come from, where the windows are not known.
_PLACE_LUT = 5.25
#: More words than this Vivado cannot store by a multiplexer: a selection for each instead (never measured).
_MOST_WAYS = 256
#: A FIFO of two words between layers that run side by side: look-up tables (Vivado: and one for each bit), flip-flops.
_WORD_LUT, _WORD_FF = {"vivado": 12.0, "vitis": 67.0}, {"vivado": 5.0, "vitis": 99.0}
#: Its handshake in the top function, and the selection of a word that its layer keeps.
_HANDSHAKE_LUT, _HANDSHAKE_FF, _KEPT_LUT = 13.0, 1.0, 9.0
#: Vitis: look-up tables for each word that a later layer stores (9 to 14 for those of four designs that have one).
_TWO, _VITIS_STORE_LUT = 2, 10.0
#: Vitis: cycles to read the FIFOs in front of a layer and to write those behind it.
_BEHIND_FIFO_CYCLES = 3


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
    if pointwise or layer.kind in ("scale", "dense") or all_at_once(layer, design):
        return Partitions(layer.positions, 1)
    pixels = max(1, layer.pixels)
    return Partitions(pixels, math.ceil(layer.positions / pixels))


def all_at_once(layer: DesignLayer, design: Design) -> bool:
    """A pipelined top function unrolls the loops below it: all positions of an hls4ml that knows no partitions.

    Four designs of two authors (Vivado 2019); later versions write DATAFLOW for convolutions.
    """
    convolves = layer.kind in ("conv1d", "conv2d", "depthwise") and bool(layer.window)
    return design.io_type == "io_parallel" and convolves and not layer.pixels and not design.dataflow


def runs_beside(layer: DesignLayer) -> bool:
    """Whether hls4ml writes DATAFLOW for a design with this layer (its ``pipeline_style`` is ``auto``)."""
    if layer.kind in ("conv1d", "conv2d", "depthwise") and layer.positions > 1:
        return True
    return layer.kind in ("dense", "conv1d", "conv2d", "depthwise") and layer.strategy == "resource"


@dataclass(frozen=True)
class Multipliers:
    """Of all windows computed at once: ``share`` of the multipliers that they have alone are built, ``adders`` of the
    adders that form products of two digits."""

    share: float
    turns: int
    adders: float


def shared_multipliers(layer: DesignLayer, design: Design, limit: int) -> Multipliers | None:
    """Windows computed at once share the multipliers of one, whose limit is that of all of them.

    The turns of 24 of 25 kernels are exact (Vivado 2020.1, Vitis 2023.1 and 2023.2; nearly all designs of one author);
    where a sample is one partition, all are built (one design). Equal products are built once (all of these).
    """
    found = partitions(layer, design)
    if found.pixels <= 1 or layer.kind not in ("conv1d", "conv2d", "depthwise") or not is_known(layer):
        return None
    wanted = distinct_products(layer, found.pixels)
    built = min(wanted.products, limit) if found.number > 1 else wanted.products
    turns = math.ceil(wanted.products / max(built, 1))
    return Multipliers(built / max(wanted.of, 1), max(1, turns), distinct_products(layer, found.pixels, True).share)


def gathered_lut(layer: DesignLayer, design: Design, found: Partitions) -> float:
    """Words of the windows chosen by the partition: a selection for each sequence of words (two: its bits).

    Exact for two partitions (14 of 14 kernels of Vitis 2023 and Vivado 2020.1, one author). Vivado has one for every
    place of a depthwise window (exact for 72 windows of 9 partitions).
    """
    if found.number <= 1:
        return 0.0
    vitis = design.tool == "vitis"
    if layer.kind == "depthwise" or not is_known(layer):
        words = found.pixels * math.prod(layer.window) * (layer.input_shape[-1] if layer.input_shape else 1)
        return float(words * found.number * (_PLACE_LUT if vitis else layer.data_width))
    width = layer.data_width
    return sum(
        count * (width if ways == 2 else state_luts(ways) if vitis else ways * width)
        for ways, count in selections(layer, found.pixels).items()
    )


def stored_lut(layer: DesignLayer, design: Design, found: Partitions) -> float:
    """Vivado stores through a pointer that moves: two multiplexers of all words for each word (two layers exact).

    More words are selected bit by bit, half of the partitions in the mean (two designs of one author, 2 % and 5 %).
    Vitis selects the words that it writes at its port: bit by bit from two partitions (exact, 6 layers).
    """
    if found.number <= 1:
        return 0.0
    first = bool(design.layers) and layer is design.layers[0]
    if design.tool == "vitis":
        if first:
            return float(layer.words * layer.result_width) if found.number == _TWO else 0.0
        return layer.words * _VITIS_STORE_LUT
    if layer.words > _MOST_WAYS:
        return layer.words * layer.result_width * max(1.0, (found.number - 1) / 2)
    return 2.0 * layer.words * indexed_luts(layer.words, design)


def stored_ff(layer: DesignLayer, design: Design, found: Partitions) -> float:
    """Words that are kept until the last partition, beside those that a layer hands on.

    Vitis keeps them twice behind the first layer, and there once, with the whole input and the words of the windows.
    """
    if found.number <= 1:
        return 0.0
    results = float(layer.words * layer.result_width)
    if design.tool == "vivado" or not design.dataflow or not is_known(layer):
        return results if design.tool == "vivado" else 0.0
    if layer is not design.layers[0]:
        return results * (2 - 1 / found.number)
    channels, margins = layer.input_shape[-1], layer.margins
    inner = [size - sum(margins[2 * axis : 2 * axis + 2]) for axis, size in enumerate(layer.input_shape[:-1])]
    window = sum(selections(layer, found.pixels).values())
    return results + (math.prod(inner) * channels + window) * layer.data_width


def wrapper_cycles(layer: DesignLayer, design: Design) -> int:
    """Vitis: cycles around the loop over partitions: behind a FIFO its words are read and written (16 of 21 layers)."""
    return 1 if layer is design.layers[0] else _BEHIND_FIFO_CYCLES


def input_fifo(design: Design) -> Logic:
    """Vivado: a FIFO of two whole inputs in front of a design in dataflow, which half of six designs have."""
    layer = design.layers[0]
    shape = layer.input_shape or (layer.kernel_shape or (0,))[:1]
    bits = math.prod(shape) * layer.data_width
    return fifo(2, bits) if design.tool == "vivado" and bits else Logic(0, 0.0, 0.0)


def word_fifos(layer: DesignLayer, design: Design) -> tuple[float, float]:
    """(look-up tables, flip-flops) behind a layer of a design in dataflow: a FIFO for each word, and its register."""
    width = layer.result_width
    lut, ff = _WORD_LUT[design.tool] + (width if design.tool == "vivado" else 0), _WORD_FF[design.tool]
    if has_characterised_fifos(design):
        found = characterised_fifo(2, width)
        lut, ff = found.lut, found.ff
    return layer.words * (lut + _HANDSHAKE_LUT + _KEPT_LUT), layer.words * (ff + _HANDSHAKE_FF + width)
