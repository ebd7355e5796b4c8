"""The page of the paper's study, and its figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from toolchain.report import plots
from toolchain.report.figures import Predictions
from toolchain.results import Interval
from toolchain.study import charts
from toolchain.study.paper import COMPACT, INTEGERS, ORIGINAL, TUNED, PaperStudy, PaperTrial
from toolchain.study.scaling import Measured
from toolchain.study.template import number, render_page, span

#: Lines by model: classes of the style sheet.
KINDS = {ORIGINAL: "float", COMPACT: "hardware", INTEGERS: "before"}


def render(found: PaperStudy, trials: Sequence[PaperTrial]) -> str:
    """The page."""
    return render_page(
        "paper.html.j2", found=found, verdict=verdict(found), figures=figures(found, trials), kinds=KINDS,
        first_seed=trials[0].seed, window=trials[0].test.x.shape[1], by_days=_by_days(found),
    )  # fmt: skip


def figures(found: PaperStudy, trials: Sequence[PaperTrial]) -> dict[str, Markup]:
    """``weights``, ``predictions`` and, when it was measured, ``time`` and ``memory``."""
    first = trials[0]
    drawn = {"weights": plots.histogram(first.weights), "predictions": plots.predictions(_every_window(first))}
    if not found.scaling:
        return drawn
    days = np.array(sorted({item.days for item in found.scaling}), dtype=np.float64)
    for name, field, unit in (("time", "seconds", "seconds"), ("memory", "peak_mb", "MB")):
        series = {
            KINDS[model]: np.array([getattr(item, field) for item in found.scaling if item.model == model])
            for model in dict.fromkeys(item.model for item in found.scaling)
        }
        drawn[name] = charts.lines(days, series, f"{name} in {unit} against days of data, one line for each model")
    return drawn


def _by_days(found: PaperStudy) -> dict[int, dict[str, Measured]]:
    rows: dict[int, dict[str, Measured]] = {}
    for item in found.scaling:
        rows.setdefault(item.days, {})[item.model] = item
    return rows


def _every_window(trial: PaperTrial) -> Predictions:
    """One forecast for every window's length, so that no two windows overlap."""
    step = slice(None, None, trial.test.x.shape[1])
    return Predictions(
        kind="value", unit=trial.data.unit, time=trial.test.time[step], truth=trial.truth[step],
        float_model=trial.forecasts[ORIGINAL][step], hardware=trial.forecasts[COMPACT][step], samples=len(trial.truth),
    )  # fmt: skip


def verdict(found: PaperStudy) -> str:
    """What holds, in plain words."""
    rows = {row.name: row for row in found.rows}
    best = min((row for row in found.rows if row.by_seed), key=lambda row: row.mean["mse"].value)
    persistence = rows["persistence"].mean["mse"].value
    others = min(rows[name].mean["mse"].value for name in rows if name != "persistence")
    last = (
        f"Persistence, which needs no model, has a mean squared error of {number(persistence)}: "
        + ("better than every model here." if best.name == "persistence" else f"the best model has {number(others)}.")
    )  # fmt: skip
    plain = _change(found.difference, "compact", _worse(found, COMPACT))
    return f"{plain} {_change(found.difference_tuned, 'fine-tuned compact', _worse(found, TUNED))} {last}"


def _worse(found: PaperStudy, name: str) -> str:
    """With how many seeds ``name`` is worse: an interval that one bad seed made wide may hide what all of them say."""
    rows = {row.name: row.by_seed for row in found.rows}
    count = sum(after.mse > before.mse for after, before in zip(rows[name], rows[ORIGINAL], strict=True))
    return f"worse with {count} of {len(rows[name])} seeds"


def _change(difference: Interval, name: str, worse: str) -> str:
    size = f"its mean squared error is {number(difference.value)} above the original's"
    if math.isinf(difference.low):
        return f"The {name} model, one seed: {size}; one seed shows no more."
    size += f" ({span(difference)})"
    if difference.high < 0:
        return f"The {name} model is better than the original: {size}."
    if difference.low > 0:
        return f"The {name} model is worse than the original: {size}."
    return f"The {name} model is {worse}; on average it is not shown to differ from the original: {size}."
