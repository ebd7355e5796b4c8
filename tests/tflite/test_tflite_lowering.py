"""The integers that go into the flatbuffer, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tflite_networks import EVEN, convolution_network, dense_network, lowered

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork, Linear
from toolchain.tflite.operators import LimitOperator, LinearOperator, NotExpressibleError

EIGHT = FixedPoint(True, 0, 7, *EVEN)


def refusal(network: FixedPointNetwork) -> str:
    with pytest.raises(NotExpressibleError) as caught:
        lowered(network)
    return str(caught.value)


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_weight_stands_in_the_file_as_the_networks_integer_times_a_power_of_two(bits: int) -> None:
    network = convolution_network(bits=bits)
    model, _ = lowered(network)
    for operator in model.operators:
        if isinstance(operator, LinearOperator):
            node = network[operator.node.name]
            assert isinstance(node, Linear)
            gains = np.array(operator.kernel_bits) - node.kernel_format.fractional_bits
            assert (operator.kernel == node.kernel << gains).all()
            assert (gains >= 0).all()


def test_pruned_channels_and_missing_biases_are_fine() -> None:
    model, _ = lowered(dense_network(np.zeros((4, 2), dtype=np.int64), None, EIGHT))
    operator = model.operators[0]
    assert isinstance(operator, LinearOperator)
    assert not operator.kernel.any()


def test_wide_kernels_are_kept_when_their_words_are_even_enough_and_refused_when_not() -> None:
    model, _ = lowered(dense_network(np.array([[256], [-512]]), None, EIGHT))
    operator = model.operators[0]
    assert isinstance(operator, LinearOperator)
    assert (operator.kernel.astype(int).ravel() * 2.0 ** -operator.kernel_bits[0]).tolist() == [2.0, -4.0]
    assert "layer 'dense'" in refusal(dense_network(np.array([[257], [-512]]), None, EIGHT))


def test_one_lowest_weight_per_channel_is_kept_and_several_are_refused() -> None:
    lowered(dense_network(np.array([[-128, 1], [3, -128]]), None, EIGHT))
    assert "several weights of -128" in refusal(dense_network(np.array([[-128], [-128], [1]]), None, EIGHT))


def test_a_narrow_saturating_activation_saturates_at_its_own_ends() -> None:
    kernel = np.array([[100, -90], [77, 64]])
    unsigned, _ = lowered(dense_network(kernel, None, EIGHT, FixedPoint(False, 0, 5, *EVEN), relu=True))
    assert not any(isinstance(operator, LimitOperator) for operator in unsigned.operators)
    assert unsigned.output.grid.high == 31
    signed, _ = lowered(dense_network(kernel, None, EIGHT, FixedPoint(True, 0, 5, *EVEN)))
    limits = [operator for operator in signed.operators if isinstance(operator, LimitOperator)]
    ends = {operator.bound for operator in limits} | {signed.output.grid.high, signed.output.grid.low}
    assert {-32, 31} <= ends


def test_a_wide_hidden_result_is_refused_by_name() -> None:
    builder = NetworkBuilder("n")
    x = builder.input("x", (2,), EIGHT)
    x = builder.dense("first", x, np.array([[99, 3], [5, 7]]), EIGHT)
    x = builder.relu("wide", x, FixedPoint(False, 2, 9, *EVEN))
    x = builder.dense("second", x, np.array([[1], [2]]), EIGHT)
    assert "layer 'wide'" in refusal(builder.build((x,)))


def test_an_overflow_that_wraps_is_refused_unless_it_cannot_happen() -> None:
    kernel = np.array([[100], [77]])
    wrap = (Rounding.RND_CONV, Overflow.WRAP)
    assert "may overflow" in refusal(dense_network(kernel, None, EIGHT, FixedPoint(True, -1, 7, *wrap)))
    lowered(dense_network(kernel, None, EIGHT, FixedPoint(True, 1, 6, *wrap)))


def test_two_roundings_in_a_row_are_refused() -> None:
    builder = NetworkBuilder("n")
    x = builder.input("x", (2,), EIGHT)
    x = builder.dense("d", x, np.array([[99], [5]]), EIGHT, result=FixedPoint(True, 1, 9, *EVEN))
    x = builder.relu("r", x, FixedPoint(False, 1, 6, *EVEN))
    assert "two roundings" in refusal(builder.build((x,)))


def test_an_accumulator_that_may_overflow_is_refused() -> None:
    network = dense_network(np.array([[100], [77]]), None, EIGHT)
    node = network["dense"]
    assert isinstance(node, Linear)
    narrow = replace(node, accumulator=FixedPoint(True, 0, 9))
    assert "accumulator" in refusal(FixedPointNetwork(name="n", nodes=(network.nodes[0], narrow), outputs=("dense",)))


def test_an_operator_without_an_int8_form_is_refused_by_name() -> None:
    builder = NetworkBuilder("n")
    x = builder.input("x", (4,), EIGHT)
    relu = builder.relu("r", x)
    assert "'mean'" in refusal(builder.build((builder.average("mean", (x, relu)),)))
    builder = NetworkBuilder("n")
    x = builder.input("x", (4,), EIGHT)
    assert "'cube': a product of 3" in refusal(builder.build((builder.multiply("cube", (x, x, x)),)))


def test_a_sum_that_is_too_wide_inside_the_network_is_refused_by_name() -> None:
    builder = NetworkBuilder("n")
    x = builder.input("x", (4,), EIGHT)
    wide = builder.add("wide", (x, x, x))
    assert "'wide'" in refusal(builder.build((builder.dense("d", wide, np.ones((4, 1), dtype=np.int64), EIGHT),)))


def test_two_branches_without_a_grid_for_both_are_refused_by_name() -> None:
    builder = NetworkBuilder("n")
    x = builder.input("x", (4,), EIGHT)
    y = builder.input("y", (4,), FixedPoint(True, 7, 0, *EVEN))
    joined = builder.concatenate("joined", (x, y), -1)
    assert "'joined'" in refusal(builder.build((joined,)))


def test_a_bias_below_the_sums_grid_needs_room_in_the_kernel() -> None:
    def network(weight: int) -> FixedPointNetwork:
        builder = NetworkBuilder("n")
        x = builder.input("x", (1,), FixedPoint(True, 7, 0, *EVEN))
        bias = FixedPoint(True, 0, 9)
        return builder.build((builder.dense("d", x, np.array([[weight]]), EIGHT, np.array([5]), bias),))

    lowered(network(31))
    assert "finer" in refusal(network(33))


def test_a_rounding_that_no_layer_before_can_take_over_is_an_operator_of_its_own() -> None:
    """It becomes a depthwise convolution by one."""
    builder = NetworkBuilder("n")
    x = builder.input("x", (2,), EIGHT)
    x = builder.requantize("coarser", x, FixedPoint(True, 0, 4, *EVEN))
    x = builder.dense("d", x, np.array([[1], [2]]), EIGHT)
    first = lowered(builder.build((x,)))[0].operators[0]
    assert isinstance(first, LinearOperator)
    assert first.output.grid.fractional_bits == 4


def test_sums_and_biases_beyond_32_bits_are_refused() -> None:
    builder = NetworkBuilder("n")
    x = builder.input("x", (140_000,), EIGHT)
    x = builder.dense("large", x, np.full((140_000, 1), 127), EIGHT)
    with pytest.raises(NotExpressibleError, match="may exceed 32 bits"):
        lowered(builder.build((x,)), samples=1)
    builder = NetworkBuilder("n")
    x = builder.input("x", (1,), EIGHT)
    x = builder.dense("d", x, np.array([[1]]), EIGHT, np.array([2**33]), FixedPoint(True, 20, 14))
    assert "does not fit 32 bits" in refusal(builder.build((x,)))
