"""Stage ``arm``: the int8 artefact run on emulated ARM cores, every run held against the gates."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.arm.bare_metal import BOARD, CPU, run_bare_metal
from toolchain.arm.emulation import (
    RUNS,
    Emulator,
    Grid,
    Kernels,
    Runtime,
    open_emulator,
    run_on_arm,
    runtime_version,
)
from toolchain.arm.gates import ALLOWED_DIFFERENCE, Findings, Rounding, Task, Vectors, examine, read_vectors, task_of
from toolchain.arm.micro import run_on_micro
from toolchain.arm.packages import ARCHITECTURES
from toolchain.arm.sysroot import open_sysroot
from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.results import ArmResult, ArmRun, DataResult, DeviceResult, Job, TfliteFile, TfliteResult
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
    model = check_artefact(tflite)
    vectors = read_vectors(tflite.folder / "test_vectors.npz")
    plan = [(emulator, *item) for emulator in emulators for item in RUNS[emulator.sysroot.architecture].items()]
    runs: list[ArmRun] = []
    for place, (emulator, runtime, kernels) in enumerate(plan):
        job.progress(f"{emulator.sysroot.architecture} {runtime}", place, len(plan))
        runs += _run(emulator, model, vectors, (runtime, kernels), task_of(data))
    cortex_m = _run_on_cortex_m(model, vectors, task_of(data))
    return ArmResult(
        emulator=f"qemu {emulators[0].version}", model_sha256=file_digest(model), runs=(*runs, *cortex_m.runs),
        not_verified=cortex_m.missing, arena_bytes=cortex_m.arena_bytes, plain_c_bytes=cortex_m.code_bytes,
        plain_c_ram_bytes=cortex_m.ram_bytes, seconds=time.monotonic() - start,
    )  # fmt: skip


def problems(found: ArmResult | DeviceResult) -> list[BitMismatchError]:
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


def check_artefact(tflite: TfliteResult) -> Path:
    """The int8 file, as the stage ``tflite`` wrote it. Raises BitMismatchError when it is another."""
    artefact = int8_file(tflite)
    assert artefact is not None, "the pipeline asks only where there is an int8 file"
    model = tflite.folder / artefact.path
    found = file_digest(model) if model.is_file() else "no file"
    if found != artefact.sha256:
        raise BitMismatchError(
            f"its SHA-256 is {found}", where=str(model), allowed=artefact.sha256, hint="run the tflite stage again"
        )
    return model


def _run(
    emulator: Emulator, model: Path, vectors: Vectors, plan: tuple[Runtime, dict[Kernels, Rounding]], task: Task
) -> list[ArmRun]:
    runtime, kernels = plan
    outputs = run_on_arm(emulator, model, vectors.inputs, runtime, tuple(kernels))
    ports = port_failures(vectors, outputs.inputs, outputs.output)
    core = Core(emulator.sysroot.architecture, emulator.cpu)
    title = f"{runtime} {runtime_version(emulator.sysroot, runtime)}"
    runs = []
    for name, rounding in kernels.items():
        found = examine(vectors, outputs.words[name], rounding, task, exact=name != "default")
        run = record(core, title, (name, rounding), found, vectors)
        runs.append(run.model_copy(update={"failures": (*ports, *run.failures)}))
    return runs


def port_failures(vectors: Vectors, read: tuple[Grid, ...], result: Grid) -> tuple[str, ...]:
    """The words may be right while the scales are wrong with which a user makes and reads them."""
    sources = tuple(zip(vectors.input_scale, vectors.input_zero_point, strict=True))
    if len(sources) != len(read):
        return (f"the file has {len(read)} input ports, the words were made for {len(sources)}",)
    names = ["input"] if len(sources) == 1 else [f"input {place}" for place in range(len(sources))]
    expected = (
        *zip(names, read, sources, strict=True),
        ("output", result, (vectors.scale, vectors.zero_point)),
    )
    return tuple(
        f"the {name} port's scale and zero point are {grid}, the words were made with {wanted}"
        for name, grid, wanted in expected
        if grid != wanted
    )


@dataclass(frozen=True, slots=True)
class Core:
    """Whose code was run."""

    architecture: str
    cpu: str


@dataclass
class CortexM:
    """The runs for Cortex-M and what they need; ``missing``: part -> why it was not run."""

    runs: list[ArmRun] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    arena_bytes: int | None = None
    code_bytes: int | None = None
    ram_bytes: int | None = None


def _run_on_cortex_m(model: Path, vectors: Vectors, task: Task) -> CortexM:
    """TFLite Micro's interpreter, and the generated C bare-metal; each only where its tools are installed."""
    found = CortexM()
    try:
        micro = run_on_micro(model, vectors.inputs)
        core, title = Core("x86-64", "interpreter for Cortex-M"), f"tflite-micro {micro.version}"
        kernels: tuple[str, Rounding] = ("reference", "twice")
        findings = examine(vectors, micro.words, "twice", task)
        found.runs.append(record(core, title, kernels, findings, vectors))
        found.arena_bytes = micro.arena_bytes
    except ExternalToolError as error:
        found.missing["TFLite Micro"] = f"{error.where} {error.problem}"
    try:
        metal = run_bare_metal(model.parent / "plain_c", vectors.inputs, vectors.twice.shape[1:])
        part = vectors.first(len(metal.words))
        core, title = Core("armv7-m", f"{CPU}, bare-metal on {BOARD}"), f"generated C, {metal.compiler}"
        findings = examine(part, metal.words, "to_even", task)
        found.runs.append(record(core, title, ("generated", "to_even"), findings, part))
        found.code_bytes, found.ram_bytes = metal.code_bytes, metal.ram_bytes
    except ExternalToolError as error:
        found.missing["bare-metal Cortex-M3"] = f"{error.where} {error.problem}"
    return found


def record(core: Core, runtime: str, kernels: tuple[str, Rounding], found: Findings, vectors: Vectors) -> ArmRun:
    """What ``found`` says of one run; ``kernels``: their name, and how they round."""
    name, rounding = kernels
    return ArmRun(
        architecture=core.architecture, cpu=core.cpu, runtime=runtime, kernels=name, rounding=rounding,
        samples=len(vectors.inputs), words=int(vectors.network.size), machine_differences=found.machine_differences,
        equal_words_share=found.equal_words_share, largest_word_difference=found.largest_word_difference,
        allowed_word_difference=ALLOWED_DIFFERENCE[rounding], decisions=found.decisions,
        different_decisions=found.different_decisions, failures=found.failures,
    )  # fmt: skip
