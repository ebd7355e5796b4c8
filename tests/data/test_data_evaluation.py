"""Metrics, intervals and baselines."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from data_cases import candle_table, direction_section, forecast_section, price_table, run
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.data import evaluation
from toolchain.errors import UnsupportedModelError
from toolchain.results import DataResult, FloatArray, Interval, Part, Samples


def record(task: str, outputs: int = 1, scale: float = 1.0) -> DataResult:
    return DataResult(
        source="", task=task, metric="rmse" if task == "regression" else "accuracy", unit="", input_shape=(1,),
        outputs=outputs, feature_names=("x0",), y_scale=scale, y_offset=0.0, counts={}, first_test_time="",
        last_test_time="", sha256="",
    )  # type: ignore[arg-type]  # fmt: skip


def part(y: FloatArray, reference: FloatArray | None = None) -> Part:
    known = np.zeros(0) if reference is None else reference
    return Part(np.zeros((len(y), 1)), y, known, np.arange(len(y)))


def test_accuracy_of_logits_and_wilsons_interval() -> None:
    y = np.array([[1.0], [0.0], [1.0], [0.0]] * 25)
    logits = np.where(y > 0, 2.0, -2.0)
    logits[:20] *= -1
    found = evaluation.evaluate(record("binary"), part(y), logits)
    # Wilson, 80 of 100: 0.7112 to 0.8666 (any table)
    assert found.value == 0.8
    assert (round(found.low, 4), round(found.high, 4)) == (0.7112, 0.8666)
    assert evaluation.evaluate(record("binary"), part(y), np.zeros_like(y)).value == 0.5  # a logit of 0 says "0"


def test_a_perfect_score_still_has_an_interval() -> None:
    y = np.ones((50, 1))
    found = evaluation.evaluate(record("binary"), part(y), y)
    assert found.value == found.high == 1.0
    assert found.low < 0.95


def test_accuracy_of_classes() -> None:
    y = np.eye(3)[[0, 1, 2, 2]]
    scores = np.array([[3.0, 1, 2], [3, 1, 2], [0, 1, 2], [0, 0, 0.5]])
    assert evaluation.evaluate(record("multiclass", 3), part(y), scores).value == 0.75


def test_rmse_is_in_the_targets_unit() -> None:
    y = np.zeros((100, 1))
    found = evaluation.evaluate(record("regression", scale=10.0), part(y), np.full((100, 1), 0.5))
    assert found == Interval(value=5.0, low=5.0, high=5.0)


@given(st.integers(0, 100), st.integers(1, 400))
@settings(max_examples=30, deadline=None)
def test_intervals_hold_their_value_and_are_the_same_again(seed: int, n: int) -> None:
    random = np.random.default_rng(seed)
    y, predictions = random.normal(size=(n, 2)), random.normal(size=(n, 2))
    first = evaluation.evaluate(record("regression", 2), part(y), predictions)
    assert math.isclose(first.value, math.sqrt(((y - predictions) ** 2).mean()), rel_tol=1e-12)
    assert first.low <= first.value <= first.high
    assert first == evaluation.evaluate(record("regression", 2), part(y), predictions)


def test_the_interval_is_about_right_and_wider_for_clustered_errors() -> None:
    random = np.random.default_rng(0)
    covered, widths = 0, []
    for _ in range(200):
        found = evaluation.evaluate(record("regression"), part(np.zeros((400, 1))), random.normal(size=(400, 1)))
        covered += found.low <= 1.0 <= found.high
        widths.append(found.high - found.low)
    assert 0.85 <= covered / 200 <= 0.99
    clustered = np.repeat(random.normal(size=(20, 1)), 20, axis=0)
    found = evaluation.evaluate(record("regression"), part(np.zeros((400, 1))), clustered)
    assert found.high - found.low > 2 * float(np.mean(widths))


@pytest.mark.parametrize("shape", [(4,), (4, 2), (3, 1), (1, 4)])
def test_predictions_of_another_shape_never_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="predictions have shape"):
        evaluation.evaluate(record("binary"), part(np.ones((4, 1))), np.ones(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_predictions_that_are_no_numbers_are_no_class(task: str, bad: float) -> None:
    predictions = np.ones((4, 2))
    predictions[2, 1] = bad
    with pytest.raises(UnsupportedModelError, match=r"not a number in 1 places, first at \[2, 1\]"):
        evaluation.evaluate(record(task, 2), part(np.ones((4, 2))), predictions)


def test_baselines_learn_from_the_training_part() -> None:
    up, down = np.ones((30, 1)), np.zeros((30, 1))
    samples = Samples(part(up), part(up), part(down, np.r_[np.ones(10), np.zeros(20)]))
    found = evaluation.baselines(record("binary"), samples)
    assert {name: interval.value for name, interval in found.items()} == {
        "majority class": 0.0, "last direction": 20 / 30, "reversal of the last direction": 10 / 30,
    }  # fmt: skip
    classes = Samples(part(np.eye(3)[[0, 2, 2]]), part(np.eye(3)), part(np.eye(3)[[0, 1, 1, 2]]))
    assert evaluation.baselines(record("multiclass", 3), classes)["majority class"].value == 0.25
    values = Samples(part(up), part(up), part(up * 3.0, np.full(30, 2.0)))
    found = evaluation.baselines(record("regression", scale=10.0), values)
    assert {name: interval.value for name, interval in found.items()} == {
        "mean of the training part": 20.0, "persistence": 10.0,
    }  # fmt: skip


def test_persistence_is_yesterdays_price(tmp_path: Path) -> None:
    table = price_table()
    result, samples = run(table, forecast_section(), tmp_path)
    price = table["Adj Close"].to_numpy()[-len(samples.test.x) - 1 :]
    expected = math.sqrt((np.diff(price) ** 2).mean())
    assert math.isclose(evaluation.baselines(result, samples)["persistence"].value, expected, rel_tol=1e-12)


def test_reversal_is_the_complement_of_the_last_direction(tmp_path: Path) -> None:
    table = candle_table()
    result, samples = run(table, direction_section(), tmp_path)
    found = evaluation.baselines(result, samples)
    up = np.diff(table["close"].to_numpy()) > 0
    expected = float((up[1:] == up[:-1])[-len(samples.test.x) :].mean())
    assert found["last direction"].value == expected
    assert math.isclose(found["reversal of the last direction"].value, 1 - expected)


def test_direction_and_loss_of_a_metric() -> None:
    assert evaluation.lower_is_better("rmse")
    assert not evaluation.lower_is_better("accuracy")
    assert evaluation.is_better("rmse", 1.0, 2.0)
    assert evaluation.is_better("accuracy", 0.6, 0.5)
    assert not evaluation.is_better("accuracy", 0.5, 0.5)
    assert evaluation.relative_loss("rmse", 10.0, 11.0) == 0.1
    assert evaluation.relative_loss("accuracy", 0.5, 0.25) == 0.5
    assert evaluation.relative_loss("accuracy", 0.5, 0.75) == -0.5
    assert evaluation.relative_loss("rmse", 0.0, 0.0) == 0.0
    assert evaluation.relative_loss("rmse", 0.0, 1.0) == math.inf
    assert evaluation.relative_loss("accuracy", 0.0, 1.0) == -math.inf
    with pytest.raises(KeyError):
        evaluation.lower_is_better("f1")
