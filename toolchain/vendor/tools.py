"""Which HLS tool is on PATH, what version it is, and how it is called.

Vivado HLS up to 2020.1 is ``vivado_hls -f``; Vitis HLS from 2020.2 ``vitis_hls -f``; from 2024.2 ``vitis-run --mode hls
--tcl`` (AMD UG1399), which is taken first where both are there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.errors import ExternalToolError

OLDEST, NEWEST = (2018, 2025)


@dataclass(frozen=True)
class Tool:
    """A tool and the version that it says it is."""

    kind: Literal["vitis", "vivado"]
    program: str
    version: str

    def command(self, script: str) -> list[str]:
        """How to run a Tcl script."""
        if Path(self.program).name == "vitis-run":
            return [self.program, "--mode", "hls", "--tcl", script]
        return [self.program, "-f", script]


def find_tool(backend: Literal["vitis", "vivado"]) -> Tool:
    """The tool for a project of ``backend``. Raises ExternalToolError when there is none, or one of unknown version."""
    names = ("vitis-run", "vitis_hls") if backend == "vitis" else ("vivado_hls",)
    for name in names:
        program = shutil.which(name)
        if program:
            return Tool(backend, program, _version(program))
    raise ExternalToolError(
        f"{' and '.join(names)} {'were' if len(names) > 1 else 'was'} not found on PATH", where="synth",
        allowed="Vitis HLS 2020.2 to 2025, Vivado HLS 2018.2 to 2020.1",
        hint="source settings64.sh of the installation; 'toolchain estimate' needs no vendor tool",
    )  # fmt: skip


def require_vivado() -> str:
    """Vivado itself, for logic synthesis. Raises ExternalToolError."""
    program = shutil.which("vivado")
    if program is None:
        raise ExternalToolError(
            "vivado was not found on PATH", where="synth --logic", hint="source settings64.sh, or leave --logic out"
        )
    return program


def run(command: list[str], folder: Path, log: Path) -> None:
    """Run a tool in ``folder``, its output going to ``log``. Raises ExternalToolError when it fails."""
    with log.open("w") as stream:
        done = subprocess.run(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        last = [line for line in log.read_text(errors="replace").splitlines() if "ERROR" in line][-3:]
        raise ExternalToolError(
            f"{Path(command[0]).name} ended with exit code {done.returncode}: {' '.join(last)[:300]}", where="synth",
            hint=f"its whole output: {log}",
        )  # fmt: skip


def _version(program: str) -> str:
    done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, timeout=300)
    found = re.search(r"(?<!\d)(20\d\d)\.(\d)", done.stdout + done.stderr)
    if not found:
        raise ExternalToolError(f"{program} does not say its version", where="synth", allowed="2018.2 to 2025.2")
    if not OLDEST <= int(found[1]) <= NEWEST:
        raise ExternalToolError(f"{program} is version {found[0]}", where="synth", allowed="2018.2 to 2025.2")
    return found[0]
