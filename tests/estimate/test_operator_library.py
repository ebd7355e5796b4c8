"""What reports of single operators say: generations of the tools, devices that are slow for the clock, hand-over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from toolchain.estimate import totals
from toolchain.estimate.amounts import constant_amounts, kernel_counts, products
from toolchain.estimate.counting import KernelOperands, count
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.operator_library import (
    comparison_luts,
    fabric_product_luts,
    library,
    product_stages,
    stage_registers,
)
from toolchain.estimate.price import Price
from toolchain.estimate.schedule import schedule
from toolchain.estimate.small_layers import activation_amounts, pooling_cost, softmax_cycles, softmax_memory
from toolchain.estimate.stage import estimate_design
from toolchain.target import load_target, speed_grade


def design(tool: str, version: str = "", family: str = "ultrascale_plus", clock: float = 5.0, grade: int = 0) -> Design:
    return Design((), tool, "io_parallel", family, clock, version, grade)  # type: ignore[arg-type]


def dense(weights: np.ndarray, data: int = 16) -> DesignLayer:
    return DesignLayer("d", "dense", data, 16, weights.shape[1], 1, weights.astype(np.int64), 8, 16)


@pytest.mark.parametrize(
    ("part", "grade"),
    [("xc7z020clg400-1", 1), ("xcu250-figd2104-2L-e", 2), ("xc7vx690tffg1930-3", 3), ("xc7vx485tffg1761-2", 3),
     ("xc7k325tffg900-1", 2), ("xc7a100tfgg676-2L", 2), ("xck26-sfvc784-2LV-c", 2),
     ("xcvu13p-flga2577-2-e", 2), ("pynq-z2", 0)],
)  # fmt: skip
def test_the_speed_grade_stands_in_the_name_of_a_part(part: str, grade: int) -> None:
    assert speed_grade(part) == grade


def test_every_adder_is_printed_with_seven_look_up_tables_more_since_2022() -> None:
    """16 inputs of 6 bits by 6-bit weights, Vitis 2022.2: 408 of 2,653 adders of 8 bits have 15, 344 of 9 bits 16."""
    assert library(design("vitis", "2021.1")).adder < 1
    assert [library(design("vitis", version)).adder for version in ("2022.1", "2024.1", "")] == [7.0, 7.0, 7.0]
    layer = dense(np.full((8, 4), 4), data=6)
    counts = kernel_counts(layer)
    old, new = (
        constant_amounts(layer, counts, replace(design("vitis", version), layers=(layer,)))["lut"]
        for version in ("2021.1", "2024.1")
    )
    assert counts.tree_adders == 28 - 3 * 4  # the first level of all four outputs is the same
    assert new.terms["operators_printed"] == 7 * 16
    assert old.terms["operators_printed"] < 16


def test_a_sum_that_two_outputs_have_is_built_once() -> None:
    """Neighbours of a column, zeros left out: Vivado 2020.1 builds 8 to 20 % fewer adders of 2- and 4-bit weights."""
    first = np.array([[3, 3], [0, 5], [5, 0], [7, 7]])  # 3a + 5c + 7d and 3a + 5b + 7d: no sum is the same
    assert kernel_counts(dense(first)).tree_adders == 4
    second = np.array([[3, 3], [5, 5], [0, 9], [7, 7]])  # 3a + 5b is in both
    found, apart = kernel_counts(dense(second)), kernel_counts(dense(np.array([[3, 3], [5, 6], [0, 9], [7, 7]])))
    assert (found.tree_adders, apart.tree_adders) == (4, 5)
    assert found.tree_bits < apart.tree_bits
    assert kernel_counts(dense(np.tile(first, 50))).tree_adders == 4 + 98  # the second sum of each is its own


def test_sums_are_as_wide_as_their_wider_word_in_the_order_of_the_inputs() -> None:
    """A wide word beside a narrow one: two wide adders, not one (the tools do not sort)."""
    mixed, sorted_by_width = np.array([[1000], [3], [1001], [5]]), np.array([[1000], [1001], [3], [5]])
    one, other = (kernel_counts(dense(weights, data=6)) for weights in (mixed, sorted_by_width))
    assert one.tree_adders == other.tree_adders == 3
    assert one.tree_bits > other.tree_bits


def test_a_long_sum_that_vitis_leaves_a_chain_has_the_accumulators_width() -> None:
    layer = dense(np.random.default_rng(0).integers(3, 60, (561, 8)), data=8)
    counts = kernel_counts(layer)
    one = replace(design("vitis", "2021.1"), layers=(layer,))
    found = constant_amounts(layer, counts, one)["lut"]
    place = schedule(counts, layer, one)
    assert place.chained
    sums = found.fixed - place.shift_bits - counts.product_bits + counts.negated_bits
    assert sums >= counts.tree_adders * 16 > counts.tree_bits


#: Resource strategy at a reuse factor of 1, 16-bit words, Vivado 2020.1, xcu250 at 5 ns: (weights' bits, flip-flops).
REGISTERED = ((10, 8443), (12, 9242), (14, 9247))


@pytest.mark.parametrize(("bits", "printed"), REGISTERED)
def test_results_and_first_sums_are_held_where_a_kernel_begins_every_other_cycle(bits: int, printed: int) -> None:
    """32 inputs, 32 outputs, random weights: others than the published ones, so within a seventh."""
    top = 2 ** (bits - 1)
    weights = np.random.default_rng(1).integers(-top, top, (32, 32))
    layer = replace(dense(weights), strategy="resource", dropped_bits=bits - 1, weight_width=bits)
    one = replace(design("vivado", "2020.1"), layers=(layer,))
    found = constant_amounts(layer, kernel_counts(layer), one)
    assert found["ff"].terms["port_bits"] == 512
    assert found["ff"].terms["cut_bits"] + 512 == pytest.approx(printed, rel=1 / 7)
    assert "products_in_dsp" not in found["lut"].terms  # 14 bits: 20,391 where the latency strategy has 24,971
    latency = constant_amounts(replace(layer, strategy="latency"), kernel_counts(layer), one)["lut"]
    assert latency.terms["products_in_dsp"] > 500


@pytest.mark.parametrize(
    ("version", "family", "adder"),
    [
        ("2020.1", "ultrascale_plus", 7.0),  # 100,000 of 119,000 of 9 to 40 bits, five authors
        ("2019.2", "ultrascale_plus", 0.7), ("2019.2.1", "ultrascale_plus", 0.7),  # 33,000 of four authors
        ("2019.1", "ultrascale_plus", 7.0), ("2019.2", "7series", 7.0), ("2020.1", "7series", 7.0),
    ],
)  # fmt: skip
def test_adders_of_vivado_have_the_look_up_tables_of_their_version(version: str, family: str, adder: float) -> None:
    assert library(design("vivado", version, family)).adder == adder


def test_a_slow_device_builds_products_of_several_stages() -> None:
    """xc7z020-1: two stages at 5 ns by Vivado and Vitis, four at 2.5 ns; 67 and 69 flip-flops in each multiplier."""
    slow = [design(tool, "2020.1", "7series", clock, 1) for tool, clock in (("vivado", 5.0), ("vitis", 5.0))]
    assert [product_stages(one) for one in slow] == [2, 2]
    assert product_stages(design("vivado", "2020.1", "7series", 2.5, 1)) == 4
    assert product_stages(design("vivado", "2019.2", "7series", 5.0, 3)) == 1
    assert product_stages(design("vivado", "2019.2")) == 1
    assert [stage_registers(stages) for stages in (1, 2, 4)] == [0.0, 67.0, 69.0]


def test_a_constant_of_four_bits_is_in_a_dsp_block_by_vitis_and_where_products_have_stages() -> None:
    """13 and 11: in fabric for all 46 published Vivado designs on UltraScale+, in DSP blocks for 719 of 719 products of
    a layer by Vitis 2022.2 and for 474 of 474 by Vivado on xc7z020-1."""
    layer = dense(np.array([[11, 64]]))
    counts = kernel_counts(layer)
    found = [
        products(layer, counts, made).dsp
        for made in (
            design("vivado", "2020.1"), design("vitis", "2022.2"), design("vivado", "2020.1", "7series", 5.0, 1)
        )
    ]  # fmt: skip
    assert found == [0, 1, 1]


def test_data_of_one_bit_selects_weights() -> None:
    """400 inputs of one bit, Vitis 2023.2: selections of 6 and 7 bits, no multiplier, no two-digit product."""
    counts = count(np.array([[13, -7, 0], [13, 13, 31]]), KernelOperands(1, 16))
    assert (counts.multipliers, counts.adders, counts.product_adders) == (0, 0, 0)
    assert counts.selection_bits == (2 + 2) * 6  # 13 and 31 share nothing; equal weights on an input do
    assert counts.tree_bits == 2 * 7


@pytest.mark.parametrize(
    ("tool", "family", "kernels", "softmax", "total"),
    [
        ("vitis", "ultrascale_plus", (1, 1, 1, 1), 5, 15),  # 2022.2, xcu250
        ("vitis", "ultrascale_plus", (1, 1, 0), 4, 10),  # 2023.2, xcu250
        ("vivado", "ultrascale_plus", (1, 1, 1, 1), 4, 13),  # 2019.2, xcu250
        ("vivado", "7series", (5, 6, 6, 5), 14, 47),  # 2020.1, xc7z020-1
        ("vivado", "7series", (4, 4, 4, 5), 14, 42),
        ("vivado", "7series", (1, 2, 3), 10, 23),  # 2019.2, xc7a35t-3
        ("vitis", "7series", (192, 4, 5, 5), 12, 229),  # 2021.1, xc7z007s-2
    ],
)
def test_cycles_between_layers(tool: str, family: str, kernels: tuple[int, ...], softmax: int, total: int) -> None:
    """Published totals of networks of dense layers, activations and a softmax, from the cycles of their modules."""
    level = {"7series": 2.07, "ultrascale_plus": 0.85}[family]
    priced: list[tuple[DesignLayer, Price]] = []
    for place, cycles in enumerate(kernels):
        delay = None if cycles else 0.95 * 3.65
        priced.append((dense(np.ones((2, 2))), Price(0, 0, 0, 0, cycles, 1, delay_ns=delay)))
        if place < len(kernels) - 1:
            relu = DesignLayer("r", "activation", 16, 16, 2, function="relu")
            priced.append((relu, Price(0, 0, 0, 0, 0, 1, delay_ns=1.5 * level)))
    priced.append((DesignLayer("s", "softmax", 16, 16, 2), Price(0, 0, 0, 0, softmax, 1)))
    assert totals.latency(design(tool, "2023.2", family), priced).value == total


def test_a_slow_clock_leaves_no_cycle_between_layers() -> None:
    """25 ns on UltraScale+: six layers of at most 8 ns; the report says 0 cycles."""
    priced = [(dense(np.ones((2, 2))), Price(0, 0, 0, 0, 0, 1, delay_ns=2.5)) for _ in range(6)]
    assert totals.latency(design("vitis", "2024.1", clock=25.0), priced).value == 0


def test_tables_of_a_softmax_take_two_blocks_each_on_ultrascale_plus_since_2022() -> None:
    """Five classes by 2022.2: 8; ten by 2023.2: 12; three on 7-series by 2025.1: 3; by 2021.1 one a class."""
    layer = DesignLayer("s", "softmax", 16, 16, 5)
    assert softmax_memory(layer, design("vitis", "2022.2"))[0] == 8
    assert softmax_memory(replace(layer, words=10), design("vitis", "2023.2"))[0] == 12
    assert softmax_memory(replace(layer, words=3), design("vitis", "2025.1", "7series"))[0] == 3
    assert softmax_memory(layer, design("vitis", "2021.1", "7series"))[0] == 5
    assert softmax_memory(layer, design("vivado", "2019.2"))[0] == 4


@pytest.mark.parametrize(
    ("tool", "version", "family", "bits", "printed"),
    [
        ("vivado", "2019.1", "7series", 3, 9), ("vivado", "2020.1", "ultrascale_plus", 8, 11),
        ("vivado", "2020.1", "ultrascale_plus", 9, 13), ("vivado", "2018.3", "7series", 18, 18),
        ("vivado", "2020.1", "ultrascale_plus", 25, 20), ("vivado", "2019.2", "ultrascale_plus", 35, 21),
        ("vivado", "2019.1", "ultrascale_plus", 53, 29), ("vitis", "2022.2", "ultrascale_plus", 5, 9),
        ("vitis", "2022.1", "ultrascale_plus", 16, 13), ("vitis", "2022.2", "ultrascale_plus", 32, 20),
        ("vitis", "2023.1", "ultrascale_plus", 6, 13), ("vitis", "2024.1", "7series", 38, 45),
    ],
)  # fmt: skip
def test_comparisons_cost_what_the_reports_print(tool: str, version: str, family: str, bits: int, printed: int) -> None:
    assert comparison_luts(bits, design(tool, version, family)) == pytest.approx(printed, abs=0.7)


@pytest.mark.parametrize(
    ("tool", "version", "data", "result", "printed"),
    [("vitis", "2022.1", 16, 9, 73), ("vitis", "2023.1", 28, 6, 97), ("vitis", "2023.2", 16, 9, 125)],
)
def test_words_that_are_rounded_cost_what_the_reports_print(
    tool: str, version: str, data: int, result: int, printed: int
) -> None:
    """Rounded to even and saturated by a relu: all operators of its module, by word."""
    layer = DesignLayer("r", "activation", data, result, 1, function="relu", result_rounds=True)
    found = activation_amounts(layer, design(tool, version))["lut"]
    assert found.terms["operators_printed"] == pytest.approx(printed, rel=0.05)
    assert found.fixed == 0


@pytest.mark.parametrize(
    ("tool", "version", "classes", "cycles"),
    [("vitis", "2022.2", 5, 5), ("vivado", "2020.1", 5, 4)],  # one network each, UltraScale+ at 5 ns
)
def test_the_cycles_of_a_softmax_are_those_of_its_generation(
    tool: str, version: str, classes: int, cycles: int
) -> None:
    assert softmax_cycles(DesignLayer("s", "softmax", 16, 16, classes), design(tool, version)) == cycles


def test_pooling_in_parallel_compares_and_selects() -> None:
    layer = DesignLayer("p", "pooling", 16, 16, 10, 10, function="max", window=(2, 2))
    assert pooling_cost(layer, design("vitis", "2023.2"))[0] == 10 * 3 * (23 + 16)
    assert pooling_cost(layer, design("vivado", "2020.1"))[0] == 10 * 3 * (13 + 16)


def test_a_sum_that_subtracts_negates_nothing() -> None:
    """-(2**a + 2**b) has its negation in the sum: 5 and -5 cost the same."""
    plus, minus = (dense(np.full((6, 4), weight) << np.arange(4), data=8) for weight in (5, -5))
    one = design("vitis", "2024.1")
    found = [
        constant_amounts(layer, kernel_counts(layer), replace(one, layers=(layer,)))["lut"] for layer in (plus, minus)
    ]
    assert found[0].fixed == found[1].fixed


def test_a_relu_that_only_cuts_is_a_comparison_and_a_selection() -> None:
    layer = DesignLayer("r", "activation", 16, 12, 10, function="relu")
    for tool, version, each in (("vivado", "2020.1", 13 + 12), ("vitis", "2023.2", 23 + 12)):
        assert activation_amounts(layer, design(tool, version))["lut"].terms["operators_printed"] == 10 * each


def test_products_beyond_the_device_are_look_up_tables_after_logic_synthesis() -> None:
    """664 products on an XC7Z020: 220 DSP blocks, and 47,682 look-up tables where C synthesis said 29,277."""
    fpga = load_target("pynq_z2").fpga
    assert fpga is not None
    weights = np.random.default_rng(0).integers(-127, 128, (128, 8)) | 5  # three digits or more, nearly all
    layer = dense(weights)
    made = replace(design("vivado", "2020.1", "7series", 25.0, 1), layers=(layer,))
    found = estimate_design(made, fpga, stage="logic_synthesis")
    assert estimate_design(made, fpga).dsp.value > fpga.dsp == found.dsp.value
    beyond = estimate_design(made, fpga).dsp.value - fpga.dsp
    roomy = estimate_design(made, fpga.model_copy(update={"dsp": 4000}), stage="logic_synthesis")
    assert found.lut.value - roomy.lut.value == pytest.approx(75 * beyond, abs=1)


@pytest.mark.parametrize(
    ("wide", "printed"), [(4, 13), (4, 11), (5, 17), (6, 23), (6, 25), (7, 33), (7, 30), (8, 40), (9, 49), (10, 62)]
)
def test_a_product_in_fabric_costs_what_its_wider_operand_says(wide: int, printed: int) -> None:
    assert fabric_product_luts(wide) == pytest.approx(printed, abs=2)
