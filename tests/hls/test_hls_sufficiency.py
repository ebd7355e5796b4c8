"""The proof that a format is sufficient: never wrong, by exhaustion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hls_cases import conv_network, dead_network, modes_network
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_cases import (
    compositions_network,
    formats_network,
    images_network,
    merges_network,
    moves_network,
    steps_network,
    tables_network,
    unrolled_network,
)

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.hls.grids import element_grids
from toolchain.hls.sufficiency import exact_bounds, find_shortfall, holds
from toolchain.network import interpreter
from toolchain.network.builder import NetworkBuilder
from toolchain.network.interpreter import exact_value
from toolchain.network.nodes import FixedPointNetwork, Input
from toolchain.network.ranges import Range

MODES = (st.sampled_from(Rounding), st.sampled_from(Overflow))
FORMATS = st.builds(FixedPoint, st.booleans(), st.integers(1, 4), st.integers(0, 4), *MODES)


def value_range(low: int, high: int, fractional_bits: int) -> Range:
    return Range(np.array([low], dtype=object), np.array([high], dtype=object), fractional_bits)


@settings(max_examples=2000, deadline=None)
@given(st.integers(-200, 200), st.integers(0, 300), st.integers(0, 6), FORMATS, FORMATS)
def test_a_sufficient_format_gives_the_same_values(
    low: int, span: int, bits: int, asked: FixedPoint, found: FixedPoint
) -> None:
    if find_shortfall(value_range(low, low + span, bits), asked, found):
        return
    words = np.arange(low, low + span + 1)
    assert np.array_equal(
        asked.values_of(asked.requantize(words, bits)), found.values_of(found.requantize(words, bits))
    )


@given(FORMATS)
def test_a_format_is_sufficient_for_itself(form: FixedPoint) -> None:
    assert find_shortfall(value_range(-500, 500, 6), form, form) == ""


def check_bounds(network: FixedPointNetwork) -> None:
    rng = np.random.default_rng(0)
    ports = {port.name: (port.result.min_word, port.result.max_word, port.shape) for port in network.inputs}
    x = {name: rng.integers(low, high + 1, (200, *shape)) for name, (low, high, shape) in ports.items()}
    words = interpreter.run(network, x)
    for node in network.nodes:
        if isinstance(node, Input):
            continue
        bounds = exact_bounds(network)[node.name]
        exact, bits = exact_value(node, network, [words[name] for name in node.inputs])
        shift = bits - bounds.fractional_bits
        assert (exact >> shift << shift == exact).all() if shift > 0 else shift == 0
        whole = exact >> shift
        assert (whole >= bounds.low).all()
        assert (whole <= bounds.high).all()


def test_every_exact_value_lies_in_its_bounds_and_on_their_grid() -> None:
    check_bounds(conv_network())
    check_bounds(dead_network())
    for rounding in (Rounding.TRN, Rounding.RND, Rounding.RND_CONV):
        for overflow in (Overflow.WRAP, Overflow.SAT, Overflow.SAT_SYM):
            check_bounds(modes_network(rounding, overflow))


@pytest.mark.parametrize(
    "network",
    [
        merges_network, images_network, moves_network, tables_network, formats_network, compositions_network,
        steps_network, unrolled_network,
    ],
)  # fmt: skip
def test_every_exact_value_of_other_operators_lies_in_its_bounds(network: Callable[[], FixedPointNetwork]) -> None:
    check_bounds(network())


def test_grids_are_known_element_by_element() -> None:
    """Two inputs of different formats side by side: what reads only the coarse one is coarse."""
    b = NetworkBuilder("grids")
    x, y = b.input("x", (1,), FixedPoint(True, 2, 1)), b.input("y", (1,), FixedPoint(True, 2, 6))
    both = b.concatenate("both", (x, y), 0)
    network = b.build((b.dense("d", both, np.array([[3, 4], [0, 1]]), FixedPoint(True, 1, 2)),))
    grids: dict[str, np.ndarray] = {}
    for node in network.nodes:
        grids[node.name] = element_grids(node, [grids[name] for name in node.inputs])
    assert grids["both"].tolist() == [1, 6]
    assert grids["d"].tolist() == [3, 8]


def test_what_is_always_zero_fits_everywhere() -> None:
    assert holds(FixedPoint(False, 32, -30), value_range(0, 0, 10))
    assert not holds(FixedPoint(False, 32, -30), value_range(0, 1, 10))
