"""What physics says of any design: more bits cost no less, sharing needs no more blocks, a zero no more multipliers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.estimate.amounts import kernel_counts
from toolchain.estimate.coefficients import Coefficients, Entry
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.equivalents import lut_equivalents
from toolchain.estimate.intervals import Deviation, conformal, design_deviation, deviation, interval_entries
from toolchain.estimate.prices import price
from toolchain.estimate.stage import estimate_design
from toolchain.network.reuse_factors import legal_reuse_factors
from toolchain.results import Estimated
from toolchain.target import load_target

FPGA = load_target("zcu102").fpga
assert FPGA is not None
TOOLS = st.sampled_from(["vivado", "vitis"])
SEEDS = st.integers(0, 2**32 - 1)


def dense(weights: np.ndarray, bits: int, data: int, strategy: str = "latency", factor: int = 1) -> DesignLayer:
    """Sums that hold every product."""
    held = data + bits + int(np.ceil(np.log2(len(weights))))
    return DesignLayer("d", "dense", data, 16, weights.shape[1], 1, weights, bits, held, strategy, factor)


def design(layer: DesignLayer, tool: str) -> Design:
    return Design((layer,), tool, "io_parallel", "ultrascale_plus", 5.0)  # type: ignore[arg-type]


def ever_finer(seed: int, shape: tuple[int, int], sparsity: float) -> Iterator[tuple[int, np.ndarray]]:
    """(bits, the same real weights cut off at that many bits).

    Rounded weights would not do: two that differ may be rounded to one finer word, and then share its product.
    """
    rng = np.random.default_rng(seed)
    real = np.where(rng.random(shape) < sparsity, 0.0, rng.uniform(-1, 1, shape) * 0.99)
    for bits in range(3, 15):
        yield bits, np.trunc(real * 2 ** (bits - 1)).astype(np.int64)


@settings(max_examples=30, deadline=None)
@given(SEEDS, TOOLS, st.integers(1, 12), st.integers(1, 12), st.sampled_from([8, 12, 16]), st.floats(0, 0.9))
def test_more_weight_bits_never_need_less(
    seed: int, tool: str, n_in: int, n_out: int, data: int, sparsity: float
) -> None:
    """No fewer digits, non-zero weights, multipliers, DSP blocks."""
    found = []
    for bits, weights in ever_finer(seed, (n_in, n_out), sparsity):
        layer = dense(weights, bits, data)
        counts = kernel_counts(layer)
        dsp = estimate_design(design(layer, tool), FPGA).dsp.value
        found.append((counts.digits, counts.nonzeros, counts.multipliers, dsp))
    for figures in zip(*found, strict=True):
        assert list(figures) == sorted(figures)


@settings(max_examples=80, deadline=None)
@given(
    SEEDS, TOOLS, st.sampled_from(["7series", "ultrascale", "ultrascale_plus"]), st.booleans(), st.integers(1, 12),
    st.integers(1, 12), st.integers(4, 18), st.data(),
)  # fmt: skip
def test_more_weight_bits_never_need_fewer_look_up_table_equivalents(
    seed: int, tool: str, family: str, resource: bool, n_in: int, n_out: int, data: int, more: st.DataObject
) -> None:
    """Look-up tables and DSP blocks together, as the shipped prices have them.

    Latency strategy at reuse factor 1: with more, a product of two digits that gets a third joins the shared
    multipliers, and its own adder goes.
    """
    factor = more.draw(st.sampled_from(legal_reuse_factors(n_in, n_out))) if resource else 1
    period, io_type = (
        more.draw(st.sampled_from([2.5, 5.0, 10.0])),
        more.draw(st.sampled_from(["io_parallel", "io_stream"])),
    )
    rounds, strategy = more.draw(st.booleans()), "resource" if resource else "latency"
    found = []
    for bits, weights in ever_finer(seed, (n_in, n_out), more.draw(st.floats(0, 0.9))):
        layer = replace(dense(weights, bits, data, strategy, factor), accumulator_rounds=rounds)
        found.append(lut_equivalents(Design((layer,), tool, io_type, family, period)))  # type: ignore[arg-type]
    assert all(after >= before - 1e-6 for before, after in pairwise(found)), found


@settings(max_examples=20, deadline=None)
@given(
    SEEDS, TOOLS, st.integers(2, 12), st.integers(2, 12), st.integers(3, 14), st.sampled_from(["latency", "resource"])
)
def test_a_larger_legal_reuse_factor_never_needs_more_dsp(
    seed: int, tool: str, n_in: int, n_out: int, bits: int, strategy: str
) -> None:
    """Under the resource strategy from 2 on: at 1 its weights are constants, and simple ones need no multiplier."""
    weights = np.random.default_rng(seed).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (n_in, n_out))
    dsp = [
        estimate_design(design(dense(weights, bits, 16, strategy, factor), tool), FPGA).dsp.value
        for factor in legal_reuse_factors(n_in, n_out)
        if strategy == "latency" or factor > 1
    ]
    assert dsp == sorted(dsp, reverse=True)


@settings(max_examples=30, deadline=None)
@given(SEEDS, TOOLS, st.integers(1, 24), st.integers(1, 24), st.integers(2, 14), st.integers(1, 8))
def test_zeroing_a_weight_never_needs_more_multipliers(
    seed: int, tool: str, n_in: int, n_out: int, bits: int, factor: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (n_in, n_out))
    fewer = weights.copy()
    fewer[rng.integers(n_in), rng.integers(n_out)] = 0
    factor = min(factor, n_in * n_out)
    before, after = (dense(matrix, bits, 16, "latency", factor) for matrix in (weights, fewer))
    assert kernel_counts(after).multipliers <= kernel_counts(before).multipliers
    found = [estimate_design(design(layer, tool), FPGA).dsp.value for layer in (before, after)]
    assert found[1] <= found[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=40), st.floats(1, 1e6))
def test_an_interval_covers_four_of_five_of_what_it_was_made_from(sizes: list[float], value: float) -> None:
    """One design a source, one grade: at least 80 % of the deviations lie inside."""
    seen = [Deviation(f"s{place}", "A", "csynth", "lut", size) for place, size in enumerate(sizes)]
    used = Coefficients(interval_entries(seen))
    found = conformal(Estimated(value=value, low=value, high=value), "lut", "csynth", "A", used)
    assert found is not None
    truths = [(value + 50) * np.exp(size) - 50 for size in sizes]
    assert sum(truth <= found.high * 1.001 + 1 for truth in truths) >= 0.8 * len(sizes)


def test_a_source_with_many_designs_does_not_outvote_the_others() -> None:
    few = [Deviation(f"s{place}", "B", "csynth", "ff", 1.0) for place in range(4)]
    many = [Deviation("grid", "B", "csynth", "ff", 0.0) for _ in range(900)]
    half = -np.log(interval_entries(few + many)["interval_csynth/ff/B"].spread[0])
    assert half == pytest.approx(1.0, abs=1e-3)


def test_few_sources_make_a_wider_interval() -> None:
    """The next source may be further off than all: of three, the worst does not cover 80 %."""
    seen = [Deviation(f"s{place}", "A", "csynth", "lut", 0.1 * place) for place in range(1, 4)]
    assert interval_entries(seen)["interval_csynth/lut/A"].spread[1] == pytest.approx(np.exp(0.3), abs=1e-3)
    many = [Deviation(f"s{place}", "A", "csynth", "lut", 0.003 * place) for place in range(1, 101)]
    assert interval_entries(many)["interval_csynth/lut/A"].spread[1] == pytest.approx(np.exp(0.264), abs=0.01)


def test_of_a_rule_only_what_lies_beyond_its_layers_doubts_is_a_deviation() -> None:
    found = Estimated(value=10, low=10, high=42)
    assert design_deviation("dsp", "csynth", found, 18.0) == 0.0
    assert design_deviation("dsp", "csynth", found, 85.0) == pytest.approx(np.log(2))
    assert design_deviation("lut", "csynth", found, 18.0) > 0.0


def test_unknown_designs_do_not_widen_the_grades_that_are_known() -> None:
    known = [Deviation(f"s{place}", "A", "csynth", "lut", 0.1) for place in range(4)]
    far = [Deviation("old", "doubted", "csynth", "lut", 4.0)]
    entries = interval_entries(known + far)
    assert entries["interval_csynth/lut/A"].spread[1] == pytest.approx(np.exp(0.1), abs=1e-3)
    assert entries["interval_csynth/lut/doubted"].spread[1] > 50


def test_an_amount_that_a_calibration_does_not_have_is_priced_by_construction() -> None:
    """As a user's file that an earlier version wrote: not for nothing, and the interval is wider."""
    layer = DesignLayer("r", "activation", 16, 12, 64, 1, function="relu")
    whole = design(layer, "vitis")
    old = Coefficients({
        "activation/lut/vitis": Entry({"compared_bits": 1.75}, (0.9, 1.1), 50, ("own",), 3.0),
        "activation/ff/vitis": Entry({"registered_bits": 1.0}, (0.9, 1.1), 50, ("own",), 3.0),
    })  # fmt: skip
    found = price(layer, whole, old)
    assert found.lut == 64 * (23 + 12)
    assert found.spread["lut"][0] < 0.75
    assert found.spread["lut"][1] > 1.4


