"""Line charts of the studies' pages, and figures as files of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from markupsafe import Markup

from toolchain.report import svg
from toolchain.report.numerals import tick
from toolchain.results import FloatArray

STYLE = Path(__file__).parents[1] / "report" / "style.css"
_HEIGHT = 220
_WIDTH = 760


def lines(x: FloatArray, series: Mapping[str, FloatArray], description: str, from_zero: bool = True) -> Markup:
    """One line for each of ``series``: kind (a class of the style sheet: float, hardware …) -> values at ``x``."""
    values = np.concatenate([np.asarray(found) for found in series.values()])
    low, high = 0.0 if from_zero else float(values.min()), float(values.max()) * (1.06 if from_zero else 1)
    if not high > low:
        low, high = low - 1.0, high + 1.0
    if not from_zero:
        low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    top, bottom, first, span = 12, _HEIGHT - 24, float(x[0]), float(x[-1] - x[0]) or 1.0
    rules, labels, gutter = [], [], 0
    for level in svg.ticks(low, high, 4):
        down = top + (bottom - top) * (high - level) / (high - low)
        rules.append(svg.rule(down))
        labels.append(svg.side_label(down, tick(level)))
        gutter = max(gutter, svg.label_width(tick(level)))
    for place in svg.ticks(first, float(x[-1]), 4):
        labels.append(svg.label(100 * (place - first) / span, _HEIGHT - 5, tick(place), room=gutter))
    across = (np.asarray(x) - first) / span * svg.EXTENT
    drawn = [
        svg.polyline(across, svg.EXTENT * (high - np.asarray(found)) / (high - low), kind)
        for kind, found in series.items()
    ]
    return svg.figure(_HEIGHT, description, [*rules, svg.data_area(top, bottom - top, drawn), *labels], gutter)


def as_file(figure: Markup) -> str:
    """A figure as an SVG file: the page's colours, light and dark, and a width of its own."""
    height = re.search(r' height="(\d+)"', figure)
    inset = re.search(r"margin-left:(\d+)px", figure)
    assert height is not None
    gutter = int(inset.group(1)) if inset else 0
    inner = re.sub(r' style="margin-left:[^"]*"', "", str(figure), count=1)
    inner = inner.replace(' width="100%"', f' width="{_WIDTH - gutter - 24}" x="{gutter + 4}" y="8"', 1)
    style = STYLE.read_text(encoding="utf-8")
    roots = re.findall(r":root \{[^}]*\}", style)
    rules = [
        line for line in style.splitlines()
        if re.match(r"\.(label|grid|axis|line|area|reference|plot|whisker|dot|track|fill|zero|kept)\b", line)
    ]  # fmt: skip
    page = (
        f"{roots[0]} @media (prefers-color-scheme: dark) {{ {roots[1]} }}\n"
        "svg { overflow: visible; background: var(--page); }\n" + "\n".join(rules)
    )
    total = int(height.group(1)) + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {total}" width="{_WIDTH}" height="{total}">'
        f"<style>{page}</style>{inner}</svg>\n"
    )
