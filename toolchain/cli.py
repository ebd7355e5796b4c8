"""The command line: the only file that prints or exits.

Results go to standard output (with ``--json``: one JSON document), everything for people to standard error.
Imports are kept inside the commands, so that ``--help`` and ``--version`` are instant.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolchain.errors import PreflightError, ProjectError, ToolchainError

if TYPE_CHECKING:
    from toolchain.pipeline import Outcome, Request

app = typer.Typer(
    help="Keras model and data in; pruned, quantized, bit-exact HLS project, estimate and ARM artefact out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ProjectName = Annotated[str, typer.Argument(help="a project's folder, its project.toml, or a name in hls_projects/")]
TargetName = Annotated[
    str, typer.Option("--target", "-t", help="a name that 'toolchain targets' lists, or a .toml file")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value instead of what project.toml says; repeatable")
]
AsJson = Annotated[bool, typer.Option("--json", help="the result as one JSON document on standard output")]
Restore = Annotated[bool, typer.Option("--restore", help="write hls/ and csim/ again where they were changed by hand")]

STAGE_HELP = {
    "train": "Train the float model, or load it from its file.",
    "prune": "Remove neurons and filters, then weights, with fine-tuning.",
    "quantize": "Quantize with QKeras and turn the model into integers.",
    "hls": "Write the Vitis or Vivado HLS project.",
    "csim": "Compile the HLS project with g++ and run it on the test part and the corner vectors.",
    "verify": "Compare hardware, integer network and QKeras model word by word.",
    "estimate": "Estimate DSP, BRAM, LUT, FF, latency and initiation interval.",
    "tflite": "Write the ARM artefacts from the same integers.",
    "report": "Write report.json and report.html (the same as build).",
    "build": "Run all stages and write the report.",
}


def main() -> None:
    """Entry point: every ToolchainError becomes text (or JSON) and its exit code."""
    try:
        app(standalone_mode=False)
    except ToolchainError as error:
        _fail(error)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted; what was finished is kept\n")
        sys.exit(130)
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("click", "typer"):  # usage errors: unknown flag, missing argument
            message = error.format_message() if hasattr(error, "format_message") else str(error)
            _fail(ProjectError(message, hint="toolchain --help"))
        raise


def _fail(error: ToolchainError) -> None:
    sys.stderr.write(f"error: {error.text()}\n")
    if "--json" in sys.argv[1:]:
        problems = error.problems if isinstance(error, PreflightError) else (error,)
        _print_json({"error": {"exit_code": error.exit_code, "problems": [_describe(item) for item in problems]}})
    sys.exit(error.exit_code)


def _describe(error: ToolchainError) -> dict[str, Any]:
    return {
        "kind": type(error).__name__,
        "exit_code": error.exit_code,
        "where": error.where,
        "problem": error.problem,
        "allowed": error.allowed,
        "hint": error.hint,
    }


def _print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=1, default=str) + "\n")


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"toolchain {version('toolchain')}\n")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def _stage_command(name: str) -> Callable[..., None]:
    def command(
        project: ProjectName,
        target: TargetName = "alveo_u250",
        overrides: Overrides = None,
        as_json: AsJson = False,
        restore: Restore = False,
    ) -> None:
        _run(_request(project, target, overrides or [], "report" if name == "build" else name, restore), as_json)

    command.__doc__ = STAGE_HELP[name]
    return command


for _name in STAGE_HELP:
    app.command(_name)(_stage_command(_name))


@app.command()
def check(
    project: ProjectName,
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Find every problem that shows without training: seconds, no TensorFlow."""
    from toolchain.preflight import check as check_project

    request = _request(project, target, overrides or [], "report", False)
    check_project(request.project, request.project_folder, request.target)
    sys.stderr.write(f"{request.project.name} for {request.target.name}: no problem found\n")
    if as_json:
        _print_json({"project": request.project.name, "target": request.target.name, "problems": []})


@app.command()
def targets(as_json: AsJson = False) -> None:
    """List the devices."""
    from toolchain.target import all_targets

    known = all_targets()
    if as_json:
        _print_json([target.model_dump(mode="json") for target in known])
        return
    for target in known:
        what = [f"{target.fpga.part}, {target.fpga.lut:,} LUT, {target.fpga.dsp:,} DSP"] if target.fpga else []
        what += [f"{target.arm.cores} x {target.arm.core}"] if target.arm else []
        sys.stdout.write(f"{target.name:<16}{target.title}: {'; '.join(what)}\n")


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="name of the project: letters, digits, _")],
    model: Annotated[str, typer.Option("--model", help="your Keras file")] = "",
    data: Annotated[str, typer.Option("--data", help="your data: .csv, .csv.gz or .npz")] = "",
    folder: Annotated[Path, typer.Option("--folder", help="where projects stand")] = Path("hls_projects"),
    as_json: AsJson = False,
) -> None:
    """Write a commented project.toml."""
    from toolchain.project_template import create

    file = create(name, folder, model, data)
    sys.stderr.write(f"wrote {file}; next: toolchain check {file.parent}\n")
    if as_json:
        _print_json({"project": name, "file": str(file)})


@app.command()
def schema(as_json: AsJson = False) -> None:
    """Print the JSON schema of report.json (it is JSON with and without --json)."""
    from toolchain.report.schema import schema_json

    sys.stdout.write(schema_json())


def _request(project: str, target: str, overrides: list[str], until: str, restore: bool) -> Request:
    from toolchain.pipeline import Request
    from toolchain.project import load_project
    from toolchain.target import load_target

    file = find_project(project)
    return Request(load_project(file, overrides), file.parent.resolve(), load_target(target), until, restore)


def find_project(name: str) -> Path:
    """The project.toml meant by ``name``: a file, a folder, or a folder in ./hls_projects."""
    places = [Path(name), Path(name) / "project.toml", Path("hls_projects") / name / "project.toml"]
    for place in places:
        if place.is_file():
            return place
    raise ProjectError(
        f"no project '{name}'", where="PROJECT", allowed="a project.toml, its folder, or a name in hls_projects/",
        hint=f"toolchain init {name}",
    )  # fmt: skip


def _run(request: Request, as_json: bool) -> None:
    from dataclasses import replace

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
    _say_results(outcome, time.monotonic() - start)
    if as_json:
        _print_json(_document(outcome))
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
    return {
        "stage": name,
        "result": outcome.results[name].model_dump(mode="json"),
        "folder": str(outcome.results[name].folder),
        "stages": [
            {"name": run.name, "seconds": round(run.seconds, 3), "cached": run.cached} for run in outcome.workspace.runs
        ],
        "problems": [_describe(problem) for problem in outcome.problems],
    }


class Display:
    """Progress on standard error: bars on a terminal, one line per stage elsewhere."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def stage_begins(self, name: str) -> None:
        self.close()
        sys.stderr.write(f"{name} …\n")

    def note(self, text: str) -> None:
        self.close()
        sys.stderr.write(f"note: {text}\n")

    def progress(self, label: str, done: int, total: int) -> None:
        if not self._terminal:
            return
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bars.start()
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total)
        self._bars.update(self._tasks[label], completed=done, total=total)

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars, self._tasks = None, {}


if __name__ == "__main__":
    main()
