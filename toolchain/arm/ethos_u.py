"""Stage ``ethos_u``: what Arm's compiler Vela makes of the int8 file for the target's Ethos-U; its own account.

Vela is a program of its own (PyPI: ethos-u-vela). Figures are its model of the processor, no measurement; the memories
are those of its default configuration, whose name is reported.
"""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from toolchain.arm.stage import check_artefact
from toolchain.errors import ExternalToolError
from toolchain.results import EthosUResult, TfliteResult
from toolchain.target import Arm

_SECONDS = 600
_KIB = 1024
_ON_CPU = re.compile(r"operator: (\w+), ofm: '([^']*)'")
_COUNT = re.compile(r"^(CPU|NPU) operators = (\d+)", re.MULTILINE)


def has_ethos_u(arm: Arm | None) -> bool:
    """Whether the target has a processor that Vela compiles for."""
    return arm is not None and arm.npu.startswith("ethos-u")


def report_ethos_u(tflite: TfliteResult, arm: Arm) -> EthosUResult:
    """Compile ``model.int8.tflite`` for ``arm.npu`` and read Vela's summary.

    Raises ExternalToolError when Vela is missing, fails or says something that cannot be read; BitMismatchError when
    the file is not the one that the stage ``tflite`` wrote.
    """
    model, command = check_artefact(tflite), find_vela()
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(model), "--accelerator-config", arm.npu, "--output-dir", folder]
        said = _call([*command, *arguments])
        tables = sorted(Path(folder).glob("*_summary_*.csv"))
        if len(tables) != 1:
            raise ExternalToolError(f"wrote {len(tables)} summaries", where="vela", allowed="one")
        return read_summary(tables[0].read_text(encoding="utf-8"), said, _call([*command, "--version"]).strip())


def find_vela() -> list[str]:
    """How Vela is called here: the program on PATH or beside this Python, else its module. Raises ExternalToolError."""
    program = shutil.which("vela") or shutil.which("vela", path=str(Path(sys.executable).parent))
    if program is not None:
        return [program]
    if find_spec("ethosu") is not None:
        return [sys.executable, "-m", "ethosu.vela"]
    raise ExternalToolError("is not installed", where="vela", hint="pip install 'toolchain[ethos-u]'")


def read_summary(table: str, said: str, version: str) -> EthosUResult:
    """The result of Vela's summary ``table`` (CSV, one row) and of what it ``said``. Raises ExternalToolError."""
    rows = list(csv.DictReader(table.splitlines()))
    counts = {kind: int(count) for kind, count in _COUNT.findall(said)}
    if len(rows) != 1 or counts.keys() != {"CPU", "NPU"}:
        text = f"its summary has {len(rows)} rows and counts operators on {sorted(counts)}"
        raise ExternalToolError(text, where=f"vela {version}", allowed="one row, and counts for CPU and NPU")
    row = rows[0]
    on_cpu = tuple(f"{kind} ({name})" for kind, name in dict.fromkeys(_ON_CPU.findall(said)))
    try:
        memory = {
            name: round(float(row[f"{name}_memory_used"]) * _KIB)
            for name in ("sram", "dram", "on_chip_flash", "off_chip_flash")
        }
        return EthosUResult(
            vela_version=version, accelerator=row["accelerator_configuration"], system_config=row["system_config"],
            memory_mode=row["memory_mode"], clock_hz=float(row["core_clock"]), npu_operators=counts["NPU"],
            cpu_operators=counts["CPU"], on_cpu=on_cpu, macs=int(row["nn_macs"]), cycles=int(row["cycles_total"]),
            sram_bytes=memory["sram"], dram_bytes=memory["dram"],
            flash_bytes=memory["on_chip_flash"] + memory["off_chip_flash"],
            encoded_weight_bytes=int(row["total_npu_encoded_weights"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        text = f"its summary cannot be read: {type(error).__name__} {error}"
        raise ExternalToolError(text, where=f"vela {version}", hint="version 5.2 was tried") from None


def _call(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ExternalToolError(f"did not end within {_SECONDS} s", where="vela") from None
    except OSError as error:
        raise ExternalToolError(f"cannot be started: {error.strerror}", where=command[0]) from None
    if done.returncode:
        last = ([line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"])[-1]
        raise ExternalToolError(f"failed: {last[:300]}", where="vela")
    return done.stdout + done.stderr
