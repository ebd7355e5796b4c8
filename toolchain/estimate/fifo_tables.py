"""FIFOs of Vitis on the devices for which it has tables of them: it looks them up by powers of two.

Everywhere else it prints 99 flip-flops for a small FIFO and blocks of 18 bits for a large one (``streams.py``).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from toolchain.estimate.design import Design
from toolchain.estimate.operator_library import older_than

#: Virtex UltraScale+ and Alveo. Twenty designs of eight authors have the tables (VU9P, VU13P, U250, U55C; 2022.2 to
#: 2023.2, all of speed grade 2); eight of others do not (VU11P of grade 1, Kintex, Zynq, UltraScale, 7-series).
_TABLES = re.compile(r"xc(vu\d+p|u\d)")
_OLD_GRADE = 1
#: Up to this many words a FIFO is two registers; up to this many bits (depth x width) shift registers.
_REGISTERS, _SHIFT_REGISTER_BITS = 2, 1024
#: The squared depth times the width up to which it is in look-up tables: 33 of 33 printed shapes.
_LEAST_MEMORY = 2**19
#: Bits of a word in one block; flip-flops of its counters at a depth of 64, more for each doubling, most.
_BLOCK_BITS, _COUNTERS, _DOUBLING, _MOST_COUNTERS = 32, 22.0, 3.0, 31.0
#: The widest row of the tables.
_WIDEST = 1024
#: The narrowest registers have 8 bits: 15 look-up tables and 20 flip-flops up to there, 23 and 36 up to 16, 40 and 68
#: up to 32, 73 and 133 up to 64: 20,000 FIFOs of 22 designs of eight authors.
_NARROWEST, _ONE_MORE_FLIP_FLOP = 8, 64
#: Look-up tables, once and for each bit: from the sums that 28 reports print for all FIFOs (within 4 % of each).
_REGISTERS_LUT, _SHIFT_REGISTER_LUT, _MEMORY_LUT, _BLOCK_LUT = (6.7, 1.036), (12.0, 3.4 / 32), (85.0, 1.16), (0.0, 1.56)


@dataclass(frozen=True)
class Logic:
    """Blocks of 18 Kb, look-up tables and flip-flops."""

    bram_18k: int
    lut: float
    ff: float


def has_characterised_fifos(design: Design) -> bool:
    """Whether the tool has tables of FIFOs for the design's part: from 2022.2 on, earlier ones were not seen there."""
    known = design.tool == "vitis" and not older_than(design, "2022.2")
    return known and bool(_TABLES.match(design.part.lower())) and design.speed_grade != _OLD_GRADE


def characterised_fifo(depth: int, width: int) -> Logic:
    """One FIFO of ``depth`` words of ``width`` bits.

    Registers keep each bit twice, memories, too; look-up tables as memory three times (33 of 33 shapes, within 5
    flip-flops). Deeper than 2,048 words was not seen: as many blocks as the bits fill.
    """
    words, bits = _rounded_up(depth), _rounded_up(width)
    if depth <= _REGISTERS:
        kept = min(max(bits, _NARROWEST), _WIDEST)
        more = 5.0 if kept == _ONE_MORE_FLIP_FLOP else 4.0
        return Logic(0, round(_luts(_REGISTERS_LUT, kept)), 2.0 * kept + more)
    if words * bits <= _SHIFT_REGISTER_BITS:
        return Logic(0, _luts(_SHIFT_REGISTER_LUT, words * bits), 3.0 + math.log2(words))
    counters = min(_MOST_COUNTERS, max(0.0, _COUNTERS + _DOUBLING * (math.log2(words) - 6)))
    if words * words * bits <= _LEAST_MEMORY:
        return Logic(0, _luts(_MEMORY_LUT, bits), 3.0 * bits + counters)
    blocks = math.ceil(bits / _BLOCK_BITS) * math.ceil(words / 2048)
    return Logic(blocks, _luts(_BLOCK_LUT, bits), 2.0 * bits + counters)


def _luts(price: tuple[float, float], bits: int) -> float:
    return price[0] + price[1] * bits


def _rounded_up(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
