"""``toolchain widths``: the fewest bits for each layer."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from toolchain.cli.application import AsJson, Overrides, ProjectName, TargetName, app, find_project


@app.command()
def widths(
    project: ProjectName,
    loss: Annotated[float, typer.Option(min=0.0, help="allowed relative loss of the task metric, 0.01 is 1 %")] = 0.01,
    objective: Annotated[str, typer.Option(help="what must not grow: lut_equivalent, dsp, lut …")] = "lut_equivalent",
    narrowest: Annotated[int, typer.Option(min=2, max=16, help="bits that no layer goes below")] = 2,
    workers: Annotated[
        int | None, typer.Option(min=1, help="designs built side by side; default: 2 here, all cores of a cluster")
    ] = None,
    ray_address: Annotated[str, typer.Option(help="an existing Ray cluster: auto, or host:port")] = "",
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Find the fewest bits for each layer within a stated loss, on the validation part; print them for project.toml."""
    from toolchain.sweep.search import check_objectives
    from toolchain.sweep.widths import WidthPlan, search
    from toolchain.target import load_target

    check_objectives([objective], load_target(target).fpga is not None)
    plan = WidthPlan(
        find_project(project), target, loss, objective, narrowest, workers, ray_address, tuple(overrides or ())
    )
    found = search(plan, _say)
    before, after = found.before, found.after
    sys.stderr.write(
        f"{found.metric} (validation) {before['accuracy']:.5g} -> {after['accuracy']:.5g}, "
        f"{objective} {before[objective]:.5g} -> {after[objective]:.5g}, {found.tried} designs tried\n"
    )
    if not found.chosen:
        sys.stderr.write(f"no layer can be narrower within a loss of {loss:g}\n")
    sys.stdout.write(found.model_dump_json(indent=1) + "\n" if as_json else found.toml)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
