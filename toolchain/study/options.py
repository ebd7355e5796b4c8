"""Projects of a study that varies the strategy of pruning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolchain.project import Project, load_project
from toolchain.prune.options import USES


def load_varied(project_file: Path, overrides: Sequence[str]) -> Project:
    """The project with ``overrides``, less the options of ``[prune]`` that the strategy they choose has no use for.

    A build refuses such options; a study's strategies share one file, which may hold options of each.
    """
    section = load_project(project_file, overrides).prune
    idle = [key for key, (_, used) in USES.items() if key in section.model_fields_set and not used(section)]
    return load_project(project_file, [*overrides, *(f"prune.{key}=" for key in idle)])
