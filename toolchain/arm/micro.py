"""TFLite Micro's own interpreter (its x86-64 build): the words that a Cortex-M gives, and the arena it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import BitMismatchError, ExternalToolError

PROGRAM = Path(__file__).with_name("micro_program.py")
_SECONDS = 600


@dataclass(frozen=True, eq=False)
class MicroRun:
    """int8 words ``(samples, *shape)``; ``arena_bytes`` is what the interpreter used of its arena."""

    words: NDArray[Any]
    arena_bytes: int
    version: str


def run_on_micro(model: Path, inputs: NDArray[Any]) -> MicroRun:
    """Run ``model`` on int8 ``inputs (samples, *shape)``.

    Raises ExternalToolError when the package is missing or its process fails, BitMismatchError when the interpreter
    refuses the file.
    """
    try:
        found_version = version("tflite-micro")
    except PackageNotFoundError:
        raise ExternalToolError("is not installed", where="tflite-micro", hint="pip install 'toolchain[arm]'") from None
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.save(place / "inputs.npy", inputs, allow_pickle=False)
        command = [sys.executable, str(PROGRAM), str(model), str(place / "inputs.npy"), str(place / "outputs.npy")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise ExternalToolError(f"did not end within {_SECONDS} s", where="tflite-micro") from None
        if done.returncode:
            last = ([line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"])[-1]
            raise BitMismatchError(f"TFLite Micro refuses it: {last[:300]}", where=str(model))
        words = np.load(place / "outputs.npy", allow_pickle=False)
    total = re.search(r"Arena allocation total (\d+) bytes", done.stdout + done.stderr)
    if total is None:
        raise ExternalToolError("does not say how large its arena is", where=f"tflite-micro {found_version}")
    return MicroRun(words, int(total.group(1)), found_version)
