"""What a run is asked for and what it made; one stage of it by way of the workspace."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from toolchain.errors import ToolchainError
from toolchain.project import Project, Section
from toolchain.publication import publish_unless_edited
from toolchain.results import Job, Progress, StageResult, no_progress
from toolchain.target import Target
from toolchain.workspace import Workspace, file_digest, manifest, text_digest

if TYPE_CHECKING:
    from toolchain.report.schema import Report

Result = TypeVar("Result", bound=StageResult)


def _quiet(*_: object) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Request:
    """What to build, where, and whom to tell."""

    project: Project
    project_folder: Path
    target: Target
    until: str = "report"
    restore: bool = False  # write hls/ and csim/ again although they were changed by hand
    store: Path | None = None  # where stage results live; default: the project's build folder
    shared: bool = False  # other processes work on the store at the same time
    output: Path | None = None  # where the artefacts go; default: build/<target>
    verify_on_arm: bool = False  # also where project.toml does not ask for it
    run_on_device: bool = False  # on the board of the target's [device]
    progress: Progress = no_progress
    stage_begins: Callable[[str], None] = _quiet
    waits: Callable[[], None] = _quiet
    notes: Callable[[str], None] = _quiet

    @property
    def build_folder(self) -> Path:
        return self.project_folder / "build"

    @property
    def output_folder(self) -> Path:
        return self.output or self.build_folder / self.target.name


@dataclass
class Outcome:
    """What a run made: the results by stage, the report when it was asked for, and the reasons to fail."""

    request: Request
    workspace: Workspace
    results: dict[str, StageResult] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    report: Report | None = None
    problems: list[ToolchainError] = field(default_factory=list)

    def get(self, name: str, kind: type[Result]) -> Result | None:
        found = self.results.get(name)
        assert found is None or isinstance(found, kind)
        return found


def run_stage(
    outcome: Outcome,
    name: str,
    kind: type[Result],
    depends: dict[str, Any],
    packages: tuple[str, ...],
    produce: Callable[[Job], Result],
) -> Result:
    """Stage ``name``: what ``produce`` makes, or made before from the same ``depends`` with the same ``packages``."""
    request = outcome.request

    def run_in(folder: Path) -> Result:
        request.stage_begins(name)
        return produce(Job(folder, request.project_folder, request.project.seed, request.progress))

    result, outcome.keys[name] = outcome.workspace.stage(name, kind, depends, packages, run_in)
    outcome.results[name] = result
    return result


def publish_stage(outcome: Outcome, name: str, source: Path) -> None:
    """Copy the stage's files to the output folder, unless they were changed there by hand."""
    request = outcome.request
    publish_unless_edited(source, request.output_folder / name, outcome.keys[name], request.restore, request.notes)


def as_json(section: Section) -> dict[str, Any]:
    """A section of the project or the target as a stage depends on it."""
    return section.model_dump(mode="json")


def digest_of(folder: Path, name: str) -> str:
    """The digest of the file or folder ``name``; ``""`` where there is none."""
    file = folder / name
    if name and file.is_dir():
        return text_digest(json.dumps(manifest(file)))
    return file_digest(file) if name and file.is_file() else ""
