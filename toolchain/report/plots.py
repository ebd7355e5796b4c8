"""The page's figures as SVG strings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from toolchain.report import svg
from toolchain.report.figures import LayerHistogram, Predictions
from toolchain.report.numerals import counted, metric_interval, metric_value, percent, plain, tick
from toolchain.report.statements import AccuracyRow
from toolchain.results import Estimated, FloatArray, Interval

_SERIES_HEIGHT = 280
_DIFFERENCE_HEIGHT = 96
_HISTOGRAM_HEIGHT = 132
_STRIP_HEIGHT = 34


@dataclass(frozen=True)
class Axis:
    """The common axis of the accuracy strips, in the metric's own unit; ``reference`` is the float model's value."""

    low: float
    high: float
    reference: float | None

    def place(self, value: float) -> float:
        """Percent of the width."""
        return 100.0 * (value - self.low) / (self.high - self.low)


def accuracy_axis(rows: tuple[AccuracyRow, ...]) -> Axis | None:
    """An axis on which the stages can be told apart: baselines far beyond them do not stretch it."""
    stages = [row.interval for row in rows if row.interval and not row.baseline]
    others = [row.interval for row in rows if row.interval and row.baseline]
    shown = stages or others
    if not shown:
        return None
    low, high = min(item.low for item in shown), max(item.high for item in shown)
    room = 1.5 * (high - low) or abs(high) or 1.0
    near = [item for item in others if low - room <= item.low and item.high <= high + room]
    low = min([low, *(item.low for item in near)])
    high = max([high, *(item.high for item in near)])
    margin = 0.06 * (high - low) or 0.06 * (abs(high) or 1.0)
    first = next((row for row in rows if row.interval and not row.baseline), None)
    return Axis(low - margin, high + margin, first.interval.value if first and first.interval else None)


def accuracy_strip(interval: Interval, axis: Axis, metric: str, baseline: bool) -> Markup:
    """One interval on the common axis; an arrow at the edge where it lies beyond."""
    words = f"{metric_value(interval.value, metric)}, 95 % interval {metric_interval(interval, metric)}"
    middle = _STRIP_HEIGHT / 2
    parts = []
    if axis.reference is not None:
        across = f"{axis.place(axis.reference):.2f}%"
        parts.append(
            Markup('<line class="reference" x1="{}" x2="{}" y1="0" y2="{}"/>').format(across, across, _STRIP_HEIGHT)
        )
    low, place, high = (axis.place(value) for value in (interval.low, interval.value, interval.high))
    kind = "baseline" if baseline else "stage"
    if not 0 <= place <= 100:
        arrow = ("0", "start", "◀ beyond the axis") if place < 0 else ("100%", "end", "beyond the axis ▶")
        parts.append(Markup('<text class="label" x="{}" y="{}" text-anchor="{}">{}</text>').format(
            arrow[0], middle + 4, arrow[1], arrow[2]
        ))  # fmt: skip
    else:
        parts.append(Markup('<line class="whisker {}" x1="{}%" x2="{}%" y1="{}" y2="{}"/>').format(
            kind, f"{max(low, 0):.2f}", f"{min(high, 100):.2f}", middle, middle
        ))  # fmt: skip
        parts.append(Markup('<circle class="dot {}" cx="{}%" cy="{}" r="5"/>').format(kind, f"{place:.2f}", middle))
    return svg.figure(_STRIP_HEIGHT, words, parts)


def accuracy_scale(axis: Axis, metric: str) -> Markup:
    """The labels of the strips' common axis."""
    write = percent if metric == "accuracy" else tick
    parts = [svg.label(axis.place(level), 12, write(level)) for level in svg.ticks(axis.low, axis.high, 4)]
    return svg.figure(16, "scale of the intervals", parts)


def histogram(layer: LayerHistogram) -> Markup:
    """The weights that are not zero, before (grey) and after (coloured), on common bins; zero is marked."""
    before, after = layer.before[layer.before != 0], layer.after[layer.after != 0]
    largest = float(np.abs(np.concatenate([before, after])).max(initial=0.0)) or 1.0
    bins = int(np.clip(np.sqrt(max(len(before), 1)) * 1.5, 9, 61)) | 1
    edges = np.linspace(-largest, largest, bins + 1)
    counts = [np.histogram(values, edges)[0].astype(float) for values in (before, after)]
    top = max(float(count.max()) for count in counts) or 1.0
    across = (edges + largest) / (2 * largest) * svg.EXTENT
    parts = []
    for count, kind in zip(counts, ("before", "after"), strict=True):
        x, y = svg.steps(across, svg.EXTENT * (1 - count / top))
        parts += [svg.area(x, y, svg.EXTENT, kind), svg.polyline(x, y, kind)]
    height = _HISTOGRAM_HEIGHT - 36
    description = (
        f"Weights of {layer.name}: {len(before)} of {layer.before.size} not zero before pruning, "
        f"{len(after)} of {layer.after.size} after; from {plain(-largest)} to {plain(largest)}"
    )
    labels = [
        svg.label(0, _HISTOGRAM_HEIGHT - 4, plain(-largest)),
        svg.label(50, _HISTOGRAM_HEIGHT - 4, "0"),
        svg.label(100, _HISTOGRAM_HEIGHT - 4, plain(largest)),
        svg.label(0, 11, f"highest bar: {counted(top, 'weight')}"),
    ]
    area = svg.data_area(18, height, parts)
    return svg.figure(_HISTOGRAM_HEIGHT, description, [area, svg.rule(18 + height, "axis"), *labels])


