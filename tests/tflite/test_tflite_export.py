"""int8 files: every tensor word for word, the result within its proven bound, the same bytes each time."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tflite_networks import (
    EVEN,
    convolution_network,
    dense_network,
    graph_network,
    image_network,
    lowered,
    random_words,
)

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.bounds import bound_differences
from toolchain.tflite.check import check_file
from toolchain.tflite.emulation import emulate
from toolchain.tflite.flatbuffer import to_bytes
from toolchain.tflite.grids import INT8_WIDE_RESULT, INT16X8
from toolchain.tflite.operators import LinearOperator, NotExpressibleError
from toolchain.tflite.reader import read_summary
from toolchain.tflite.runtime import run_tensors

SLOW_IMPORT = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


@st.composite
def networks(draw: st.DrawFn) -> FixedPointNetwork:
    """Conv1D with any stride, dilation and padding, then Dense layers; any width to 8 bits, any nearest rounding."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    modes = (draw(st.sampled_from([Rounding.RND_CONV, Rounding.RND, Rounding.TRN, Rounding.RND_INF])), Overflow.SAT)
    builder = NetworkBuilder("network")
    form = FixedPoint(draw(st.booleans()), draw(st.integers(0, 3)), draw(st.integers(1, 4)), *EVEN)
    x = builder.input("x", (12, 2), form)
    bits = draw(st.integers(2, 8))
    weights = FixedPoint(True, draw(st.integers(-1, 1)), bits - 1)
    window, channels = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    x = builder.convolution(
        "conv", x, random_words(rng, (window, 2, channels), bits), weights, random_words(rng, (channels,), bits),
        FixedPoint(True, 0, 2), strides=(draw(st.integers(1, 2)),), dilation=(draw(st.integers(1, 2)),),
        padding=(draw(st.sampled_from([(0, 0), (1, 1), (0, 1), (2, 0)])),),
    )  # fmt: skip
    width = draw(st.integers(3, 8))
    x = builder.relu("relu", x, FixedPoint(False, 2, width - 2, *modes))
    if draw(st.booleans()):
        x = builder.dense("per_step", x, random_words(rng, (channels, 3), bits), weights)
        x = builder.requantize("cut", x, FixedPoint(True, 2, width - 3, *modes))
    x = builder.reshape("flatten", x, (int(np.prod(builder.shape_of(x))),))
    x = builder.dense("out", x, random_words(rng, (*builder.shape_of(x), 2), bits), weights)
    return builder.build((x,))


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW_IMPORT)
@given(networks())
def test_every_tensor_is_the_arithmetic_on_the_networks_integers(tmp_path: Path, network: FixedPointNetwork) -> None:
    model, inputs = lowered(network, samples=60)
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(model))
    agreement = check_file(path, model, network, inputs)  # raises at the first differing word, or beyond the bound
    assert agreement.largest_word_difference <= agreement.proven_words


@pytest.mark.parametrize("rounding", [Rounding.RND, Rounding.TRN, Rounding.RND_MIN_INF])
@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 0)])
def test_six_bit_weights_without_ties_to_even_are_exact_in_every_kernel(
    rounding: Rounding, padding: tuple[int, int], tmp_path: Path
) -> None:
    network = convolution_network(bits=6, rounding=rounding, padding=padding)
    model, inputs = lowered(network)
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(model))
    agreement = check_file(path, model, network, inputs)
    assert agreement.proven_words == 0
    assert bound_differences(network, model, everywhere=True)[-1].words == 0
    assert agreement.equal_words_share == agreement.default_equal_words_share == 1.0


@pytest.mark.parametrize("make", [convolution_network, image_network, graph_network])
def test_int16_activations_are_the_arithmetic_on_the_same_integers(
    make: Callable[[int], FixedPointNetwork], tmp_path: Path
) -> None:
    network = make(1)
    model, inputs = lowered(network, widths=INT16X8)
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(model))
    agreement = check_file(path, model, network, inputs)
    assert agreement.largest_word_difference <= agreement.proven_words
    assert {port.kind for port in read_summary(path).inputs} == {"int16"}


@pytest.mark.parametrize("make", [convolution_network, image_network])
def test_an_int16_result_of_int8_activations_is_the_networks_own_with_the_default_kernels(
    make: Callable[[int], FixedPointNetwork], tmp_path: Path
) -> None:
    network = make(1)
    model, inputs = lowered(network, widths=INT8_WIDE_RESULT)
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(model))
    agreement = check_file(path, model, network, inputs)
    assert agreement.default_largest_word_difference <= 1
    assert {port.kind for port in read_summary(path).outputs} == {"int16"}
    assert {port.kind for port in read_summary(path).inputs} == {"int8"}


