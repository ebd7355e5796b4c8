"""What the studies' pages share: the report's style and layout, numbers as people read them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from toolchain.report.numerals import plain
from toolchain.results import Interval

_FOLDER = Path(__file__).parent
_REPORT = _FOLDER.parent / "report"


def render_page(template: str, **values: Any) -> str:
    """One self-contained page, readable without scripts and network."""
    environment = Environment(
        loader=FileSystemLoader([_FOLDER, _REPORT]), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["plain"] = plain
    style = Markup((_REPORT / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(style=style, number=number, show=show, span=span, **values)


def number(value: float) -> str:
    """Four significant digits, whole thousands grouped."""
    return plain(value, 4)


def span(interval: Interval) -> str:
    """The interval alone; empty where there is none."""
    if math.isinf(interval.low) or interval.low == interval.high:
        return ""
    return f"{number(interval.low)} to {number(interval.high)}"


def show(interval: Interval) -> str:
    """A value and its interval."""
    if math.isinf(interval.low):
        return f"{number(interval.value)} (one seed: no interval)"
    return f"{number(interval.value)} ({span(interval)})" if span(interval) else number(interval.value)
