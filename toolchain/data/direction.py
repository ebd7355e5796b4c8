"""Task ``direction``: whether the next close is higher, from candle features over the last ``look_back`` candles."""

from __future__ import annotations

import numpy as np

from toolchain.data import features
from toolchain.data.prepared import Prepared, Source
from toolchain.data.splits import split_in_time
from toolchain.data.times import check_regular, read_times
from toolchain.data.validation import candles
from toolchain.errors import DataSourceError
from toolchain.project import DataSection
from toolchain.results import FloatArray, Part, Samples


def direction_samples(section: DataSection, source: Source) -> Prepared:
    """``x (samples, look_back * 4)`` oldest candle first, ``y`` 1 when close[t+1] > close[t], else 0.

    ``x`` is standardised with mean and deviation of the candles in training windows. ``reference`` is the label one
    candle earlier, known at t; ``time`` is that of candle t+1, which ``y`` speaks of. Raises DataSourceError.
    """
    stamps = read_times(source.table, section.time_column, source.where)
    candle = candles(source.table, source.where)
    start = features.first_row(section.volume_window)
    first = start + section.look_back - 1  # the last row of the first window
    split = split_in_time(len(stamps) - first - 1, section, source.where)
    check_regular(stamps, source.where)
    rows = _known(features.candle_features(candle, section.volume_window)[start:], start, source.where)
    labels = features.direction_labels(candle["close"])
    mean, deviation = _fit(rows[: split.train.stop + section.look_back - 1], source.where)
    x = features.windows((rows[:-1] - mean) / deviation, section.look_back)
    x = x.reshape(len(x), -1)
    y, last, when = labels[first:, None], labels[first - 1 : -1], stamps[first + 1 :]
    samples = Samples(*(Part(x[part], y[part], last[part], when[part]) for part in split.parts))
    _require_both(samples.train.y, source.where)
    ages = range(section.look_back - 1, -1, -1)
    names = tuple(f"{name}[t-{age}]" for age in ages for name in features.FEATURES)
    return Prepared(samples, source.title, "binary", names, notes=_notes(section, samples, candle["close"]))


def _known(rows: FloatArray, start: int, where: str) -> FloatArray:
    bad = np.flatnonzero(np.isnan(rows).any(axis=1))
    if len(bad):
        row = start + int(bad[0]) + 1
        raise DataSourceError(
            f"the volume is 0 in the whole mean window that ends in row {row}", where=f"{where}: column 'volume'",
            hint="a larger data.volume_window, or rows with trades",
        )  # fmt: skip
    return rows


def _fit(rows: FloatArray, where: str) -> tuple[FloatArray, FloatArray]:
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    dead = [name for name, low, high in zip(features.FEATURES, rows.min(axis=0), rows.max(axis=0), strict=True)
            if low == high]  # fmt: skip
    if dead:
        raise DataSourceError(f"constant in the training part: {', '.join(dead)}", where=where, allowed="moving prices")
    return mean, deviation


def _require_both(labels: FloatArray, where: str) -> None:
    if labels.min() == labels.max():
        known = "up" if labels[0, 0] else "not up"
        raise DataSourceError(f"every label of the training part is '{known}'", where=where, allowed="both directions")


def _notes(section: DataSection, samples: Samples, close: FloatArray) -> tuple[str, ...]:
    return (
        f"volume is relative to its mean over the last {section.volume_window} candles",
        f"{float(np.mean(close[1:] == close[:-1])):.2%} of the closes equal the one before; they count as 'not up'",
        f"{samples.train.y.mean():.2%} of the training part's labels are 'up'",
        "the last candle has no label and is left out",
    )
