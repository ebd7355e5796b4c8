"""Raw words as text: a file for each node, a line for each sample; ``formats.txt`` tells their types."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolchain.errors import BitMismatchError
from toolchain.fixed_point import FixedPoint, parse_ap_fixed


def write_words(file: Path, words: np.ndarray) -> None:
    """One sample a line, integers apart by spaces."""
    rows = words.reshape(len(words), -1).tolist()
    file.write_text("\n".join(" ".join(map(str, row)) for row in rows) + "\n")


def read_formats(folder: Path) -> dict[str, FixedPoint]:
    """The formats of the compiled types by node name; the output port is called ``result``.

    Raises OSError or ValueError when the file is missing or not as the test bench wrote it.
    """
    lines = (folder / "formats.txt").read_text().splitlines()
    return {name: parse_ap_fixed(kind) for name, kind in (line.split() for line in lines)}


def read_words(folder: Path, name: str, samples: int, shape: tuple[int, ...]) -> np.ndarray:
    """The words of one node, ``(samples, *shape)`` int64.

    Raises BitMismatchError when the file is missing, short, long or not made of integers.
    """
    file = folder / f"{name}.txt"
    size = int(np.prod(shape))
    try:
        rows = file.read_text().splitlines()
        words = np.array(" ".join(rows).split(), dtype=np.int64)
    except (OSError, ValueError, OverflowError) as error:
        raise BitMismatchError(f"cannot be read: {error}", where=str(file)) from None
    if len(rows) != samples or any(row.count(" ") + 1 != size for row in rows) or words.size != samples * size:
        raise BitMismatchError(
            f"holds {words.size} words in {len(rows)} lines",
            where=str(file),
            allowed=f"{samples} lines of {size} words",
        )
    return words.reshape(samples, *shape)
