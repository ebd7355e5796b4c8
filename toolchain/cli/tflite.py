"""The commands of the ARM artefact: write it, run it on emulated ARM cores, set the emulation up."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolchain.cli.application import AsJson, Overrides, ProjectName, TargetName, app, print_json
from toolchain.cli.stages import request_for, run_request

if TYPE_CHECKING:
    from toolchain.pipeline import Outcome


@app.command()
def tflite(
    project: ProjectName,
    target: TargetName = "raspberry_pi_4",
    overrides: Overrides = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="run it on emulated ARM cores (once before: toolchain arm-setup)")
    ] = False,
    device: Annotated[
        bool,
        typer.Option("--device", help="run and measure it on the target's own board, over ssh"),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the ARM artefacts from the same integers."""
    request = request_for(project, target, overrides or [], "tflite", False)
    run_request(replace(request, verify_on_arm=verify, run_on_device=device), as_json, _say_arm)


@app.command("arm-setup")
def arm_setup(
    again: Annotated[bool, typer.Option("--again", help="remove what is there and fetch it again")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be downloaded")] = False,
    as_json: AsJson = False,
) -> None:
    """Set up the emulation of ARM cores: says what it downloads, checks it, keeps it for use without a network."""
    from toolchain.arm.packages import ARCHITECTURES, distribution, system, system_folder
    from toolchain.arm.sysroot import find_emulator, set_up

    document: dict[str, Any] = {}
    for architecture in ARCHITECTURES:
        parts = system(architecture)
        title = (
            f"{architecture}: {parts.size_bytes / 1e6:.1f} MB, {distribution()}'s {parts.debian} packages and wheels"
        )
        sys.stderr.write(f"{title}; kept in {system_folder(architecture)}\n")
        for package in (*parts.debs, *parts.wheels):
            name = f"{package.name} {package.version}"
            sys.stderr.write(f"  {name:<48}{package.size_bytes / 1e6:7.2f} MB  {package.license}\n")
        document[architecture] = {"folder": str(system_folder(architecture)), **parts.model_dump(mode="json")}
        if not dry_run:
            sysroot = set_up(architecture, again, lambda text: print_note(text))
            document[architecture]["installed"] = sysroot.versions
    if not dry_run:
        for architecture in ARCHITECTURES:
            document[architecture]["emulator"] = find_emulator(architecture)
    if as_json:
        print_json(document)


def print_note(text: str) -> None:
    """``text`` on standard error."""
    sys.stderr.write(text + "\n")


def _say_arm(outcome: Outcome) -> None:
    from toolchain.report.arm import arm_lines, device_lines, ethos_u_statement
    from toolchain.results import ArmResult, DeviceResult, EthosUResult, TfliteResult

    written = outcome.get("tflite", TfliteResult)
    for file in written.files if written else ():
        sys.stderr.write(f"{outcome.request.output_folder / file.path}: {file.size_bytes:,} bytes\n")
    found = outcome.get("arm", ArmResult)
    board = outcome.get("device", DeviceResult)
    for line in (*(arm_lines(found) if found else ()), *(device_lines(board) if board else ())):
        sys.stderr.write(line + "\n")
    npu = outcome.get("ethos_u", EthosUResult)
    if npu:
        sys.stderr.write(ethos_u_statement(npu) + "\n")
