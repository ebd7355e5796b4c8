"""Stage ``arm``: the int8 artefact run on emulated ARM cores, every run held against the gates."""

from __future__ import annotations

import time
from pathlib import Path

from toolchain.arm.emulation import (
    RUNS,
    ArmOutputs,
    Emulator,
    Kernels,
    Runtime,
    open_emulator,
    run_on_arm,
    runtime_version,
)
from toolchain.arm.gates import ALLOWED_DIFFERENCE, Rounding, Task, Vectors, examine, read_vectors
from toolchain.arm.packages import ARCHITECTURES
from toolchain.arm.sysroot import open_sysroot
from toolchain.errors import BitMismatchError
from toolchain.results import ArmResult, ArmRun, DataResult, Job, TfliteFile, TfliteResult
from toolchain.target import Arm
from toolchain.workspace import file_digest


def int8_file(tflite: TfliteResult) -> TfliteFile | None:
    """The int8 artefact, when it was made."""
    return next((file for file in tflite.files if file.kind == "int8"), None)


def verify_on_arm(data: DataResult, tflite: TfliteResult, arm: Arm | None, job: Job) -> ArmResult:
    """Run ``model.int8.tflite`` on aarch64 and armv7 with ``test_vectors.npz``; a gate that does not hold stands in
    its run's ``failures``. ``arm``: the target's cores, whose kind is emulated where qemu knows it.

    Raises ExternalToolError when the emulation is not set up or fails, BitMismatchError when a runtime refuses the file
    or it is not the one that the stage ``tflite`` wrote.
    """
    start = time.monotonic()
    emulators = [_open(architecture, arm) for architecture in ARCHITECTURES]
    artefact = int8_file(tflite)
    assert artefact is not None, "the pipeline asks only where there is an int8 file"
    model = tflite.folder / artefact.path
    _check_file(model, artefact)
    vectors = read_vectors(tflite.folder / "test_vectors.npz")
    plan = [(emulator, *item) for emulator in emulators for item in RUNS[emulator.sysroot.architecture].items()]
    runs: list[ArmRun] = []
    for place, (emulator, runtime, kernels) in enumerate(plan):
        job.progress(f"{emulator.sysroot.architecture} {runtime}", place, len(plan))
        runs += _run(emulator, model, vectors, (runtime, kernels), data.task)
    return ArmResult(
        emulator=f"qemu {emulators[0].version}", model_sha256=artefact.sha256, runs=tuple(runs),
        seconds=time.monotonic() - start,
    )  # fmt: skip


def problems(found: ArmResult) -> list[BitMismatchError]:
    """The gates that do not hold, as errors."""
    return [
        BitMismatchError(
            failure, where=f"model.int8.tflite on {run.architecture}: {run.runtime}, {run.kernels} kernels",
            hint="docs/arm.md says what each gate allows and why",
        )
        for run in found.runs
        for failure in run.failures
    ]  # fmt: skip


def _open(architecture: str, arm: Arm | None) -> Emulator:
    known = next(name for name in ARCHITECTURES if name == architecture)
    cpu = arm.qemu_cpu if arm and arm.architecture == architecture else ""
    return open_emulator(open_sysroot(known), cpu)


def _check_file(model: Path, artefact: TfliteFile) -> None:
    found = file_digest(model) if model.is_file() else "no file"
    if found != artefact.sha256:
        raise BitMismatchError(
            f"its SHA-256 is {found}", where=str(model), allowed=artefact.sha256, hint="run the tflite stage again"
        )


def _run(
    emulator: Emulator, model: Path, vectors: Vectors, plan: tuple[Runtime, dict[Kernels, Rounding]], task: Task
) -> list[ArmRun]:
    runtime, kernels = plan
    found_here = run_on_arm(emulator, model, vectors.inputs, runtime, tuple(kernels))
    ports = _port_failures(vectors, found_here)
    runs = []
    for name, rounding in kernels.items():
        found = examine(vectors, found_here.words[name], rounding, task)
        runs.append(
            ArmRun(
                architecture=emulator.sysroot.architecture, cpu=emulator.cpu,
                runtime=f"{runtime} {runtime_version(emulator.sysroot, runtime)}", kernels=name,
                rounding=rounding,
                samples=len(vectors.inputs), words=int(vectors.network.size),
                machine_differences=found.machine_differences, equal_words_share=found.equal_words_share,
                largest_word_difference=found.largest_word_difference,
                allowed_word_difference=ALLOWED_DIFFERENCE[rounding],
                decisions=found.decisions, different_decisions=found.different_decisions,
                failures=(*ports, *found.failures),
            )
        )  # fmt: skip
    return runs


def _port_failures(vectors: Vectors, found: ArmOutputs) -> tuple[str, ...]:
    """The words may be right while the scales are wrong with which a user makes and reads them."""
    expected = (
        ("input", found.input, (vectors.input_scale, vectors.input_zero_point)),
        ("output", found.output, (vectors.scale, vectors.zero_point)),
    )
    return tuple(
        f"the {name} port's scale and zero point are {grid}, the words were made with {wanted}"
        for name, grid, wanted in expected
        if grid != wanted
    )
