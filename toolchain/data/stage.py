"""Stage ``data``: samples from their source, features, scaling and splits; fitted on the training part alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from toolchain.data import features, sources
from toolchain.data.samples import save
from toolchain.data.splits import split_in_time
from toolchain.errors import DataSourceError
from toolchain.project import DataSection
from toolchain.results import DataResult, FloatArray, Job, Part, Samples


@dataclass(frozen=True)
class Prepared:
    """Samples and what a reader must know of them."""

    samples: Samples
    source: str
    task: Literal["regression", "binary", "multiclass"]
    unit: str
    feature_names: tuple[str, ...]
    y_scale: float = 1.0
    y_offset: float = 0.0
    notes: tuple[str, ...] = ()


def prepare(section: DataSection, job: Job) -> DataResult:
    """Read, check, transform and split; write ``samples.npz`` into ``job.folder``. Raises DataSourceError."""
    if section.source == "npz":
        prepared = _from_arrays(section, job)
    else:
        if section.source == "sp500":
            table, where = sources.read_sp500(), "S&P 500 daily prices (package arch)"
        else:
            path = job.project_folder / section.path
            table, where = sources.read_csv(path), str(path)
        if section.task == "price_forecast":
            prepared = _price_forecast(section, table, where)
        elif section.task == "direction":
            prepared = _direction(section, table, where)
        else:
            raise DataSourceError(
                f"task '{section.task}' needs ready samples", where="[data] task",
                allowed="with source sp500 or csv: price_forecast, direction", hint="source = 'npz'",
            )  # fmt: skip
    return _result(prepared, save(prepared.samples, job.folder))


def _price_forecast(section: DataSection, table: pd.DataFrame, where: str) -> Prepared:
    stamps = sources.times(table, where)
    price = sources.column(table, section.price_column, where)
    if price.min() <= 0 or price.min() == price.max():
        raise DataSourceError("prices must be positive and not constant", where=f"{where}: '{section.price_column}'")
    count = len(price) - section.look_back
    split = split_in_time(count, section)
    seen = price[: split.train.stop + section.look_back]  # every price a training sample or its label uses
    low, high = float(seen.min()), float(seen.max())
    if low == high:
        raise DataSourceError("prices of the training part are constant", where=where)
    scaled = (price - low) / (high - low)
    x = features.windows(scaled[:-1, None], section.look_back)
    y, last = scaled[section.look_back :, None], scaled[section.look_back - 1 : -1]
    parts = [
        Part(x[s], y[s], last[s], stamps[section.look_back :][s]) for s in (split.train, split.validation, split.test)
    ]
    beyond = float(np.mean((parts[2].x < 0) | (parts[2].x > 1)))
    note = f"{beyond:.1%} of the test part's inputs lie outside the training part's price range; they are not clipped"
    return Prepared(
        Samples(*parts), f"{where}, column '{section.price_column}'", "regression", "price",
        (f"min-max scaled {section.price_column}",), high - low, low, (note,),
    )  # fmt: skip


def _direction(section: DataSection, table: pd.DataFrame, where: str) -> Prepared:
    stamps = sources.times(table, where)
    sources.require_regular(stamps, where)
    candles = sources.candles(table, where)
    rows = features.candle_features(candles)
    start = features.first_row()
    labels = features.direction_labels(candles["close"])
    if len(rows) <= start + section.look_back + 1:
        raise DataSourceError(
            f"{len(rows)} rows are too few", where=where, allowed=f"more than {start + section.look_back}"
        )
    x = features.windows(rows[start:-1], section.look_back)  # the last candle has no label
    first = start + section.look_back - 1
    y, stamps = labels[first:, None], stamps[first:-1]
    direction = np.concatenate([[0.0], labels])[first:-1]  # of the candle just closed
    split = split_in_time(len(x), section)
    known = rows[start : first + split.train.stop]
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    if (deviation == 0).any():
        dead = [name for name, value in zip(features.FEATURES, deviation, strict=True) if value == 0]
        raise DataSourceError(f"constant in the training part: {', '.join(dead)}", where=where)
    x = ((x - mean) / deviation).reshape(len(x), -1)
    parts = [Part(x[s], y[s], direction[s], stamps[s]) for s in (split.train, split.validation, split.test)]
    names = tuple(
        f"{name}[t-{section.look_back - 1 - step}]" for step in range(section.look_back) for name in features.FEATURES
    )
    note = f"volume is taken relative to its mean over the last {features.VOLUME_WINDOW} candles"
    return Prepared(Samples(*parts), where, "binary", "", names, notes=(note,))


def _from_arrays(section: DataSection, job: Job) -> Prepared:
    path = job.project_folder / section.path
    arrays = sources.read_npz(path)
    y_train, y_test = arrays["y_train"], arrays["y_test"]
    task: Literal["regression", "binary", "multiclass"] = "regression"
    if section.task == "classification":
        task, (y_train, y_test, *rest) = _classes(
            [y_train, y_test, *([arrays["y_validation"]] if "y_validation" in arrays else [])], str(path)
        )
    else:
        y_train, y_test, *rest = (
            y.reshape(len(y), -1)
            for y in (y_train, y_test, *([arrays["y_validation"]] if "y_validation" in arrays else []))
        )
    x_train = arrays["x_train"]
    if rest:
        x_validation, y_validation = arrays["x_validation"], rest[0]
    else:
        cut = max(1, int(len(x_train) * 0.9))
        x_train, x_validation = x_train[:cut], x_train[cut:]
        y_train, y_validation = y_train[:cut], y_train[cut:]
    parts = [_part(x_train, y_train), _part(x_validation, y_validation), _part(arrays["x_test"], y_test)]
    notes = () if "x_validation" in arrays else ("the last tenth of the training samples is the validation part",)
    names = tuple(f"x{i}" for i in range(int(np.prod(x_train.shape[1:]))))
    return Prepared(Samples(*parts), str(path), task, "", names, notes=notes)


def _part(x: FloatArray, y: FloatArray) -> Part:
    return Part(x, y, np.zeros(0), np.arange(len(x), dtype=np.int64))


def _classes(targets: list[FloatArray], where: str) -> tuple[Literal["binary", "multiclass"], list[FloatArray]]:
    """Class numbers or one-hot rows to what the loss takes: 0/1 columns for two classes, one-hot rows for more."""
    if targets[0].ndim == 2 and targets[0].shape[1] > 1:
        if any(not np.isin(y, (0, 1)).all() or not (y.sum(axis=1) == 1).all() for y in targets):
            raise DataSourceError("y has several columns that are not one-hot", where=where)
        return "multiclass", targets
    flat = [y.reshape(-1) for y in targets]
    if any((y != np.round(y)).any() or y.min() < 0 for y in flat):
        raise DataSourceError("class numbers must be 0, 1, 2 …", where=where)
    count = int(max(y.max() for y in flat)) + 1
    if count <= 2:
        return "binary", [y[:, None] for y in flat]
    return "multiclass", [np.eye(count)[y.astype(int)] for y in flat]


def _result(prepared: Prepared, sha256: str) -> DataResult:
    samples = prepared.samples
    counts = {name: len(getattr(samples, name).x) for name in ("train", "validation", "test")}
    return DataResult(
        source=prepared.source, task=prepared.task, metric="rmse" if prepared.task == "regression" else "accuracy",
        unit=prepared.unit, input_shape=samples.train.x.shape[1:], outputs=samples.train.y.shape[1],
        feature_names=prepared.feature_names, y_scale=prepared.y_scale, y_offset=prepared.y_offset, counts=counts,
        first_test_time=_when(samples.test.time[0]), last_test_time=_when(samples.test.time[-1]),
        notes=prepared.notes, sha256=sha256,
    )  # fmt: skip


def _when(stamp: int) -> str:
    return pd.Timestamp(int(stamp), tz="UTC").isoformat() if stamp > 10**12 else f"sample {int(stamp)}"
