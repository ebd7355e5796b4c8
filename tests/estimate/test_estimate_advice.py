"""What is advised fits, by the estimator itself, and is legal where it is to be written."""

from __future__ import annotations

import re

import numpy as np
import pytest

from toolchain.estimate.advice import Question, advice, narrowed, pruned
from toolchain.estimate.design import DesignLayer
from toolchain.estimate.from_network import design_of
from toolchain.estimate.stage import estimate_design
from toolchain.fixed_point import FixedPoint
from toolchain.hls.options import resolve
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.project import HlsSection
from toolchain.results import EstimateResult
from toolchain.target import load_target

RNG = np.random.default_rng(3)
FPGA = load_target("zcu102").fpga
assert FPGA is not None
BITS = 10


def network() -> FixedPointNetwork:
    b = NetworkBuilder("n")
    x = b.input("x", (16,), FixedPoint(True, 3, 12))
    hidden = b.dense("hidden", x, RNG.integers(-512, 512, (16, 24)), FixedPoint(True, 0, BITS - 1))
    r = b.relu("r", hidden, FixedPoint(False, 4, 10))
    b.dense("out", r, RNG.integers(-512, 512, (24, 4)), FixedPoint(True, 0, BITS - 1))
    return b.build(("out",))


def estimated(section: HlsSection) -> EstimateResult:
    return estimate_design(design_of(network(), section, FPGA), FPGA)


@pytest.mark.parametrize("strategy", ["latency", "resource"])
def test_the_reuse_factor_that_is_advised_is_legal_and_fits(strategy: str) -> None:
    limits = {"dsp": 60.0}
    text = advice(Question(network(), HlsSection(), FPGA, BITS, limits), limits)
    found = re.findall(r"(?:hls\.strategy = '(\w+)' with )?hls\.reuse_factor = (\d+) \(estimated dsp (\d+)\)", text)
    chosen = {name or "latency": (int(factor), int(dsp)) for name, factor, dsp in found}
    factor, dsp = chosen[strategy]
    section = HlsSection(strategy=strategy, reuse_factor=factor)
    resolve(network(), section, FPGA)  # hls takes it
    assert estimated(section).dsp.value == dsp <= 60 < estimated(HlsSection()).dsp.value


def test_fewer_bits_and_more_zeros_are_advised_with_what_they_come_to() -> None:
    limits = {"lut": 0.8 * estimated(HlsSection()).lut.value}
    text = advice(Question(network(), HlsSection(), FPGA, BITS, limits), limits)
    for setting in (r"quantize\.weight_bits = \d", r"prune\.final_sparsity = 0\.\d+"):
        found = re.search(setting + r" \(estimated lut ([\d.e+]+)\)", text)
        assert found is not None, text
        assert float(found[1]) <= limits["lut"]


def test_every_limit_is_held_at_once() -> None:
    """Sharing multipliers would save blocks, but not within one cycle."""
    limits = {"dsp": 60.0, "initiation_interval": 1.0}
    text = advice(Question(network(), HlsSection(), FPGA, BITS, limits), limits)
    assert "reuse_factor" not in text
    assert "final_sparsity" in text


def test_where_nothing_fits_the_nearest_is_named_and_not_called_fitting() -> None:
    text = advice(Question(network(), HlsSection(), FPGA, BITS, {"lut": 3.0}), {"lut": 3.0})
    assert text.startswith("none of ")
    assert re.search(r"nearest: .* \(estimated lut ", text)


def test_weights_are_rounded_and_zeroed_as_said() -> None:
    layer = DesignLayer("d", "dense", 8, 8, 2, 1, np.array([[7, -8, 3], [1, -1, 0]]), 4, 12)
    assert (less := narrowed(layer, 1)).weights is not None
    assert less.weights.tolist() == [[3, -4, 2], [1, 0, 0]]
    assert (less.weight_width, less.accumulator_width) == (3, 11)
    fewer = pruned(layer, 0.5)
    assert fewer.weights is not None
    assert fewer.weights.tolist() == [[7, -8, 3], [0, 0, 0]]
