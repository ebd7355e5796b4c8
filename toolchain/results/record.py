"""A stage's job, and what every stage result is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PrivateAttr

FloatArray = NDArray[np.float64]


#: Called with a label, the steps done and the steps in total.
Progress = Callable[[str, int, int], None]


def no_progress(label: str, done: int, total: int) -> None:
    """The quiet ``Progress``."""


@dataclass(frozen=True)
class Job:
    """What every stage is given beside its inputs and its section.

    ``folder`` takes the stage's files; ``project_folder`` is where relative paths of project.toml start.
    """

    folder: Path
    project_folder: Path
    seed: int = 0
    progress: Progress = no_progress


class Record(BaseModel):
    """Base of frozen records."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageResult(Record):
    """Base of every stage's result. ``folder`` holds its files."""

    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        return self._folder

    def at(self, folder: Path) -> StageResult:
        """This result, its files standing in ``folder``."""
        self._folder = folder
        return self


class Interval(Record):
    """A measured value with its 95 % interval."""

    value: float
    low: float
    high: float
