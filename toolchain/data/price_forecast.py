"""Task ``price_forecast``: the next price from the last ``look_back`` prices, min-max scaled on the training part."""

from __future__ import annotations

import numpy as np

from toolchain.data.features import windows
from toolchain.data.prepared import Prepared, Source
from toolchain.data.splits import split_in_time
from toolchain.data.times import Stamps, read_times, show
from toolchain.data.validation import prices
from toolchain.errors import DataSourceError
from toolchain.project import DataSection
from toolchain.results import Part, Samples


def forecast_samples(section: DataSection, source: Source) -> Prepared:
    """``x (samples, look_back, 1)``, ``y`` the price one row later, ``reference`` the last price of the window.

    All three are (price - low) / (high - low) with the lowest and highest price that training samples and their labels
    use; later prices may lie beyond 0 and 1 and are not clipped. ``time`` is that of ``y``. Raises DataSourceError.
    """
    look_back = section.look_back
    stamps = read_times(source.table, section.time_column, source.where)
    price = prices(source.table, section.price_column, source.where)
    split = split_in_time(len(price) - look_back, section, source.where)
    seen = price[: split.train.stop + look_back]
    low, high = float(seen.min()), float(seen.max())
    if low == high:
        raise DataSourceError(
            f"the price is {low:g} in every row of the training part",
            where=f"{source.where}: column '{section.price_column}'", allowed="prices that move",
        )  # fmt: skip
    scaled = (price - low) / (high - low)
    x = windows(scaled[:-1, None], look_back)
    y, last, when = scaled[look_back:, None], scaled[look_back - 1 : -1], stamps[look_back:]
    samples = Samples(*(Part(x[part], y[part], last[part], when[part]) for part in split.parts))
    return Prepared(
        samples, f"{source.title}, column '{section.price_column}'", "regression",
        tuple(f"{section.price_column}[t-{look_back - 1 - step}]" for step in range(look_back)),
        source.unit, y_scale=high - low, y_offset=low,
        notes=(*_beyond(samples, low, high), _longest_step(stamps)),
    )  # fmt: skip


def _beyond(samples: Samples, low: float, high: float) -> tuple[str, ...]:
    notes = []
    for name, part in (("validation", samples.validation), ("test", samples.test)):
        share = float(np.mean((part.x < 0) | (part.x > 1)))
        if share:
            notes.append(
                f"{share:.1%} of the {name} part's inputs lie beyond the training part's prices ({low:g} to {high:g}), "
                f"scaled {part.x.min():.3f} to {part.x.max():.3f}; they are not clipped"
            )
    return tuple(notes)


def _longest_step(stamps: Stamps) -> str:
    steps = np.diff(stamps)
    row = int(steps.argmax())
    day = 86_400e9
    return (
        f"rows are {float(np.median(steps)) / day:g} days apart (median), at most {steps[row] / day:g} "
        f"after {show(int(stamps[row]))}; windows count rows, not days"
    )
