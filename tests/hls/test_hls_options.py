"""Options: resolved per layer, illegal ones refused with what is legal."""

from __future__ import annotations

import numpy as np
import pytest
from hls_cases import FPGA, conv_network

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.hls.options import resolve
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.reuse_factors import legal_reuse_factors
from toolchain.project import HlsLayer, HlsSection


def refusal(section: HlsSection) -> str:
    with pytest.raises(ProjectError) as caught:
        resolve(conv_network(), section, FPGA)
    return caught.value.text()


def test_legal_reuse_factors_are_those_that_hls4ml_takes() -> None:
    from hls4ml.backends import get_backend

    backend = get_backend("Vivado")
    for n_in in range(1, 20):
        for n_out in (1, 2, 3, 4, 6, 7, 12):
            assert list(legal_reuse_factors(n_in, n_out)) == backend.get_valid_reuse_factors(n_in, n_out)


def test_overrides_go_by_layer_and_the_rest_is_the_targets() -> None:
    section = HlsSection(layers={"hidden": HlsLayer(strategy="resource", reuse_factor=6)})
    options = resolve(conv_network(), section, FPGA)
    assert [(layer.name, layer.strategy, layer.reuse_factor) for layer in options.layers] == [
        ("conv", "latency", 1), ("hidden", "resource", 6), ("output", "latency", 1),
    ]  # fmt: skip
    assert (options.clock_period_ns, options.clock_uncertainty_percent) == (4.0, 12.5)
    assert resolve(conv_network(), HlsSection(clock_period_ns=3.3), FPGA).clock_period_ns == 3.3


def test_unknown_layers_and_layers_without_weights_are_refused() -> None:
    assert "perhaps you meant 'hidden'" in refusal(HlsSection(layers={"hiden": HlsLayer(reuse_factor=2)}))
    assert "no strategy and no reuse factor" in refusal(HlsSection(layers={"flatten": HlsLayer(reuse_factor=2)}))


def test_illegal_reuse_factors_are_refused_with_the_legal_ones() -> None:
    assert "near it: 1, 2, 3, 6" in refusal(HlsSection(strategy="resource", reuse_factor=5))
    assert "allowed: 1 to 15" in refusal(HlsSection(reuse_factor=16))
    only = {"hidden": HlsLayer(strategy="distributed_arithmetic")}
    assert "not possible with distributed_arithmetic" in refusal(HlsSection(reuse_factor=2, layers=only))


def test_what_hls4ml_asserts_of_convolutions_is_refused_before() -> None:
    """In parallel only divisors of a window's inputs; streamed, the factors of a dense layer."""
    conv = {"conv": HlsLayer(strategy="resource", reuse_factor=12)}
    assert "near it: 1, 2, 3, 6" in refusal(HlsSection(layers=conv))
    assert resolve(conv_network(), HlsSection(layers=conv, io_type="io_stream"), FPGA).layer("conv").reuse_factor == 12


def depthwise_network() -> FixedPointNetwork:
    b = NetworkBuilder("n")
    x = b.input("x", (4, 3), FixedPoint(True, 2, 3))
    kernel = np.ones((2, 3), dtype=np.int64)
    form, window = FixedPoint(True, 1, 2), {"strides": (1,), "padding": ((0, 0),)}
    d = b.convolution("d", x, kernel, form, **window, depthwise=True)  # type: ignore[arg-type]
    return b.build((b.convolution("mean", d, kernel, form, **window, depthwise=True, constant=True),))  # type: ignore[arg-type]


def test_depthwise_convolutions_have_strategies_of_their_own() -> None:
    for io_type, strategy, allowed in (
        ("io_parallel", "resource", "allowed: latency"),
        ("io_stream", "distributed_arithmetic", "allowed: latency, resource"),
    ):
        section = HlsSection.model_validate({"io_type": io_type, "strategy": strategy})
        with pytest.raises(ProjectError) as caught:
            resolve(depthwise_network(), section, FPGA)
        assert allowed in caught.value.text()
    section = HlsSection(io_type="io_stream", strategy="resource", reuse_factor=4)
    with pytest.raises(ProjectError, match="near it: 1, 2, 3, 6"):
        resolve(depthwise_network(), section, FPGA)


def test_constant_kernels_have_no_strategy() -> None:
    options = resolve(depthwise_network(), HlsSection(), FPGA)
    assert [layer.name for layer in options.layers] == ["d"]


def test_distributed_arithmetic_has_a_type_for_each_output() -> None:
    """A unit whose sums are all below the grid of the result is refused there, and only there."""
    b = NetworkBuilder("n")
    x = b.input("x", (2,), FixedPoint(True, 2, 3))
    kernel = np.array([[64, 1], [64, 0]])
    result = FixedPoint(True, 8, -5, Rounding.RND, Overflow.SAT)
    network = b.build((b.dense("d", x, kernel, FixedPoint(True, 0, 7), None, None, result),))
    assert resolve(network, HlsSection(), FPGA).layers
    with pytest.raises(UnsupportedModelError, match="rounds away more bits"):
        resolve(network, HlsSection(strategy="distributed_arithmetic"), FPGA)


def test_a_change_of_format_behind_generated_adders_counts_as_theirs() -> None:
    """hls4ml makes it the sum's own result type: C++ would abort on the narrow unit."""
    b = NetworkBuilder("n")
    x = b.input("x", (2,), FixedPoint(True, 2, 3))
    sums = b.dense("d", x, np.array([[64, 1], [64, 0]]), FixedPoint(True, 0, 7))
    network = b.build((b.requantize("q", sums, FixedPoint(True, 8, -5, Rounding.RND, Overflow.SAT)),))
    assert resolve(network, HlsSection(), FPGA).layers
    with pytest.raises(UnsupportedModelError, match="rounds away more bits"):
        resolve(network, HlsSection(strategy="distributed_arithmetic"), FPGA)


def test_a_zero_of_generated_adders_is_not_rounded_beyond_its_one_bit() -> None:
    """C++ would abort: the generated code gives it the type ap_ufixed<1, 0>."""
    b = NetworkBuilder("n")
    x = b.input("x", (2,), FixedPoint(True, 7, 0))
    kernel = np.array([[3, 0], [1, 0]])
    result = FixedPoint(True, 8, -2, Rounding.RND_CONV, Overflow.SAT)
    network = b.build((b.dense("d", x, kernel, FixedPoint(True, 3, 0), None, None, result),))
    assert resolve(network, HlsSection(), FPGA).layers
    with pytest.raises(UnsupportedModelError, match="always zero"):
        resolve(network, HlsSection(strategy="distributed_arithmetic"), FPGA)
