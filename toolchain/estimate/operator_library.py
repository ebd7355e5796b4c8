"""What single operators cost in the tools' reports, by generation of the tool and device: read off, not fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolchain.estimate.design import Design

#: The first version of Vitis whose reports print an adder with look-up tables beyond its bits.
_SEPARATE_ADDERS_FROM = "2022"
#: The first version whose comparisons have seven look-up tables beyond their bits; that whose rounding selects more.
_WIDE_COMPARISONS_FROM, _MORE_SELECTIONS_FROM = "2023", "2023.2"
#: The first version of Vitis whose loops rewind, and whose kernels of one cycle hold nothing.
_REWINDS_FROM = "2024"
#: From this clock period on 7-series devices are not slow.
_UNHURRIED_NS = 15.0


@dataclass(frozen=True)
class OperatorLibrary:
    """Look-up tables beyond the bits of an operator, unless said otherwise.

    ``adder``: of an adder. ``full_adder``: of one whose operands have the accumulator's width already: most of these
    are halves of ternary adders, printed without them (three of four with Vivado on UltraScale, 57 % with Vitis).
    ``port``: the multiplexer of each output of a kernel that holds its results. ``least_constant_bits``: constants with
    fewer bits stay in fabric.
    """

    adder: float
    full_adder: float
    port: float
    least_constant_bits: int


_VIVADO = OperatorLibrary(7.0, 2.0, 9.0, 5)
#: 2019.2 prints adders on UltraScale parts with their bits alone, halves of ternary ones as of 18 bits.
_VIVADO_2019_2 = OperatorLibrary(0.7, 1.3, 9.0, 5)
#: On 7-series fewer adders are ternary.
_VIVADO_7SERIES = OperatorLibrary(7.0, 4.0, 9.0, 5)
#: Where products have stages, those by a constant of four bits are in DSP blocks, too.
_VIVADO_STAGED = OperatorLibrary(7.0, 4.0, 9.0, 4)
_VITIS_2021 = OperatorLibrary(0.7, 1.3, 13.0, 5)
_VITIS_2022 = OperatorLibrary(7.0, 4.0, 14.0, 4)


def older_than(design: Design, version: str) -> bool:
    """Whether the tool's version is before ``version`` (``2022.2``). One that is not known is taken as a recent one."""
    return "2000" < design.tool_version < version


def rewinds(design: Design) -> bool:
    """Whether a loop starts the next sample while the last positions of one are computed: Vitis 2024.1 and later.

    There a kernel of one cycle holds nothing at its outputs, either (22 of 22, none of 48 before).
    """
    return design.tool == "vitis" and not older_than(design, _REWINDS_FROM)


def vitis_since_2022(design: Design) -> bool:
    """Whether the tool is Vitis HLS 2022.1 or later: its library has other adders, tables and products."""
    return design.tool == "vitis" and not older_than(design, _SEPARATE_ADDERS_FROM)


def unhurried(design: Design) -> bool:
    """Whether the clock is slow enough for any device."""
    return design.clock_period_ns >= _UNHURRIED_NS


def library(design: Design) -> OperatorLibrary:
    """The library of the design's tool and device."""
    if design.tool == "vivado":
        if product_stages(design) > 1:
            return _VIVADO_STAGED
        if design.family == "7series":
            return _VIVADO_7SERIES
        return _VIVADO_2019_2 if design.tool_version.startswith("2019.2") else _VIVADO
    if not vitis_since_2022(design):
        return _VITIS_2021
    return _VITIS_2022


#: A comparison by the power of two that holds its bits (Vivado; 17 to 32 bits on 7-series 18).
_COMPARISON_LUT = {2: 8.0, 4: 9.0, 8: 11.0, 16: 13.0, 32: 20.0, 40: 21.0}
_COMPARISON_LUT_7SERIES = 18.0
#: Of Vitis 2022: for each bit, and once (within one of what is printed for 3 to 32 bits).
_COMPARISON_BIT, _COMPARISON_ONCE = 0.4, 7.0
#: Bits that are compared with none and with all set, to find a word beyond its range: as in most designs.
_OVERFLOW_BITS = 6
#: Gates around these comparisons, in look-up tables; from 2023.2 on (with two selections more).
_ROUNDING_GATES, _MORE_GATES = 8.0, 22.0


def comparison_luts(bits: int, design: Design) -> float:
    """Look-up tables of one comparison: within one of 142,392 of 143,084 printed ones of 12 versions."""
    if design.tool == "vitis" and not older_than(design, _WIDE_COMPARISONS_FROM):
        return bits + 7.0
    if vitis_since_2022(design):
        return _COMPARISON_BIT * bits + _COMPARISON_ONCE
    if design.family == "7series" and 16 < bits <= 32:
        return _COMPARISON_LUT_7SERIES
    return next((cost for most, cost in _COMPARISON_LUT.items() if bits <= most), bits / 2 + 2)


