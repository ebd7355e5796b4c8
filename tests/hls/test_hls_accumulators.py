"""Accumulators: proven ones hold every sum and are never wider than hls4ml's own rule; both are written as asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hls_cases import WEIGHT, Run, conv_network, skip_network, weights

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, parse_ap_fixed
from toolchain.hls.readback import read_types
from toolchain.hls.sufficiency import exact_bounds, holds
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.project import HlsSection
from toolchain.results import HlsResult


def written(network: FixedPointNetwork, folder: Path, choice: str) -> HlsResult:
    return Run(network, folder / choice, HlsSection.model_validate({"accumulator": choice})).write()


@pytest.mark.parametrize("make", [conv_network, skip_network])
def test_proven_is_never_wider_than_auto_and_narrower_in_total(make: object, tmp_path: Path) -> None:
    network = make()  # type: ignore[operator]
    bounds = exact_bounds(network)
    proven, auto = (written(network, tmp_path, choice) for choice in ("proven", "auto"))
    assert proven.accumulators == auto.accumulators != ()
    for one in proven.accumulators:
        assert one.proven_bits <= one.auto_bits
        assert one.count == network[one.name].shape[-1]
        for result, kind in ((proven, one.proven), (auto, one.auto)):
            assert parse_ap_fixed(read_types(result.folder)[f"{one.name}_accum_t"]) == parse_ap_fixed(kind)
            assert holds(parse_ap_fixed(kind), bounds[one.name])
    widths = [(one.proven_bits, one.auto_bits) for one in proven.accumulators]
    assert sum(width for width, _ in widths) < sum(width for _, width in widths)


def test_a_truncated_sum_keeps_every_bit_until_it_is_truncated(tmp_path: Path) -> None:
    """hls4ml 1.3.0 would truncate every product: products of a half each would make a sum of zero."""
    b = NetworkBuilder("truncated")
    x = b.input("x", (4,), FixedPoint(True, 2, 5))
    kernel = weights(np.random.default_rng(0), (4, 3), 0.0)
    y = b.dense("y", x, kernel, WEIGHT, result=FixedPoint(True, 1, 0, Rounding.TRN, Overflow.SAT))
    network = b.build((y,))
    (found,) = written(network, tmp_path, "proven").accumulators
    assert parse_ap_fixed(found.proven).fractional_bits == 10
