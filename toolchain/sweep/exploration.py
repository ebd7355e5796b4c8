"""A whole sweep: ask, build, record, verify the front, write the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from toolchain.errors import ProjectError, ToolchainError
from toolchain.pipeline import Request, run
from toolchain.project import load_project
from toolchain.results import VerifyResult
from toolchain.sweep import workers
from toolchain.sweep.axes import Axis, overrides
from toolchain.sweep.design import Design, Task, build
from toolchain.sweep.search import Sampler, Search, front, grid_size
from toolchain.target import load_target
from toolchain.workspace import replace_file, text_digest

Told = Callable[[Design, int, int], None]
Built = Callable[[Task], Design]


@dataclass(frozen=True)
class Plan:
    """What to explore. ``given`` are overrides that hold for every design."""

    project_file: Path
    target: str
    axes: tuple[Axis, ...]
    objectives: tuple[str, ...]
    trials: int
    workers: int | None = None
    address: str = ""
    sampler: Sampler = "auto"
    seed: int = 0
    given: tuple[str, ...] = ()
    verify: bool = True

    @property
    def folder(self) -> Path:
        """Where this sweep lives: another question, project or target is another sweep."""
        project = load_project(self.project_file, self.given)
        asked = [[axis.key, axis.choices, axis.low, axis.high, axis.step] for axis in self.axes]
        text = json.dumps(
            [asked, self.objectives, self.sampler, self.seed, self.target, project.model_dump(mode="json")]
        )
        return self.project_file.parent.resolve() / "build" / "sweeps" / text_digest(text)[:12]

    @property
    def store(self) -> Path:
        """Stage results of all sweeps of the project; equal stages are made once."""
        return self.project_file.parent.resolve() / "build" / "sweeps" / "store"


class Exploration(BaseModel):
    """A finished sweep, as ``sweep.json`` has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    project: str
    target: str
    axes: dict[str, list[Any]]
    objectives: tuple[str, ...]
    metric: str
    lower_is_better: bool
    designs: tuple[Design, ...]
    front: tuple[int, ...]
    verdicts: dict[int, str] = {}
    folder: Path


def explore(plan: Plan, told: Told, note: Callable[[str], None], built: Built = build) -> Exploration:
    """Run the sweep, or go on with it where an earlier run was stopped; its page and JSON stand in ``plan.folder``.

    Raises ProjectError when an axis is no key of the project or no such value is allowed, or when the sweep is running
    already; ExternalToolError for a Ray cluster that does not answer.
    """
    check_axes(plan)
    folder = plan.folder
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        raise ProjectError("this sweep is running already", where=str(folder)) from None
    try:
        search = Search(folder, plan.axes, plan.objectives, plan.sampler, plan.seed)
        _build_designs(plan, search, told, built)
        return _finish(plan, search.designs(), note)
    finally:
        lock.release()


def check_axes(plan: Plan) -> None:
    """Every end of every axis is a value that project.toml allows. Raises ProjectError, or PreflightError."""
    for axis in plan.axes:
        for value in axis.ends:
            load_project(plan.project_file, [*plan.given, *overrides({axis.key: value})])


def _build_designs(plan: Plan, search: Search, told: Told, built: Built) -> None:
    from toolchain.data.evaluation import lower_is_better

    whole = grid_size(plan.axes)
    total = min(plan.trials, whole) if plan.sampler == "grid" and whole else plan.trials

    def tasks() -> Iterator[Task]:
        for number, settings in search.unfinished():
            yield _task(plan, number, settings)
        while search.begun() < total:
            yield _task(plan, *search.ask())

    def finished(design: Design) -> None:
        search.tell(design, bool(design.metric) and lower_is_better(design.metric))
        told(design, len(search.designs()), total)

    if not search.unfinished() and search.begun() >= total:
        return
    with workers.cluster(plan.workers, plan.address) as at_once:
        workers.build_all(tasks(), at_once, finished, built)


def _task(plan: Plan, number: int, settings: dict[str, Any]) -> Task:
    return Task(
        number=number, settings=settings, project_file=plan.project_file.resolve(), target=plan.target,
        store=plan.store, given=plan.given,
    )  # fmt: skip


def _finish(plan: Plan, designs: list[Design], note: Callable[[str], None]) -> Exploration:
    from toolchain.data.evaluation import lower_is_better
    from toolchain.sweep.page import render

    metric = next((design.metric for design in designs if design.metric), "accuracy")
    lower = lower_is_better(metric)
    best = front(designs, plan.objectives, lower)
    found = Exploration(
        project=load_project(plan.project_file).name, target=plan.target,
        axes={axis.key: list(axis.ends) for axis in plan.axes}, objectives=plan.objectives, metric=metric,
        lower_is_better=lower, designs=tuple(designs), front=tuple(design.number for design in best),
        folder=plan.folder,
    )  # fmt: skip
    if plan.verify and load_target(plan.target).fpga is not None:
        found = found.model_copy(update={"verdicts": _verify(plan, best, note)})
    replace_file(plan.folder / "sweep.json", found.model_dump_json(indent=1).encode())
    replace_file(plan.folder / "sweep.html", render(found).encode())
    return found


def _verify(plan: Plan, best: list[Design], note: Callable[[str], None]) -> dict[int, str]:
    """The C-simulation's verdict on every design of the front."""
    verdicts: dict[int, str] = {}
    for design in best:
        note(f"C-simulation of trial {design.number}")
        project = load_project(plan.project_file, [*plan.given, *overrides(design.settings)])
        request = Request(
            project, plan.project_file.parent.resolve(), load_target(plan.target), until="verify", store=plan.store,
            shared=True, output=plan.folder / f"trial_{design.number}",
        )  # fmt: skip
        try:
            result = run(request).get("verify", VerifyResult)
            verdicts[design.number] = result.hardware.verdict if result else "not_run"
        except ToolchainError as error:
            verdicts[design.number] = f"refused: {error.problem}"
    return verdicts


def settings_of(project_file: Path, trial: str) -> tuple[list[str], Path]:
    """The overrides of a trial and the store of its stages; ``trial`` is its number, or ``SWEEP/NUMBER``.

    Raises ProjectError when there is no such trial, or when several sweeps have one.
    """
    place = project_file.parent.resolve() / "build" / "sweeps"
    sweep, _, number = trial.rpartition("/")
    files = sorted(place.glob(f"{sweep or '*'}/sweep.json"))
    found = []
    for file in files:
        document = Exploration.model_validate_json(file.read_text(encoding="utf-8"))
        found += [(file, design) for design in document.designs if str(design.number) == number]
    if len(found) != 1:
        names = ", ".join(f"{file.parent.name}/{design.number}" for file, design in found)
        raise ProjectError(
            f"there {'is no' if not found else 'are several'} trial '{trial}'", where="--from",
            allowed=names or "a number that 'toolchain sweep' showed", hint="toolchain sweep PROJECT …",
        )  # fmt: skip
    return overrides(found[0][1].settings), place / "store"
