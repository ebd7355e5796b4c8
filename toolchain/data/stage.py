"""Stage ``data``: samples from their source, features, scaling and splits; fitted on the training part alone."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from toolchain.data import sources
from toolchain.data.arrays import Arrays, array_samples, from_names
from toolchain.data.column_samples import column_samples
from toolchain.data.columns import check_header
from toolchain.data.direction import direction_samples
from toolchain.data.preflight import choice_problem
from toolchain.data.prepared import Prepared, Source
from toolchain.data.price_forecast import forecast_samples
from toolchain.data.python_function import Returned, call
from toolchain.data.samples import save
from toolchain.data.times import show
from toolchain.errors import DataSourceError
from toolchain.project import DataSection
from toolchain.results import DataResult, Job


def prepare(section: DataSection, job: Job) -> DataResult:
    """Read, check, transform and split; write ``samples.npz`` into ``job.folder``.

    Raises DataSourceError, or ProjectError when source and task do not go together.
    """
    problem = choice_problem(section)
    if problem:
        raise problem
    path = job.project_folder / section.path
    if section.source in ("npz", "npy"):
        found = sources.read_npz(path) if section.source == "npz" else sources.read_npy(path)
        return _finish(array_samples(from_names(found, str(path)), section, path.name), job)
    if section.source == "python":
        return prepare_returned(call(section, job.project_folder), section, job)
    source = (
        _sp500()
        if section.source == "sp500"
        else Source(sources.read_table(path, section.source), path.name, str(path), "price")
    )
    return _from_table(source, section, job)


def prepare_returned(returned: Returned, section: DataSection, job: Job) -> DataResult:
    """The same for what the user's function returned. Raises DataSourceError."""
    title = f"function {section.function}"
    if returned.arrays is not None:
        unused = section.predicted_columns or section.first_row or section.last_row
        if unused or section.task in ("price_forecast", "direction"):
            raise DataSourceError(
                "returned ready samples, not a table", where=title,
                allowed="task 'regression' or 'classification', without columns, first_row and last_row",
                hint="return a pandas.DataFrame",
            )  # fmt: skip
        return _finish(array_samples(from_names(returned.arrays, title), section, title), job)
    if section.task in ("regression", "classification") and not section.predicted_columns:
        raise DataSourceError("returned a table", where=title, hint="data.target_columns name what is predicted")
    if section.task in ("price_forecast", "direction") and section.predicted_columns:
        raise DataSourceError(f"task '{section.task}' has its own target", where=title, hint="no data.target_columns")
    problems = check_header([str(name) for name in returned.table.columns], section, title)
    if problems:
        raise problems[0]
    return _from_table(Source(returned.table, title, title, "price"), section, job)


def _from_table(source: Source, section: DataSection, job: Job) -> DataResult:
    source = _chosen_rows(source, section)
    if section.predicted_columns:
        return _finish(column_samples(section, source), job)
    make = forecast_samples if section.task == "price_forecast" else direction_samples
    return _finish(make(section, source), job)


def prepare_arrays(arrays: Arrays, section: DataSection, job: Job) -> DataResult:
    """The same for arrays in memory; ``section.task`` is regression or classification, its source and path are unused.

    Raises DataSourceError, or ProjectError for another task.
    """
    problem = choice_problem(section.model_copy(update={"source": "npz", "path": "memory"}))
    if problem:
        raise problem
    return _finish(array_samples(arrays, section, "arrays in memory"), job)


def _chosen_rows(source: Source, section: DataSection) -> Source:
    first, last = section.first_row, section.last_row
    if not first and last is None:
        return source
    rows = len(source.table)
    if first >= rows or (last or 0) > rows:
        raise DataSourceError(
            f"has {rows} rows; rows {first} to {last or rows} are wanted", where=source.where,
            hint="--set data.first_row=…, --set data.last_row=…",
        )  # fmt: skip
    name = f"rows {first} to {last or rows}"
    table = source.table.iloc[first:last].reset_index(drop=True)
    return Source(table, f"{source.title}, {name}", f"{source.where} ({name}, counted anew)", source.unit)


def _sp500() -> Source:
    title = "S&P 500 daily prices 1999-2018 (package arch)"
    file = sources.sp500_file()
    return Source(sources.read_csv(file), title, str(file), "index points")


def _finish(prepared: Prepared, job: Job) -> DataResult:
    samples = prepared.samples
    meaning: dict[str, Any] = {
        "task": prepared.task, "metric": "rmse" if prepared.task == "regression" else "accuracy", "unit": prepared.unit,
        "input_shape": samples.train.x.shape[1:], "outputs": samples.train.y.shape[1],
        "feature_names": prepared.feature_names, "y_scale": prepared.y_scale, "y_offset": prepared.y_offset,
    }  # fmt: skip
    if prepared.inputs:
        meaning["inputs"] = [port.model_dump(mode="json") for port in prepared.inputs]
    if prepared.targets:
        meaning["targets"] = [port.model_dump(mode="json") for port in prepared.targets]
    # Later stages know the data by this digest alone: equal samples of another task or scale must not share it.
    digest = hashlib.sha256((save(samples, job.folder) + json.dumps(meaning, sort_keys=True)).encode()).hexdigest()
    when = show if prepared.timed else "sample {}".format
    return DataResult(
        **meaning, source=prepared.source, notes=prepared.notes, sha256=digest,
        counts={name: len(getattr(samples, name).x) for name in ("train", "validation", "test")},
        first_test_time=when(int(samples.test.time[0])), last_test_time=when(int(samples.test.time[-1])),
    ).at(job.folder)  # type: ignore[return-value]  # fmt: skip
