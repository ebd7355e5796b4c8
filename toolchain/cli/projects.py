"""The commands beside the pipeline: look before work begins, begin a project, list devices, print the schema."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from toolchain.cli.application import AsJson, Overrides, TargetName, app, describe, print_json
from toolchain.cli.stages import request_for
from toolchain.errors import ProjectError


@app.command()
def check(
    project: Annotated[
        str,
        typer.Argument(metavar="PROJECT|MODEL", help="a project, or a model file: .keras, .h5, .json, a SavedModel"),
    ],
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Find every problem that shows without training, or say of each layer of a model what becomes of it: seconds."""
    if _is_model(Path(project)):
        _check_model(Path(project), as_json)
        return
    from toolchain.preflight import check as check_project

    request = request_for(project, target, overrides or [], "report", False)
    check_project(request.project, request.project_folder, request.target)
    sys.stderr.write(f"{request.project.name} for {request.target.name}: no problem found\n")
    if as_json:
        print_json({"project": request.project.name, "target": request.target.name, "problems": []})


def _is_model(path: Path) -> bool:
    return path.suffix in (".keras", ".h5", ".hdf5", ".json") or (path / "saved_model.pb").is_file()


def _check_model(path: Path, as_json: bool) -> None:
    """Every layer: exact, by a table, rewritten, left out or refused, and what to use instead; exit 3 if refused."""
    from dataclasses import asdict

    from toolchain.model.inspect import read_keras_file
    from toolchain.model.layer_rules import check_wiring, judge

    file = read_keras_file(path)
    found = judge(file.wiring, str(path))
    problems = check_wiring(file.wiring, str(path))
    names, kinds = (
        max(len(text) for text in column) + 2 for column in zip(*((i.layer, i.kind) for i in found), strict=True)
    )
    for item in found:
        line = f"{item.layer:<{names}}{item.kind:<{kinds}}{item.status:<15}{item.reason}"
        sys.stderr.write(line.rstrip() + (f"; instead: {item.instead}" if item.instead else "") + "\n")
    refused = sum(item.status == "refused" for item in found)
    sys.stderr.write(f"{path}: {len(found)} layers, {refused} refused\n")
    if as_json:
        layers = [asdict(item) for item in found]
        print_json({"model": str(path), "layers": layers, "problems": [describe(item) for item in problems]})
    if problems:
        for problem in problems:
            sys.stderr.write(f"error: {problem.text()}\n")
        sys.exit(problems[0].exit_code)


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
    data: Annotated[
        str, typer.Option("--data", help="your data: .csv, .csv.gz, .parquet, .npz, a folder of .npy")
    ] = "",
    predict: Annotated[str, typer.Option(help="columns of a table that are predicted, comma between")] = "",
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="of a model of several inputs: NAME=COLUMN,COLUMN of a table")
    ] = None,
    outputs: Annotated[
        list[str] | None,
        typer.Option("--output", help="of a model of several outputs, instead of --predict: NAME=COLUMN,COLUMN"),
    ] = None,
    folder: Annotated[Path, typer.Option("--folder", help="where projects stand")] = Path("hls_projects"),
    as_json: AsJson = False,
) -> None:
    """Write a commented project.toml."""
    from toolchain.project_template import Columns, create

    read = dict(_port_columns(text, "--input") for text in inputs or [])
    predicted = dict(_port_columns(text, "--output") for text in outputs or [])
    file = create(name, folder, model, data, Columns(_names(predict), read, predicted))
    task = tomllib.loads(file.read_text(encoding="utf-8"))["data"].get("task", "price_forecast")
    sys.stderr.write(f"wrote {file} ([data] task: {task}); next: toolchain check {file.parent}\n")
    if as_json:
        print_json({"project": name, "file": str(file)})


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _port_columns(text: str, option: str) -> tuple[str, tuple[str, ...]]:
    """``price=open,high`` as name and columns."""
    name, equals, columns = text.partition("=")
    if not equals or not name.strip() or not _names(columns):
        raise ProjectError(f"cannot be read: {text!r}", where=option, allowed="NAME=COLUMN,COLUMN")
    return name.strip(), _names(columns)


@app.command()
def schema(as_json: AsJson = False) -> None:
    """Print the JSON schema of report.json (it is JSON with and without --json)."""
    from toolchain.report.schema import schema_json

    sys.stdout.write(schema_json())
