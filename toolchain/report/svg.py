"""Pieces of SVG that stretch with the page while their text and strokes keep their size.

The data area is a nested ``<svg>`` with ``preserveAspectRatio="none"`` and strokes that do not scale; labels stand
outside it at percentages. Colours come from the page's style sheet through classes, so light, dark and print are its
concern, and the output depends on the data alone. Everything is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from toolchain.report.numerals import tick
from toolchain.results import FloatArray

#: The data area's own coordinates.
EXTENT = 1000


def ticks(low: float, high: float, wanted: int) -> tuple[float, ...]:
    """About ``wanted`` round numbers (1, 2 or 5 times a power of ten apart) within ``low`` .. ``high``."""
    if not high > low:
        return (low,)
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return tuple(number * step for number in range(first, math.floor(high / step + 1e-9) + 1))


def time_ticks(time: NDArray[np.int64]) -> tuple[tuple[float, str], ...]:
    """At most four (time, label): dates for nanoseconds since 1970, else counts."""
    low, high = int(time[0]), int(time[-1])
    if low < 10**15:  # no date since January 1970 is so small a number of nanoseconds: these are counts
        return tuple((place, tick(place)) for place in ticks(low, high, 4))
    for unit, form in (("Y", "%Y"), ("M", "%b %Y"), ("D", "%-d %b"), ("h", "%-d %b %H:%M"), ("m", "%H:%M")):
        whole = np.arange(
            np.datetime64(low, "ns").astype(f"M8[{unit}]"), np.datetime64(high, "ns").astype(f"M8[{unit}]") + 1
        )
        starts = [(float(start.astype("M8[ns]").astype(np.int64)), start.astype("M8[s]").item()) for start in whole]
        inside = [(place, date.strftime(form)) for place, date in starts if low <= place <= high]
        if len(inside) >= 3:
            return tuple(inside[:: -(-len(inside) // 4)])
    return ((float(low), str(np.datetime64(low, "ns"))[:16]),)


def polyline(x: FloatArray, y: FloatArray, kind: str) -> Markup:
    """A line through points in the data area's coordinates; NaN breaks it."""
    path, pen = [], "M"
    for across, down in zip(x, y, strict=True):
        if not math.isfinite(down):
            pen = "M"
            continue
        path.append(f"{pen}{across:.1f} {down:.1f}")
        pen = "L"
    return Markup('<path class="{}" d="{}"/>').format(f"line {kind}", "".join(path))


def area(x: FloatArray, y: FloatArray, floor: float, kind: str) -> Markup:
    """The area between the points and the height ``floor``."""
    points = "L".join(f"{across:.1f} {down:.1f}" for across, down in zip(x, y, strict=True))
    outline = f"M{x[0]:.1f} {floor:.1f}L{points}L{x[-1]:.1f} {floor:.1f}Z"
    return Markup('<path class="{}" d="{}"/>').format(f"area {kind}", outline)


def steps(edges: FloatArray, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The outline of a histogram: every edge twice."""
    return np.repeat(edges, 2)[1:-1], np.repeat(counts, 2)


def data_area(top: int, height: int, content: Iterable[Markup]) -> Markup:
    """The stretched part of a figure, ``height`` pixels high."""
    return Markup(
        '<svg x="0" y="{}" width="100%" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">{}</svg>'
    ).format(top, height, EXTENT, EXTENT, Markup("").join(content))


def figure(height: int, description: str, content: Iterable[Markup], gutter: int = 0) -> Markup:
    """A figure as wide as its place, less ``gutter`` pixels at the left for the labels beside it."""
    inset = Markup(' style="margin-left:{0}px;width:calc(100% - {0}px)"').format(gutter) if gutter else Markup("")
    return Markup('<svg class="plot" role="img" aria-label="{}" width="100%" height="{}"{}>{}</svg>').format(
        description, height, inset, Markup("").join(content)
    )


def side_label(down: float, text: str) -> Markup:
    """Text in the gutter, beside the height ``down``."""
    return Markup('<text class="label" x="-8" y="{}" text-anchor="end">{}</text>').format(f"{down + 4:.1f}", text)


def label_width(text: str) -> int:
    """Pixels that a label and its distance to the figure take; a little more than the widest common font needs."""
    return 12 + 7 * len(text)


def rule(down: float, kind: str = "grid") -> Markup:
    """A horizontal line across the figure."""
    return Markup('<line class="{}" x1="0" x2="100%" y1="{}" y2="{}"/>').format(kind, f"{down:.1f}", f"{down:.1f}")


def label(percent_across: float, down: float, text: str, anchor: str = "middle", room: int = 0) -> Markup:
    """Text at a percentage of the width, kept inside the figure and the ``room`` in pixels to its left."""
    if anchor == "middle" and percent_across < 9 and room < 7 * len(text) / 2:
        anchor = "start"
    elif anchor == "middle" and percent_across > 91:
        anchor = "end"
    return Markup('<text class="label" x="{}%" y="{}" text-anchor="{}">{}</text>').format(
        f"{percent_across:.2f}", f"{down:.1f}", anchor, text
    )
