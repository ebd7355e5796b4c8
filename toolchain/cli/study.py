"""``toolchain study``: one question over many folds and seeds."""

from __future__ import annotations

import sys
from pathlib import Path
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
    _finish(verdict(found), folder / "walk_forward.html", found.model_dump_json(indent=1), as_json)


@study.command()
def paper(
    project: Annotated[str, typer.Argument(help="a project that forecasts prices")] = "spx_forecast",
    seeds: Annotated[int, typer.Option(min=1, max=20, help="how many: project.seed and the numbers after it")] = 5,
    scaling: Annotated[bool, typer.Option(help="also execution time and peak memory to 20,000 days")] = True,
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """The paper's study: pruning by weight magnitude, original against compact, persistence beside them."""
    from toolchain.project import load_project
    from toolchain.study import charts, paper_page
    from toolchain.study.paper import build_trials, measure_trial, summarize

    file = find_project(project)
    given = tuple(overrides or ())
    first = load_project(file, given)
    trials = build_trials(file, given, range(first.seed, first.seed + seeds), target, _say)
    found = summarize(first.name, trials, measure_trial(trials[0], _say) if scaling else ())
    folder = file.parent / "build" / "study"
    (folder / "paper.json").write_text(found.model_dump_json(indent=1), encoding="utf-8")
    (folder / "paper.html").write_text(paper_page.render(found, trials), encoding="utf-8")
    for name, figure in paper_page.figures(found, trials).items():
        (folder / f"paper_{name}.svg").write_text(charts.as_file(figure), encoding="utf-8")
    _finish(paper_page.verdict(found), folder / "paper.html", found.model_dump_json(indent=1), as_json)


@study.command()
def chapter(
    project: Annotated[str, typer.Argument(help="a project with one input and one output")] = "btc_direction",
    seeds: Annotated[int, typer.Option(min=1, max=20, help="how many: project.seed and the numbers after it")] = 5,
    sparsity: Annotated[float, typer.Option(min=0.1, max=0.95, help="share of the weights that goes")] = 0.8,
    budget: Annotated[bool, typer.Option(help="also inference on every target within the latency budget")] = True,
    arm: Annotated[bool, typer.Option(help="count instructions on emulated ARM cores (toolchain arm-setup)")] = False,
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """The chapter's study: pruning strategies side by side, and the latency budget on every target."""
    from toolchain.project import load_project
    from toolchain.study import chapter_page
    from toolchain.study.chapter import ChapterPlan, compare_strategies
    from toolchain.study.latency_budget import shares

    file = find_project(project)
    given = tuple(overrides or ())
    own = load_project(file, given)
    plan = ChapterPlan(file, tuple(range(own.seed, own.seed + seeds)), sparsity, target, given)
    found = compare_strategies(plan, _say)
    if budget:
        found = found.model_copy(update={"shares": shares(own, file, arm, _say)})
    folder = file.parent / "build" / "study"
    (folder / "chapter.json").write_text(found.model_dump_json(indent=1), encoding="utf-8")
    (folder / "chapter.html").write_text(chapter_page.render(found), encoding="utf-8")
    _finish(chapter_page.verdict(found), folder / "chapter.html", found.model_dump_json(indent=1), as_json)


def _finish(verdict: str, page: Path, document: str, as_json: bool) -> None:
    sys.stderr.write(f"{verdict}\npage: {page}\n")
    if as_json:
        sys.stdout.write(document + "\n")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
