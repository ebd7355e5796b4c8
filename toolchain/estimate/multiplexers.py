"""Words chosen by an index: what one such multiplexer costs in look-up tables.

Read from 40 published designs (Vivado HLS 2019.1 to 2020.1, Vitis HLS 2022.1 to 2024.1). Vitis prices each by its own
ways. Vivado prints one price for all of a design, that of the last one it made, whatever the others' ways and widths
are (41 of 41 designs, many of one author): so it is what the report will say.
"""

from __future__ import annotations

import math

import numpy as np

from toolchain.estimate.design import Design, DesignLayer

_WAYS = (2, 3, 4, 5, 6, 8, 10, 13, 16, 24, 31, 41, 48, 57, 64, 72, 91, 128, 256)
_LUT = (16, 17, 21, 27, 31, 43, 55, 65, 65, 118, 148, 181, 209, 245, 273, 337, 448, 673, 1362)
#: Of few words by a state of the schedule (more cost what those of an index do).
_STATE_LUT = {2: 9.0, 3: 14.0, 4: 20.0, 5: 26.0}
#: Of a dense layer in parallel, whose index has all values of its bits, by the next power of two of its ways (871
#: designs of Vivado 2020.1, which have no other multiplexers); beyond: 5.42 look-up tables each way.
_PADDED = {2: 16, 4: 20, 8: 45, 16: 85, 32: 178, 64: 297, 128: 697, 256: 1386}
#: A word of a stream's kernel in memory that a state of the schedule chooses, not an index: for each state, and once.
_BY_STATE, _BY_STATE_ONCE, _VITIS_BY_STATE = 5.0, 6.0, 3.3
#: With so few turns the tools see which word each turn needs.
_FEW_TURNS = 2


def multiplexer_luts(ways: int) -> float:
    """Look-up tables of one multiplexer; beyond 256 ways in proportion."""
    if ways < _WAYS[0]:
        return 0.0
    if ways > _WAYS[-1]:
        return _LUT[-1] * ways / _WAYS[-1]
    return float(np.interp(ways, _WAYS, _LUT))


def state_luts(ways: int) -> float:
    """Look-up tables to choose among ``ways`` words of windows and shared multipliers in parallel, as both tools print
    them; kernels of streams have others (``selection_luts``; with these the streams were 2 to 4 % further off)."""
    return _STATE_LUT.get(ways) or multiplexer_luts(ways)


def padded_multiplexer_luts(ways: int) -> float:
    """Look-up tables of a 16-bit multiplexer."""
    power = 1 << max(ways - 1, 0).bit_length()
    return 0.0 if power < 2 else float(_PADDED.get(power, 5.42 * power))


def indexed_luts(ways: int, design: Design) -> float:
    """Look-up tables of one multiplexer of a layer of ``design``."""
    if design.tool == "vitis":
        return multiplexer_luts(ways)
    last = next((found for found in (_ways(layer, design) for layer in reversed(design.layers)) if found), ways)
    return multiplexer_luts(last)


def selection_luts(turns: int, design: Design) -> float:
    """Look-up tables to choose among the words of ``turns`` turns of a stream's kernel in memory."""
    if turns <= 1:
        return 0.0
    return _VITIS_BY_STATE * turns if design.tool == "vitis" else _BY_STATE * turns + _BY_STATE_ONCE


def chooses_by_index(layer: DesignLayer) -> bool:
    """Whether a kernel in memory finds its inputs by an index: dense layers and encoded windows that take turns."""
    return layer.reuse_factor > _FEW_TURNS and (layer.kind == "dense" or layer.implementation == "encoded")


def _ways(layer: DesignLayer, design: Design) -> int:
    """Ways of the multiplexers of a layer, 0 where it has none."""
    if design.io_type == "io_parallel":
        several = layer.pixels and layer.pixels < layer.positions and layer.implementation != "pointwise"
        return 1 << max(layer.words - 1, 0).bit_length() if several else 0
    if layer.kind == "softmax":
        return max(1, layer.words // max(layer.positions, 1))
    if layer.kind == "pooling" and layer.implementation != "encoded" and not layer.function.startswith("global_"):
        return math.prod(layer.window)
    if layer.strategy == "resource" and chooses_by_index(layer):
        shape = layer.weights.shape if layer.weights is not None else layer.kernel_shape or (0, 0)
        return int(shape[0])
    return 0
