"""Raw words as text: a file for each node, a line for each sample; ``formats.txt`` tells their types.

Words stand at the right ends of columns of one width, apart by a space: such text is written and read a column of
digits at a time. Text of any other layout, as a person may leave it, is read word by word.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from toolchain.errors import BitMismatchError
from toolchain.fixed_point import FixedPoint, Words, parse_ap_fixed
from toolchain.network.nodes import FixedPointNetwork

#: Digits and a sign that int64 holds, whatever they are.
_LONGEST = 18
_BLANK, _MINUS, _ZERO, _END = b" -0\n"


def write_words(file: Path, words: np.ndarray) -> None:
    """One sample a line, integers at the right ends of columns of one width, apart by a space."""
    rows = words.reshape(len(words), -1)
    columns = max(len(str(rows.min())), len(str(rows.max()))) if rows.size else 1
    if rows.dtype == object or columns > _LONGEST or not rows.size:
        texts = [" ".join(str(word).rjust(columns) for word in row) for row in rows.tolist()]
        file.write_text("".join(f"{text}\n" for text in texts))
    else:
        file.write_bytes(_aligned(rows, columns))


def _aligned(rows: np.ndarray, columns: int) -> bytes:
    """The text of ``rows`` ``(samples, words)`` with words of at most ``columns`` characters."""
    negative = rows < 0
    left = np.abs(rows.astype(np.int32 if columns <= 9 else np.int64))
    text = np.full((*rows.shape, columns + 1), _BLANK, dtype=np.uint8)
    more = np.ones(rows.shape, dtype=np.bool_)  # where a digit is still to be written
    signed = np.zeros(rows.shape, dtype=np.bool_)
    for place in range(columns - 1, -1, -1):
        rest = left // 10
        sign = negative & ~more & ~signed
        text[..., place] = np.where(more, left - 10 * rest + _ZERO, np.where(sign, _MINUS, _BLANK))
        signed |= sign
        left, more = rest, rest > 0
    text[:, -1, columns] = _END
    return text.tobytes()


def output_files(network: FixedPointNetwork) -> dict[str, str]:
    """The name that each output port's words go by, and its node: ``result``, or ``result_0``, ``result_1`` …"""
    if len(network.outputs) == 1:
        return {"result": network.outputs[0]}
    return {f"result_{number}": name for number, name in enumerate(network.outputs)}


def input_rows(network: FixedPointNetwork, words: Mapping[str, Words]) -> np.ndarray:
    """The words of all input ports, one behind the other: ``(samples, words of a sample)``."""
    return np.concatenate([words[node.name].reshape(len(words[node.name]), -1) for node in network.inputs], axis=1)


def read_formats(folder: Path) -> dict[str, FixedPoint]:
    """The formats of the compiled types by node name; output ports go by ``output_files``.

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
        text = file.read_bytes()
        words = _read_aligned(text, samples, size)
        if words is not None:
            return words.reshape(samples, *shape)
        rows = [row.split() for row in text.decode("ascii").splitlines()]
        words = np.array([word for row in rows for word in row], dtype=np.int64)
    except (OSError, ValueError, OverflowError) as error:
        raise BitMismatchError(f"cannot be read: {error}", where=str(file)) from None
    if len(rows) != samples or any(len(row) != size for row in rows):
        raise BitMismatchError(
            f"holds {words.size} words in {len(rows)} lines",
            where=str(file),
            allowed=f"{samples} lines of {size} words",
        )
    return words.reshape(samples, *shape)


def _read_aligned(text: bytes, samples: int, size: int) -> np.ndarray | None:
    """The words of ``text`` when it is laid out as ``write_words`` does it, every character checked; else None."""
    width, rest = divmod(len(text), max(samples * size, 1))
    columns = width - 1
    if rest or not 1 <= columns <= _LONGEST:
        return None
    characters = np.frombuffer(text, dtype=np.uint8).reshape(samples, size, width)
    if (characters[:, -1, columns] != _END).any() or (characters[:, :-1, columns] != _BLANK).any():
        return None
    kind = np.int16 if columns <= 4 else np.int32 if columns <= 9 else np.int64
    words: Words = np.zeros(samples * size, dtype=kind)
    begun = np.zeros(samples * size, dtype=np.bool_)
    negative = np.zeros(samples * size, dtype=np.bool_)
    is_digit = begun
    for place in np.ascontiguousarray(characters.reshape(-1, width)[:, :columns].T):
        digit = place - np.uint8(_ZERO)  # beyond 9 for every other character
        is_digit, is_minus = digit < 10, place == _MINUS
        if not (is_digit | ~begun & (is_minus | (place == _BLANK))).all():
            return None
        words *= kind(10)
        words += np.where(is_digit, digit, np.uint8(0))
        negative |= is_minus
        begun |= is_digit | is_minus
    if not is_digit.all():
        return None
    words[negative] *= kind(-1)
    return words.astype(np.int64)
