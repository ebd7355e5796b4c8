"""The schema of ``report.json``: every key, documented and stable.

A key is never renamed, and its meaning never changes, while ``schema_version`` stays the same; new keys may appear.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from toolchain.report.descriptions import DESCRIPTIONS
from toolchain.results import (
    ArmRun,
    Comparison,
    EstimateResult,
    Interval,
    PruneMeasures,
    Record,
    RemovedGroup,
    TfliteFile,
)

SCHEMA_VERSION = 1


class BitAccuracy(Comparison):
    """The verdict: the C-simulation of the hardware against the integer network, word by word, every layer."""

    model: Comparison = Field(description="the second statement: the integer network against the QKeras model")
    window: Comparison | None = Field(
        default=None, description="of a recurrent step: run over the window, against the unrolled network; else null"
    )


class Estimate(EstimateResult):
    """Resources, latency and throughput, each with its 80 % interval, and the device they are held against."""

    part: str = Field(description="FPGA part number")
    clock_period_ns: float = Field(description="clock period that was asked for")
    device: dict[str, int] = Field(description="what the device holds: dsp, bram_18k, lut, ff (where known)")


class PrunedLayer(Record):
    """One kernel after pruning."""

    name: str = Field(description="name of the layer")
    kind: str = Field(description="kind of layer")
    shape_before: tuple[int, ...] = Field(description="shape of the kernel before neurons or filters were cut out")
    shape: tuple[int, ...] = Field(description="shape of the kernel that is left")
    parameters_before: int = Field(description="kernel and bias before pruning")
    parameters: int = Field(description="kernel and bias that are left, zeros included")
    weights_before: int = Field(description="weights of the kernel before pruning")
    weights: int = Field(description="weights of the kernel that are left, zeros included")
    zeros: int = Field(description="zeros among the weights that are left")
    sparsity: float = Field(description="zeros / weights that are left, as a fraction")


class Pruning(Record):
    """What pruning took away."""

    sparsity: float = Field(description="fraction of the kernel weights before pruning that are gone: zero or cut out")
    remaining_sparsity: float = Field(description="zeros / weights over the kernels that are left")
    parameters_before: int = Field(description="kernels and biases before pruning")
    parameters_after: int = Field(description="kernels and biases left, zeros included")
    layers: tuple[PrunedLayer, ...] = Field(description="every kernel, in the order of the model")
    removed: tuple[RemovedGroup, ...] = Field(description="layers that lost neurons or filters")
    measures: PruneMeasures | None = Field(None, description="what it saved and what it cost, in total and by layer")


class OutputAccuracy(Record):
    """The metric of one of several outputs on the test part, by itself."""

    task: Literal["regression", "binary", "multiclass", "classification"] = Field(description="kind of task")
    metric: str = Field(description="rmse or accuracy")
    unit: str = Field(description="unit of the metric; empty for a fraction")
    port: str = Field(description="its argument of the top function in hls/; empty when no project was written")
    words: str = Field(description="name of its port's words in the C-simulation's folder: result_0, result_1 …")
    node: str = Field(description="node of the integer network that gives it; empty when nothing was quantized")
    stages: dict[str, Interval] = Field(description="stage -> the metric after it, for every stage that was measured")
    baselines: dict[str, Interval] = Field(description="what predicting without a model gives, by its name")


class Accuracy(Record):
    """The task metric on the test part, stage by stage, each with its 95 % interval; null where it was not measured."""

    metric: str = Field(description="rmse or accuracy")
    unit: str = Field(description="unit of the metric; empty for a fraction")
    lower_is_better: bool = Field(description="true for errors")
    float: Interval | None = Field(description="the float model")
    pruned: Interval | None = Field(description="the pruned float model")
    quantized: Interval | None = Field(description="the QKeras model")
    hls: Interval | None = Field(description="the hardware's own words, from the C-simulation")
    tflite_float32: Interval | None = Field(description="the float32 ARM artefact")
    tflite_int8: Interval | None = Field(description="the int8 ARM artefact; null when it was skipped")
    baselines: dict[str, Interval] = Field(description="what predicting without a model gives, by its name")
    missing: dict[str, str] = Field(description="stage -> why its metric was not measured")
    outputs: dict[str, OutputAccuracy] = Field(
        {}, description="of a model of several outputs: each alone, by its name; the metric above is over all of them"
    )


class TfliteAgreement(Record):
    """How far the int8 artefact's output words are from the network's, on the int8 output grid."""

    equal_words_share: float | None = Field(description="fraction of output words that are equal")
    largest_word_difference: int | None = Field(description="largest difference, in int8 words")


class Agreement(Record):
    """Two of FPGA (C-simulation), ARM (int8 file) and QKeras on the same samples: the test part."""

    first: str = Field(description="FPGA, ARM or QKeras")
    second: str = Field(description="FPGA, ARM or QKeras")
    equal_values_share: float = Field(description="fraction of the outputs that are equal to the last bit")
    largest_difference: float = Field(description="largest difference of two outputs, in the model's output units")
    equal_decisions_share: float | None = Field(description="fraction of equal classes or signs; null for regression")


class ArmVerification(Record):
    """The int8 artefact run on emulated ARM cores."""

    emulator: str = Field(description="the emulator and its version")
    runs: tuple[ArmRun, ...] = Field(description="every core, runtime and kind of kernels that was run")
    not_verified: dict[str, str] = Field(description="part -> why it was not run")
    arena_bytes: int | None = Field(description="what TFLite Micro used of its arena; null when it was not run")
    plain_c_bytes: int | None = Field(description="code and constants of the generated C on Cortex-M3")
    plain_c_ram_bytes: int | None = Field(description="variables of the generated C on Cortex-M3")


class DeviceMeasurement(Record):
    """The int8 artefact run on a real board over ssh."""

    machine: str = Field(description="its architecture, as its own kernel names it")
    processor: str = Field(description="the board's or the processor's own name")
    system: str = Field(description="its operating system")
    python: str = Field(description="version of its Python, which makes the calls")
    runtime: str = Field(description="the TFLite runtime and its version")
    model_sha256: str = Field(description="of the file that ran there")
    runs: tuple[ArmRun, ...] = Field(description="every kind of kernels that was run")
    invocations: int = Field(description="how many were timed, each of one sample")
    p50_us: float = Field(description="median of one invocation, default kernels, one thread, in microseconds")
    p99_us: float = Field(description="99th percentile of the same, in microseconds")
    remarks: tuple[str, ...] = Field(description="what to know of the board and its clock")
    measured: str = Field(description="when: ISO 8601, UTC")


class EthosU(Record):
    """What Arm's compiler Vela says of the int8 artefact on the target's Ethos-U: its own model, no measurement."""

    vela_version: str = Field(description="version of Vela")
    accelerator: str = Field(description="the processor, as Vela names it")
    system_config: str = Field(description="Vela's configuration of memories and clock")
    memory_mode: str = Field(description="Vela's memory mode")
    clock_hz: float = Field(description="clock of that configuration")
    npu_operators: int = Field(description="operators that run on the Ethos-U")
    cpu_operators: int = Field(description="operators that are left to the core beside it")
    on_cpu: tuple[str, ...] = Field(description="which those are")
    macs: int = Field(description="multiplications of one inference")
    cycles: int = Field(description="cycles of one inference, as Vela estimates them")
    sram_bytes: int = Field(description="SRAM in use")
    dram_bytes: int = Field(description="DRAM in use")
    flash_bytes: int = Field(description="flash in use")
    encoded_weight_bytes: int = Field(description="weights as the Ethos-U reads them")


class Budget(Record):
    """The project's upper bounds and the device's size."""

    met: bool | None = Field(description="true: nothing is exceeded; false: see problems; null: nothing was estimated")
    limits: dict[str, float] = Field(description="the bounds that project.toml sets")
    problems: tuple[str, ...] = Field(description="what is exceeded, and what to change")


class Stage(Record):
    """How one stage of this run went."""

    name: str = Field(description="name of the stage")
    seconds: float = Field(description="wall time in this run")
    cached: bool = Field(description="true: nothing it depends on had changed, so its stored result was used")


class SkippedStage(Record):
    """A stage that did not run."""

    name: str = Field(description="name of the stage")
    why: str = Field(description="the reason, for people")


class DataSummary(Record):
    """The data behind the figures."""

    source: str = Field(description="where the samples come from, for people")
    task: Literal["regression", "binary", "multiclass", "classification"] = Field(
        description="kind of task; classification: of several outputs, each binary or multiclass"
    )
    counts: dict[str, int] = Field(description="samples in train, validation and test")
    first_test_time: str = Field(description="first time step of the test part")
    last_test_time: str = Field(description="last time step of the test part")
    notes: tuple[str, ...] = Field(description="what was found and done when loading")
    sha256: str = Field(description="of the prepared samples")


class TargetSummary(Record):
    """The device this was built for."""

    name: str = Field(description="name of the target file")
    title: str = Field(description="the device, for people")
    part: str = Field(description="FPGA part; empty when the target has none")
    arm_core: str = Field(description="ARM core; empty when the target has none")


class Report(Record):
    """``report.json``."""

    schema_version: Literal[1] = Field(description="version of this schema")
    project: str = Field(description="name of the project")
    description: str = Field(description="the project's own description")
    target: TargetSummary = Field(description="the device")
    created: str = Field(description="when the report was written: ISO 8601, UTC")
    toolchain_version: str = Field(description="version of this package")
    exit_code: int = Field(description="exit code of the build: 0, 4 (does not fit) or 5 (bit mismatch)")
    bit_accuracy: BitAccuracy = Field(description="the verdict")
    estimate: Estimate | None = Field(description="null when the target has no FPGA or the stage was skipped")
    pruning: Pruning | None = Field(description="null when the stage was skipped")
    accuracy: Accuracy = Field(description="the task metric through the stages, beside the baselines")
    tflite: tuple[TfliteFile, ...] = Field(description="the ARM artefacts; paths are relative to report.json")
    tflite_skipped: dict[str, str] = Field(description="kind of artefact -> why it was not made")
    tflite_agreement: TfliteAgreement | None = Field(description="null without an int8 artefact")
    arm: ArmVerification | None = Field(description="the runs on ARM code; null when there were none: arm_not_run")
    arm_not_run: str = Field(description="why nothing was run on ARM code; empty when it was")
    device: DeviceMeasurement | None = Field(description="the run on a real board; null when there was none")
    ethos_u: EthosU | None = Field(description="the int8 artefact on the target's Ethos-U; null without one or Vela")
    agreement: tuple[Agreement, ...] = Field(description="FPGA, ARM and QKeras against one another on the test part")
    budget: Budget = Field(description="what must not be exceeded")
    stages: tuple[Stage, ...] = Field(description="the stages of the run that wrote this report, in order")
    skipped_stages: tuple[SkippedStage, ...] = Field(description="stages that did not run, and why")
    tool_versions: dict[str, str] = Field(description="versions of the packages and the compiler that took part")
    options: dict[str, Any] = Field(description="project.toml with every default and --set filled in")
    data: DataSummary = Field(description="the data behind the figures")

    def _repr_html_(self) -> str:
        """The table that a notebook shows."""
        from toolchain.report.notebook import html_table

        return html_table(self)


def schema_json() -> str:
    """The JSON schema of report.json, as docs/report.schema.json holds it: every property has its description."""
    schema = Report.model_json_schema(mode="serialization")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for name, record in schema["$defs"].items():
        for key, entry in record.get("properties", {}).items():
            if "description" not in entry:
                entry["description"] = DESCRIPTIONS[f"{name}.{key}" if f"{name}.{key}" in DESCRIPTIONS else key]
    return json.dumps(schema, indent=1, sort_keys=False) + "\n"