def test_sixteen_bits_take_what_eight_refuse_and_lose_nothing_at_the_ports(tmp_path: Path) -> None:
    builder = NetworkBuilder("n")
    x = builder.input("x", (4,), FixedPoint(True, 3, 10, *EVEN))
    weights = FixedPoint(True, 0, 5)
    x = builder.dense("d", x, random_words(np.random.default_rng(0), (4, 5), 6), weights)
    x = builder.relu("wide", x, FixedPoint(False, 3, 9, Rounding.RND, Overflow.SAT))
    network = builder.build((builder.dense("out", x, np.eye(5, 2, dtype=np.int64), weights),))
    with pytest.raises(NotExpressibleError, match="'wide': its results take 4096 levels"):
        lowered(network)
    model, inputs = lowered(network, widths=INT16X8)
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(model))
    agreement = check_file(path, model, network, inputs)
    assert (agreement.equal_words_share, agreement.proven_words) == (1.0, 0)


@pytest.mark.parametrize("make", [image_network, graph_network])
@pytest.mark.parametrize("seed", range(3))
def test_every_operator_of_a_graph_is_the_arithmetic_on_its_integers(
    make: Callable[[int], FixedPointNetwork], seed: int, tmp_path: Path
) -> None:
    network = make(seed)
    model, inputs = lowered(network)
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(model))
    agreement = check_file(path, model, network, inputs)
    assert agreement.largest_word_difference <= agreement.proven_words
    order = tuple(inputs[port.name] for port in model.inputs)
    predicted = emulate(model, inputs, "to_even")
    for port, found in zip(model.outputs, run_tensors(path, order, (), "default")[0], strict=True):
        assert np.array_equal(found, predicted[port.tensor.name]), port.name


@pytest.mark.parametrize("bits", [4, 6])
def test_qkeras_rounding_is_exact_in_the_default_kernels(bits: int, tmp_path: Path) -> None:
    network = convolution_network(seed=3, bits=bits)
    model, inputs = lowered(network, samples=500)
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(model))
    agreement = check_file(path, model, network, inputs)
    assert agreement.default_equal_words_share == 1.0
    assert agreement.equal_words_share < 1.0  # the reference kernels break ties differently …
    assert 0 < agreement.largest_word_difference <= agreement.proven_words  # … and the bound says how far


def test_a_network_whose_port_formats_fit_eight_bits_is_exact_throughout(tmp_path: Path) -> None:
    network = dense_network(np.array([[1, -1], [2, 0]]), None, FixedPoint(True, 0, 5, *EVEN))
    model, inputs = lowered(network)
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(model))
    assert check_file(path, model, network, inputs).equal_words_share == 1.0
    assert bound_differences(network, model, everywhere=True)[-1].words == 0
    assert model.output.grid.fractional_bits == network.nodes[-1].result.fractional_bits


def test_the_same_network_gives_the_same_bytes() -> None:
    first, second = (to_bytes(lowered(convolution_network())[0], {"a": b"b"}) for _ in range(2))
    assert first == second
    assert first != to_bytes(lowered(convolution_network(seed=1))[0], {"a": b"b"})


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    model, _ = lowered(convolution_network(padding=(2, 0)))
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(model, {"network_sha256": b"1234"}))
    summary = read_summary(path)
    assert summary.signature == "serving_default"
    assert [port.name for port in summary.inputs] == ["x"]
    assert [port.name for port in summary.outputs] == ["out"]
    assert (summary.inputs[0].kind, summary.inputs[0].scale, summary.inputs[0].zero_point) == ("int8", 2.0**-5, 0)
    assert summary.operators == (
        "RESHAPE", "PAD", "CONV_2D", "RESHAPE", "RESHAPE", "FULLY_CONNECTED", "FULLY_CONNECTED"
    )  # fmt: skip
    assert summary.metadata == {"network_sha256": b"1234"}


def test_constants_are_aligned_as_the_schema_demands() -> None:
    model, _ = lowered(convolution_network())
    data = to_bytes(model)
    for operator in model.operators:
        if isinstance(operator, LinearOperator):
            content = operator.bias.astype("<i4").tobytes()
            place = data.index(struct.pack("<I", len(content)) + content) + 4
            assert place % 16 == 0


def test_the_bound_grows_through_the_layers_and_counts_from_zero() -> None:
    network = convolution_network()
    model, _ = lowered(network)
    bounds = {bound.node: bound for bound in bound_differences(network, model)}
    assert list(bounds) == ["conv_relu", "flatten", "hidden_relu", "out"]
    assert bounds["conv_relu"].words == bounds["conv_relu"].own_words == 1
    assert bounds["flatten"].words == 1
    assert bounds["hidden_relu"].words > 1
