"""Instructions of one inference on an emulated core, counted by a TCG plugin of qemu. They are no time."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from toolchain.arm.emulation import Emulator, Runtime, execute, write_repeated_job
from toolchain.errors import ExternalToolError

_SOURCE = Path(__file__).with_name("instructions.c")
_FEW, _MANY, _RUNS = 20, 120, 3


def count_instructions(emulator: Emulator, model: Path, inputs: NDArray[Any], runtime: Runtime = "litert") -> float:
    """Instructions that the core executes for one invocation of ``model`` on one sample with the default kernels.

    ``inputs (samples, *shape)`` of the file's own type; the first sample is used. The difference of 120 and 20
    invocations over 100: start, loading and preparation cancel; the call from Python stays in. Each is the least of
    three runs, since whatever else the process does only adds. Raises ExternalToolError when there is no C compiler or
    this qemu does not take the plugin.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        plugin = build_plugin(place)
        few, many = (
            min(_count(emulator, plugin, model, inputs, (runtime, repeats)) for _ in range(_RUNS))
            for repeats in (_FEW, _MANY)
        )
    return (many - few) / (_MANY - _FEW)


def build_plugin(folder: Path) -> Path:
    """Compile the plugin into ``folder``. Raises ExternalToolError."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise ExternalToolError("is missing", where="gcc", hint="apt-get install gcc")
    plugin = folder / "instructions.so"
    command = [compiler, "-shared", "-fPIC", "-O2", str(_SOURCE), "-o", str(plugin)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExternalToolError(f"failed: {done.stderr.strip()[-300:]}", where="gcc")
    return plugin


def _count(emulator: Emulator, plugin: Path, model: Path, inputs: NDArray[Any], plan: tuple[Runtime, int]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        job = write_repeated_job(Path(folder), model, inputs, *plan)
        done = execute(emulator, [str(job)], ("-plugin", str(plugin), "-d", "plugin"))
    found = re.search(r"instructions (\d+)", done.stderr)
    if done.returncode or found is None:
        last = ([line for line in done.stderr.splitlines() if line.strip()] or ["nothing was said"])[-1]
        raise ExternalToolError(
            f"counted no instructions: {last[:300]}", where=f"{Path(emulator.program).name} {emulator.version}",
            hint="the plugin is for qemu 7.2 (API version 1), dynamically linked",
        )  # fmt: skip
    return int(found.group(1))
