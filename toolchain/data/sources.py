"""Tables of prices and ready-made samples as their files hold them. Every failure names the file."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.data.tables import parquet_names, read_parquet
from toolchain.errors import DataSourceError

_UNREADABLE = (OSError, ValueError, EOFError, zlib.error, csv.Error)


def sp500_file() -> Path:
    """S&P 500 daily prices 1999-2018 as the ``arch`` package ships them; its import, seconds long, is not needed.

    Raises DataSourceError when the package or the file is not installed.
    """
    spec = importlib.util.find_spec("arch")
    hint = "install the package arch, version 8"
    if spec is None or not spec.submodule_search_locations:
        raise DataSourceError(
            "the package 'arch', which holds the prices, is missing", where="[data] source", hint=hint
        )
    file = Path(next(iter(spec.submodule_search_locations))) / "data" / "sp500" / "sp500.csv.gz"
    if not file.is_file():
        raise DataSourceError("the installed package 'arch' does not hold this file", where=str(file), hint=hint)
    return file


def header_of(path: Path, source: str) -> list[str]:
    """The column names of a table; ``source`` is csv (or sp500) or parquet. Raises DataSourceError."""
    if source != "parquet":
        return read_header(path)
    require_file(path)
    return parquet_names(path)


def read_table(path: Path, source: str) -> Any:
    """The whole table as a ``pandas.DataFrame``; ``source`` is csv or parquet. Raises DataSourceError."""
    if source != "parquet":
        return read_csv(path)
    require_file(path)
    return read_parquet(path)


def read_header(path: Path) -> list[str]:
    """The column names of a comma-separated file, gzip-compressed when its name ends in .gz. Raises DataSourceError."""
    require_file(path)
    try:
        with _open(path) as stream:
            names = next((row for row in csv.reader(stream) if row), [])
    except _UNREADABLE as error:
        raise DataSourceError(f"is not a CSV table: {error}", where=str(path)) from None
    if not names:
        raise DataSourceError("is empty", where=str(path))
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataSourceError(
            "its fields are not separated by commas", where=str(path), hint=f"its first line is {names[0]!r}"
        )
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise DataSourceError(f"has two columns '{doubled[0]}'", where=str(path))
    if all(_is_number(name) for name in names):
        raise DataSourceError("has no header line: its first line holds numbers", where=str(path))
    return names


def read_csv(path: Path) -> Any:
    """The whole table as a ``pandas.DataFrame``. Raises DataSourceError."""
    import pandas as pd

    names = read_header(path)
    try:
        with warnings.catch_warnings():
            # pandas drops the last fields of rows longer than the header, and only warns
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                index_col=False,
                low_memory=False,
                encoding="utf-8-sig",
                compression="gzip" if path.suffix == ".gz" else None,
            )
    except pd.errors.ParserWarning:
        raise DataSourceError(f"has rows with more than the header's {len(names)} fields", where=str(path)) from None
    except _UNREADABLE as error:
        raise DataSourceError(f"is not a CSV table: {error}", where=str(path)) from None
    if not len(table):
        raise DataSourceError("holds no rows", where=str(path))
    return table


def npz_names(path: Path) -> list[str]:
    """The names of the arrays in an .npz file. Raises DataSourceError."""
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataSourceError(f"is not an .npz file: {error}", where=str(path)) from None


def read_npz(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of an .npz file; pickled objects are refused, never run. Raises DataSourceError."""
    npz_names(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (*_UNREADABLE, zipfile.BadZipFile, RuntimeError, KeyError) as error:
        raise DataSourceError(f"cannot be read: {error}", where=str(path)) from None


def npy_names(folder: Path) -> list[str]:
    """The names of the arrays in a folder of .npy files. Raises DataSourceError."""
    if not folder.is_dir():
        raise DataSourceError(
            "is a file" if folder.is_file() else "no such folder", where=str(folder),
            allowed="a folder with x_train.npy, y_train.npy, x_test.npy, y_test.npy",
        )  # fmt: skip
    return sorted(file.stem for file in folder.glob("*.npy"))


def read_npy(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of a folder of .npy files; pickled objects are refused, never run. Raises DataSourceError."""
    found = {}
    for name in npy_names(folder):
        file = folder / f"{name}.npy"
        try:
            found[name] = np.load(file, allow_pickle=False)
        except _UNREADABLE as error:
            raise DataSourceError(f"cannot be read: {error}", where=str(file)) from None
        if not isinstance(found[name], np.ndarray):
            raise DataSourceError("is not an .npy file", where=str(file))
    return found


def require_file(path: Path) -> None:
    """Raise DataSourceError when there is no such file."""
    if not path.is_file():
        raise DataSourceError(
            "is a folder, not a file" if path.is_dir() else "no such file", where=str(path),
            hint="--set data.path=…; relative paths start in the project's folder",
        )  # fmt: skip


def _open(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
