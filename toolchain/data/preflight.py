"""Checks of ``[data]`` that do not read the whole file."""

from __future__ import annotations

from pathlib import Path

from toolchain.data import sources
from toolchain.errors import DataSourceError, ProjectError, ToolchainError, nearest
from toolchain.project import DataSection


def check(section: DataSection, project_folder: Path) -> list[ToolchainError]:
    """Every problem that the file's name and header show."""
    if section.source == "sp500":
        return []
    if not section.path:
        return [
            ProjectError(f"is empty, source = '{section.source}' needs a file", where="[data] path",
                         hint="--set data.path=/path/to/file")
        ]  # fmt: skip
    path = project_folder / section.path
    if not path.is_file():
        return [DataSourceError("no such file", where=f"[data] path: {path}")]
    if section.source == "npz":
        return []
    import pandas as pd

    try:
        header = [str(name) for name in pd.read_csv(path, nrows=1).columns]
    except (OSError, ValueError, EOFError, UnicodeDecodeError) as error:
        return [DataSourceError(f"is not a CSV table: {error}", where=str(path))]
    needed = sources.CANDLE_COLUMNS if section.task == "direction" else (section.price_column,)
    problems: list[ToolchainError] = [
        DataSourceError(f"has no column '{name}'", where=str(path), hint=nearest(name, header))
        for name in needed
        if name not in header
    ]
    if not set(header) & set(sources.TIME_COLUMNS):
        problems.append(
            DataSourceError("has no time column", where=str(path), allowed=" or ".join(sources.TIME_COLUMNS))
        )
    return problems
