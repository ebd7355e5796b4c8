"""One number to compare designs by: look-up-table equivalents."""

from __future__ import annotations

from toolchain.estimate.design import Design
from toolchain.estimate.prices import price
from toolchain.network.constant_products import LUT_PER_DSP


def lut_equivalents(design: Design) -> float:
    """Look-up tables plus ``LUT_PER_DSP`` for each DSP block, summed over the layers of ``design`` (C synthesis).

    For kernels without a design (pruning criteria) see ``toolchain.network.constant_products.lut_equivalents``.
    """
    found = [price(layer, design) for layer in design.layers]
    return float(sum(item.lut + LUT_PER_DSP * item.dsp for item in found))
