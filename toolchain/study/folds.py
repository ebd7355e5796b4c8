"""Walk-forward folds: windows of rows that slide through a table, their test parts side by side."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.data.splits import split_in_time
from toolchain.errors import DataSourceError, ProjectError
from toolchain.project import DataSection


@dataclass(frozen=True)
class Fold:
    """Rows ``[first_row, last_row)``; training, validation and test part are cut inside, an embargo between them."""

    number: int
    first_row: int
    last_row: int


def history_of(section: DataSection) -> int:
    """Rows that a table has more than samples: what features and windows reach back, and the label's row."""
    if section.task == "direction":
        return max(section.volume_window - 1, 1) + section.look_back
    return 0 if section.predicted_columns else section.look_back


def folds_of(rows: int, folds: int, section: DataSection) -> tuple[Fold, ...]:
    """``folds`` windows of equal length whose test parts lie one after the other, the last at the end of the table.

    No sample is tested twice, and a fold knows nothing of its test part: only rows before it, an embargo apart.
    Raises ProjectError when the table is too short.
    """
    history = history_of(section)
    # A window of n samples has n - int(n * shares) - embargo test samples; the largest n that fits is searched.
    low, high = 0, rows - history
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _rows_needed(middle, folds, section) <= rows else (low, middle - 1)
    try:
        split_in_time(low, section)
    except DataSourceError as error:
        raise ProjectError(
            f"{rows} rows are too few for {folds} folds", where="--folds", hint="fewer folds, or a longer table"
        ) from error
    size, step = low + history, _test_samples(low, section)
    last = [rows - step * (folds - 1 - number) for number in range(folds)]
    return tuple(Fold(number, end - size, end) for number, end in enumerate(last))


def _test_samples(samples: int, section: DataSection) -> int:
    return max(samples - int(samples * (section.train_share + section.validation_share)) - section.embargo, 0)


def _rows_needed(samples: int, folds: int, section: DataSection) -> int:
    return samples + history_of(section) + (folds - 1) * _test_samples(samples, section)
