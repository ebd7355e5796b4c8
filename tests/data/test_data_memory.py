"""Data from .npy files, from memory and from a function: the same samples as from a file, or refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from data_cases import candle_table

from toolchain.data import memory
from toolchain.data.memory import task_of_file
from toolchain.data.preflight import check
from toolchain.data.python_function import Returned, call
from toolchain.data.samples import load
from toolchain.data.stage import prepare
from toolchain.data.targets import task_of_arrays
from toolchain.errors import DataSourceError, PreflightError, ProjectError
from toolchain.pipeline import Request, run
from toolchain.project import DataSection, load_project, parse_project
from toolchain.project_template import Columns, create
from toolchain.results import DataResult, Job, Samples
from toolchain.target import load_target


def arrays(seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for part, rows in (("train", 200), ("test", 60)):
        found[f"x_{part}"] = rng.normal(size=(rows, 4))
        found[f"y_{part}"] = rng.normal(size=(rows, 1))
    return found


def samples_of(section: DataSection, folder: Path) -> Samples:
    assert not check(section, folder)
    return load(prepare(section, Job(folder, folder)))


def same(one: Samples, other: Samples) -> bool:
    return all(
        np.array_equal(getattr(getattr(one, part), name), getattr(getattr(other, part), name))
        for part in ("train", "validation", "test")
        for name in ("x", "y", "time")
    )


# --- .npy ---------------------------------------------------------------------------------------------------------


def test_a_folder_of_npy_files_is_the_npz(tmp_path: Path) -> None:
    (tmp_path / "arrays").mkdir()
    for name, value in arrays().items():
        np.save(tmp_path / "arrays" / name, value)
    np.savez(tmp_path / "data.npz", **arrays())
    one = samples_of(DataSection(source="npy", path="arrays", task="regression"), tmp_path)
    assert same(one, samples_of(DataSection(source="npz", path="data.npz", task="regression"), tmp_path))


def test_npy_refused(tmp_path: Path) -> None:
    section = DataSection(source="npy", path="arrays", task="regression")
    assert "no such folder" in check(section, tmp_path)[0].text()
    (tmp_path / "arrays").mkdir()
    assert len(check(section, tmp_path)) == 4
    for name, value in arrays().items():
        np.save(tmp_path / "arrays" / name, value)
    np.save(tmp_path / "arrays" / "x_test", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(DataSourceError, match="cannot be read"):
        prepare(section, Job(tmp_path, tmp_path))
    (tmp_path / "arrays" / "x_test.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(DataSourceError, match="cannot be read"):
        prepare(section, Job(tmp_path, tmp_path))
    np.save(tmp_path / "arrays" / "x_tset", np.zeros(3))
    assert "perhaps you meant 'x_test'" in check(section, tmp_path)[0].text()


def test_what_arrays_show_is_noted(tmp_path: Path) -> None:
    found = arrays()
    found["x_train"][:, 2] = 7.0
    found["x_test"][:5] = found["x_train"][3]
    np.savez(tmp_path / "data.npz", **found)
    notes = prepare(DataSection(source="npz", path="data.npz", task="regression"), Job(tmp_path, tmp_path)).notes
    assert "1 of 4 inputs are constant in the training part: x2" in notes
    assert "5 of 60 test samples have the inputs of a training sample" in notes


# --- in memory ----------------------------------------------------------------------------------------------------


def test_pandas_objects_are_the_arrays(tmp_path: Path) -> None:
    plain = arrays()
    frames = {name: pd.DataFrame(value) for name, value in plain.items()}
    frames |= {name: frames[name][0] for name in ("y_train", "y_test")}  # Series
    found = []
    for name, data in (("a", plain), ("b", frames), ("c", tuple(frames.values()))):
        (tmp_path / name).mkdir()
        found.append(samples_of(DataSection(**memory.store(data, tmp_path / name)), tmp_path / name))
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_rows_and_columns_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    frames = {name: pd.DataFrame(value) for name, value in arrays().items()}
    mixed = frames | {"y_train": frames["y_train"].sample(frac=1, random_state=0)}
    with pytest.raises(DataSourceError, match="different labels"):
        memory.store(mixed, tmp_path)
    turned = frames | {"x_test": frames["x_test"][[1, 0, 2, 3]]}
    with pytest.raises(DataSourceError, match="not those of x_train"):
        memory.store(turned, tmp_path)
    with pytest.raises(ProjectError, match="cannot use a int"):
        memory.store(3, tmp_path)


def test_a_frame_is_the_file(tmp_path: Path) -> None:
    candles = candle_table()
    candles.to_csv(tmp_path / "c.csv", index=False)
    settings: dict[str, Any] = {"task": "direction", "look_back": 3, "embargo": 3, "volume_window": 5}
    of_file = samples_of(DataSection(**memory.store(tmp_path / "c.csv", tmp_path), **settings), tmp_path)
    assert same(of_file, samples_of(DataSection(**memory.store(candles, tmp_path), **settings), tmp_path))
    (time,) = [name for name in candles.columns if name not in ("open", "high", "low", "close", "volume")]
    indexed = candles.set_index(pd.DatetimeIndex(pd.to_datetime(candles[time], unit="ms"))).drop(columns=time)
    indexed.index.name = None
    assert same(of_file, samples_of(DataSection(**memory.store(indexed, tmp_path), **settings), tmp_path))
    with pytest.raises(DataSourceError, match="two columns"):
        memory.store(pd.concat([candles, candles], axis=1), tmp_path)


# --- a function ---------------------------------------------------------------------------------------------------

LOADER = """
import numpy as np
import pandas as pd
from pathlib import Path

