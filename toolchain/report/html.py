"""``report.html``: one self-contained page, readable without scripts, network or colour vision."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from toolchain.report import numerals, plots, statements
from toolchain.report.arm import device_times, ethos_u_statement, run_statement, run_title
from toolchain.report.figures import Figures
from toolchain.report.mismatches import mismatches
from toolchain.report.schema import Report

_FOLDER = Path(__file__).parent
#: Functions of ``numerals`` that the templates use.
_FILTERS = (
    "plain", "counted", "percent", "file_size", "duration", "shape", "word_value",
    "metric_value", "metric_interval", "estimated_interval",
)  # fmt: skip


def render(report: Report, figures: Figures) -> str:
    """The page. The same report and figures give the same text, byte for byte."""
    rows = statements.accuracy_rows(report)
    return _environment().get_template("template.html.j2").render(
        report=report,
        figures=figures,
        style=Markup(_style()),
        headline=statements.headline(report),
        hardware_statement=statements.hardware_statement(report),
        model_statement=statements.model_statement(report),
        budget_statement=statements.budget_statement(report),
        key_figures=statements.key_figures(report),
        accuracy_rows=rows,
        output_stages=statements.output_stages(report),
        best_of=statements.best_of_output,
        axis=plots.accuracy_axis(rows),
        resources=statements.RESOURCES,
        run_title=run_title,
        device_times=device_times,
        ethos_u_statement=ethos_u_statement,
        run_statement=run_statement,
        plots=plots,
        mismatches=mismatches,
        command=f"toolchain build {report.project} --target {report.target.name}",
        options=options_as_toml(report.options),
        total_time=statements.total_time(report),
    )  # fmt: skip


def options_as_toml(options: dict[str, Any]) -> str:
    """``options`` as the text of a project.toml; keys without a value are left out."""
    lines = [f"{key} = {_toml(value)}" for key, value in options.items() if _is_plain(value)]
    return "\n".join(lines + _sections(options, "")) + "\n"


def _sections(table: dict[str, Any], prefix: str) -> list[str]:
    lines: list[str] = []
    for name, section in table.items():
        if isinstance(section, dict):
            path = f"{prefix}{name if name.isidentifier() and name.isascii() else json.dumps(name)}"
            own = [f"{key} = {_toml(value)}" for key, value in section.items() if _is_plain(value)]
            lines += ["", f"[{path}]", *own, *_sections(section, f"{path}.")]
    return lines


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, dict)


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


@cache
def _environment() -> Environment:
    environment = Environment(
        finalize=_keep_together,
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in _FILTERS:
        environment.filters[name] = getattr(numerals, name)
    return environment


def _keep_together(value: Any) -> Any:
    """A number and its percent sign stay on one line."""
    return value.replace(" %", "\u00a0%") if type(value) is str else value


@cache
def _style() -> str:
    return (_FOLDER / "style.css").read_text(encoding="utf-8")
