"""What layers in io_stream have beside their arithmetic: FIFOs, line buffers, windows and their control.

Counted as hls4ml writes it; the constants were read from the modules of 40 published designs (Vivado HLS 2019.1 to
2020.1, Vitis HLS 2022.1 to 2024.1), none is fitted. docs/estimates.md says how near they are.
"""

from __future__ import annotations

import math

import numpy as np

from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.fifo_tables import Logic, characterised_fifo, has_characterised_fifos

#: A FIFO of more bits is in block RAM: 139 of 139 shapes (depth x width) of Vivado, nearly all of Vitis.
_FIFO_MEMORY_BITS = {"vivado": 512, "vitis": 1024}
#: Bits of a word in one block of 18 Kb by depth (UG473).
_BLOCK_WIDTH = ((1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
#: Look-up tables and flip-flops (without the word at the output) of a FIFO in block RAM by the bits of its address.
_ADDRESS = (6, 7, 8, 9, 10, 11, 12, 13)
_FIFO_LUT, _FIFO_FF = (40, 43, 56, 70, 83, 100, 120, 140), (19, 21, 25, 30, 34, 44, 69, 100)
#: Words of one shift register; Vitis: look-up tables of any FIFO, and its flip-flops in registers and in block RAM.
_SHIFT_REGISTER, _VITIS_FIFO_LUT, _VITIS_FIFO_FF = 32, 67.0, (99.0, 160.0)
#: A row of a line buffer for one channel: look-up tables for each 32 words, flip-flops; whatever its width is.
_ROW_LUT, _ROW_FF, _ROW_WORDS = 32, 64, 32
#: Counters of row and column, their comparisons, and whether a window is whole.
_CONTROL_LUT, _CONTROL_FF = 360.0, 260.0


def fifo_memory(depth: int, width: int) -> int:
    """Blocks of 18 Kb: 79 of 85 shapes of Vivado exact, the others one or two less (blocks of two shapes joined)."""
    for held, bits in _BLOCK_WIDTH:
        if depth <= held:
            return math.ceil(width / bits)
    return width * math.ceil(depth / _BLOCK_WIDTH[-1][0])


def fifo(depth: int, width: int) -> Logic:
    """One FIFO of Vivado, for one channel: a shift register, or block RAM."""
    if depth * width <= _FIFO_MEMORY_BITS["vivado"]:
        rows = math.ceil(depth / _SHIFT_REGISTER)
        deep = max(0, depth - 1).bit_length()
        return Logic(0, 12.0 + width * rows + 2 * (depth > 4), 5.0 + max(0, deep - 2))
    if depth <= 2:
        return Logic(fifo_memory(depth, width), 12.0 + width, 10.0 + width)
    address = max(6, (depth - 1).bit_length())
    lut, ff = (float(np.interp(address, _ADDRESS, table)) for table in (_FIFO_LUT, _FIFO_FF))
    return Logic(fifo_memory(depth, width), lut, ff + width)


def fifos(layer: DesignLayer, design: Design) -> Logic:
    """Those behind a layer: one for each channel (Vivado), or one for all (Vitis)."""
    number = max(1, layer.words // max(layer.positions, 1))
    depth = layer.fifo_depth or layer.positions
    if design.tool == "vivado":
        one = fifo(depth, layer.result_width)
        return Logic(number * one.bram_18k, number * one.lut, number * one.ff)
    width = number * layer.result_width
    if has_characterised_fifos(design):
        return characterised_fifo(depth, width)
    blocks = fifo_memory(depth, width) if depth * width > _FIFO_MEMORY_BITS["vitis"] else 0
    return Logic(blocks, _VITIS_FIFO_LUT, _VITIS_FIFO_FF[blocks > 0])


def encoded_fifos(layer: DesignLayer) -> Logic:
    """The window of an encoded layer of Vivado: a FIFO for each of its words.

    As deep as there are positions; over two axes only as those that still wait for a row: the window's rows of them
    (six of six shapes of two designs of one author).
    """
    number = math.prod(layer.window) * layer.input_shape[-1]
    rows = layer.window[0] * layer.places[1] if len(layer.places) == 2 else layer.positions
    one = fifo(rows, layer.data_width)
    return Logic(number * one.bram_18k, number * one.lut, number * one.ff)


def window_memory(layer: DesignLayer, design: Design) -> int:
    """Blocks of memory that hold a window: those of an encoded one's FIFOs (Vivado)."""
    held = design.io_type == "io_stream" and design.tool == "vivado" and layer.implementation == "encoded"
    return encoded_fifos(layer).bram_18k if held and layer.window and layer.input_shape else 0


def line_buffer(layer: DesignLayer) -> Logic:
    """Rows that a window of several rows keeps, one shift register for each channel."""
    if len(layer.window) < 2 or len(layer.input_shape) < 3:
        return Logic(0, 0.0, 0.0)
    rows = (layer.window[0] - 1) * layer.input_shape[-1]
    words = max(1, math.ceil((layer.input_shape[1] - 2) / _ROW_WORDS))
    return Logic(0, float(rows * _ROW_LUT * words), float(rows * _ROW_FF))


def window_logic(layer: DesignLayer, design: Design) -> Logic:
    """Line buffer and control of a convolution or pooling; what waits at its ports."""
    channels = layer.input_shape[-1] if layer.input_shape else 1
    filters = max(1, layer.words // max(layer.positions, 1))
    ports = 60.0 + 18.0 * filters + 4.0 * channels if design.tool == "vivado" else 110.0
    if layer.implementation == "encoded":
        held = encoded_fifos(layer) if design.tool == "vivado" else Logic(0, 0.0, 0.0)
        return Logic(held.bram_18k, held.lut + ports + _CONTROL_LUT / 2, held.ff + _CONTROL_FF / 2)
    if math.prod(layer.window) == 1:
        return Logic(0, ports, 0.0)
    rows = line_buffer(layer)
    return Logic(0, rows.lut + ports + _CONTROL_LUT, rows.ff + _CONTROL_FF)


def dense_ports(layer: DesignLayer, design: Design) -> Logic:
    """A dense layer gathers its words from the stream: what waits at its ports."""
    if design.tool == "vitis":
        return Logic(0, 50.0, 0.0)
    channels = layer.input_shape[-1] if layer.input_shape else 1
    return Logic(0, 50.0 + 9.0 * (channels + max(1, layer.words)), 0.0)
