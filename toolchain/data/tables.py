"""Tables on disk: CSV and Parquet, read and written. Every failure names the file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolchain.errors import DataSourceError, ProjectError

_CSV = (".csv", ".csv.gz")
_PARQUET = (".parquet", ".pq")


def is_parquet(path: Path) -> bool:
    """Whether the file's name says Parquet."""
    return path.name.lower().endswith(_PARQUET)


def parquet_names(path: Path) -> list[str]:
    """The column names of a Parquet file, from its footer. Raises DataSourceError."""
    import pyarrow as arrow
    from pyarrow import parquet

    try:
        names = [str(name) for name in parquet.read_schema(path).names]
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DataSourceError(f"is not a Parquet file: {error}", where=str(path)) from None
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise DataSourceError(f"has two columns '{doubled[0]}'", where=str(path))
    return names


def read_parquet(path: Path) -> Any:
    """The whole table as a ``pandas.DataFrame``; an index that was stored is a column. Raises DataSourceError."""
    import pyarrow as arrow
    from pyarrow import parquet

    parquet_names(path)
    try:
        table = parquet.ParquetFile(path).read().to_pandas(ignore_metadata=True)
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise DataSourceError(f"cannot be read: {error}", where=str(path)) from None
    if not len(table):
        raise DataSourceError("holds no rows", where=str(path))
    return table


def check_writable(path: Path) -> None:
    """Raise ProjectError when ``write_table`` could not write a new file there."""
    if not path.name.lower().endswith((*_CSV, *_PARQUET)):
        raise ProjectError(f"{path.name!r} has no known ending", where="--out", allowed=", ".join((*_PARQUET, *_CSV)))
    if path.exists():
        raise ProjectError("exists already", where=str(path), hint="remove it, or give another --out")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise ProjectError("is no folder that can be written", where=str(path.parent))


def write_table(path: Path, columns: Mapping[str, Sequence[Any]], metadata: Mapping[str, str]) -> None:
    """Write the columns whole or not at all: under another name first, then renamed. Numbers keep every bit."""
    import pandas as pd

    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        if is_parquet(path):
            import pyarrow as arrow
            from pyarrow import parquet

            table = arrow.table({name: arrow.array(values) for name, values in columns.items()})
            parquet.write_table(table.replace_schema_metadata(dict(metadata)), unfinished)
        else:
            packed: Any = "gzip" if path.name.lower().endswith(".gz") else None
            pd.DataFrame(dict(columns)).to_csv(unfinished, index=False, compression=packed)
        with unfinished.open("rb") as stream:
            os.fsync(stream.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