def test_what_was_never_calibrated_is_priced_by_construction_and_said() -> None:
    layer = dense(11 + 2 * np.arange(64).reshape(8, 8), 6, 16)
    found = estimate_design(design(layer, "vitis"), FPGA, Coefficients({}))
    assert found.lut.value > 8 * 7 * 16
    assert found.grade == "D"
    assert any("never calibrated" in line for line in found.layers[0].explanation)


def test_a_scale_of_unknown_constants_may_take_a_dsp_block_for_each_word() -> None:
    layer = DesignLayer("bn", "activation", 16, 16, 12, function="scale")
    found = estimate_design(design(layer, "vitis"), FPGA)
    assert found.dsp.value == 0
    assert 12 <= found.dsp.high <= 13  # one more by what left-out designs were off


@pytest.mark.parametrize(
    ("function", "strategy", "grade"), [("gru", "resource", "B"), ("lstm", "resource", "D"), ("gru", "latency", "D")]
)
def test_recurrent_layers_that_no_report_has_are_not_trusted(function: str, strategy: str, grade: str) -> None:
    gates = 3 if function == "gru" else 4
    weights = np.random.default_rng(0).integers(-128, 128, (4 + 6, gates * 6))
    layer = DesignLayer(
        "r", "recurrent", 16, 16, 6, 8, weights[:4], 8, 24, strategy, 4 if strategy == "resource" else 1,
        function=function, recurrent_weights=weights[4:], table_size=1024,
    )  # fmt: skip
    found = estimate_design(design(layer, "vivado"), FPGA)
    assert found.grade == grade
    assert found.lut.low < 0.65 * found.lut.value or grade == "B"


def test_a_worse_grade_has_no_narrower_interval() -> None:
    seen = [Deviation(f"{grade}{place}", grade, "csynth", "lut", size)
            for grade, size in (("A", 1.0), ("B", 0.1), ("C", 0.2)) for place in range(5)]  # fmt: skip
    entries = interval_entries(seen)
    widths = [entries[f"interval_csynth/lut/{grade}"].spread[1] for grade in "ABCD"]
    assert widths == sorted(widths)
    assert deviation("lut", 100.0, 100.0) == 0.0
