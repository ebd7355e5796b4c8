"""Stage ``device``: the int8 artefact copied to a real board, run and measured there, held against the same gates."""

from __future__ import annotations

import base64
import binascii
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.arm.device_program import ANSWER
from toolchain.arm.gates import Findings, Rounding, Task, Vectors, examine, read_vectors, task_of
from toolchain.arm.remote import run_remotely
from toolchain.arm.stage import Core, check_artefact, port_failures, record
from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.results import ArmRun, DataResult, DeviceResult, Record, TfliteResult
from toolchain.target import Device, Target

PROGRAM = Path(__file__).with_name("device_program.py")
#: Any version may run on a board. Reference kernels of every version measured round in one of two ways; what the
#: default kernels are depends on how the runtime was built, so their nearest prediction is counted, not demanded.
ROUNDINGS: dict[str, tuple[Rounding, ...]] = {
    "reference": ("once", "twice"),
    "default": ("to_even", "once", "twice"),
}
_MACHINES = {"aarch64": ("aarch64", "arm64"), "armv7": ("armv7l", "armv8l", "aarch64")}
_INSTALL = "on the board: pip install ai-edge-litert numpy (or tflite-runtime)"


class _Words(Record):
    dtype: str
    shape: tuple[int, ...]
    words: str  # base64

    def read(self) -> NDArray[Any]:
        kind = np.dtype(self.dtype)
        return np.frombuffer(base64.b64decode(self.words, validate=True), kind).reshape(self.shape)


class _Answer(Record):
    """What ``device_program.py`` printed."""

    machine: str
    processor: str
    system: str
    python: str
    runtime: str
    governor: str
    model_sha256: str
    ports: tuple[tuple[float, int], ...]  # of every input, then of the output
    nanoseconds: tuple[int, ...]
    runs: dict[str, _Words]


def run_on_device(data: DataResult, tflite: TfliteResult, target: Target) -> DeviceResult:
    """Run ``model.int8.tflite`` with ``test_vectors.npz`` on the board of ``target``; a gate that does not hold stands
    in its run's ``failures``. The words compared are those of the invocations that were timed.

    Raises ExternalToolError when the board cannot be used, BitMismatchError when its runtime refuses the file or
    another file arrived there.
    """
    device = target.device
    assert device is not None, "the command asks only where the target has a board"
    model = check_artefact(tflite)
    content = model.read_bytes()
    vectors = read_vectors(tflite.folder / "test_vectors.npz")
    stream = io.BytesIO()
    np.save(stream, vectors.inputs, allow_pickle=False)
    files = {"model.tflite": content, "inputs.npy": stream.getvalue(), "program.py": PROGRAM.read_bytes()}
    answer = read_answer(run_remotely(device, files), device)
    expected = next(file.sha256 for file in tflite.files if file.kind == "int8")
    if answer.model_sha256 != expected:
        raise BitMismatchError(f"another file arrived: SHA-256 {answer.model_sha256}", where=device.ssh)
    times = np.array(answer.nanoseconds) / 1000
    return DeviceResult(
        machine=answer.machine, processor=answer.processor, system=answer.system, python=answer.python,
        runtime=answer.runtime, model_sha256=expected, runs=_examined(answer, vectors, task_of(data), device),
        invocations=len(times), p50_us=float(np.percentile(times, 50)), p99_us=float(np.percentile(times, 99)),
        remarks=_remarks(answer, target), measured=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def read_answer(output: str, device: Device) -> _Answer:
    """The program's answer among whatever else the board's shell prints. Raises ExternalToolError, BitMismatchError."""
    lines = [line.removeprefix(ANSWER) for line in output.splitlines() if line.startswith(ANSWER)]
    if len(lines) != 1:
        raise ExternalToolError("the program ended without an answer", where=device.ssh)
    try:
        content = json.loads(lines[0])
        if "missing" in content:
            what = f"has no {content['missing']} for {device.python}"
            raise ExternalToolError(what, where=device.ssh, hint=_INSTALL)
        if "refused" in content:
            raise BitMismatchError(f"the board's runtime refuses it: {content['refused']}", where="model.int8.tflite")
        answer = _Answer.model_validate_json(lines[0])
    except (ValueError, TypeError, KeyError) as error:
        text = str(error).replace("\n", " ")[:300]
        raise ExternalToolError(f"its answer cannot be read: {text}", where=device.ssh) from None
    if answer.runs.keys() != ROUNDINGS.keys() or not answer.nanoseconds or not answer.ports:
        raise ExternalToolError(f"its answer has runs {sorted(answer.runs)} only", where=device.ssh)
    return answer


def _examined(answer: _Answer, vectors: Vectors, task: Task, device: Device) -> tuple[ArmRun, ...]:
    ports = port_failures(vectors, answer.ports[:-1], answer.ports[-1])
    runs = []
    for kernels, roundings in ROUNDINGS.items():
        try:
            words = answer.runs[kernels].read()
        except (ValueError, TypeError, binascii.Error) as error:
            raise ExternalToolError(f"its words cannot be read: {error}", where=device.ssh) from None
        rounding, found = _nearest(vectors, words, roundings, task, exact=kernels == "reference")
        core = Core(answer.machine, answer.processor)
        run = record(core, answer.runtime, (kernels, rounding), found, vectors)
        runs.append(run.model_copy(update={"failures": (*ports, *run.failures)}))
    return tuple(runs)


def _nearest(
    vectors: Vectors, words: NDArray[Any], roundings: tuple[Rounding, ...], task: Task, exact: bool
) -> tuple[Rounding, Findings]:
    """The rounding whose prediction fits most words, and what its gates found."""
    found = [(rounding, examine(vectors, words, rounding, task, exact)) for rounding in roundings]
    return min(found, key=lambda pair: pair[1].machine_differences)


def _remarks(answer: _Answer, target: Target) -> tuple[str, ...]:
    remarks = []
    wanted = _MACHINES.get(target.arm.architecture, ()) if target.arm else ()
    if target.arm and answer.machine not in wanted:
        remarks.append(f"the board is {answer.machine}, the target's core {target.arm.core} {target.arm.architecture}")
    if answer.governor and answer.governor != "performance":
        remarks.append(f"the clock was not held: its governor was '{answer.governor}'")
    return tuple(remarks)