def predictions(found: Predictions) -> Markup:
    """Truth, float model and hardware over time."""
    series = {"truth": found.truth, "float": found.float_model, "hardware": found.hardware}
    drawn = {name: values for name, values in series.items() if len(values)}
    if found.kind == "probability":
        low, high = 0.0, 1.0
    else:
        finite = np.concatenate(list(drawn.values()))
        low, high = _room(finite[np.isfinite(finite)])
    parts = []
    for name, values in drawn.items():
        if found.kind == "probability" and name == "truth":
            parts.append(_rug(found.time, values))
        else:
            parts.append(svg.polyline(_across(found.time), svg.EXTENT * (high - values) / (high - low), name))
    what = {
        "value": found.unit or "value",
        "probability": "probability of class 1",
        "output": "output of the true class",
    }
    description = f"{', '.join(drawn)} over time, {len(found.time)} samples; {what[found.kind]}"
    return _over_time(found, (low, high), parts, _SERIES_HEIGHT, description)


def difference(found: Predictions) -> Markup:
    """Hardware minus float model over time; empty without a simulation."""
    if not len(found.hardware):
        return Markup("")
    values = found.hardware - found.float_model
    largest = float(np.abs(values).max()) or 1.0
    down = svg.EXTENT * (largest - values) / (2 * largest)
    parts = [svg.area(_across(found.time), down, svg.EXTENT / 2, "hardware")]
    description = f"hardware minus float model over time, at most {plain(float(np.abs(values).max()))} apart"
    return _over_time(found, (-largest, largest), parts, _DIFFERENCE_HEIGHT, description)


def meter(found: Estimated, available: int, limit: float | None) -> Markup:
    """An estimate and its interval as a share of the device; a mark where the budget ends."""
    top = max(float(available), found.high) or 1.0
    low, value, high = (100 * amount / top for amount in (found.low, found.value, found.high))
    over = "over" if found.value > min(float(available), float("inf") if limit is None else limit) else "within"
    parts = [
        Markup('<rect class="track" x="0" y="7" width="{}%" height="8" rx="4"/>').format(
            f"{100 * available / top:.2f}"
        ),
        Markup('<rect class="fill {}" x="0" y="7" width="{}%" height="8" rx="4"/>').format(
            over, f"{max(value, 0.6 if value else 0):.2f}"
        ),
        Markup('<line class="whisker" x1="{}%" x2="{}%" y1="11" y2="11"/>').format(f"{low:.2f}", f"{high:.2f}"),
    ]
    if limit is not None and limit <= top:
        across = f"{100 * limit / top:.2f}%"
        parts.append(Markup('<line class="limit" x1="{}" x2="{}" y1="1" y2="21"/>').format(across, across))
    description = f"{plain(found.value)} of {available:,}" + ("" if limit is None else f", budget {plain(limit)}")
    return svg.figure(22, description, parts)


def bar(parts: tuple[tuple[float, str], ...], description: str) -> Markup:
    """Fractions of one, side by side: ``(fraction, class)``."""
    drawn, start = [Markup('<rect class="track" x="0" y="3" width="100%" height="8" rx="2"/>')], 0.0
    for fraction, kind in parts:
        drawn.append(
            Markup('<rect class="{}" x="{}%" y="3" width="{}%" height="8"/>').format(
                kind, f"{100 * start:.2f}", f"{100 * fraction:.2f}"
            )
        )
        start += fraction
    return svg.figure(14, description, drawn)


def _over_time(
    found: Predictions, span: tuple[float, float], parts: list[Markup], height: int, description: str
) -> Markup:
    low, high = span
    top, bottom = 18, height - 22
    rules, content, gutter = [], [], 0
    for level in svg.ticks(low, high, 4 if height > 150 else 2):
        down = top + (bottom - top) * (high - level) / (high - low)
        rules.append(svg.rule(down))
        content.append(svg.side_label(down, tick(level)))
        gutter = max(gutter, svg.label_width(tick(level)))
    first, last = float(found.time[0]), float(found.time[-1])
    for time, text in svg.time_ticks(found.time):
        content.append(svg.label(100 * (time - first) / ((last - first) or 1.0), height - 5, text, room=gutter))
    return svg.figure(height, description, [*rules, svg.data_area(top, bottom - top, parts), *content], gutter)


def _across(time: NDArray[np.int64]) -> FloatArray:
    """Places in the data area; equal ones when there is but one time."""
    first, span = float(time[0]), float(time[-1]) - float(time[0])
    return np.asarray((time - first) / (span or 1.0) * svg.EXTENT)


def _room(values: FloatArray) -> tuple[float, float]:
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    if not high > low:
        return (low - 1.0, low + 1.0) if np.isfinite(low) else (0.0, 1.0)
    margin = 0.04 * (high - low)
    return low - margin, high + margin


def _rug(time: NDArray[np.int64], truth: FloatArray) -> Markup:
    """Ticks at the top where the truth is 1, at the bottom where it is 0."""
    marks = [
        f"M{across:.1f} {0 if up else svg.EXTENT}V{45 if up else svg.EXTENT - 45}"
        for across, up in zip(_across(time), truth > 0.5, strict=True)
    ]
    return Markup('<path class="line truth" d="{}"/>').format("".join(marks))