def rounding_luts(bits: int, design: Design) -> float:
    """Look-up tables to round a word to the nearest even one of ``bits`` and to saturate it.

    An adder, two comparisons of what lies beyond its range, and selections: read off ten designs' modules.
    """
    more = design.tool == "vitis" and not older_than(design, _MORE_SELECTIONS_FROM)
    selected = bits * (3 if more else 1) + (_MORE_GATES if more else _ROUNDING_GATES)
    return bits + library(design).adder + 2 * comparison_luts(_OVERFLOW_BITS, design) + selected


#: 7-series: nanoseconds of a product of more than nine bits in one DSP block, by speed grade of Artix fabric (two parts
#: of grade 1, one of 2, three of 3).
_WIDE_PRODUCT_NS = {1: 6.9, 2: 5.6, 3: 4.3}
#: Flip-flops inside the multiplier of two stages, and of more (217 and 1,169 printed ones).
_TWO_STAGES_FF, _MORE_STAGES_FF = 67.0, 69.0


#: Nanoseconds of one level of 16-bit adders, and of a product in one DSP block; other families as UltraScale+.
_LEVEL_NS = {"7series": 2.07, "ultrascale": 1.0}
_PRODUCT_NS = {"7series": 3.36, "ultrascale": 2.6}
_LEVEL_NS_ULTRASCALE_PLUS, _PRODUCT_NS_ULTRASCALE_PLUS = 0.85, 2.35
#: Share of the clock period that the tool keeps free unless told otherwise (UG902, UG1399).
UNCERTAINTY = {"vivado": 0.125, "vitis": 0.27}


def period_ns(design: Design) -> float:
    """The clock period without the share that the tool keeps free."""
    share = UNCERTAINTY[design.tool] if design.uncertainty is None else design.uncertainty
    return design.clock_period_ns * (1 - share)


def level_ns(design: Design) -> float:
    """Nanoseconds of one level of adders."""
    return _LEVEL_NS.get(design.family, _LEVEL_NS_ULTRASCALE_PLUS)


def product_ns(design: Design) -> float:
    """Nanoseconds of a product in one DSP block."""
    return _PRODUCT_NS.get(design.family, _PRODUCT_NS_ULTRASCALE_PLUS)


def wide_product_ns(design: Design) -> float:
    """Nanoseconds of a product of more than nine bits in one DSP block."""
    return _WIDE_PRODUCT_NS[design.speed_grade or 1] if design.family == "7series" else product_ns(design)


def product_stages(design: Design) -> int:
    """Stages of a product of more than nine bits in a DSP block: 1 unless the device is slow for the clock."""
    if design.family != "7series":
        return 1
    return max(1, math.ceil(wide_product_ns(design) / period_ns(design)))


def joining_lut(wide: int, design: Design) -> float:
    """Look-up tables that join the DSP blocks of one product; ``wide``: bits of its wider operand.

    12,000 printed ones: 40 for 28 bits, 25 for 31, 20 for 32 (UltraScale+, both tools), 12 to 16 on 7-series.
    """
    if design.family == "7series":
        return 12.0
    return 20.0 + 5.0 * min(4, max(0, 32 - wide))


#: Nanoseconds from a word to its table's entry, by speed grade on 7-series: the cycles of 52 of 56 modules.
_TABLE_NS, _TABLE_NS_7SERIES = 4.3, {1: 10.0, 2: 8.0, 3: 6.5}


def table_ns(design: Design) -> float:
    """Nanoseconds of a function that is read from a table: the address, and the memory."""
    return _TABLE_NS_7SERIES[design.speed_grade or 1] if design.family == "7series" else _TABLE_NS


def stage_registers(stages: int) -> float:
    """Flip-flops that one multiplier of ``stages`` stages holds."""
    return 0.0 if stages < 2 else _TWO_STAGES_FF if stages == 2 else _MORE_STAGES_FF


#: Look-up tables of a product in fabric by the bits of its wider operand, whatever the narrower has: 39 of 42 printed
#: shapes of 3 x 5 to 9 x 10 bits within two (Vivado, all families).
_FABRIC_PRODUCT_LUT = (12.0, 17.0, 24.0, 32.0, 40.0, 50.0, 62.0)
_LEAST_FABRIC_BITS = 4


def fabric_product_luts(wide: int) -> float:
    """One product in fabric, of operands of two bits and more. Wider ones (by up to four bits) were not seen."""
    return _FABRIC_PRODUCT_LUT[min(max(0, wide - _LEAST_FABRIC_BITS), len(_FABRIC_PRODUCT_LUT) - 1)]
