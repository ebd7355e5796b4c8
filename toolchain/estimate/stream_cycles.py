"""Cycles of layers in io_stream: the loops over the positions of a sample, as hls4ml writes them.

Each function returns the cycles of the layer's own report; the next sample may begin one cycle later. Constants are
those of the loops in the reports of 60 published designs; docs/estimates.md says how often they are exact.
"""

from __future__ import annotations

import math

from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.operator_library import level_ns, older_than, period_ns, rewinds, unhurried

#: Vivado, kernel in memory: cycles of a position beside its turns, of one channel and of several: on 7-series (25 of 35
#: layers of 8 authors exact, others within two) and on faster devices (3 of 4 layers of one author).
_SLOW_POSITION, _FAST_POSITION = (9, 11), (5, 5)
#: The same at 10 ns. Several channels: three layers of one author. One channel: seven of another.
_RELAXED_SLOW, _RELAXED_FAST, _RELAXED_NS = (9, 4), (7, 4), 8.0
#: The same where the accumulator rounds: cycles to shift a position in, and to call a kernel that takes turns (eight of
#: eight layers of one network at 5 and 10 ns, reuse factors 1, 2 and 3).
_ROUNDING_SHIFT, _ROUNDING_CALL = (6, 8), 3
#: From this many words on a word of a window is found in a cycle of its own (five of five layers).
_WIDE_WINDOW = 64
#: Vivado, kernel in memory, one turn: cycles beside the kernel's schedule, on 7-series (four of seven layers of one
#: author exact, others one more or less) and elsewhere (two of two).
_ONE_TURN = (9, 2)
#: Vivado, kernel of constants: cycles to read a position, to shift it in and to write what comes out.
_AROUND_KERNEL = 3
#: Vivado: levels of sums that fit into the kernel's cycles; at fast clocks each further one takes a cycle more.
_LEVELS, _HURRIED_NS = 4, 8.0
#: A level of adders that may not cross the end of a cycle, over the one that may.
_WHOLE_LEVEL = 1.28
#: Vitis: cycles beside the kernel's own; and one more where its words wait at its input, too.
_VITIS_CYCLES, _WAITS_FROM = 2, 2
#: Vitis, kernel in memory: cycles of a position beside its turns; one more unless the clock is slow (18 of 18 layers of
#: seven designs of three authors, 5 to 30 ns).
_VITIS_POSITION = 5
#: Vitis: what it takes to call a loop.
_CALL = 2
#: A dense layer of constants: cycles beside those in which it gathers its words and the kernel's own (Vivado: 7 of 12
#: layers exact, others one or two less).
_GATHER = 4
#: Operands of fewer bits, and words of at most so many, are multiplied in fabric.
_LEAST_DSP_BITS, _FABRIC_BITS = 5, 9
#: Levels of adders that a comparison and the selection behind it take; the share of it for words of fewer bits.
_COMPARISON, _NARROW_LEVEL, _NARROW_WORD = 2.2, 0.55, 6


def convolution_cycles(
    layer: DesignLayer, design: Design, cycles: float, interval: float
) -> tuple[float, float | None, float]:
    """(cycles, cycles at least, interval) of a sample, from the cycles and the interval of one evaluation."""
    pixels = math.prod(layer.input_shape[:-1]) if layer.input_shape else layer.positions
    if layer.strategy == "resource" and design.tool == "vivado" and layer.accumulator_rounds:
        idle = _ROUNDING_SHIFT[layer.input_shape[-1:] != (1,)]
        called = layer.reuse_factor + _ROUNDING_CALL if layer.reuse_factor > 1 else 1
        return pixels * (idle + called), pixels * idle, pixels * (idle + called) + 1
    if layer.strategy == "resource" and layer.reuse_factor > 1:
        return _in_memory(layer, design, pixels)
    if design.tool == "vitis":
        return _vitis_constants(design, pixels, cycles, interval)
    if layer.strategy == "resource":
        whole = pixels * (max(1.0, cycles) + _ONE_TURN[design.family != "7series"]) + (not layer.inlined)
        return whole, None, whole + 1
    return _vivado_constants(layer, design, pixels, cycles)


def turning_cycles(design: Design, scheduled: int, turns: int, fan_in: int) -> int:
    """Vivado, kernel of constants with a reuse factor: its cycles after the first product.

    Products in turns: the turns and the schedule of one (12 of 15 layers of two authors exact, others one more). Where
    none takes turns, whole levels of adders are placed into the cycles (seven of eight layers of two authors exact).
    """
    if turns > 1:
        return scheduled + turns - 1
    levels = math.ceil(math.log2(max(fan_in, 2))) + 1
    together = max(1, math.floor(period_ns(design) / (_WHOLE_LEVEL * level_ns(design))))
    return math.ceil(levels / together) - 1


def _in_memory(layer: DesignLayer, design: Design, pixels: int) -> tuple[float, float, float]:
    """The loop over positions is not pipelined: it shifts a position in and calls the kernel, or does not.

    A kernel that is written into the loop leaves it a cycle earlier.
    """
    idle, beside = _beside_turns(layer, design)
    several = layer.input_shape[-1:] != (1,)
    relaxed = design.tool == "vivado" and period_ns(design) > _RELAXED_NS and not several
    leaves = 0 if layer.inlined or relaxed else 1
    whole = float(pixels * (layer.reuse_factor + beside) + leaves)
    return whole, float(pixels * idle + leaves), whole + 1


