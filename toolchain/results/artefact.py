"""What the TFLite files and their runs hand on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from toolchain.results.record import Record, StageResult


class TfliteFile(Record):
    """One artefact."""

    path: str
    kind: Literal["float32", "float16", "dynamic_range", "post_training_int8", "int8", "int16x8", "int8_wide_result"]
    size_bytes: int
    sha256: str
    checked: str  # what its outputs were compared with, and the result


class TfliteResult(StageResult):
    """The artefacts, and their outputs on the test part in ``predictions.npz`` (an array per kind)."""

    files: tuple[TfliteFile, ...]
    skipped: dict[str, str] = Field({})  # kind -> why it was not made
    equal_words_share: float | None = None  # int8 output words equal to the network's, rounded to the int8 grid
    largest_word_difference: int | None = None


class ArmRun(Record):
    """One execution of the int8 artefact on ARM code, and what its gates found. Differences are in output words."""

    architecture: str
    cpu: str  # the core that was emulated, or the board's own name
    runtime: str  # with its version
    kernels: str  # reference, builtin, or default (XNNPACK)
    samples: int
    words: int
    rounding: Literal["once", "twice", "to_even"]
    machine_differences: int  # words unlike the prediction by integer arithmetic
    equal_words_share: float  # equal to the FixedPointNetwork's, rounded to the output port
    largest_word_difference: int  # from the FixedPointNetwork's
    allowed_word_difference: int
    decisions: int | None  # samples outside the tie band; None for regression
    different_decisions: int | None  # of those
    failures: tuple[str, ...] = ()  # gates that do not hold, in words


class ArmResult(StageResult):
    """The int8 artefact run on emulated ARM cores. ``not_verified``: part -> why it was not."""

    emulator: str
    model_sha256: str
    runs: tuple[ArmRun, ...]
    not_verified: dict[str, str] = Field({})
    arena_bytes: int | None = None  # that TFLite Micro's interpreter used
    plain_c_bytes: int | None = None  # code and constants of the generated C on Cortex-M3
    plain_c_ram_bytes: int | None = None
    seconds: float


class DeviceResult(StageResult):
    """The int8 artefact run on a real board. Times are of one invocation of one sample, default kernels, one thread,
    the call from Python included."""

    machine: str  # aarch64, armv7l, …
    processor: str
    system: str
    python: str
    runtime: str  # with its version
    model_sha256: str
    runs: tuple[ArmRun, ...]
    invocations: int
    p50_us: float
    p99_us: float
    remarks: tuple[str, ...] = ()
    measured: str  # ISO 8601, UTC


class EthosUResult(StageResult):
    """What Arm's compiler Vela says of the int8 file on an Ethos-U: its own model, no measurement."""

    vela_version: str
    accelerator: str
    system_config: str  # Vela's own memories and clock, by name
    memory_mode: str
    clock_hz: float
    npu_operators: int
    cpu_operators: int  # left to the core beside it
    on_cpu: tuple[str, ...] = ()  # which, with the name of their result
    macs: int
    cycles: int  # of the NPU, as Vela estimates them
    sram_bytes: int
    dram_bytes: int
    flash_bytes: int
    encoded_weight_bytes: int
