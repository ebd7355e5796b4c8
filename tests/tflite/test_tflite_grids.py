"""8-bit grids."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tflite_networks import convolution_network

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.tflite.grids import Grid, Span, finest_grid, format_span
from toolchain.tflite.ports import choose_ports


@given(st.integers(-(2**20), 2**20), st.integers(0, 2**20), st.integers(0, 2**20), st.integers(0, 2**20))
def test_the_finest_grid_covers_what_is_needed_and_no_finer_one_would(low: int, width: int, a: int, b: int) -> None:
    needed = Span(low, low + width, 7)
    limit = Span(low - a, low + width + b, 7)
    grid = finest_grid(needed, limit)
    step = 2 ** (7 - grid.fractional_bits)
    assert -128 <= grid.zero_point <= 127
    assert grid.low * step < min(low, 0) + step
    assert grid.high * step > max(low + width, 0) - step
    if step > 1:  # half the step would take more than 256 levels
        half = step // 2
        assert -(-max(low + width, 0) // half) - min(low, 0) // half > 255


def test_a_format_of_at_most_eight_bits_is_kept() -> None:
    for form, zero_point in (
        (FixedPoint(True, 2, 5), 0),
        (FixedPoint(False, 2, 6), -128),
        (FixedPoint(True, 1, 4), -96),
        (FixedPoint(False, 0, 3), -128),
    ):
        span = format_span(form)
        grid = finest_grid(Span(0, 1, form.fractional_bits), span)
        assert (grid.fractional_bits, grid.zero_point) == (form.fractional_bits, zero_point)
        assert grid.low <= span.low
        assert grid.high >= span.high


def test_words_and_values_go_round() -> None:
    grid = Grid(4, -100)
    every = np.arange(-128, 128).astype(np.int8)
    assert (grid.quantize_values(grid.values_of(every), Rounding.RND_CONV) == every).all()
    assert (grid.quantize(grid.words_of(every), 4, Rounding.TRN) == every).all()
    assert grid.quantize_values(np.array([1e9, -1e9]), Rounding.RND).tolist() == [127, -128]


def test_a_wide_input_port_covers_the_training_part_with_room_inside_the_format() -> None:
    from toolchain.network.builder import NetworkBuilder

    builder = NetworkBuilder("n")
    x = builder.input("x", (3,), FixedPoint(False, 2, 14, Rounding.RND_CONV, Overflow.SAT))
    weights = FixedPoint(True, 0, 7)
    network = builder.build((builder.dense("d", x, np.full((3, 1), 42), weights),))
    train = np.random.default_rng(0).integers(0, 2**14 + 1, (100, 3))  # 0 to 1.0
    ports = choose_ports(network, train, extrapolates=True)
    assert ports.inputs["x"] == Grid(6, -128)
    assert ports.outputs["d"].fractional_bits == 6
    assert ports.outputs["d"].high * ports.outputs["d"].scale >= 3.5


def test_an_eight_bit_port_does_not_depend_on_the_data() -> None:
    network = convolution_network()
    for seed in range(3):
        train = np.random.default_rng(seed).integers(-9, 9, (50, 10, 2))
        assert choose_ports(network, train, False).inputs["x"] == Grid(5, 0)
