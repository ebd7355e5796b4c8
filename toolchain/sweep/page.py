"""``sweep.html``: the designs, their front, and what each costs; one page without network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from toolchain.sweep.exploration import Exploration

_FOLDER = Path(__file__).parent
_STYLE = _FOLDER.parent / "report" / "style.css"


def render(found: Exploration) -> str:
    """The page. Its plot can show any two objectives; a click on a point shows the design and how to build it."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    names = sorted({name for design in found.designs for name in design.metrics})
    points = [
        {
            "number": design.number, "metrics": design.metrics, "settings": design.settings,
            "front": design.number in found.front, "verdict": found.verdicts.get(design.number, ""),
        }
        for design in found.designs
        if design.state == "complete"
    ]  # fmt: skip
    data = json.dumps({"points": points, "axes": names, "objectives": found.objectives}).replace("<", "\\u003c")
    return environment.get_template("page.html.j2").render(
        found=found,
        names=names,
        data=Markup(data),
        style=Markup(_STYLE.read_text(encoding="utf-8")),
        label=lambda name: f"{found.metric}, validation" if name == "accuracy" else name.replace("_", " "),
    )
