"""``toolchain synth``: the vendor's synthesis where it is installed, beside the estimate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolchain.cli.application import AsJson, Overrides, TargetName, app, print_json
from toolchain.cli.display import Display

if TYPE_CHECKING:
    from toolchain.results import EstimateResult
    from toolchain.vendor.reports import SynthesisReport

_FIGURES = ("dsp", "bram_18k", "lut", "ff")


@app.command()
def synth(
    project: Annotated[str, typer.Argument(metavar="PROJECT|DIR", help="a project, or a directory that hls4ml wrote")],
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    cosim: Annotated[bool, typer.Option("--cosim", help="RTL co-simulation too")] = False,
    logic: Annotated[bool, typer.Option("--logic", help="Vivado's logic synthesis too")] = False,
    as_json: AsJson = False,
) -> None:
    """Synthesize with vitis_hls, vitis-run or vivado_hls from PATH, and show the estimate beside the truth."""
    from toolchain.estimate.directory.reader import read_directory
    from toolchain.estimate.stage import estimate_design
    from toolchain.vendor.synthesis import synthesize
    from toolchain.vendor.tools import find_tool

    source = Path(project)
    if not (source / "firmware").is_dir():
        source = _written(project, target, overrides or [])
    found = read_directory(source)
    find_tool(found.design.tool)
    done = synthesize(source, source.with_name(f"{source.name}_synth"), found.design.tool, cosim, logic)
    pairs = [(done.csynth, estimate_design(found.design, found.fpga))]
    if done.logic is not None:
        pairs.append((done.logic, estimate_design(found.design, found.fpga, stage="logic_synthesis")))
    for truth, estimated in pairs:
        _show(truth, estimated, done.tool)
    if as_json:
        reports = [truth.model_dump(mode="json") for truth, _ in pairs]
        estimates = [estimated.model_dump(mode="json") for _, estimated in pairs]
        print_json({"tool": done.tool, "cosim": done.cosim, "reports": reports, "estimates": estimates})


def _written(project: str, target: str, overrides: list[str]) -> Path:
    from toolchain.cli.stages import request_for
    from toolchain.pipeline import run

    request = request_for(project, target, overrides, "hls", False)
    display = Display(sys.stderr.isatty())
    try:
        run(request)
    finally:
        display.close()
    return request.output_folder / "hls"


def _show(truth: SynthesisReport, estimated: EstimateResult, tool: str) -> None:
    sys.stderr.write(f"{truth.stage} ({tool}, {truth.part}): figure, reported, estimated, 80 % interval\n")
    rows = [(name, getattr(truth, name), getattr(estimated, name)) for name in _FIGURES]
    if truth.stage == "csynth":
        rows += [
            ("latency_cycles", truth.latency_max_cycles, estimated.latency_cycles),
            ("initiation_interval", truth.initiation_interval_max, estimated.initiation_interval),
        ]
    for name, reported, guess in rows:
        inside = reported is not None and guess.low <= reported <= guess.high
        mark = "" if inside else "  outside"
        sys.stderr.write(
            f"{name:<20}{reported!s:>10}{guess.value:>12.6g}   {guess.low:.6g} to {guess.high:.6g}{mark}\n"
        )
