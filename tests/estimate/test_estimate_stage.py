"""Whole estimates: what is monotonic, what fits, what is said where nothing was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.block import Block, block_memory
from toolchain.estimate.budget import check
from toolchain.estimate.calibration import nonnegative_least_squares
from toolchain.estimate.coefficients import Coefficients, read, shipped
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.from_network import design_of
from toolchain.estimate.prices import price
from toolchain.estimate.stage import estimate_design
from toolchain.fixed_point import FixedPoint
from toolchain.network.builder import NetworkBuilder
from toolchain.network.constant_products import dsp_blocks
from toolchain.network.nodes import FixedPointNetwork, Input, Node
from toolchain.project import BudgetSection, HlsSection
from toolchain.target import load_target

RNG = np.random.default_rng(0)
FPGA = load_target("zcu102").fpga
assert FPGA is not None


def layer(n_in: int = 32, n_out: int = 32, width: int = 10, data: int = 16, **changes: object) -> DesignLayer:
    limit = 2 ** (width - 1)
    weights = np.random.default_rng(n_in * n_out).integers(-limit, limit, (n_in, n_out))
    plain = DesignLayer(
        "d", "dense", data, 16, n_out, 1, weights, width, data + width + int(np.ceil(np.log2(n_in))), "latency", 1
    )
    return replace(plain, **changes)


def design(*layers: DesignLayer, tool: str = "vitis", io_type: str = "io_parallel", clock: float = 5.0) -> Design:
    return Design(tuple(layers), tool, io_type, "ultrascale_plus", clock)


def lut_equivalent(d: Design) -> float:
    found = estimate_design(d, FPGA)
    return found.lut.value + 100 * found.dsp.value


def test_more_bits_never_cost_less() -> None:
    costs = [lut_equivalent(design(layer(width=width))) for width in (2, 4, 6, 8, 10, 12, 14)]
    assert costs == sorted(costs)


def test_a_larger_reuse_factor_never_needs_more_dsp() -> None:
    for strategy in ("latency", "resource"):
        factors = (1, 2, 4, 8, 16, 32, 64, 128)
        dsp = [estimate_design(design(layer(strategy=strategy, reuse_factor=f)), FPGA).dsp.value for f in factors]
        assert dsp == sorted(dsp, reverse=True), strategy


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(48, 48), (64, 32), (60, 100)]), st.floats(0, 0.95))
def test_sharing_multipliers_never_needs_more_of_them(seed: int, shape: tuple[int, int], sparsity: float) -> None:
    """Every divisor as reuse factor, also beyond 1,024, where Vivado keeps one multiplier more."""
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random(shape) < sparsity, 0, rng.integers(-512, 512, shape))
    size = weights.size
    for tool in ("vivado", "vitis"):
        dsp = [
            price(layer(*shape, weights=weights, reuse_factor=factor), design(tool=tool)).dsp
            for factor in range(1, size + 1)
            if size % factor == 0
        ]
        assert dsp == sorted(dsp, reverse=True), tool


@pytest.mark.parametrize(("factor", "dsp"), [(512, 4), (1024, 3)])
def test_multipliers_at_once_are_those_of_vivado_reports(factor: int, dsp: int) -> None:
    """32 x 64 weights of 10 bits, one layer: what two published reports say."""
    assert price(layer(32, 64, reuse_factor=factor), design(tool="vivado")).dsp == dsp


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["vivado", "vitis"]), st.sampled_from(["latency", "resource"]))
def test_zeroing_weights_never_adds_flip_flops_or_blocks(seed: int, tool: str, strategy: str) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-128, 128, (12, 7))
    fewer = np.where(rng.random(weights.shape) < 0.3, 0, weights)
    before, after = (
        price(layer(12, 7, weights=matrix, strategy=strategy), design(tool=tool)) for matrix in (weights, fewer)
    )
    assert after.dsp <= before.dsp
    assert after.ff <= before.ff


@pytest.mark.parametrize(
    ("tool", "strategy", "io_type", "grade"),
    [
        ("vivado", "latency", "io_parallel", "A"),
        ("vitis", "latency", "io_parallel", "B"),
        ("vivado", "latency", "io_stream", "C"),
        ("vivado", "distributed_arithmetic", "io_parallel", "D"),
    ],
)
def test_the_grade_says_how_much_was_measured(tool: str, strategy: str, io_type: str, grade: str) -> None:
    assert estimate_design(design(layer(strategy=strategy), tool=tool, io_type=io_type), FPGA).grade == grade


def test_the_counting_stands_in_the_explanation() -> None:
    weights = np.array([[7, 0], [11, 11], [3, -4]])  # 7 = 8 - 1: two digits; 11 = 8 + 4 - 1: three, shared; 3 = 4 - 1
    line = estimate_design(design(layer(3, 2, weights=weights)), FPGA).layers[0].explanation[0]
    assert "5 not zero: 1 multipliers of 3 or more digits, 2 adders of 2 digits" in line


def test_zeros_save_multipliers_under_latency() -> None:
    whole = layer()
    assert whole.weights is not None
    sparse = replace(whole, weights=np.where(RNG.random(whole.weights.shape) < 0.75, 0, whole.weights))
    before, after = (estimate_design(design(item), FPGA) for item in (whole, sparse))
    for name in ("dsp", "lut", "ff"):
        assert getattr(after, name).value < 0.5 * getattr(before, name).value


def test_resource_strategy_has_the_reuse_factor_as_interval() -> None:
    found = estimate_design(design(layer(strategy="resource", reuse_factor=16), tool="vivado"), FPGA)
    assert found.initiation_interval.value == 16
    assert found.dsp.value == 64
    assert found.bram_18k.value > 0


def test_distributed_arithmetic_has_no_dsp_and_says_it_was_not_measured() -> None:
    found = estimate_design(design(layer(strategy="distributed_arithmetic")), FPGA)
    assert found.dsp.value == 0
    assert found.grade == "D"
    assert any("not measured" in line for line in found.layers[0].explanation)


@pytest.mark.parametrize(
    ("wide", "narrow", "blocks"), [(24, 8, 1), (28, 8, 2), (32, 16, 2), (20, 20, 2), (32, 32, 4), (27, 18, 1)]
)
def test_dsp_blocks_of_a_product(wide: int, narrow: int, blocks: int) -> None:
    assert dsp_blocks(wide, narrow, "ultrascale_plus") == blocks


def test_intervals_hold_their_value_and_widen_where_nothing_was_measured() -> None:
    for d in (
        design(layer()),
        design(layer(strategy="resource", reuse_factor=8)),
        design(layer(), io_type="io_stream"),
    ):
        found = estimate_design(d, FPGA)
        for name in ("dsp", "bram_18k", "lut", "ff", "latency_cycles", "latency_ns", "initiation_interval"):
            estimated = getattr(found, name)
            assert 0 <= estimated.low <= estimated.value <= estimated.high


def test_what_does_not_fit_names_the_layer_and_what_would() -> None:
    big = estimate_design(design(layer(256, 256, width=12), layer(8, 8)), FPGA)
    assert not big.fits
    problems = check(big, BudgetSection(latency_ns=1.0, initiation_interval=1), FPGA, lambda exceeded: "prune it")
    assert {problem.exit_code for problem in problems} == {4}
    text = problems[0].text()
    assert "'d'" in text
    assert "prune" in text
    assert any("latency_ns" in problem.text() for problem in problems)
    roomy = FPGA.model_copy(update={"dsp": 10**6, "lut": 10**8, "ff": 10**8})
    assert not check(big, BudgetSection(initiation_interval=1), roomy, lambda exceeded: "never asked")


def test_a_device_without_a_memory_figure_is_not_checked_for_it() -> None:
    fpga = load_target("alveo_ul3524").fpga
    assert fpga is not None
    found = estimate_design(design(layer(strategy="resource", reuse_factor=8)), fpga)
    assert "bram_18k" not in found.share
    assert any("block RAM" in note for note in found.notes)


def test_operators_that_are_not_estimated_are_refused() -> None:
    class Unheard(Node):
        """An operator of tomorrow."""

    form = FixedPoint(True, 1, 4)
    x = Input(name="x", shape=(4, 2), result=form)
    strange = Unheard(name="strange", inputs=("x",), shape=(4, 2), result=form)
    with pytest.raises(UnsupportedModelError, match="'strange'"):
        design_of(FixedPointNetwork(name="n", nodes=(x, strange), outputs=("strange",)), HlsSection(), FPGA)


def test_every_layer_of_a_network_is_priced_and_says_how() -> None:
    b = NetworkBuilder("n")
    x = b.input("x", (8, 2), FixedPoint(True, 1, 6))
    kernel = RNG.integers(-100, 100, (3, 2, 4))
    c = b.convolution("c", x, kernel, FixedPoint(True, 0, 7), strides=(1,), padding=((1, 1),))
    r = b.relu("r", c, FixedPoint(False, 2, 6))
    p = b.max_pool("p", r, (2,), (2,), ((0, 0),))
    f = b.reshape("f", p, (16,))
    b.dense("d", f, RNG.integers(-100, 100, (16, 3)), FixedPoint(True, 0, 7))
    for io_type in ("io_parallel", "io_stream"):
        found = estimate_design(design_of(b.build(("d",)), HlsSection(io_type=io_type), FPGA), FPGA)
        kinds = ["padding"] if io_type == "io_stream" else []  # the zeros have a process of their own there
        assert [layer.kind for layer in found.layers] == [*kinds, "conv1d", "activation", "pooling", "reshape", "dense"]
        assert all(layer.explanation for layer in found.layers)
        assert found.lut.value > 0
        assert set(found.logic_synthesis) == {"dsp", "bram_18k", "lut", "ff"}


def test_memory_blocks_are_those_of_published_reports() -> None:
    """Kernels of Vivado HLS 2020.1: shape, reuse factor, bits, bits of the last weight, 18 Kb blocks."""
    for n_in, n_out, factor, width, top, blocks in (
        (96, 96, 576, 8, 6, 8), (192, 128, 384, 4, 2, 8), (64, 160, 512, 14, 12, 9), (256, 224, 512, 14, 11, 44),
        (224, 192, 896, 10, 7, 28), (128, 256, 512, 8, 6, 16),
    ):  # fmt: skip
        assert block_memory(Block(n_in, n_out, factor, width, top)) == blocks


def test_the_fit_finds_the_coefficients_it_was_made_with() -> None:
    truth = np.array([2.5, 0.0, 7.0])
    matrix = np.random.default_rng(1).random((40, 3))
    assert np.allclose(nonnegative_least_squares(matrix, matrix @ truth), truth, atol=1e-9)
    assert (nonnegative_least_squares(matrix, -(matrix @ truth)) == 0).all()


def test_a_file_of_coefficients_survives_and_a_broken_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text(shipped().to_json())
    assert read(file) == shipped()
    file.write_text('{"constant/lut/any": {"terms": []}}')
    with pytest.raises(ValueError, match=r"c\.json"):
        read(file)


def test_without_a_calibration_nothing_is_invented() -> None:
    found = estimate_design(design(layer()), FPGA, Coefficients({}))
    assert found.grade == "D"
    assert found.lut.low < 0.8 * found.lut.value
    assert found.lut.high > 1.2 * found.lut.value
