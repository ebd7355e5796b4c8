"""Checks of ``[data]`` that read no more than a file's first lines, and import neither pandas nor arch."""

from __future__ import annotations

from pathlib import Path

from toolchain.data import sources
from toolchain.data.arrays import name_problems
from toolchain.data.columns import check_header, inputs_problem
from toolchain.data.ports import port_names
from toolchain.data.python_function import function_problem
from toolchain.errors import DataSourceError, ProjectError, ToolchainError
from toolchain.project import DataSection

_TASKS = {
    "sp500": ("price_forecast",),
    "csv": ("price_forecast", "direction", "regression", "classification"),
    "parquet": ("price_forecast", "direction", "regression", "classification"),
    "npz": ("regression", "classification"),
    "npy": ("regression", "classification"),
    "python": ("price_forecast", "direction", "regression", "classification"),
}


def check(section: DataSection, project_folder: Path) -> list[ToolchainError]:
    """Every problem that the section, the file's name and its header show."""
    problem = choice_problem(section)
    if problem:
        return [problem]
    if section.source == "python":
        found = function_problem(section, project_folder)
        return [found] if found else []
    try:
        path = sources.sp500_file() if section.source == "sp500" else project_folder / section.path
        if section.source in ("npz", "npy"):
            names = sources.npz_names(path) if section.source == "npz" else sources.npy_names(path)
            return [*name_problems(names, str(path))]
        return [*check_header(sources.header_of(path, section.source), section, str(path))]
    except DataSourceError as error:
        return [error]


def choice_problem(section: DataSection) -> ProjectError | None:
    """Why ``source``, ``task`` and ``path`` do not go together, or None."""
    tasks = _TASKS[section.source]
    if section.task not in tasks:
        return ProjectError(
            f"'{section.task}' is not possible with source = '{section.source}'", where="[data] task",
            allowed=", ".join(tasks), hint=_hint(section),
        )  # fmt: skip
    if section.source not in ("sp500", "python") and not section.path:
        return ProjectError(
            f"is empty; source = '{section.source}' needs a file", where="[data] path",
            hint="--set data.path=/path/to/file",
        )  # fmt: skip
    return inputs_problem(section)


def input_names(section: DataSection, project_folder: Path) -> tuple[str, ...] | None:
    """The inputs that the data name, none where they are one array; None where only the work itself can tell."""
    if section.source in ("npz", "npy"):
        path = project_folder / section.path
        try:
            return port_names(sources.npz_names(path) if section.source == "npz" else sources.npy_names(path))
        except DataSourceError:
            return None
    return None if section.source == "python" and not section.inputs else tuple(sorted(section.inputs))


def output_names(section: DataSection, project_folder: Path) -> tuple[str, ...] | None:
    """The outputs that the data name, none where they have one without a name; None where only the work can tell."""
    if section.source in ("npz", "npy"):
        path = project_folder / section.path
        try:
            return port_names(sources.npz_names(path) if section.source == "npz" else sources.npy_names(path), "y")
        except DataSourceError:
            return None
    return None if section.source == "python" and not section.outputs else tuple(sorted(section.outputs))


def _hint(section: DataSection) -> str:
    if section.task == "direction" and section.source == "sp500":
        return "its rows are trading days, not candles at one step: give candles with source = 'csv'"
    return "source = " + " or ".join(f"'{source}'" for source, tasks in _TASKS.items() if section.task in tasks)
