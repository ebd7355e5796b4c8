"""Targets of several outputs: by name in, packed in between, a metric of each and one of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from toolchain.data.evaluation import baselines, baselines_of_outputs, decisions, evaluate, evaluate_outputs
from toolchain.data.outputs import check_outputs, each_output, output_columns
from toolchain.data.python_function import Returned
from toolchain.data.samples import load
from toolchain.data.stage import prepare, prepare_returned
from toolchain.errors import DataSourceError, PreflightError, ToolchainError, UnsupportedModelError
from toolchain.project import DataSection, parse_project
from toolchain.results import DataResult, Job

ROWS = 90
CUT = {"train": slice(60), "test": slice(60, None)}


def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    y = {
        "up": random.integers(0, 2, ROWS), "kind": random.integers(0, 3, ROWS),
        "hot": np.eye(4)[random.integers(0, 4, ROWS)],
    }  # fmt: skip
    found = {f"y_{part}.{name}": values[rows] for name, values in y.items() for part, rows in CUT.items()}
    return {**found, **{f"x_{part}": random.normal(size=(ROWS, 5))[rows] for part, rows in CUT.items()}}


def prepared(folder: Path, found: dict[str, Any], task: str = "classification", **keys: Any) -> DataResult:
    np.savez(folder / "data.npz", **found)
    return prepare(DataSection(source="npz", path="data.npz", task=task, **keys), Job(folder, folder))  # type: ignore[arg-type]


def test_targets_are_packed_in_the_order_of_the_names_each_with_its_own_task(tmp_path: Path) -> None:
    found = arrays()
    data = prepared(tmp_path, found)
    assert [(port.name, port.outputs, port.task) for port in data.targets] == [
        ("hot", 4, "multiclass"), ("kind", 3, "multiclass"), ("up", 1, "binary"),
    ]  # fmt: skip
    assert (data.task, data.metric, data.outputs) == ("classification", "accuracy", 8)
    y, columns = load(data).test.y, output_columns(data)
    assert np.array_equal(y[:, columns["hot"]], found["y_test.hot"])
    assert np.array_equal(y[:, columns["kind"]].argmax(axis=1), found["y_test.kind"])
    assert np.array_equal(y[:, columns["up"]][:, 0], found["y_test.up"])
    assert [alone.task for _, _, alone in each_output(data)] == ["multiclass", "multiclass", "binary"]


def test_the_metric_of_all_is_the_mean_of_the_outputs_and_knows_the_samples(tmp_path: Path) -> None:
    data = prepared(tmp_path, arrays())
    test = load(data).test
    perfect = np.where(test.y > 0.5, 1.0, -1.0)
    assert evaluate(data, test, perfect).value == 1.0
    wrong = perfect.copy()
    wrong[:, output_columns(data)["up"]] *= -1  # one output is wrong everywhere, the others never
    assert {name: found.value for name, found in evaluate_outputs(data, test, wrong).items()} == {
        "hot": 1.0, "kind": 1.0, "up": 0.0,
    }  # fmt: skip
    assert evaluate(data, test, wrong).value == pytest.approx(2 / 3)
    assert decisions(data, wrong).shape == (30, 3)
    every, alone = baselines(data, load(data)), baselines_of_outputs(data, load(data))
    mean = np.mean([alone[name]["majority class"].value for name in alone])
    assert every["majority class"].value == pytest.approx(mean)


def test_several_regressions_share_one_error_and_have_one_each(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    y = {"a": random.normal(size=ROWS), "b": random.normal(size=(ROWS, 2))}
    found = {f"y_{part}.{name}": values[rows] for name, values in y.items() for part, rows in CUT.items()}
    data = prepared(tmp_path, {**found, "x_train": arrays()["x_train"], "x_test": arrays()["x_test"]}, "regression")
    test = load(data).test
    assert [port.task for port in data.targets] == ["regression", "regression"]
    off = np.array([1.0, 2.0, 2.0])
    own = evaluate_outputs(data, test, test.y + off)
    assert (own["a"].value, own["b"].value) == (pytest.approx(1.0), pytest.approx(2.0))
    assert evaluate(data, test, test.y + off).value == pytest.approx(np.sqrt(3.0))
    assert set(baselines_of_outputs(data, load(data))["a"]) == {"mean of the training part"}


def test_the_digest_knows_the_outputs(tmp_path: Path) -> None:
    found = arrays()
    renamed = {name.replace(".kind", ".sort"): values for name, values in found.items()}
    assert prepared(tmp_path, found).sha256 != prepared(tmp_path, renamed).sha256


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"y_test.kind": None}, "has no array 'y_test.kind': output 'kind' is missing"),
        ({"y_train": np.zeros(60)}, "array 'y_train' is of no output"),
        ({"y_test.hot": np.eye(4)[[0, 1]]}, r"output 'hot': y_test.hot has 2 samples|output 'kind': y_test.kind has"),
        ({"y_test.hot": np.eye(5)[np.arange(30) % 5]}, r"output 'hot': y_test.hot has samples of shape \(5,\), y_tr"),
        ({"y_test.kind": np.full(30, 7)}, "output 'kind': y_test has class 7, y_train has not"),
        ({"y_train.up": np.ones(60)}, "output 'up': y_train is the same in every sample"),
    ],
)  # fmt: skip
def test_what_is_wrong_names_the_output(tmp_path: Path, changed: dict[str, Any], text: str) -> None:
    found = {name: value for name, value in (arrays() | changed).items() if value is not None}
    with pytest.raises(DataSourceError, match=text):
        prepared(tmp_path, found)


def table(folder: Path) -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(400, 4)), columns=["a", "b", "p", "q"])
    frame["up"] = (frame["p"] > 0).astype(int)
    frame.to_csv(folder / "t.csv", index=False)
    return frame


def test_columns_of_a_table_are_outputs_by_name(tmp_path: Path) -> None:
    frame = table(tmp_path)
    section = DataSection(
        source="csv", path="t.csv", task="regression", outputs={"two": ("q", "p"), "one": ("up",)}, embargo=2
    )
    data = prepare(section, Job(tmp_path, tmp_path))
    assert [(port.name, port.outputs) for port in data.targets] == [("one", 1), ("two", 2)]
    assert data.feature_names == ("a", "b")
    assert np.array_equal(load(data).train.y, frame[["up", "q", "p"]].to_numpy()[: len(load(data).train.y)])


def test_a_function_returns_targets_by_name(tmp_path: Path) -> None:
    section = DataSection(source="python", function="f:f", task="classification", allow_custom_code=True)
    found = arrays()
    data = prepare_returned(Returned(arrays=found), section, Job(tmp_path, tmp_path))
    assert [port.name for port in data.targets] == ["hot", "kind", "up"]


def test_options_that_contradict_one_another_are_refused(tmp_path: Path) -> None:
    frame = {"source": "csv", "path": "t.csv", "task": "regression"}
    for keys, text in (
        ({"target_columns": ["a"], "outputs": {"o": ["b"]}}, "give one of them"),
        ({}, "target_columns name what is predicted"),
    ):
        with pytest.raises(PreflightError, match=text):
            parse_project({"name": "t", "model": {"file": "m.keras"}, "data": {**frame, **keys}}, "here")
    table(tmp_path)
    for outputs, text in (
        ({"o": ()}, "names no column"), ({"o": ("p", "p")}, "twice"), ({"o": ("zz",)}, "output 'o': has no column"),
    ):  # fmt: skip
        with pytest.raises(ToolchainError, match=text):
            prepare(DataSection(**frame, outputs=outputs), Job(tmp_path, tmp_path))  # type: ignore[arg-type]


def test_the_models_outputs_must_be_the_datas(tmp_path: Path) -> None:
    data = prepared(tmp_path, arrays())
    shapes = {"up": (1,), "hot": (4,), "kind": (3,)}
    check_outputs(shapes, data, "model")
    for changed, text in (
        ({"hot": (5,)}, r"model: output 'hot': gives outputs of shape \(5,\), the data's target has 4"),
        ({"hot": (2, 2)}, r"output 'hot': gives outputs of shape \(2, 2\)"),
        ({"more": (1,)}, "the data have nothing for output 'more'; they have hot, kind, up"),
    ):
        with pytest.raises(UnsupportedModelError, match=text):
            check_outputs(shapes | changed, data, "model")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedModelError, match="the model has no output 'kind'"):
        check_outputs({"up": (1,), "hot": (4,)}, data, "model")
    alone = data.model_copy(update={"targets": (), "outputs": 1})
    with pytest.raises(UnsupportedModelError, match=r"the model has 2 outputs \(a, b\), the data have one"):
        check_outputs({"b": (1,), "a": (1,)}, alone, "model")
    check_outputs({"whatever": (1,)}, alone, "model")
