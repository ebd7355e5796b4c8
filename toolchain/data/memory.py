"""Data in memory, as a notebook has them, stored as the files that a project reads."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.data.columns import TIME_COLUMNS
from toolchain.data.ports import MARK, flattened, plain_names
from toolchain.data.targets import task_of_arrays
from toolchain.errors import DataSourceError, ProjectError

_NAMES = ("x_train", "y_train", "x_test", "y_test")


def store(data: Any, folder: Path) -> dict[str, Any]:
    """The ``[data]`` table for ``data``, its files written into ``folder``.

    ``data``: the path of an .npz, .csv, .csv.gz or .parquet file or of a folder of .npy files; a ``pandas.DataFrame``,
    whose rows are samples or candles (``data.target_columns`` or ``data.task`` say which); or arrays, Series and
    DataFrames as a mapping or a tuple of ``x_train, y_train, x_test, y_test`` (of a model of several inputs each x is a
    mapping by the input's name, of several outputs each y). Raises ProjectError for anything else,
    DataSourceError for pandas objects whose rows or columns do not belong together.
    """
    if isinstance(data, str | Path):
        return _of_path(Path(data).resolve())
    if _is_frame(data):
        _store_frame(data, folder / "data.parquet")
        return {"source": "parquet", "path": "data.parquet"}
    if isinstance(data, tuple | list) and len(data) == len(_NAMES):
        data = dict(zip(_NAMES, data, strict=True))
    if not isinstance(data, Mapping):
        raise ProjectError(
            f"cannot use a {type(data).__name__}", where="data",
            allowed=f"{', '.join(_NAMES)} as tuple or mapping, a pandas.DataFrame, or a file",
        )  # fmt: skip
    data = flattened({str(name): value for name, value in data.items()})
    _check_pandas(data)
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in data.items()}
    np.savez(folder / "data.npz", **arrays)
    return {"source": "npz", "path": "data.npz", "task": task_of_arrays(arrays)}


def source_of(path: Path) -> str:
    """``data.source`` for a file's name or a folder: npz, npy, parquet, else csv."""
    name = path.name.lower()
    if name.endswith(".npz"):
        return "npz"
    if path.is_dir():
        return "npy"
    return "parquet" if name.endswith((".parquet", ".pq")) else "csv"


def task_of_file(path: Path) -> str:
    """The task that the targets of an .npz, or of a folder of .npy, are made for; regression if they cannot be read."""
    try:
        if path.is_dir():
            files = [path / "y_train.npy", *sorted(path.glob(f"y_train{MARK}*.npy"))]
            found = {file.stem: np.load(file, allow_pickle=False) for file in files if file.is_file()}
        else:
            with np.load(path, allow_pickle=False) as archive:
                names = [name for name in archive.files if plain_names([name]) == ["y_train"]]
                found = {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return "regression"  # the data stage says what is wrong with it
    return task_of_arrays(found)


def _of_path(path: Path) -> dict[str, Any]:
    source = source_of(path)
    return {"source": source, "path": str(path)} | ({"task": task_of_file(path)} if source in ("npz", "npy") else {})


def _store_frame(frame: Any, file: Path) -> None:
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex):
        names = {str(name).lower() for name in frame.columns}
        if isinstance(frame.index, pd.DatetimeIndex) and frame.index.name is None and not names & set(TIME_COLUMNS):
            frame = frame.rename_axis("time")
        # an index that is no time says nothing of a sample: only a named one becomes a column
        frame = frame.reset_index(drop=frame.index.name is None)
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    if frame.columns.has_duplicates:
        doubled = frame.columns[frame.columns.duplicated()][0]
        raise DataSourceError(f"has two columns '{doubled}'", where="data: DataFrame")
    frame.to_parquet(file, index=False)


def _check_pandas(data: Mapping[str, Any]) -> None:
    """numpy forgets the labels of rows and columns: where they disagree, samples would be mixed up without a word."""
    for part in ("train", "validation", "test"):
        labelled = {
            name: value for name, value in data.items() if plain_names([name])[0][2:] == part and _is_labelled(value)
        }
        for name, value in labelled.items():
            first = next(iter(labelled))
            if not value.index.equals(labelled[first].index):
                raise DataSourceError(
                    f"the rows of {first} and {name} have different labels", where="data",
                    hint="bring them into one order, or give numpy arrays",
                )  # fmt: skip
            trained = name.replace(part, "train", 1)
            other: Any = data.get(trained)
            if _is_frame(value) and _is_frame(other) and list(value.columns) != list(other.columns):
                raise DataSourceError(
                    f"the columns of {name} are not those of {trained}", where="data",
                    hint="the same columns in the same order",
                )  # fmt: skip


def _is_labelled(value: Any) -> bool:
    return hasattr(value, "iloc") and hasattr(value, "index")


def _is_frame(value: Any) -> bool:
    return _is_labelled(value) and hasattr(value, "columns")
