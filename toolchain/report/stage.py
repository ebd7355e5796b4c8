"""Stage ``report``: measure the task metric of every stage, and write ``report.json`` and ``report.html``."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol, TypeVar

from toolchain.errors import BudgetError, ToolchainError
from toolchain.project import Project
from toolchain.report.assemble import BuildResults, assemble
from toolchain.report.figures import (
    Figures,
    LayerHistogram,
    predictions_of_outputs,
    predictions_over_time,
    read_weights,
)
from toolchain.report.measure import Measured, accuracy_problems, agreements, measure
from toolchain.report.schema import Report, Stage
from toolchain.results import (
    ArmResult,
    CsimResult,
    DataResult,
    DeviceResult,
    EstimateResult,
    EthosUResult,
    HlsResult,
    ModelResult,
    PruneResult,
    QuantizeResult,
    StageResult,
    TfliteResult,
    VerifyResult,
)
from toolchain.target import Target
from toolchain.workspace import StageRun, file_digest, replace_file, source_digest

PACKAGES = (
    "tensorflow", "tf-keras", "keras", "tensorflow-model-optimization", "qkeras", "hls4ml", "da4ml",
    "numpy", "pandas", "arch",
)  # fmt: skip

Result = TypeVar("Result", bound=StageResult)


class BuildRequest(Protocol):
    """What this stage reads of ``pipeline.Request``."""

    @property
    def project(self) -> Project: ...
    @property
    def target(self) -> Target: ...
    @property
    def output_folder(self) -> Path: ...


class BuildWorkspace(Protocol):
    """What this stage reads of ``workspace.Workspace``."""

    @property
    def runs(self) -> Sequence[StageRun]: ...


class Build(Protocol):
    """What this stage reads of ``pipeline.Outcome``; ``problems`` takes a loss of accuracy beyond the budget."""

    @property
    def request(self) -> BuildRequest: ...
    @property
    def workspace(self) -> BuildWorkspace: ...
    @property
    def skipped(self) -> dict[str, str]: ...
    @property
    def problems(self) -> list[ToolchainError]: ...
    def get(self, name: str, kind: type[Result]) -> Result | None: ...


def write_report(build: Build) -> Report:
    """Write ``report.json`` and ``report.html`` into the output folder, unless they stand there for the same results.

    The returned report tells of this run's stages; the files tell of the run that wrote them. A loss of accuracy beyond
    ``[budget] accuracy_loss`` is added to ``build.problems``.
    """
    data = build.get("data", DataResult)
    assert data is not None, "a report needs at least the data stage"
    results = _collect(build, data)
    measured = measure(results, build.request.output_folder / "csim")
    build.problems.extend(accuracy_problems(results.project, data.metric, measured.accuracies))
    results = replace(
        results,
        accuracies=measured.accuracies,
        unmeasured=measured.missing,
        baselines=measured.baselines,
        by_output=measured.by_output,
        agreements=agreements(data, measured.outputs),
        budget_problems=tuple(problem.text() for problem in build.problems if isinstance(problem, BudgetError)),
        exit_code=build.problems[0].exit_code if build.problems else 0,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    report = assemble(results)
    folder = build.request.output_folder
    key = _key(report, tuple(run.key for run in build.workspace.runs))
    if _stored(folder, key):
        written = Report.model_validate_json((folder / "report.json").read_bytes())
        return report.model_copy(update={"created": written.created})
    _write(folder, report, _figures(results, measured), key)
    return report


def _collect(build: Build, data: DataResult) -> BuildResults:
    csim = build.get("csim", CsimResult)
    runs = build.workspace.runs
    return BuildResults(
        project=build.request.project,
        target=build.request.target,
        data=data,
        trained=build.get("train", ModelResult),
        pruned=build.get("prune", PruneResult),
        quantized=build.get("quantize", QuantizeResult),
        hls=build.get("hls", HlsResult),
        csim=csim,
        verified=build.get("verify", VerifyResult),
        estimated=build.get("estimate", EstimateResult),
        tflite=build.get("tflite", TfliteResult),
        arm=build.get("arm", ArmResult),
        device=build.get("device", DeviceResult),
        ethos_u=build.get("ethos_u", EthosUResult),
        stages=tuple(Stage(name=run.name, seconds=round(run.seconds, 3), cached=run.cached) for run in runs),
        skipped=dict(build.skipped),
        tool_versions=tool_versions(csim.compiler if csim else ""),
        toolchain_version=_version("toolchain"),
    )


def tool_versions(compiler: str) -> dict[str, str]:
    """Versions of Python, of the packages that take part, and of the compiler when it ran."""
    found = {"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}}
    return found | ({"g++": compiler} if compiler else {})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _figures(results: BuildResults, measured: Measured) -> Figures:
    weights: tuple[LayerHistogram, ...] = ()
    if results.trained and results.pruned:
        weights = read_weights(results.trained.folder / "weights.npz", results.pruned.folder / "weights.npz")
    if len(results.data.targets) > 1:
        return Figures(weights, by_output=predictions_of_outputs(results.data, measured.test, measured.outputs))
    return Figures(weights, predictions_over_time(results.data, measured.test, measured.outputs))


def _key(report: Report, stage_keys: tuple[str, ...]) -> str:
    """What decides the two files, beside the time of day and of each stage."""
    content = report.model_dump_json(exclude={"created", "stages"})
    return hashlib.sha256(repr((content, stage_keys, source_digest())).encode()).hexdigest()


def _stored(folder: Path, key: str) -> bool:
    """Whether both files were written for ``key`` and still are as they were written."""
    try:
        lines = (folder / ".report").read_text().splitlines()
        return lines == [key, file_digest(folder / "report.json"), file_digest(folder / "report.html")]
    except (OSError, UnicodeDecodeError):
        return False


def _write(folder: Path, report: Report, figures: Figures, key: str) -> None:
    from toolchain.report.html import render

    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "report.json", (report.model_dump_json(indent=1) + "\n").encode())
    replace_file(folder / "report.html", render(report, figures).encode())
    lines = (key, file_digest(folder / "report.json"), file_digest(folder / "report.html"))
    replace_file(folder / ".report", "\n".join(lines).encode())
