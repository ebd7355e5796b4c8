"""``toolchain estimate``: a project's design, or any directory that hls4ml wrote."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolchain.cli.application import AsJson, Overrides, Restore, TargetName, app, find_project, print_json

if TYPE_CHECKING:
    from toolchain.estimate.coefficients import Coefficients
    from toolchain.estimate.directory.reader import Found
    from toolchain.results import Estimated, EstimateResult

_RESOURCES = ("dsp", "bram_18k", "lut", "ff")


@app.command()
def estimate(
    project: Annotated[
        str,
        typer.Argument(metavar="PROJECT|DIR", help="a project, or a directory that hls4ml wrote (it has firmware/)"),
    ],
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    as_json: AsJson = False,
    restore: Restore = False,
    trial: Annotated[
        str, typer.Option("--from", help="the settings of a sweep's trial: its number, or SWEEP/NUMBER")
    ] = "",
    stage: Annotated[
        str, typer.Option(help="of DIR: csynth (the HLS report) or logic_synthesis (the device)")
    ] = "csynth",
    tool: Annotated[str, typer.Option(help="of DIR: vivado or vitis, instead of what its files say")] = "",
    tool_version: Annotated[str, typer.Option(help="of DIR: such as 2024.1")] = "",
    part: Annotated[str, typer.Option(help="of DIR: such as xcu250-figd2104-2L-e")] = "",
    clock_period_ns: Annotated[float | None, typer.Option(min=0.1, help="of DIR")] = None,
    calibration: Annotated[Path | None, typer.Option(help="of DIR: a file that 'toolchain calibrate' wrote")] = None,
    explain: Annotated[str, typer.Option(metavar="LAYER", help="how a layer was counted")] = "",
) -> None:
    """Estimate DSP, BRAM, LUT, FF, latency and initiation interval."""
    from toolchain.errors import ProjectError

    if not (Path(project) / "firmware").is_dir():
        if "/" in project and not Path(project).exists():
            raise ProjectError("no such file or directory", where=project)
        if Path(project).is_dir() and not (Path(project) / "project.toml").is_file():
            raise ProjectError(
                "holds neither a project.toml nor the firmware/ of an hls4ml project", where=project,
                allowed="a project, or the directory that hls4ml wrote: build_prj.tcl and firmware/ stand in it",
            )  # fmt: skip
        _project(project, target, overrides or [], as_json, restore, trial, explain)
        return
    from toolchain.estimate.directory.project import Given
    from toolchain.estimate.directory.reader import read_directory
    from toolchain.estimate.stage import estimate_design

    if stage not in ("csynth", "logic_synthesis"):
        raise ProjectError(f"unknown stage {stage!r}", where="--stage", allowed="csynth, logic_synthesis")
    found = read_directory(Path(project), Given(tool, tool_version, part, clock_period_ns))
    result = estimate_design(found.design, found.fpga, _coefficients(calibration), stage)
    result = result.model_copy(update={"notes": (*result.notes, *found.notes)})
    if not found.known_device:
        result = result.model_copy(update={"share": {}, "fits": True, "limiting": ""})
    _show(result, found)
    _explain(result, explain)
    if as_json:
        print_json(_document(result, found))


def _coefficients(file: Path | None) -> Coefficients | None:
    if file is None:
        return None
    from toolchain.errors import ProjectError
    from toolchain.estimate.coefficients import read

    try:
        return read(file)
    except (OSError, ValueError) as error:
        raise ProjectError(f"cannot be used: {error}", where="--calibration", hint="toolchain calibrate DIR") from None


def _project(
    project: str, target: str, overrides: list[str], as_json: bool, restore: bool, trial: str, explain: str
) -> None:  # fmt: skip
    from toolchain.cli.stages import request_for, run_request
    from toolchain.results import EstimateResult

    store = None
    if trial:
        from toolchain.sweep.exploration import settings_of

        settings, store = settings_of(find_project(project), trial)
        overrides = [*settings, *overrides]
    request = replace(request_for(project, target, overrides, "estimate", restore), store=store)

    def shown(outcome: Any) -> None:
        result = outcome.get("estimate", EstimateResult)
        if result is not None:
            _show(result, None)
            _explain(result, explain)

    run_request(request, as_json, shown)


def _show(result: EstimateResult, found: Found | None) -> None:
    if found is not None:
        project = found.project
        version = f" {project.tool_version}" if project.tool_version else ""
        _say(f"{project.tool}{version}, {project.part}, {project.clock_period_ns:g} ns, {found.design.io_type}")
    for name in _RESOURCES:
        share = f", {result.share[name]:.1%} of the device" if name in result.share else ""
        _say(f"{name:<20}{_interval(getattr(result, name))}{share}")
    _say(f"{'latency_cycles':<20}{_interval(result.latency_cycles)}, {result.latency_ns.value:.4g} ns")
    _say(f"{'initiation_interval':<20}{_interval(result.initiation_interval)}")
    _say(f"stage {result.stage}, grade {result.grade}")
    for note in result.notes:
        _say(f"note: {note}")


def _interval(value: Estimated) -> str:
    return f"{value.value:.6g} (80 %: {value.low:.6g} to {value.high:.6g})"


def _explain(result: EstimateResult, layer: str) -> None:
    if not layer:
        return
    from toolchain.errors import ProjectError, nearest

    for item in result.layers:
        if item.name == layer:
            _say(
                f"layer '{layer}' ({item.kind}): dsp {item.dsp:g}, bram_18k {item.bram_18k:g}, lut {item.lut:g}, "
                f"ff {item.ff:g}"
            )
            for line in item.explanation:
                _say(f"  {line}")
            return
    names = [item.name for item in result.layers]
    raise ProjectError(f"the design has no layer '{layer}'", where="--explain", hint=nearest(layer, names))


def _document(result: EstimateResult, found: Found) -> dict[str, Any]:
    project = found.project
    return {
        "estimate": result.model_dump(mode="json"), "directory": str(project.folder), "tool": project.tool,
        "tool_version": project.tool_version, "part": project.part, "clock_period_ns": project.clock_period_ns,
        "io_type": found.design.io_type,
    }  # fmt: skip


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
