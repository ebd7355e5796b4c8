"""What every kind of task makes of its source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from toolchain.results import InputPort, OutputPort, Samples

Task = Literal["regression", "binary", "multiclass", "classification"]


@dataclass(frozen=True, eq=False)
class Source:
    """A table as read; ``title`` names it for people, ``where`` in error messages."""

    table: Any  # pandas.DataFrame
    title: str
    where: str
    unit: str = ""  # of its prices


@dataclass(frozen=True, eq=False)
class Prepared:
    """Samples and what a reader must know of them; the fields are those of ``DataResult``."""

    samples: Samples
    source: str
    task: Task
    feature_names: tuple[str, ...]
    unit: str = ""
    y_scale: float = 1.0
    y_offset: float = 0.0
    timed: bool = True  # Part.time holds times, not sample numbers
    notes: tuple[str, ...] = ()
    inputs: tuple[InputPort, ...] = ()
    targets: tuple[OutputPort, ...] = ()
