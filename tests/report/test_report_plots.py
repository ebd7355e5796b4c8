"""Figures: what is drawn is what was measured."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_cases import HOSTILE, build_results, class_figures, figures, interval

from toolchain.report import plots, svg
from toolchain.report.assemble import assemble
from toolchain.report.figures import LayerHistogram, Predictions
from toolchain.report.statements import AccuracyRow, accuracy_rows
from toolchain.results import Estimated

FINITE = st.floats(-1e9, 1e9)


@given(FINITE, FINITE, st.integers(1, 8))
def test_ticks_are_round_within_and_few(one: float, other: float, wanted: int) -> None:
    low, high = sorted((one, other))
    found = svg.ticks(low, high, wanted)
    slack = 1e-6 * max(abs(low), abs(high), 1e-12)
    assert all(low - slack <= place <= high + slack for place in found)
    assert len(found) <= wanted + 2
    if len(found) > 2:
        steps = np.diff(found)
        assert np.allclose(steps, steps[0], rtol=1e-6)


def ns(text: str) -> int:
    return int(np.datetime64(text, "ns").astype(np.int64))


@pytest.mark.parametrize(
    ("first", "last", "label"),
    [
        ("1999-01-04", "2018-12-31", "2005"),
        ("2017-02-16", "2018-12-31", "Mar 2017"),
        ("2017-02-16", "2017-03-20", "16 Feb"),
        ("2025-03-01T09:00", "2025-03-01T21:00", "1 Mar 09:00"),
        ("2025-03-01T09:00", "2025-03-01T09:20", "09:00"),
    ],
)
def test_time_labels_suit_the_span(first: str, last: str, label: str) -> None:
    found = svg.time_ticks(np.array([ns(first), ns(last)]))
    assert label in [text for _, text in found]
    assert 1 <= len(found) <= 5
    assert all(ns(first) <= place <= ns(last) for place, _ in found)


def test_counts_are_not_taken_for_dates() -> None:
    assert [text for _, text in svg.time_ticks(np.arange(300))] == ["0", "100", "200"]


def test_a_single_time_has_a_label() -> None:
    assert svg.time_ticks(np.array([ns("2025-03-01T09:00:30")])) == (
        (float(ns("2025-03-01T09:00:30")), "2025-03-01T09:00"),
    )


def test_missing_values_break_the_line() -> None:
    drawn = svg.polyline(np.arange(4.0), np.array([1.0, np.nan, 2.0, 3.0]), "truth")
    assert 'd="M0.0 1.0M2.0 2.0L3.0 3.0"' in drawn


def test_the_axis_holds_every_stage_and_near_baselines_only() -> None:
    rows = accuracy_rows(assemble(build_results()))
    axis = plots.accuracy_axis(rows)
    assert axis is not None
    for row in rows:
        assert row.interval is not None
        inside = 0 <= axis.place(row.interval.low) < axis.place(row.interval.high) <= 100
        assert inside == (row.label != "mean of the training part")
    assert axis.reference == 21.94
    far = next(row.interval for row in rows if row.label == "mean of the training part")
    assert far is not None
    assert "beyond the axis" in plots.accuracy_strip(far, axis, "rmse", True)


def test_an_axis_needs_something_measured() -> None:
    assert plots.accuracy_axis((AccuracyRow("hardware", None, "not simulated", False),)) is None


def test_an_axis_of_equal_values_has_a_width() -> None:
    axis = plots.accuracy_axis((AccuracyRow("float model", interval(0.0, 0.0), "", False),))
    assert axis is not None
    assert axis.place(0.0) == 50.0


def test_the_histogram_counts_every_weight_that_is_not_zero() -> None:
    layer = figures().weights[1]
    drawn = plots.histogram(layer)
    assert "8400 of 8400 not zero before pruning, 1680 of 8400 after" in drawn
    assert plots.histogram(layer) == drawn


@pytest.mark.parametrize("weights", [np.zeros(4), np.zeros(0), np.array([-0.5])])
def test_histograms_of_degenerate_kernels(weights: np.ndarray) -> None:
    assert "nan" not in plots.histogram(LayerHistogram("k", weights, np.zeros_like(weights))).lower()


def test_predictions_draw_all_three_series() -> None:
    found = figures().predictions
    assert found is not None
    drawn = plots.predictions(found)
    assert re.findall(r'class="line (\w+)"', drawn) == ["truth", "float", "hardware"]
    assert "index points" in drawn
    assert plots.difference(found).count("area hardware") == 1
    alone = replace(found, hardware=np.zeros(0))
    assert "hardware" not in plots.predictions(alone)
    assert plots.difference(alone) == ""


def test_the_truth_of_a_class_is_a_rug() -> None:
    found = class_figures().predictions
    assert found is not None
    truth = re.findall(r'class="line truth" d="([^"]*)"', plots.predictions(found))
    assert truth[0].count("V45") == int(found.truth.sum())
    assert truth[0].count("V955") == int((1 - found.truth).sum())


def test_the_last_samples_alone() -> None:
    found = figures().predictions
    assert found is not None
    assert np.array_equal(found.last(60).truth, found.truth[-60:])
    assert len(found.last(60).hardware) == 60


@pytest.mark.parametrize("count", [1, 2])
def test_short_series(count: int) -> None:
    one = np.full(count, 3.0)
    drawn = plots.predictions(Predictions("value", "", np.arange(count), one, one, one, count))
    assert "nan" not in drawn.lower()


def test_a_meter_is_red_beyond_budget_or_device_only() -> None:
    value = Estimated(value=300, low=250, high=350)
    assert "fill within" in plots.meter(value, 400, None)
    assert "fill over" in plots.meter(value, 280, None)
    assert "fill over" in plots.meter(value, 400, 299)
    assert "budget 299" in plots.meter(value, 400, 299)
    assert "nan" not in plots.meter(Estimated(value=0, low=0, high=0), 0, None)


def test_names_in_descriptions_are_escaped() -> None:
    assert HOSTILE not in plots.histogram(LayerHistogram(HOSTILE, np.ones(3), np.ones(3)))
    assert HOSTILE not in plots.bar(((0.5, "kept"),), HOSTILE)
