"""Several inputs: arrays by name from every source, packed and unpacked again, or refused naming the input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.data.memory import store
from toolchain.data.ports import check_inputs, names_problem, pack, unpack
from toolchain.data.preflight import check, input_names
from toolchain.data.samples import load
from toolchain.data.stage import prepare
from toolchain.errors import DataSourceError, ProjectError, ToolchainError, UnsupportedModelError
from toolchain.project import DataSection
from toolchain.results import DataResult, Job, Samples

RANDOM = np.random.default_rng(0)
PRICE, BOOK = RANDOM.normal(size=(60, 4, 2)), RANDOM.normal(size=(60, 3))
Y = RANDOM.normal(size=60)


def arrays() -> dict[str, Any]:
    return {
        "x_train.price": PRICE[:40], "x_train.book": BOOK[:40], "y_train": Y[:40],
        "x_test.price": PRICE[40:], "x_test.book": BOOK[40:], "y_test": Y[40:],
    }  # fmt: skip


def prepared(folder: Path, **options: Any) -> tuple[DataResult, Samples]:
    section = DataSection(**{"task": "regression", "embargo": 2, **options})
    assert not check(section, folder)
    result = prepare(section, Job(folder, folder))
    return result, load(result)


def unpacked(result: DataResult, x: np.ndarray) -> dict[str, np.ndarray]:
    return unpack(x, {port.name: port.shape for port in result.inputs})


def npz(folder: Path, **changed: Any) -> dict[str, Any]:
    given = {name: value for name, value in {**arrays(), **changed}.items() if value is not None}
    np.savez(folder / "data.npz", **given)
    return {"source": "npz", "path": "data.npz"}


def npy(folder: Path) -> dict[str, Any]:
    (folder / "arrays").mkdir()
    for name, array in arrays().items():
        np.save(folder / "arrays" / f"{name}.npy", array)
    return {"source": "npy", "path": "arrays"}


def function(folder: Path) -> dict[str, Any]:
    npz(folder)
    (folder / "loading.py").write_text(
        "from pathlib import Path\nimport numpy as np\n"
        "def samples():\n"
        "    a = np.load(Path(__file__).with_name('data.npz'))\n"
        "    x = lambda part: {name: a[f'x_{part}.{name}'] for name in ('price', 'book')}\n"
        "    return x('train'), a['y_train'], x('test'), a['y_test']\n"
    )
    return {"source": "python", "function": "loading:samples", "allow_custom_code": True}


def memory(folder: Path) -> dict[str, Any]:
    train, test = ({"price": PRICE[rows], "book": BOOK[rows]} for rows in (slice(40), slice(40, None)))
    return store((train, Y[:40], test, Y[40:]), folder)


@pytest.mark.parametrize("write", [npz, npy, function, memory])
def test_every_source_gives_each_input_its_own_samples(tmp_path: Path, write: Any) -> None:
    result, samples = prepared(tmp_path, **write(tmp_path))
    assert [(port.name, port.shape) for port in result.inputs] == [("book", (3,)), ("price", (4, 2))]
    assert result.input_shape == (11,)
    found = unpacked(result, samples.test.x)
    assert np.array_equal(found["price"], PRICE[40:])
    assert np.array_equal(found["book"], BOOK[40:])
    assert np.array_equal(unpacked(result, samples.train.x)["price"], PRICE[: len(samples.train.x)])
    assert np.array_equal(unpacked(result, samples.validation.x)["book"], BOOK[36:40])
    assert result.feature_names[:4] == ("book.x0", "book.x1", "book.x2", "price.x0")


def test_a_table_gives_each_input_its_columns(tmp_path: Path) -> None:
    table = pd.DataFrame(RANDOM.normal(size=(400, 5)), columns=["a", "b", "c", "y", "unused"])
    table.to_csv(tmp_path / "table.csv", index=False)
    options = {"source": "csv", "path": "table.csv", "target_columns": ("y",)}
    result, samples = prepared(tmp_path, **options, inputs={"late": ("c", "a"), "early": ("b",)})
    assert result.feature_names == ("early.b", "late.c", "late.a")
    found = unpacked(result, samples.train.x)
    rows = len(samples.train.x)
    assert np.array_equal(found["late"], pd.read_csv(tmp_path / "table.csv")[["c", "a"]].to_numpy()[:rows])
    assert np.array_equal(found["early"][:, 0], pd.read_csv(tmp_path / "table.csv")["b"].to_numpy()[:rows])
    for inputs, kind, text in (
        ({"late": ("d",)}, DataSourceError, "input 'late': has no column 'd'"),
        ({"late": ()}, ProjectError, r"\[data.inputs\] late: names no column"),
        ({"late": ("a", "a")}, ProjectError, "names column 'a' twice"),
        ({"late": ("y",)}, ProjectError, "column 'y' is a target"),
    ):
        section = DataSection(**options, task="regression", inputs=inputs)
        (problem,) = check(section, tmp_path)
        assert isinstance(problem, kind)
        with pytest.raises(kind, match=text):
            prepare(section, Job(tmp_path, tmp_path))


def test_columns_of_inputs_are_for_tables_alone(tmp_path: Path) -> None:
    section = DataSection(**npz(tmp_path), task="regression", inputs={"price": ("a",)})
    (problem,) = check(section, tmp_path)
    assert "chooses columns of a table" in problem.text()


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"x_test.book": None}, "has no array 'x_test.book': input 'book' is missing"),
        ({"x_train": PRICE[:40]}, "array 'x_train' is of no input"),
        ({"x_validation.book": BOOK[:5]}, "input 'price' is missing"),
        ({"z_train.book": BOOK[:5]}, "array 'z_train.book' is unknown"),
    ],
)
def test_names_that_do_not_belong_together_are_seen_before_any_work(tmp_path: Path, changed: Any, text: str) -> None:
    section = DataSection(**npz(tmp_path, **changed), task="regression")
    assert text in "\n".join(problem.text() for problem in check(section, tmp_path))
    with pytest.raises(DataSourceError):
        prepare(section, Job(tmp_path, tmp_path))


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"x_test.book": BOOK[40:, :2]}, r"input 'book': x_test.book has samples of shape \(2,\), x_train.book of"),
        ({"x_train.price": PRICE[:39]}, "input 'price': x_train.price has 39 samples, x_train.book 40"),
        ({"x_test.book": np.full((20, 3), np.nan)}, "array 'x_test.book' holds NaN"),
        ({"x_train.book": np.zeros(40), "x_test.book": np.zeros(20)}, r"array 'x_train.book' has shape \(40,\)"),
    ],
)
def test_wrong_arrays_are_refused_naming_the_input(tmp_path: Path, changed: Any, text: str) -> None:
    with pytest.raises(DataSourceError, match=text):
        prepare(DataSection(**npz(tmp_path, **changed), task="regression"), Job(tmp_path, tmp_path))


def test_pandas_rows_of_two_inputs_must_have_one_order(tmp_path: Path) -> None:
    frame = pd.DataFrame(BOOK[:40])
    x = {"price": pd.DataFrame(BOOK[:40]), "book": frame.iloc[::-1]}
    with pytest.raises(DataSourceError, match=r"the rows of x_train.price and x_train.book have different labels"):
        store((x, Y[:40], x, Y[:40]), tmp_path)


def test_the_digest_knows_the_names(tmp_path: Path) -> None:
    """The same packed numbers under other names are other data."""
    found = []
    for number, names in enumerate((("a", "b"), ("a", "c"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        given = {f"x_{part}.{name}": BOOK[rows] for part, rows in (("train", slice(40)), ("test", slice(40, None)))
                 for name in names}  # fmt: skip
        np.savez(folder / "data.npz", y_train=Y[:40], y_test=Y[40:], **given)
        found.append(prepared(folder, source="npz", path="data.npz")[0].sha256)
    assert found[0] != found[1]


@given(shapes=st.dictionaries(st.text("abz_", min_size=1, max_size=4),
                              st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple), min_size=1, max_size=5),
       order=st.randoms(use_true_random=False))  # fmt: skip
def test_unpacking_undoes_packing_in_any_order_of_the_model(shapes: dict[str, tuple[int, ...]], order: Any) -> None:
    random = np.random.default_rng(1)
    given_arrays = {name: random.normal(size=(7, *shape)) for name, shape in shapes.items()}
    names = list(shapes)
    order.shuffle(names)
    found = unpack(pack(given_arrays), {name: shapes[name] for name in names})
    assert list(found) == names
    assert all(np.array_equal(found[name], given_arrays[name]) for name in names)


def test_model_and_data_must_name_the_same_inputs(tmp_path: Path) -> None:
    result, _ = prepared(tmp_path, **npz(tmp_path))
    check_inputs({"price": (4, 2), "book": (3,)}, result, "file")
    for taken, text in (
        ({"price": (4, 2), "side": (3,)}, "the model has no input 'book'; it has price, side"),
        ({"price": (4, 2), "book": (3,), "clock": (1,)}, "the data have nothing for input 'clock'"),
        ({"price": (4, 3), "book": (3,)}, r"input 'price': takes samples of shape \(4, 3\), the data give \(4, 2\)"),
        ({"x": (11,)}, "the model has no input 'book'"),
    ):
        with pytest.raises(UnsupportedModelError, match=text):
            check_inputs(taken, result, "file")
    problem: ToolchainError | None = names_problem(("price", "book"), (), "file")
    assert problem is not None
    assert "the model has 2 inputs (book, price), the data have one" in problem.text()
    assert names_problem(("x",), (), "file") is None
    assert input_names(DataSection(**npz(tmp_path), task="regression"), tmp_path) == ("book", "price")
