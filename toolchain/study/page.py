"""``study.html``: one page without network, in the style of the report."""

from __future__ import annotations

import math
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from toolchain.results import Interval
from toolchain.study.comparison import Comparison

_FOLDER = Path(__file__).parent
_STYLE = _FOLDER.parent / "report" / "style.css"


def render(found: Comparison) -> str:
    """The page of a walk-forward study."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style = Markup(_STYLE.read_text(encoding="utf-8"))
    return environment.get_template("page.html.j2").render(
        found=found, style=style, number=number, show=show, verdict=verdict(found)
    )


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


def show(interval: Interval) -> str:
    """A value and its interval."""
    if math.isinf(interval.low):
        return f"{number(interval.value)} (one seed: no interval)"
    return f"{number(interval.value)} ({number(interval.low)} to {number(interval.high)})"


def verdict(found: Comparison) -> str:
    """The study's answer in one or two sentences."""
    half = (found.difference.high - found.difference.low) / 2
    kind = "squared error" if found.metric == "rmse" else "share of wrong answers"
    if found.difference.high < 0:
        start = "The compressed model is better than the dense one"
    elif found.within_noise:
        start = "No difference between the compressed and the dense model is shown"
    else:
        start = "The compressed model is worse than the dense one"
    return (
        f"{start}: {kind} {show(found.difference)} higher, where this study can tell about {number(half)}. "
        f"It has {number(found.products_ratio)} times fewer multiplications."
    )
