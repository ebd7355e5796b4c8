"""``toolchain study``: one question over many folds and seeds."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from toolchain.cli.application import AsJson, Overrides, ProjectName, TargetName, app, find_project

study = typer.Typer(help="Studies: one question over many folds and seeds.", no_args_is_help=True)
app.add_typer(study, name="study")


@study.command(name="walk-forward")
def walk_forward(
    project: ProjectName,
    folds: Annotated[int, typer.Option(min=1, help="test parts, one after the other in time")] = 4,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="how many: project.seed and the numbers after it")] = 5,
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Dense against compressed model and baselines, walking forward in time; an interrupted study goes on."""
    from toolchain.project import load_project
    from toolchain.study.comparison import compare
    from toolchain.study.page import render, verdict
    from toolchain.study.walk_forward import Plan, walk

    file = find_project(project)
    given = tuple(overrides or ())
    first = load_project(file, given)
    plan = Plan(file, folds, tuple(range(first.seed, first.seed + seeds)), target, given)
    found = compare(first.name, walk(plan, _say))
    folder = file.parent / "build" / "study"
    (folder / "walk_forward.json").write_text(found.model_dump_json(indent=1), encoding="utf-8")
    (folder / "walk_forward.html").write_text(render(found), encoding="utf-8")
    sys.stderr.write(f"{verdict(found)}\npage: {folder / 'walk_forward.html'}\n")
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=1) + "\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
