"""Reading ``project.toml``: the table, ``--set`` on top of it, and every problem of it at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from toolchain.errors import PreflightError, ProjectError
from toolchain.project.problems import explain
from toolchain.project.schema import Project


def load_project(path: Path, overrides: Iterable[str] = ()) -> Project:
    """Read ``path`` (a project.toml or its folder) with ``section.key=value`` overrides applied.

    Raises ProjectError, or PreflightError with every problem of the file at once.
    """
    file = path / "project.toml" if path.is_dir() else path
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProjectError("no such project", where=str(file), hint="toolchain init NAME writes one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ProjectError(f"cannot be read: {error}", where=str(file)) from None
    for text in overrides:
        _override(table, text)
    return parse_project(table, str(file))


def parse_project(table: dict[str, Any], where: str) -> Project:
    """Check a table of the form of project.toml; ``where`` names it in messages."""
    try:
        return Project.model_validate(table)
    except ValidationError as error:
        raise PreflightError(explain(Project, error, where)) from None


def _override(table: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ProjectError(f"cannot be read: {text!r}", where="--set", allowed="section.key=value")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value  # a bare word is a string: --set data.path=prices.csv
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ProjectError(f"{part!r} is not a section", where=f"--set {text}")
    if value.strip():
        table[path[-1]] = parsed
    else:
        table.pop(path[-1], None)  # --set prune.power= : the default again
