"""Raw words as text: a file for each node, a line for each sample; ``formats.txt`` tells their types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from toolchain.errors import BitMismatchError
from toolchain.fixed_point import FixedPoint, Words, parse_ap_fixed
from toolchain.network.nodes import FixedPointNetwork


def write_words(file: Path, words: np.ndarray) -> None:
    """One sample a line, integers apart by spaces."""
    rows = words.reshape(len(words), -1).tolist()
    file.write_text("\n".join(" ".join(map(str, row)) for row in rows) + "\n")


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
