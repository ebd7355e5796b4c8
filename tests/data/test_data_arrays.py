"""Ready-made samples: kept as they are, or refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolchain.data.arrays import Arrays
from toolchain.data.samples import load
from toolchain.data.stage import prepare, prepare_arrays
from toolchain.errors import DataSourceError, ProjectError
from toolchain.project import DataSection
from toolchain.results import DataResult, Job, Samples

RANDOM = np.random.default_rng(0)
X, X_TEST = RANDOM.normal(size=(100, 3)), RANDOM.normal(size=(30, 3))
Y, Y_TEST = np.arange(100) % 3, np.arange(30) % 3


def made(folder: Path, arrays: Arrays, task: str = "classification", **options: Any) -> tuple[DataResult, Samples]:
    section = DataSection(source="npz", task=task, **options)  # type: ignore[arg-type]
    result = prepare_arrays(arrays, section, Job(folder, folder))
    return result, load(result)


def test_classes_become_one_hot_and_validation_is_cut_from_the_end(tmp_path: Path) -> None:
    result, samples = made(tmp_path, Arrays(X, Y, X_TEST, Y_TEST))
    assert (result.task, result.outputs, result.input_shape) == ("multiclass", 3, (3,))
    assert result.counts == {"train": 76, "validation": 10, "test": 30}
    assert (samples.train.x == X[:76]).all()
    assert (samples.validation.x == X[90:]).all()
    assert (samples.train.y.argmax(axis=1) == Y[:76]).all()
    assert (samples.train.y.sum(axis=1) == 1).all()
    assert len(samples.test.reference) == 0
    assert "last 10 of 100" in result.notes[0]
    assert (result.first_test_time, result.last_test_time) == ("sample 0", "sample 29")


def test_given_validation_is_kept_and_inputs_are_copied(tmp_path: Path) -> None:
    x = X.copy()
    result, samples = made(tmp_path, Arrays(x, Y, X_TEST, Y_TEST, X_TEST[:9], Y_TEST[:9]))
    x[:] = 0.0
    assert (samples.train.x == X).all()
    assert result.counts["validation"] == 9
    assert result.notes == ()


def test_two_classes_are_one_logit(tmp_path: Path) -> None:
    result, samples = made(tmp_path, Arrays(X, Y == 1, X_TEST, Y_TEST == 1))
    assert (result.task, result.outputs) == ("binary", 1)
    assert (samples.test.y[:, 0] == (Y_TEST == 1)).all()


def test_one_hot_rows_are_kept(tmp_path: Path) -> None:
    result, samples = made(tmp_path, Arrays(X, np.eye(3)[Y], X_TEST, np.eye(3)[Y_TEST]))
    assert result.task == "multiclass"
    assert (samples.test.y == np.eye(3)[Y_TEST]).all()


def test_regression_has_any_number_of_outputs(tmp_path: Path) -> None:
    result, samples = made(tmp_path, Arrays(X, X[:, :2], X_TEST, X_TEST[:, :2]), "regression")
    assert (result.task, result.metric, result.outputs, result.y_scale) == ("regression", "rmse", 2, 1.0)
    assert (samples.test.y == X_TEST[:, :2]).all()
    assert made(tmp_path, Arrays(X, Y, X_TEST, Y_TEST), "regression")[0].outputs == 1


def test_equal_numbers_for_another_task_have_another_digest(tmp_path: Path) -> None:
    """Later stages find their results by this digest: a regression must never be taken for a classification."""
    arrays = Arrays(X, Y == 1, X_TEST, Y_TEST == 1)
    first, samples = made(tmp_path, arrays)
    second, same = made(tmp_path, arrays, "regression")
    assert (samples.train.y == same.train.y).all()
    assert first.sha256 != second.sha256


def test_file_and_memory_give_the_same(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X_TEST, y_test=Y_TEST)
    section = DataSection(source="npz", task="classification", path="a.npz")
    from_file = prepare(section, Job(tmp_path, tmp_path))
    assert from_file.source == "a.npz"
    assert from_file.sha256 == made(tmp_path, Arrays(X, Y, X_TEST, Y_TEST))[0].sha256


def broken(**changes: Any) -> Arrays:
    return replace(Arrays(X, Y, X_TEST, Y_TEST), **changes)


def nan_at(row: int) -> np.ndarray:
    x = X.copy()
    x[row, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (broken(x_train=nan_at(7)), r"'x_train' holds NaN or infinity, first at \[7, 1\]"),
        (broken(x_train=X[:50]), "x_train has 50 samples, y_train 100"),
        (broken(x_test=X_TEST[:, :2]), r"x_test has samples of shape \(2,\), x_train of \(3,\)"),
        (broken(x_train=X[:, 0], x_test=X_TEST[:, 0]), r"'x_train' has shape \(100,\)"),
        (broken(x_train=np.zeros((100, 0))), r"'x_train' has shape \(100, 0\)"),
        (broken(y_train=np.float64(1)), r"'y_train' has shape \(\)"),
        (broken(y_train=Y * 0.5), r"y_train\[1\] is 0.5"),
        (broken(y_train=Y - 1), r"y_train\[0\] is -1"),
        (broken(y_test=Y_TEST + 1), "y_test has class 3, y_train has not"),
        (broken(y_train=Y * 2, y_test=Y_TEST * 0), "class 4 and none of class 1"),
        (broken(y_train=np.ones(100)), "y_train is the same in every sample"),
        (broken(y_train=np.ones((100, 2)) * X[:, :2], y_test=np.ones((30, 2))), "not one-hot"),
        (broken(x_train=X.astype(str)), "'x_train' has type"),
        (broken(x_train=X + 1j), "'x_train' has type complex128"),
        (broken(x_validation=X_TEST), "has no array 'y_validation'"),
        (broken(x_test=X_TEST[:0], y_test=Y_TEST[:0]), "x_test has 0 samples"),
        (broken(x_train=X[:12], y_train=Y[:12]), "too few to cut a validation part"),
    ],
)
def test_what_is_wrong_is_named(arrays: Arrays, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match=words) as caught:
        made(tmp_path, arrays)
    assert caught.value.where == "arrays in memory"
    assert not (tmp_path / "samples.npz").exists()


def test_names_in_a_file_are_checked(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=X_TEST, y_test=Y_TEST, x_val=X_TEST)
    section = DataSection(source="npz", task="regression", path="a.npz")
    with pytest.raises(DataSourceError, match="'x_val' is unknown"):
        prepare(section, Job(tmp_path, tmp_path))
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y)
    with pytest.raises(DataSourceError, match="no array 'x_test'"):
        prepare(section, Job(tmp_path, tmp_path))


def test_only_tasks_of_ready_samples(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="'price_forecast' is not possible"):
        prepare_arrays(Arrays(X, Y, X_TEST, Y_TEST), DataSection(), Job(tmp_path, tmp_path))
