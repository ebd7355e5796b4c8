"""The integers of a weight file, ``firmware/weights/NAME.txt`` or ``.h``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.directory.sources import Type

LARGEST_WEIGHT_BYTES = 512 * 2**20


def read_weights(
    folder: Path, name: str, form: Type, shape: tuple[int, int], transposed: bool
) -> NDArray[np.int64] | None:
    """The matrix ``(n_in, n_out)`` of words on ``form``'s grid, or None where there is no file.

    Synthesis compiles the ``.h``, hls4ml's C-simulation loads the ``.txt``: both are read. ``transposed``: they have
    the outputs first, as hls4ml writes for the resource strategy.

    Raises UnsupportedModelError when a file holds something else than so many numbers, or when the two differ.
    """
    found = [
        _matrix(_numbers(file), form, shape, transposed, file)
        for file in (folder / f"{name}.h", folder / f"{name}.txt")
        if file.is_file() and (file.suffix == ".txt" or "=" in file.read_text(encoding="ascii", errors="replace"))
    ]
    if len(found) == 2 and not np.array_equal(found[0], found[1]):
        raise UnsupportedModelError(
            "the two weight files differ: synthesis takes the .h, the C-simulation the .txt",
            where=f"{folder / name}.h and .txt", hint="delete the one that is not meant, or write the project again",
        )  # fmt: skip
    return found[0] if found else None


def _numbers(file: Path) -> NDArray[np.float64]:
    if file.stat().st_size > LARGEST_WEIGHT_BYTES:
        raise UnsupportedModelError(f"is larger than {LARGEST_WEIGHT_BYTES} bytes", where=str(file))
    try:
        text = file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UnsupportedModelError(
            f"cannot be read: {error}", where=str(file), allowed="decimal numbers with commas between them"
        ) from None
    if file.suffix == ".h":
        found = re.search(r"=\s*\{(.*)\}\s*;", text, re.DOTALL)
        if found is None:
            raise UnsupportedModelError("holds no values", where=str(file))
        text = found[1]
    text = text.replace("{", " ").replace("}", " ").replace(",", " ")
    try:
        values = np.array(text.split(), dtype=np.float64)
    except ValueError as error:
        raise UnsupportedModelError(f"holds something else than numbers: {error}", where=str(file)) from None
    if not np.isfinite(values).all():
        raise UnsupportedModelError("holds NaN or infinity", where=str(file))
    return values


def _matrix(
    values: NDArray[np.float64], form: Type, shape: tuple[int, int], transposed: bool, file: Path
) -> NDArray[np.int64]:
    n_in, n_out = shape
    if values.size == n_in * n_out:
        ordered = values.reshape(n_out, n_in).T if transposed else values.reshape(n_in, n_out)
        return words_of(ordered, form)
    if values.size == 2 * n_in * n_out:  # powers of two: sign and exponent
        sign, exponent = values[0::2], values[1::2]
        powers = np.where(sign == 0, -1.0, sign) * np.exp2(exponent)
        ordered = powers.reshape(n_out, n_in).T if transposed else powers.reshape(n_in, n_out)
        return np.round(np.ldexp(ordered, 16)).astype(np.int64)
    raise UnsupportedModelError(f"holds {values.size} numbers", where=str(file), allowed=f"{n_in} x {n_out}")


def compressed(folder: Path, name: str, form: Type, shape: tuple[int, int]) -> NDArray[np.int64] | None:
    """The matrix of a compressed layer: its file holds row, column and value of every weight that is not zero."""
    files = [file for file in (folder / f"{name}.h", folder / f"{name}.txt") if file.is_file()]
    if not files:
        return None
    file, values = files[0], _numbers(files[0])
    if len(files) == 2 and not np.array_equal(values, _numbers(files[1])):
        raise UnsupportedModelError(
            "the two weight files differ: synthesis takes the .h, the C-simulation the .txt", where=str(file)
        )
    if values.size % 3:
        raise UnsupportedModelError(f"holds {values.size} numbers", where=str(file), allowed="triples")
    rows, columns = values[0::3].astype(int), values[1::3].astype(int)
    if values.size and (rows.min() < 0 or rows.max() >= shape[0] or columns.min() < 0 or columns.max() >= shape[1]):
        raise UnsupportedModelError("names a row or column that is not there", where=str(file), allowed=f"{shape}")
    matrix = np.zeros(shape)
    matrix[rows, columns] = values[2::3]
    return words_of(matrix, form)


def words_of(values: NDArray[np.float64], form: Type) -> NDArray[np.int64]:
    """The words that C++ makes of printed decimals: nearest where the print rounded, else truncated; then wrapped."""
    scaled = np.ldexp(values, form.fractional)
    nearest = np.round(scaled)
    words = np.where(np.abs(scaled - nearest) < 1e-3, nearest, np.floor(scaled)).astype(np.int64)
    span = 1 << form.width
    words = np.mod(words, span)
    return np.asarray(np.where(words >= span // 2, words - span, words) if form.signed else words)
