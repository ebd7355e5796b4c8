"""Tasks ``regression`` and ``classification`` of a table: each row is a sample, columns are inputs or targets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from toolchain.data import ports
from toolchain.data.arrays import Arrays, array_samples
from toolchain.data.columns import TIME_COLUMNS, check_header
from toolchain.data.prepared import Prepared, Source
from toolchain.data.sources import read_table
from toolchain.data.splits import split_in_time
from toolchain.data.times import read_times
from toolchain.data.validation import numbers
from toolchain.errors import DataSourceError
from toolchain.project import DataSection
from toolchain.results import FloatArray, Samples


def column_samples(section: DataSection, source: Source) -> Prepared:
    """``x (samples, inputs)`` unscaled, ``y`` of ``section.target_columns``; rows in the order of the table.

    With ``section.inputs`` the columns named there, an array for each input of the model; with ``section.outputs`` the
    same for each output.

    Raises DataSourceError: a missing column, a cell that is not a number, a column that is constant in the training
    part, a time that does not rise.
    """
    names = [str(name) for name in source.table.columns]
    for problem in check_header(names, section, source.where):
        raise problem
    times = {name for name in names if name == section.time_column or name.lower() in TIME_COLUMNS}
    chosen = {name: list(columns) for name, columns in sorted(section.inputs.items())}
    inputs = [column for columns in chosen.values() for column in columns] or [
        name for name in names if name not in times and name not in section.predicted_columns
    ]
    if not inputs:
        raise DataSourceError("has no column that could be an input", where=source.where)
    x = _matrix(source, inputs)
    targets = {name: list(columns) for name, columns in sorted(section.outputs.items())} or {
        "": list(section.target_columns)
    }
    y = {name: _matrix(source, columns) for name, columns in targets.items()}
    split = split_in_time(len(x), section, source.where)
    for column, name in enumerate(inputs):
        if np.ptp(x[split.train, column]) == 0:
            raise DataSourceError(
                f"is {x[0, column]:g} in every row of the training part", where=f"{source.where}: column '{name}'",
                hint="remove the column",
            )  # fmt: skip
    shapes = {name: (len(columns),) for name, columns in chosen.items()}
    given: list[Any] = [ports.unpack(x[rows], shapes) if shapes else x[rows] for rows in split.parts]
    wanted: list[Any] = [{name: found[rows] for name, found in y.items()} for rows in split.parts]
    if not section.outputs:
        wanted = [one[""] for one in wanted]
    parts = Arrays(given[0], wanted[0], given[2], wanted[2], given[1], wanted[1])
    labels = [f"{name}{ports.MARK}{column}" for name, columns in chosen.items() for column in columns] or inputs
    made = replace(array_samples(parts, section, source.where), source=source.title, feature_names=tuple(labels))
    if not times:
        return made
    stamps = read_times(source.table, section.time_column, source.where)
    timed = zip((made.samples.train, made.samples.validation, made.samples.test), split.parts, strict=True)
    return replace(made, samples=Samples(*(replace(part, time=stamps[rows]) for part, rows in timed)), timed=True)


def task_of(
    path: Path, source: str, outputs: Iterable[tuple[str, ...]]
) -> Literal["classification", "regression"]:  # fmt: skip
    """classification when the one target column of each of the ``outputs`` holds 0, 1, 2 … without a gap, at most 20 of
    them; else regression.

    Raises DataSourceError for a table that cannot be read, or that has no such column.
    """
    table = Source(read_table(path, source), path.name, str(path))
    return "classification" if all(_are_classes(_matrix(table, list(names))) for names in outputs) else "regression"


def _are_classes(found: FloatArray) -> bool:
    classes = np.unique(found)
    return found.shape[1] == 1 and 2 <= len(classes) <= 20 and np.array_equal(classes, np.arange(len(classes)))


def _matrix(source: Source, names: list[str]) -> FloatArray:
    return np.stack([numbers(source.table, name, source.where) for name in names], axis=1)
