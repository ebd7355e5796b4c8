"""Execution time and peak memory against the size of the data: each figure from a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from toolchain.errors import ExternalToolError
from toolchain.results import FloatArray, Record

#: Days of data, to the paper's largest.
SIZES = (1250, 2500, 5000, 10000, 15000, 20000)


class Measured(Record):
    """One model on so many days: the median of five runs over all windows, and the whole process's peak memory."""

    model: str
    days: int
    seconds: float
    peak_mb: float  # 10^6 bytes of resident memory, the libraries included


def measure(
    models: dict[str, Path], inputs: FloatArray, sizes: Sequence[int], say: Callable[[str], None]
) -> tuple[Measured, ...]:
    """Run every model on windows for every size; ``inputs (samples, *shape)`` are repeated where they are too few.

    ``models``: title -> ``model.keras`` or ``network.fpn``. The values of the inputs do not change time or memory.
    Raises ExternalToolError when a process fails.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for days in sizes:
            file = Path(folder) / "inputs.npy"
            np.save(file, np.take(inputs, np.arange(days) % len(inputs), axis=0).astype(np.float32))
            for title, model in models.items():
                seconds, peak = _run(model, file, Path(folder) / "found.json")
                found.append(Measured(model=title, days=days, seconds=seconds, peak_mb=peak))
                say(f"{days} days, {title}: {seconds:.3g} s, {peak:.0f} MB")
    return tuple(found)


def _run(model: Path, inputs: Path, result: Path) -> tuple[float, float]:
    command = [sys.executable, "-m", "toolchain.study.measured_run", str(model), str(inputs), str(result)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise ExternalToolError(f"ended with exit code {done.returncode}: {last[:300]}", where=f"measuring {model}")
    found = json.loads(result.read_text(encoding="utf-8"))
    return float(found["seconds"]), float(found["peak_mb"])
