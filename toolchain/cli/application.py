"""The typer application, the options that commands share, and how a failure becomes text or JSON and an exit code."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from toolchain.errors import PreflightError, ProjectError, ToolchainError, nearest

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


def fail(error: ToolchainError) -> None:
    """Say ``error`` on standard error, as JSON too when asked for, and leave with its exit code."""
    sys.stderr.write(f"error: {error.text()}\n")
    if "--json" in sys.argv[1:]:
        problems = error.problems if isinstance(error, PreflightError) else (error,)
        print_json({"error": {"exit_code": error.exit_code, "problems": [describe(item) for item in problems]}})
    sys.exit(error.exit_code)


def describe(error: ToolchainError) -> dict[str, Any]:
    """An error as JSON."""
    return {
        "kind": type(error).__name__,
        "exit_code": error.exit_code,
        "where": error.where,
        "problem": error.problem,
        "allowed": error.allowed,
        "hint": error.hint,
    }


def print_json(document: Any) -> None:
    """``document`` on standard output."""
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


def find_project(name: str) -> Path:
    """The project.toml meant by ``name``: a file, a folder, or a folder in ./hls_projects."""
    places = [Path(name), Path(name) / "project.toml", Path("hls_projects") / name / "project.toml"]
    for place in places:
        if place.is_file():
            return place
    known = [file.parent.name for file in Path("hls_projects").glob("*/project.toml")]
    raise ProjectError(
        f"no project '{name}'", where="PROJECT", allowed="a project.toml, its folder, or a name in hls_projects/",
        hint=nearest(name, known) if known else (f"toolchain init {name}" if name.isidentifier() else ""),
    )  # fmt: skip
