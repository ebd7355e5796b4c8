"""Products with constants: what is shared, what is monotonic, against brute force."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolchain.network.constant_products import (
    LUT_PER_DSP,
    Operands,
    constant_bits,
    csd_digits,
    lut_equivalents,
    product_lut_equivalents,
    weight_lut_equivalents,
)

matrices = arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-600, 600))
widths = st.builds(Operands, st.integers(2, 30), st.integers(4, 40), st.sampled_from(["7series", "ultrascale_plus"]))


@given(st.integers(-(2**40), 2**40))
def test_bits_of_a_constant(value: int) -> None:
    assert constant_bits(np.array([value]))[0] == abs(value).bit_length() + (value < 0)


@given(matrices, widths)
def test_a_kernel_costs_its_distinct_products_and_its_adders(weights: np.ndarray, operands: Operands) -> None:
    total = float(operands.accumulator_width * np.count_nonzero(weights))
    for row in weights.tolist():
        for value in set(row):
            digits = int(csd_digits(np.array([value]))[0])
            bits = int(constant_bits(np.array([value]))[0])
            if digits == 2:
                total += operands.data_width
            elif digits > 2:
                total += product_lut_equivalents(operands.data_width, bits, operands.family)
    assert np.isclose(lut_equivalents(weights, operands), total, rtol=1e-12)


@given(matrices, widths, st.data())
def test_zeroing_a_weight_never_costs_more(weights: np.ndarray, operands: Operands, data: st.DataObject) -> None:
    fewer = weights.copy()
    fewer[tuple(data.draw(st.integers(0, n - 1)) for n in weights.shape)] = 0
    assert lut_equivalents(fewer, operands) <= lut_equivalents(weights, operands) + 1e-9


@given(st.integers(1, 2**20), widths)
def test_a_longer_constant_never_costs_less(bits: int, operands: Operands) -> None:
    bits = 2 + bits % 24
    shorter, longer = (product_lut_equivalents(operands.data_width, b, operands.family) for b in (bits, bits + 1))
    assert shorter <= longer


def test_equal_weights_on_one_input_share_their_product() -> None:
    operands = Operands(16, 20)
    shared = weight_lut_equivalents(np.array([[1235, 1235, 0, 4]]), operands)
    assert shared.tolist() == [[20 + LUT_PER_DSP / 2, 20 + LUT_PER_DSP / 2, 0, 20]]
    negative = weight_lut_equivalents(np.array([[1235, -1235]]), operands)
    assert negative.tolist() == [[20 + LUT_PER_DSP, 20 + LUT_PER_DSP]]


def test_a_convolution_kernel_keeps_its_shape() -> None:
    kernel = np.random.default_rng(0).integers(-100, 100, (3, 3, 2, 5))
    assert weight_lut_equivalents(kernel, Operands(8, 20)).shape == kernel.shape