def _beside_turns(layer: DesignLayer, design: Design) -> tuple[int, int]:
    """Cycles of a position without a window, and beside the turns of one that is whole."""
    several = layer.input_shape[-1:] != (1,)
    slow = design.family == "7series"
    if design.tool == "vitis":
        return 4, _VITIS_POSITION + (not unhurried(design))
    if period_ns(design) > _RELAXED_NS:
        return 2, (_RELAXED_SLOW if slow else _RELAXED_FAST)[several]
    if not slow:
        return 3, _FAST_POSITION[several]
    size = math.prod(layer.window) * math.prod(layer.input_shape[-1:])
    found = several and not layer.inlined and size >= _WIDE_WINDOW and layer.reuse_factor != size
    return 5, _SLOW_POSITION[several] + found


def _vitis_constants(design: Design, pixels: int, cycles: float, interval: float) -> tuple[float, None, float]:
    """From 2022.2 on one position is computed after the other, so the kernel's cycles count for each.

    Earlier versions heed the pragma that pipelines the loop over positions (five layers of one design).
    """
    waits = cycles >= _WAITS_FROM
    each = max(1.0, interval) if older_than(design, "2022.2") else cycles + _VITIS_CYCLES + waits
    whole = float(round(pixels * each + (3 if cycles else 2)))
    return whole, None, pixels * each if rewinds(design) else whole + 1


def _vivado_constants(layer: DesignLayer, design: Design, pixels: int, cycles: float) -> tuple[float, None, float]:
    """A pipelined loop. Products in turns: it waits for all of a position, unless their number allows less."""
    if layer.reuse_factor > 1:
        each = min(float(layer.reuse_factor), cycles + _AROUND_KERNEL)
        whole = pixels * each + 2
    else:
        hurried = design.family == "7series" and not unhurried(design)
        whole = pixels + cycles + _AROUND_KERNEL + hurried + _more_levels(layer, design)
    return float(whole), None, float(whole + 1)


def _more_levels(layer: DesignLayer, design: Design) -> int:
    """Cycles of the sums of a window beyond those of the schedule."""
    if period_ns(design) > _HURRIED_NS:
        return 0
    words = math.prod(layer.window or (1,)) * math.prod(layer.input_shape[-1:])
    return max(0, math.ceil(math.log2(max(words, 2))) - _LEVELS)


def dense_cycles(layer: DesignLayer, design: Design, cycles: float, reads: int) -> tuple[float, float]:
    """(cycles, interval) of a dense layer: it gathers its words, calls its kernel, and may begin again when it is done.

    The loop of a kernel in memory rewinds in Vitis where one word brings the whole input (ten layers).
    """
    gathers = reads > 1
    memory = layer.strategy == "resource" and layer.reuse_factor > 1
    if not memory:
        whole = cycles + (reads + _GATHER if gathers else 2)
    elif design.tool == "vitis":
        whole = float(layer.reuse_factor + (reads + 6 if gathers else 1 if unhurried(design) else 3))
    elif design.family == "7series" and period_ns(design) < _HURRIED_NS:
        whole = float(layer.reuse_factor + (reads + 10 if gathers else 5))
    else:
        in_dsp = min(layer.data_width, layer.weight_width) >= _LEAST_DSP_BITS and layer.data_width > _FABRIC_BITS
        whole = float(layer.reuse_factor + 4 + in_dsp + (reads + 1 if gathers else 0))
    if len(design.layers) < 2:
        return whole, max(1.0, float(layer.reuse_factor))
    if memory and design.tool == "vitis" and not gathers:
        return whole, float(layer.reuse_factor)
    return whole, whole + 1


def padding_cycles(layer: DesignLayer, design: Design) -> float:
    """Loops over the rows of zeros above and below, and over the rows between: 65 of 65 layers of 14 authors exact."""
    if not layer.margins or len(layer.margins) != 2 * (len(layer.input_shape) - 1):
        return float(layer.positions + 2)
    width = layer.input_shape[-2]
    left, right = layer.margins[-2:]
    inner = width - left - right
    columns = [size for size in (left, right) if size > 1]  # a single one has no loop of its own
    if len(layer.margins) == 2:
        return float(inner + (2 * _CALL + (left > 0) if design.tool == "vitis" else sum(columns) + len(columns) + 1))
    rows = layer.input_shape[0] - sum(layer.margins[:2])
    if design.tool == "vitis":
        loops = [size * width + _CALL for size in (*layer.margins[:2], rows) if size]
        return float(sum(loops) + _CALL * len(loops) + 1)
    between = rows * (inner + sum(columns) + len(columns) + 2)
    loops = [
        size * (width + 2) if size > 1 else width for size in layer.margins[:2] if size
    ]  # nor a single row one around
    return float(between + sum(loops) + len(loops) + 1)


def pooled_cycles(layer: DesignLayer, design: Design, turns: int) -> float:
    """A pipelined loop over the positions that are read, ``turns`` cycles apart; comparisons wait for one another."""
    pixels = math.prod(layer.input_shape[:-1])
    if layer.implementation == "encoded":
        return float(turns * pixels + 6)
    if design.tool == "vitis":
        return float(turns * pixels + (2 if unhurried(design) else 3))
    waits = comparisons_wait(layer, design)
    return float(turns * pixels + 3 + waits - (turns - 1))


def comparisons_wait(layer: DesignLayer, design: Design) -> int:
    """Vivado: cycles of the levels of comparisons of a window (27 of 36 layers exact, others within two).

    Words of few bits are compared in about half the time.
    """
    words = max(math.prod(layer.window), 2)
    level = level_ns(design) * (_NARROW_LEVEL if layer.data_width < _NARROW_WORD else 1.0)
    return math.floor(_COMPARISON * math.log2(words) * level / period_ns(design))
