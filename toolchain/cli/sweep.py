"""``toolchain sweep``: many designs of one project."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolchain.cli.application import AsJson, Overrides, ProjectName, TargetName, app, find_project

if TYPE_CHECKING:
    from toolchain.sweep.design import Design
    from toolchain.sweep.exploration import Exploration

Axes = Annotated[
    list[str] | None, typer.Option("--axis", help="section.key=4,6,8 or section.key=0.5:0.95[:0.05]; repeatable")
]


@app.command()
def sweep(
    project: ProjectName,
    axis: Axes = None,
    objective: Annotated[str, typer.Option(help="one or more, comma between")] = "accuracy,lut_equivalent,latency_ns",
    trials: Annotated[int, typer.Option(min=1, help="how many designs in all, those of an earlier run included")] = 60,
    workers: Annotated[
        int | None, typer.Option(min=1, help="designs built side by side; default: 2 here, all cores of a cluster")
    ] = None,
    ray_address: Annotated[str, typer.Option(help="an existing Ray cluster: auto, or host:port")] = "",
    sampler: Annotated[str, typer.Option(help="auto (tpe), grid, tpe, nsga2, qmc, random")] = "auto",
    seed: Annotated[int, typer.Option(help="of the sampler")] = 0,
    verify_front: Annotated[bool, typer.Option(help="C-simulate every design of the front")] = True,
    target: TargetName = "alveo_u250",
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Explore designs: bit-true accuracy and cost, the front, a page. A killed sweep goes on where it was."""
    from typing import cast, get_args

    from toolchain.errors import ProjectError, nearest
    from toolchain.sweep.axes import parse_axes
    from toolchain.sweep.exploration import Plan, explore
    from toolchain.sweep.search import Sampler, check_objectives
    from toolchain.target import load_target

    if sampler not in get_args(Sampler):
        raise ProjectError(f"unknown {sampler!r}", where="--sampler", hint=nearest(sampler, get_args(Sampler)))
    has_fpga = load_target(target).fpga is not None
    plan = Plan(
        project_file=find_project(project), target=target, axes=parse_axes(axis or []), trials=trials, workers=workers,
        objectives=check_objectives([name.strip() for name in objective.split(",") if name.strip()], has_fpga),
        address=ray_address, sampler=cast(Sampler, sampler), seed=seed, given=tuple(overrides or ()),
        verify=verify_front,
    )  # fmt: skip
    found = explore(plan, _line, lambda text: _say(f"note: {text}"))
    _table(found)
    _say(f"page: {found.folder / 'sweep.html'}")
    if as_json:
        sys.stdout.write(found.model_dump_json(indent=1) + "\n")


def _line(design: Design, done: int, total: int) -> None:
    what = ", ".join(f"{key.split('.')[-1]}={_short(value)}" for key, value in design.settings.items())
    if design.state == "failed":
        _say(f"{done:>4}/{total}  trial {design.number:<4} {what}: failed: {design.problem.splitlines()[0]}")
        return
    figures = ", ".join(
        f"{name} {_short(design.metrics[name])}" for name in ("accuracy", "lut_equivalent", "latency_ns")
        if name in design.metrics
    )  # fmt: skip
    _say(f"{done:>4}/{total}  trial {design.number:<4} {what}: {figures} ({design.seconds:.1f} s)")


def _table(found: Exploration) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"front of {len(found.designs)} designs")
    for name in ("trial", *found.axes, *found.objectives, "C-simulation"):
        table.add_column(name, justify="right")
    for design in found.designs:
        if design.number in found.front:
            cells = [*design.settings.values(), *(design.metrics[name] for name in found.objectives)]
            verdict = found.verdicts.get(design.number, "not run")
            table.add_row(str(design.number), *(_short(cell) for cell in cells), verdict)
    Console(stderr=True).print(table)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
