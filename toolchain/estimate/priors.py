"""What a coefficient should be by construction, before any report is seen: a fit is drawn to it as if by a few layers.

A regime that no report has is priced by these alone, and counts as never measured.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Adders and products in fabric are as the operator library says, a product in a DSP block has 5 look-up tables around
#: it (printed in the reports), each 16-bit accumulator of a multiplier 23 (an adder alone), a bit alive at a cut is a
#: register, a multiplexer is that of the operator library. An accumulator that rounds or saturates: two adders more for
#: each product (listed in one author's reports), and for the product and for the sum two selections and a detection of
#: the range; the product is held in a register.
_LOGIC = {"products_in_dsp": 5.0, "rounded_bits": 8.0, "operators_printed": 1.0}
_REGISTERS = {
    "cut_bits": 1.0, "chain_bits": 1.0, "shift_bits": 2.0, "window_bits": 1.0, "port_bits": 1.0, "rounded_bits": 1.0,
}  # fmt: skip
PRIORS: Mapping[str, Mapping[str, float]] = {
    "constant/lut": _LOGIC,
    "sequential/lut": {**_LOGIC, "products_that_take_turns": 7.0},
    "registered/lut": _LOGIC,
    "constant/ff": {**_REGISTERS, "product_bits": 0.5},
    "sequential/ff": _REGISTERS,
    "registered/ff": {**_REGISTERS, "product_bits": 0.5},
    "block/lut": {
        "one": 0.0,
        "inputs": 36.0,
        "outputs": 18.0,
        "output_multiplexers": 1.0,
        "multipliers_side": 23.0,
        "fabric_products": 0.0,
        "rounded_bits": 8.0,
    },
    "block/ff": {
        "outputs": 16.0,
        "multipliers_wide": 16.0,
        "multipliers_side": 16.0,
        "fabric_products_wide": 0.0,
        "window_bits": 1.0,
        "rounded_bits": 1.0,
    },
    "block_few_turns/lut": {
        "inputs": 36.0,
        "outputs": 18.0,
        "input_multiplexers": 1.0,
        "accumulators": 23.0,
        "rounded_bits": 8.0,
    },
    "block_few_turns/ff": {"multipliers": 16.0, "inputs": 16.0, "window_bits": 1.0, "rounded_bits": 1.0},
    "stream_block/lut": {"counted": 1.0, "rounded_bits": 8.0},
    "stream_block/ff": {"counted": 1.0, "rounded_bits": 0.0},
    "stream_softmax/lut": {"counted": 1.0},
    "stream_softmax/ff": {"counted": 1.0},
    "stream_activation/lut": {"counted": 1.0, "function_bits": 4.0},
    "stream_activation/ff": {"counted": 1.0, "function_bits": 1.0},
    "stream_pooling/lut": {"counted": 1.0},
    "stream_pooling/ff": {"counted": 1.0},
    "softmax/ff": {"class_cycles": 16.0},
    "activation/lut": {"operators_printed": 1.0, "function_bits": 4.0},
    "activation/ff": {"registered_bits": 2.0, "function_bits": 1.0},
}
#: A fit is drawn to a prior as if by this many layers.
_LAYERS = 2.0
#: Rough ones by fewer; the registers of accumulators and results, which are there whatever is around them, by more; and
#: by far more what was counted on about 40 designs.
_OTHERS: Mapping[str, float] = {
    "rounded_bits": 0.01, "operators_printed": 50.0, "function_bits": 0.5, "window_bits": 0.1, "multipliers_wide": 8.0,
    "outputs": 8.0, "port_bits": 20.0, "counted": 50.0,
}  # fmt: skip


def strength(term: str) -> float:
    """As if by how many layers a fit is drawn to the prior of ``term``."""
    return _OTHERS.get(term, _LAYERS)
