"""The commands beside the pipeline: look before work begins, begin a project, list devices, print the schema."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from toolchain.cli.application import AsJson, Overrides, ProjectName, TargetName, app, print_json
from toolchain.cli.stages import request_for


@app.command()
def check(
    project: ProjectName,
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Find every problem that shows without training: seconds, no TensorFlow."""
    from toolchain.preflight import check as check_project

    request = request_for(project, target, overrides or [], "report", False)
    check_project(request.project, request.project_folder, request.target)
    sys.stderr.write(f"{request.project.name} for {request.target.name}: no problem found\n")
    if as_json:
        print_json({"project": request.project.name, "target": request.target.name, "problems": []})


@app.command()
def targets(as_json: AsJson = False) -> None:
    """List the devices."""
    from toolchain.target import all_targets

    known = all_targets()
    if as_json:
        print_json([target.model_dump(mode="json") for target in known])
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
        print_json({"project": name, "file": str(file)})


@app.command()
def schema(as_json: AsJson = False) -> None:
    """Print the JSON schema of report.json (it is JSON with and without --json)."""
    from toolchain.report.schema import schema_json

    sys.stdout.write(schema_json())
