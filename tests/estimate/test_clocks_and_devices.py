"""What the clock and the device change: uncertainty, stages of products, cycles of kernels, DATAFLOW."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_estimate_directory import write_directory
from test_operator_library import dense, design

from toolchain.estimate.amounts import constant_amounts, kernel_counts, products
from toolchain.estimate.block import block_amounts, block_dsp, block_of
from toolchain.estimate.coefficients import shipped
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.directory.project import Given, find_project
from toolchain.estimate.from_network import design_of
from toolchain.estimate.logic_synthesis import after_logic_synthesis
from toolchain.estimate.operator_library import joining_lut, period_ns, stage_registers
from toolchain.estimate.prices import price
from toolchain.estimate.schedule import schedule
from toolchain.estimate.totals import interval, latency
from toolchain.fixed_point import FixedPoint
from toolchain.network.builder import NetworkBuilder
from toolchain.project import HlsSection
from toolchain.results import Estimated
from toolchain.target import Fpga

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    ("file", "text", "share"),
    [
        ("project.tcl", "set clock_uncertainty 12.5%\n", 0.125),
        ("build_prj.tcl", "set_clock_uncertainty 30% {get_clocks default}\n", 0.3),
        ("build_prj.tcl", "set_clock_uncertainty 0.5 default\n", 0.1),
        ("hls4ml_config.yml", "ClockUncertainty: 27%\n", 0.27),
        ("build_prj.tcl", "set_clock_uncertainty $clock_uncertainty default\n", None),
    ],
)
def test_the_uncertainty_of_the_clock_is_read_from_the_project(
    file: str, text: str, share: float | None, tmp_path: Path
) -> None:
    folder = write_directory(tmp_path)
    with (folder / file).open("a") as script:
        script.write(text)
    assert find_project(folder, Given("vitis")).uncertainty == share


def test_the_uncertainty_is_the_targets_and_else_the_tools() -> None:
    b = NetworkBuilder("n")
    x = b.input("x", (4,), FixedPoint(True, 1, 6))
    b.dense("d", x, RNG.integers(-100, 100, (4, 3)), FixedPoint(True, 0, 7))
    fpga = Fpga(
        part="xcu250-figd2104-2L-e", family="ultrascale_plus", lut=1, ff=1, dsp=1, clock_period_ns=4.0,
        clock_uncertainty_percent=10.0,
    )  # fmt: skip
    assert period_ns(design_of(b.build(("d",)), HlsSection(), fpga)) == 4.0 * 0.9
    assert period_ns(design("vitis", clock=4.0)) == 4.0 * 0.73
    assert period_ns(design("vivado", clock=4.0)) == 4.0 * 0.875


def test_a_sooner_clock_edge_cuts_sums_that_a_later_one_does_not() -> None:
    """86 products of 16 by 10 bits, Vitis 2023.1, 5 ns with 12.5 % uncertainty: one cycle (with 27 %: two)."""
    layer = dense(RNG.integers(100, 500, (86, 2)))
    two = [replace(design("vitis", "2023.1"), uncertainty=share) for share in (0.125, 0.27)]
    assert [schedule(kernel_counts(layer), layer, one).cycles for one in two] == [1, 2]


def test_products_of_several_dsp_blocks_are_joined_by_look_up_tables() -> None:
    """32 x 16 bits on UltraScale+: 6,000 products print 20 look-up tables each; 28 bits: 1,359 print 40."""
    wide = design("vitis", "2023.1")
    assert [joining_lut(bits, wide) for bits in (28, 31, 32, 40)] == [40.0, 25.0, 20.0, 20.0]
    layer = dense(RNG.integers(10_001, 30_000, (8, 2)) * 2 + 1, data=32)
    counts = kernel_counts(layer)
    made = products(layer, counts, wide)
    assert (made.in_dsp, made.dsp, made.joined, made.joined_lut) == (16, 32, 16, 320)
    narrow = replace(layer, data_width=16)
    assert products(narrow, counts, wide).joined == 0
    two = [constant_amounts(one, counts, replace(wide, layers=(one,)))["lut"] for one in (layer, narrow)]
    assert two[0].fixed - two[1].fixed == 320
    assert [one.terms["products_in_dsp"] for one in two] == [0, 16]


def test_a_multiplier_of_stages_holds_its_words_itself() -> None:
    """xc7z020-1 at 5 ns: 67 flip-flops in each, 2 look-up tables beside it; as many in a kernel with memory."""
    slow, fast = (design("vivado", "2020.1", "7series", clock, 1) for clock in (5.0, 10.0))
    layer = dense(RNG.integers(1001, 3000, (8, 2)) * 2 + 1)
    counts = kernel_counts(layer)
    assert counts.multipliers == 16
    made = {one: constant_amounts(layer, counts, replace(one, layers=(layer, layer))) for one in (slow, fast)}
    assert made[slow]["ff"].fixed - made[fast]["ff"].fixed >= 16 * stage_registers(2)
    ports = 2 * 9
    assert made[slow]["lut"].fixed == counts.tree_bits + counts.product_bits + 16 * 2 + ports
    assert "products_in_dsp" not in made[slow]["lut"].terms
    turned = DesignLayer(
        "d", "dense", 16, 16, 16, 1, RNG.integers(-128, 128, (32, 16)), 16, 16, "resource", 32
    )  # fmt: skip
    ff = [block_amounts(block_of(turned), turned, one)["ff"].fixed for one in (slow, fast)]
    assert ff[0] - ff[1] == 16 * stage_registers(2)


@pytest.mark.parametrize(
    ("tool", "clock", "factor", "cycles"),
    [("vivado", 5.0, 100, 105), ("vivado", 25.0, 3, 4), ("vitis", 10.0, 16, 18), ("vivado", 10.0, 16, 18)],
)
def test_cycles_of_a_kernel_that_takes_turns(tool: str, clock: float, factor: int, cycles: int) -> None:
    """Modules of 7-series designs (xc7a100t-1, xc7z020-1) by Vivado 2019.2 and Vitis 2023.1."""
    layer = DesignLayer(
        "d", "dense", 16, 16, 50, 1, RNG.integers(-128, 128, (100, 50)), 16, 16, "resource", factor
    )  # fmt: skip
    one = replace(design(tool, "2023.1" if tool == "vitis" else "2019.2", "7series", clock, 1), layers=(layer,))
    assert price(layer, one, shipped()).latency_cycles == cycles


def _of_two(tool: str, factors: tuple[int, int], dataflow: bool) -> Design:
    layers = tuple(
        DesignLayer(
            name, "dense", 16, 16, 16, 1, RNG.integers(-128, 128, (16, 16)), 16, 16, "resource", factor
        ) for name, factor in zip("ab", factors, strict=True)
    )  # fmt: skip
    return replace(design(tool, "2023.1", "7series", 10.0, 1), layers=layers, dataflow=dataflow)


def test_layers_run_side_by_side_under_dataflow_and_in_turn_without() -> None:
    """xc7z020, Vitis 2023.1, 10 ns, reuse factors 16: interval 16 and a cycle between two layers."""
    beside, turns = (_of_two("vitis", (16, 16), dataflow) for dataflow in (True, False))
    priced = [(layer, price(layer, beside, shipped())) for layer in beside.layers]
    assert interval(beside, priced).value == 16
    assert latency(beside, priced).value == 18 + 18 + 1
    assert interval(turns, priced).value == latency(turns, priced).value


@given(st.floats(0, 0.9), st.floats(0, 0.9))
def test_more_uncertainty_never_fewer_cycles(one: float, other: float) -> None:
    layer = dense(np.arange(1, 129).reshape(32, 4) * 3)
    less, more = sorted((one, other))
    cycles = [
        schedule(kernel_counts(layer), layer, replace(design("vitis", "2023.1"), uncertainty=share)).cycles
        for share in (less, more)
    ]
    assert cycles[0] <= cycles[1]


@pytest.mark.parametrize(("factor", "low"), [(16, 0.1), (64, 0.3)])
def test_memories_of_few_words_become_look_up_tables_after_logic_synthesis(factor: int, low: float) -> None:
    layer = DesignLayer(
        "d", "dense", 16, 16, 64, 1, RNG.integers(-128, 128, (64, 64)), 8, 16, "resource", factor
    )  # fmt: skip
    found = {name: Estimated(value=100.0, low=100.0, high=100.0) for name in ("dsp", "bram_18k", "lut", "ff")}
    one = replace(design("vivado", "2020.1"), layers=(layer,), io_type="io_stream")
    later = after_logic_synthesis(one, found, shipped(), "A")
    assert (later["bram_18k"].value < 50) == (factor == 16)


def test_a_product_forced_into_fabric_is_printed_square() -> None:
    """Vitis 2021.1: 62 look-up tables for 8 x 5 to 8 x 8 bits, 366 for 18 x 18; as if 8 x 5 were 8 x 8."""
    layer = replace(dense(np.full((4, 1), 21), data=8), binding="lut")
    made = products(layer, kernel_counts(layer), design("vitis", "2021.1"))
    assert (made.fabric, made.fabric_products) == (4, 4 * 64)


def test_a_scale_of_unknown_factors_has_one_product_for_each() -> None:
    layer = DesignLayer("s", "scale", 16, 16, 24, 1, None, 16, 32, "latency", 1, kernel_shape=(24, 24))
    one = replace(design("vitis", "2023.1"), layers=(layer,))
    found = price(layer, one, shipped())
    assert found.dsp == 24
    assert found.of("dsp")[0] == 0
    assert any("not known" in note for note in found.notes)


def test_a_cast_that_neither_rounds_nor_clips_is_wiring() -> None:
    layer = DesignLayer("l", "activation", 16, 18, 24, 1, function="linear")
    one = replace(design("vitis", "2023.1"), layers=(layer,))
    assert price(layer, one, shipped()).lut == 0
    assert price(replace(layer, result_rounds=True), one, shipped()).lut > 0


def test_a_product_that_fills_the_cycle_leaves_no_room_for_a_sum() -> None:
    """xc7vx485t-2 at 5 ns, Vivado 2018.3: two inputs, eight outputs take a cycle; on UltraScale+ none."""
    layer = dense(np.full((2, 8), 1001) + np.arange(16).reshape(2, 8) * 2, data=18)
    slow = replace(design("vivado", "2018.3", "7series", grade=3), layers=(layer, layer))
    fast = replace(design("vivado", "2018.3"), layers=(layer, layer))
    assert [schedule(kernel_counts(layer), layer, one).cycles for one in (slow, fast)] == [1, 0]


def test_a_slow_clock_keeps_the_results_alone() -> None:
    """Resource strategy at reuse factor 1, xcvu9p at 25 ns: no product waits in a register."""
    layer = replace(dense(RNG.integers(100, 500, (8, 4))), strategy="resource")
    counts = kernel_counts(layer)
    terms = [
        constant_amounts(layer, counts, replace(design("vivado", "2019.2", clock=clock), layers=(layer, layer)))[
            "ff"
        ].terms
        for clock in (25.0, 2.5)
    ]
    assert [one["cut_bits"] > 0 for one in terms] == [False, True]


@pytest.mark.parametrize(
    ("tool", "family", "grade", "clock", "share", "cycles"),
    [
        ("vivado", "ultrascale_plus", 2, 5.0, 0.125, 1), ("vivado", "ultrascale_plus", 2, 2.5, 0.125, 2),
        ("vitis", "ultrascale_plus", 2, 5.0, 0.27, 2), ("vitis", "ultrascale_plus", 2, 5.0, 0.125, 1),
        ("vitis", "ultrascale_plus", 2, 2.8, 0.125, 2), ("vivado", "7series", 3, 5.0, 0.125, 2),
        ("vivado", "7series", 1, 5.0, 0.125, 3), ("vitis", "7series", 1, 10.0, 0.0625, 2),
    ],
)  # fmt: skip
def test_cycles_of_a_function_that_is_read_from_a_table(
    tool: str, family: str, grade: int, clock: float, share: float, cycles: int
) -> None:
    """Sigmoids of nine authors."""
    layer = DesignLayer("t", "table", 16, 16, 1, 1, function="sigmoid", table_size=1024)
    one = replace(design(tool, "2022.2", family, clock, grade), layers=(layer,), uncertainty=share)
    assert price(layer, one, shipped()).latency_cycles == cycles


@pytest.mark.parametrize(
    ("n_in", "n_out", "factor", "version", "blocks"),
    [(64, 32, 32, "2020.1", 32), (32, 5, 16, "2020.1", 5), (800, 32, 50, "2020.1", 256), (125, 1, 25, "2024.2", 3),
     (50, 4, 50, "2024.2", 4), (64, 32, 64, "2019.2", 0)],
)  # fmt: skip
def test_narrow_products_are_fused_with_sums_on_7series(
    n_in: int, n_out: int, factor: int, version: str, blocks: int
) -> None:
    """4 to 6 bits by 4 to 6 bits in memory, xc7z020 and xc7a35t."""
    layer = DesignLayer(
        "d", "dense", 6, 16, n_out, 1, RNG.integers(-32, 32, (n_in, n_out)), 6, 16, "resource", factor
    )  # fmt: skip
    tool = "vitis" if version > "2021" else "vivado"
    assert block_dsp(block_of(layer), layer, design(tool, version, "7series", 5.0, 1)) == blocks
    assert block_dsp(block_of(layer), layer, design(tool, version)) == 0
