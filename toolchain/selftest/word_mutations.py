"""Changes to what the C-simulation wrote: a full disk, a killed run, a mixed-up file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

Change = Callable[[list[str], np.random.Generator], list[str]]


def _one_bit(rows: list[str], rng: np.random.Generator) -> list[str]:
    line = int(rng.integers(len(rows)))
    words = rows[line].split()
    place = int(rng.integers(len(words)))
    words[place] = str(int(words[place]) ^ 1)
    return [*rows[:line], " ".join(words), *rows[line + 1 :]]


def _truncated(rows: list[str], rng: np.random.Generator) -> list[str]:
    return rows[: int(rng.integers(len(rows)))]


def _repeated(rows: list[str], rng: np.random.Generator) -> list[str]:
    return [*rows, rows[-1]]


def _moved(rows: list[str], rng: np.random.Generator) -> list[str]:
    return [rows[-1], *rows[:-1]]


#: Changes to one file of words.
WORD_MUTATIONS: dict[str, Change | None] = {
    "one word of the output files": _one_bit,
    "truncated output file": _truncated,
    "a line too many": _repeated,
    "lines moved by one": _moved,
    "missing output file": None,
}


def change_words(file: Path, change: Change | None, rng: np.random.Generator) -> None:
    """Apply ``change`` to a file of words; None removes it."""
    rows = file.read_text().splitlines()
    file.unlink()
    if change is not None:
        file.write_text("".join(f"{row}\n" for row in change(rows, rng)))
