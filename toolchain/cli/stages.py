"""The commands that run stages: ``train`` to ``report``, and ``build`` for all of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolchain.cli.application import (
    AsJson,
    Overrides,
    ProjectName,
    Restore,
    TargetName,
    app,
    describe,
    find_project,
    print_json,
)
from toolchain.cli.display import Display

if TYPE_CHECKING:
    from toolchain.pipeline import Outcome, Request

FromTrial = Annotated[
    str, typer.Option("--from", help="the settings of a sweep's trial: its number, or SWEEP/NUMBER; --set goes first")
]
STAGE_HELP = {
    "train": "Train the float model, or load it from its file.",
    "quantize": "Quantize with QKeras and turn the model into integers.",
    "hls": "Write the Vitis or Vivado HLS project.",
    "csim": "Compile the HLS project with g++ and run it on the test part and the corner vectors.",
    "verify": "Compare hardware, integer network and QKeras model word by word.",
    "report": "Write report.json and report.html (the same as build).",
    "build": "Run all stages and write the report.",
}


def _stage_command(name: str) -> Callable[..., None]:
    def command(
        project: ProjectName,
        target: TargetName = "alveo_u250",
        overrides: Overrides = None,
        as_json: AsJson = False,
        restore: Restore = False,
        trial: FromTrial = "",
    ) -> None:
        given, store = overrides or [], None
        if trial:
            from toolchain.sweep.exploration import settings_of

            settings, store = settings_of(find_project(project), trial)
            given = [*settings, *given]
        request = request_for(project, target, given, "report" if name == "build" else name, restore)
        run_request(replace(request, store=store), as_json)

    command.__doc__ = STAGE_HELP[name]
    return command


for _name in STAGE_HELP:
    app.command(_name)(_stage_command(_name))


def request_for(project: str, target: str, overrides: list[str], until: str, restore: bool) -> Request:
    """What the command line asks the pipeline for."""
    from toolchain.pipeline import Request
    from toolchain.project import load_project
    from toolchain.target import load_target

    file = find_project(project)
    return Request(load_project(file, overrides), file.parent.resolve(), load_target(target), until, restore)


def run_request(request: Request, as_json: bool, say: Callable[[Outcome], None] | None = None) -> None:
    """Run the pipeline, say what was made (``say``: more of it), and leave with the first problem's exit code."""
    from toolchain.pipeline import run

    display = Display(sys.stderr.isatty())
    start = time.monotonic()
    try:
        outcome = run(
            replace(
                request,
                progress=display.progress,
                stage_begins=display.stage_begins,
                waits=lambda: display.note("another build of this project is running; waiting for it"),
                notes=display.note,
            )
        )
    finally:
        display.close()
    if say is not None:
        say(outcome)
    _say_results(outcome, time.monotonic() - start)
    if as_json:
        print_json(_document(outcome))
    if outcome.problems:
        for problem in outcome.problems:
            sys.stderr.write(f"error: {problem.text()}\n")
        sys.exit(outcome.problems[0].exit_code)


def _say_results(outcome: Outcome, seconds: float) -> None:
    runs = outcome.workspace.runs
    fresh = [run.name for run in runs if not run.cached]
    if outcome.report is not None:
        from toolchain.report.text import summary

        sys.stderr.write(summary(outcome.report) + "\n")
    done = f"made {', '.join(fresh)}" if fresh else "nothing changed, nothing to do"
    sys.stderr.write(f"{done} ({seconds:.1f} s)\n")
    for name, why in outcome.skipped.items():
        sys.stderr.write(f"skipped {name}: {why}\n")
    if outcome.report is not None:
        sys.stderr.write(f"report: {outcome.request.output_folder / 'report.html'}\n")


def _document(outcome: Outcome) -> dict[str, Any]:
    if outcome.report is not None:
        document: dict[str, Any] = outcome.report.model_dump(mode="json")
        return document
    name = outcome.request.until
    runs = {name: outcome.results[name] for name in ("arm", "device", "ethos_u") if name in outcome.results}
    return {
        **{name: result.model_dump(mode="json") for name, result in runs.items()},
        "stage": name,
        "result": outcome.results[name].model_dump(mode="json"),
        **({name: outcome.results[name].model_dump(mode="json")} if name == "estimate" else {}),
        "folder": str(outcome.results[name].folder),
        "stages": [
            {"name": run.name, "seconds": round(run.seconds, 3), "cached": run.cached} for run in outcome.workspace.runs
        ],
        "problems": [describe(problem) for problem in outcome.problems],
    }