def samples():
    with np.load(Path(__file__).with_name("data.npz")) as file:
        return {name: file[name] for name in file.files}

def pair():
    found = samples()
    return found["x_train"], found["y_train"], found["x_test"], found["y_test"]

def table():
    return pd.read_csv(Path(__file__).with_name("c.csv"))

def broken():
    return 1 / 0

def nothing():
    return None

def empty():
    return pd.DataFrame({"a": []})

number = 3
"""


def loader(folder: Path) -> None:
    (folder / "load.py").write_text(LOADER)
    np.savez(folder / "data.npz", **arrays())
    candle_table().to_csv(folder / "c.csv", index=False)


def section_of(name: str, **more: Any) -> DataSection:
    values = {"source": "python", "function": f"load:{name}", "allow_custom_code": True, "task": "regression"}
    return DataSection(**(values | more))


def test_a_function_is_the_file(tmp_path: Path) -> None:
    loader(tmp_path)
    of_file = samples_of(DataSection(source="npz", path="data.npz", task="regression"), tmp_path)
    assert same(of_file, samples_of(section_of("samples"), tmp_path))
    assert same(of_file, samples_of(section_of("pair"), tmp_path))
    settings: dict[str, Any] = {"task": "direction", "look_back": 3, "embargo": 3, "volume_window": 5}
    of_table = samples_of(DataSection(source="csv", path="c.csv", **settings), tmp_path)
    assert same(of_table, samples_of(section_of("table", **settings), tmp_path))


def test_no_code_runs_unless_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n" + LOADER)
    refused = section_of("samples", allow_custom_code=False)
    assert "allow_custom_code = true" in check(refused, tmp_path)[0].text()
    with pytest.raises(ProjectError, match="was not run"):
        call(refused, tmp_path)
    assert not check(section_of("samples"), tmp_path)  # looking before work begins runs nothing either
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["load", "load:", "load:a b", "../load:samples", "os.system('x'):y", ":samples", ""])
def test_what_names_no_function_is_refused(name: str, tmp_path: Path) -> None:
    found = check(section_of("x", function=name), tmp_path)
    assert "names no function" in found[0].text()


def test_a_function_that_fails_says_where(tmp_path: Path) -> None:
    loader(tmp_path)
    cases = {
        "broken": r"ZeroDivisionError: division by zero(.|\n)*load.py, line 18", "nothing": "returned a NoneType",
        "empty": "without rows", "number": "has no function 'number'", "table": "target_columns name what is predicted",
    }  # fmt: skip
    for name, words in cases.items():
        with pytest.raises((DataSourceError, ProjectError)) as caught:
            prepare(section_of(name), Job(tmp_path, tmp_path))
        assert re.search(words, caught.value.text()), caught.value.text()
    with pytest.raises(DataSourceError, match="not a table"):
        prepare(section_of("samples", target_columns=("a",)), Job(tmp_path, tmp_path))
    assert "no module 'absent'" in check(section_of("x", function="absent:f"), tmp_path)[0].text()


def test_the_digest_is_of_every_value() -> None:
    table = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    other = [
        table.rename(columns={"a": "c"}), table.assign(a=[1.0, np.nextafter(2, 3)]), table.iloc[::-1],
        table.assign(b=["x", "z"]), table[["b", "a"]], table.astype({"a": "float32"}),
    ]  # fmt: skip
    assert len({Returned(table=item).digest() for item in (table, *other)}) == 1 + len(other)
    assert Returned(table=table.copy()).digest() == Returned(table=table).digest()
    first = {"x": np.zeros((2, 3))}
    others: list[dict[str, Any]] = [{"y": np.zeros((2, 3))}, {"x": np.zeros((3, 2))}, {"x": np.zeros((2, 3), "f4")}]
    assert len({Returned(arrays=item).digest() for item in (first, *others)}) == 4


@pytest.mark.parametrize("source", ["python", "npy"])
def test_data_that_changed_are_not_taken_from_the_store(source: str, tmp_path: Path) -> None:
    loader(tmp_path)
    (tmp_path / "arrays").mkdir()
    data = {"source": source, "task": "regression"}
    data |= {"path": "arrays"} if source == "npy" else {"function": "load:samples", "allow_custom_code": True}
    project = parse_project({"name": "f", "model": {"architecture": "btc_mlp"}, "data": data}, "project.toml")
    digests, cached = [], []
    for seed in (0, 0, 1, 0):
        np.savez(tmp_path / "data.npz", **arrays(seed))
        for name, value in arrays(seed).items():
            np.save(tmp_path / "arrays" / name, value)
        outcome = run(Request(project, tmp_path, load_target("zcu102"), until="data"))
        found = outcome.get("data", DataResult)
        assert found is not None
        digests.append(found.sha256)
        cached.append(outcome.workspace.runs[0].cached)
    assert digests[0] == digests[1] == digests[3] != digests[2]
    assert cached[:3] == [False, True, False]


def test_sources_and_keys_that_do_not_go_together_are_refused() -> None:
    for data, words in (
        ({"source": "npy", "path": "x", "task": "direction"}, "holds ready samples"),
        ({"source": "npy", "path": "x", "task": "regression", "first_row": 3}, "choose rows of a table"),
    ):
        with pytest.raises(PreflightError, match=words):
            parse_project({"name": "n", "model": {"architecture": "btc_mlp"}, "data": data}, "project.toml")


# --- toolchain init -----------------------------------------------------------------------------------------------


def test_init_asks_which_columns_are_predicted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(200, 3)), columns=["a", "b", "c"])
    table["kind"] = np.arange(200) % 3
    table.to_csv(tmp_path / "own.csv", index=False)
    candle_table().to_csv(tmp_path / "candles.csv", index=False)

    def data_of(name: str, file: str, predict: tuple[str, ...] = ()) -> DataSection:
        return load_project(create(name, tmp_path, "", str(tmp_path / file), Columns(predict))).data

    with pytest.raises(ProjectError, match="which columns are predicted"):
        data_of("one", "own.csv")
    assert data_of("two", "own.csv", ("kind",)).task == "classification"
    assert data_of("three", "own.csv", ("b", "c")).task == "regression"
    assert data_of("four", "candles.csv").task == "direction"
    with pytest.raises(DataSourceError, match="no column 'kin'"):
        data_of("five", "own.csv", ("kin",))
    with pytest.raises(ProjectError, match="columns of a table"):
        create("six", tmp_path, "", "x.npz", Columns(("a",)))
    with pytest.raises(ProjectError, match="columns of a table"):
        create("seven", tmp_path, "", "", Columns(("a",)))


@pytest.mark.parametrize(
    ("y", "task"),
    [
        (np.array([0, 1, 2, 1]), "classification"),
        (np.array([0.0, 1.0, 1.0]), "classification"),
        (np.array([[1, 0], [0, 1]]), "classification"),
        (np.array([[0], [1], [2]]), "classification"),
        (np.array([0, 2, 3]), "regression"),
        (np.array([0.5, 1.0]), "regression"),
        (np.arange(30.0), "regression"),
        (np.arange(30), "classification"),
        (np.array([[0.2, 0.8], [1, 0]]), "regression"),
        (np.array([1, 1, 1]), "regression"),
    ],
)
def test_the_task_follows_from_the_targets(y: np.ndarray, task: str, tmp_path: Path) -> None:
    assert task_of_arrays({"y_train": y}) == task
    np.savez(tmp_path / "data.npz", y_train=y)
    assert task_of_file(tmp_path / "data.npz") == task
    np.save(tmp_path / "y_train.npy", y)
    assert task_of_file(tmp_path) == task


def test_the_task_of_an_unreadable_file_is_left_to_the_data_stage(tmp_path: Path) -> None:
    (tmp_path / "data.npz").write_bytes(b"PK nonsense")
    assert task_of_file(tmp_path / "data.npz") == "regression"
    assert task_of_file(tmp_path / "absent.npz") == "regression"
