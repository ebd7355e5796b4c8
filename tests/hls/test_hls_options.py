"""Options: resolved per layer, illegal ones refused with what is legal."""

from __future__ import annotations

import pytest
from hls_cases import FPGA, conv_network

from toolchain.errors import ProjectError
from toolchain.hls.options import legal_reuse_factors, resolve
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
            assert legal_reuse_factors(n_in, n_out) == backend.get_valid_reuse_factors(n_in, n_out)


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
