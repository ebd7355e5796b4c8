"""Keras model and data in; pruned, quantized, bit-exact HLS project, estimate and ARM artefact out.

The public Python API: ``build`` for notebooks, ``load_project`` and ``run`` for projects on disk, ``targets``.
Importing it is instant; TensorFlow and hls4ml come with the stage that needs them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.errors import ProjectError, ToolchainError

if TYPE_CHECKING:
    from toolchain.project import Project
    from toolchain.report.schema import Report
    from toolchain.results import Progress
    from toolchain.target import Target

__all__ = ["Build", "ToolchainError", "build", "load_project", "run", "targets"]


@dataclass(frozen=True, eq=False)
class Build:
    """A finished build. In a notebook it shows itself as a table; ``report`` has everything as data."""

    report: Report
    folder: Path  # hls/, csim/, *.tflite, report.json, report.html
    problems: tuple[ToolchainError, ...]  # a bit mismatch, an exceeded budget; empty when all is well

    def raise_for_problems(self) -> None:
        """Raise the first problem, if there is one."""
        for problem in self.problems:
            raise problem

    def __repr__(self) -> str:
        found, estimate = self.report.bit_accuracy, self.report.estimate
        parts = [f"{found.verdict}, {found.words:,} words" if found else "no verdict"]
        if estimate is not None:
            parts.append(
                f"DSP {estimate.dsp.value:.0f}, LUT {estimate.lut.value:.0f}, {estimate.latency_ns.value:.0f} ns"
            )
        return f"<Build {self.report.project} for {self.report.target.name}: {'; '.join(parts)}; {self.folder}>"

    def _repr_html_(self) -> str:
        from toolchain.report.notebook import html_table

        return html_table(self.report)


def build(
    model: Any,
    data: Any,
    *,
    target: str = "alveo_u250",
    settings: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
) -> Build:
    """Build from a model and data in memory; no files are needed to start.

    ``model``: a Keras 2 or Keras 3 model, or the path of a saved one; its weights are kept (``train.epochs`` is 0
    unless ``settings`` says otherwise). ``data``: a mapping or a tuple of ``x_train, y_train, x_test, y_test`` (arrays
    ``(samples, *shape)`` or pandas objects, in order of time where time matters); a ``pandas.DataFrame``, with
    ``settings={"data.task": "regression", "data.target_columns": ["y"]}``; or the path of a file. Integer targets make
    a classification, others a regression; ``settings={"data.task": …}`` decides otherwise. ``settings`` are the keys of
    project.toml: ``{"prune.final_sparsity": 0.9, "hls.io_type": "io_stream"}``. ``folder`` takes the project
    (default: a temporary one). Raises ToolchainError as the command line does.
    """
    place = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="toolchain-"))
    place.mkdir(parents=True, exist_ok=True)
    table: dict[str, Any] = {"name": "notebook", "train": {"epochs": 0}}
    table["model"] = {"file": _store_model(model, place)}
    from toolchain.data.memory import store

    table["data"] = store(data, place)
    for key, value in (settings or {}).items():
        section, dot, name = key.rpartition(".")
        if not dot:
            raise ProjectError(
                f"{key!r} is not section.key", where="settings", allowed='such as "prune.final_sparsity"'
            )
        inner = table
        for part in section.split("."):
            inner = inner.setdefault(part, {})
        inner[name] = value
    from toolchain.project import parse_project

    return run(parse_project(table, "build()"), place, target=target, progress=progress)


def run(
    project: Project | str | Path,
    folder: str | Path | None = None,
    *,
    target: str = "alveo_u250",
    progress: Progress | None = None,
) -> Build:
    """Run every stage of a project: a ``project.toml``, its folder, or a ``Project`` and the folder it belongs to.

    What did not change since the last run is taken from the project's build folder. Raises ToolchainError; a bit
    mismatch or an exceeded budget does not raise but stands in ``Build.problems``.
    """
    from toolchain import pipeline
    from toolchain.project import Project, load_project
    from toolchain.results import no_progress
    from toolchain.target import load_target

    if not isinstance(project, Project):
        path = Path(project)
        folder = folder or (path if path.is_dir() else path.parent)
        project = load_project(path)
    if folder is None:
        raise ProjectError("needs a folder to build in", where="run(Project)")
    if _keras3_is_loaded():
        return _run_apart(project, Path(folder).resolve(), target)
    request = pipeline.Request(project, Path(folder).resolve(), load_target(target), progress=progress or no_progress)
    outcome = pipeline.run(request)
    assert outcome.report is not None
    return Build(outcome.report, request.output_folder, tuple(outcome.problems))


def _keras3_is_loaded() -> bool:
    """Whether this program uses TensorFlow with Keras 3: QKeras and TFMOT cannot run beside it."""
    return bool({"tensorflow", "keras"} & set(sys.modules)) and os.environ.get("TF_USE_LEGACY_KERAS") != "1"


def _run_apart(project: Project, folder: Path, target: str) -> Build:
    """The same in a process of its own, through the command line."""
    import json
    import subprocess

    from toolchain.errors import problem_from
    from toolchain.project_template import render
    from toolchain.report.schema import Report
    from toolchain.target import load_target

    file = folder / "project.toml"
    if not file.exists() or folder.name.startswith("toolchain-"):
        # a default that is written down counts as asked for, and may be refused as without effect
        given = project.model_dump(mode="json", exclude_none=True, exclude_unset=True)
        file.write_text(render(given), encoding="utf-8")
    command = [sys.executable, "-m", "toolchain.cli", "build", str(file), "--target", target, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise RuntimeError(f"the build ended with exit code {done.returncode}:\n{done.stderr[-4000:]}") from None
    if "error" in document:
        raise problem_from(document["error"]["problems"][0])
    report = Report.model_validate(document)
    problems = (problem_from({"exit_code": report.exit_code, "problem": done.stderr}),) if report.exit_code else ()
    return Build(report, folder / "build" / load_target(target).name, problems)


def load_project(path: str | Path, settings: Mapping[str, Any] | None = None) -> Project:
    """A checked ``project.toml``; ``settings`` as in ``build``, values as TOML would read them. Raises ProjectError."""
    from toolchain.project import load_project as load

    return load(Path(path), [f"{key}={value}" for key, value in (settings or {}).items()])


def targets() -> list[Target]:
    """Every device that is shipped."""
    from toolchain.target import all_targets

    return all_targets()


def _store_model(model: Any, place: Path) -> str:
    if isinstance(model, str | Path):
        return str(Path(model).resolve())
    if not hasattr(model, "save"):
        raise ProjectError(f"cannot use a {type(model).__name__}", where="model", allowed="a Keras model or its file")
    model.save(place / "model.keras")
    return "model.keras"
