"""What the stages hand to one another: the only place where it is declared.

A ``StageResult`` is a small frozen record; its files stand beside it in the stage's own folder. A stage writes its
files into the folder it is given and returns the record; ``workspace.py`` stores both and finds them again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PrivateAttr

FloatArray = NDArray[np.float64]
#: Called with a label, the steps done and the steps in total.
Progress = Callable[[str, int, int], None]


def no_progress(label: str, done: int, total: int) -> None:
    """The quiet ``Progress``."""


@dataclass(frozen=True)
class Job:
    """What every stage is given beside its inputs and its section.

    ``folder`` takes the stage's files; ``project_folder`` is where relative paths of project.toml start.
    """

    folder: Path
    project_folder: Path
    seed: int = 0
    progress: Progress = no_progress


class Record(BaseModel):
    """Base of frozen records."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageResult(Record):
    """Base of every stage's result. ``folder`` holds its files."""

    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        return self._folder

    def at(self, folder: Path) -> StageResult:
        """This result, its files standing in ``folder``."""
        self._folder = folder
        return self


# --- data -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Part:
    """One part of the samples: ``x (samples, *shape)`` and ``y (samples, outputs)`` float64, in order of time.

    Of several inputs ``x`` is ``(samples, values)``: packed as ``data/ports.py`` says.

    ``reference (samples,)`` is what a baseline needs to know of each sample: the last known value of the target for
    regression (in the units of y), the last direction (0 or 1) for direction tasks; empty when there is none.
    ``time (samples,)`` is int64 nanoseconds since 1970, or 0, 1, 2 … where the source has no time.
    """

    x: FloatArray
    y: FloatArray
    reference: FloatArray
    time: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Samples:
    """The three parts of the samples, apart by the embargo."""

    train: Part
    validation: Part
    test: Part


class InputPort(Record):
    """An input of the model by its name, and the shape of a sample there."""

    name: str
    shape: tuple[int, ...]


class DataResult(StageResult):
    """Prepared samples: ``samples.npz`` in the stage's folder (``data.samples.load``)."""

    source: str  # for people: "S&P 500 daily, arch package"
    task: Literal["regression", "binary", "multiclass"]
    metric: str  # name of the task metric: "rmse" or "accuracy"
    unit: str  # of y after unscale, for people: "index points", "" for classes
    input_shape: tuple[int, ...]  # of a sample of x; of several inputs (values,)
    inputs: tuple[InputPort, ...] = ()  # named inputs, in alphabetical order; none where there is one without a name
    outputs: int
    feature_names: tuple[str, ...]
    # y in the task's unit = y * y_scale + y_offset; (1, 0) where nothing was scaled
    y_scale: float
    y_offset: float
    counts: dict[str, int]  # samples in train, validation, test
    first_test_time: str
    last_test_time: str
    notes: tuple[str, ...] = ()  # what was found and done when loading: dropped rows, values beyond the scaler, …
    sha256: str  # of the samples, their task and their scale


class Interval(Record):
    """A measured value with its 95 % interval."""

    value: float
    low: float
    high: float


# --- models ---------------------------------------------------------------------------------------------------------


class LayerWeights(Record):
    """One kernel's counts."""

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int  # kernel and bias
    weights: int  # kernel alone
    zeros: int  # of the kernel

    @property
    def sparsity(self) -> float:
        return self.zeros / self.weights if self.weights else 0.0


class RecurrentWindow(Record):
    """Where the equal steps of a recurrent layer stand in the graph: layer and call, in the order of the ticks."""

    layer: str
    ticks: tuple[tuple[str, int], ...]
    states: tuple[tuple[tuple[str, int], ...], ...]


class ModelResult(StageResult):
    """A float model ``model.keras`` (tf_keras), and ``predictions.npy`` on the test part: ``(samples, outputs)``."""

    layers: tuple[LayerWeights, ...]
    parameters: int
    learning_rate: float
    batch_size: int
    epochs: int  # that were trained
    loss: Literal["mse", "binary_crossentropy", "categorical_crossentropy"]
    validation_loss: float
    left_out: tuple[str, ...] = ()  # "softmax of 'layer'": the outputs are logits
    window: RecurrentWindow | None = None  # a recurrent layer that was unrolled and is to be one step in hardware


class RemovedGroup(Record):
    """Neurons or filters that were cut together."""

    layer: str
    before: int
    after: int


class LayerSaving(Record):
    """One kernel before and after pruning; zeros cost nothing."""

    layer: str
    multipliers_before: int  # kernel weights that are not zero: each is a multiplier when nothing is reused
    multipliers: int
    macs_before: int  # multiply-accumulates for one sample
    macs: int
    sparsity: float  # fraction of multipliers_before that is gone
    compression_ratio: float | None  # multipliers_before / multipliers; None when the layer is gone
    mac_reduction: float  # fraction of macs_before that is gone


class LayerSensitivity(Record):
    """The metric on the validation part when this kernel alone is pruned, without fine-tuning."""

    layer: str
    sparsities: tuple[float, ...]
    metric: tuple[float, ...]


class PruneMeasures(Record):
    """What pruning saved and what it cost, before and after; the metric is the task's on the validation part."""

    strategy: str
    final_sparsity: float  # that was reached: below the asked-for one where accuracy_loss ended it
    compression_ratio: float  # parameters before / parameters left that are not pruned zeros
    multipliers_before: int
    multipliers_removed: int
    macs_before: int
    mac_reduction: float  # fraction of the multiply-accumulates that is gone
    metric: str
    metric_before: float
    metric_after: float
    retention: float  # accuracy after / before; of an error before / after: 1 is no loss
    layers: tuple[LayerSaving, ...]
    sensitivity: tuple[LayerSensitivity, ...] = ()
    targets: dict[str, float] = {}  # sparsity by kernel, where sensitivity set it
    notes: tuple[str, ...] = ()  # what to know before going on: a large loss, and what would make it smaller


class PruneResult(ModelResult):
    """A pruned float model, zeros in place; ``masks.npz`` has a boolean array per pruned layer (False: zero)."""

    sparsity: float  # share of the kernel weights before pruning that are gone: zero, or cut out with their unit
    remaining_sparsity: float  # zeros / weights over the kernels that are left
    parameters_before: int
    removed: tuple[RemovedGroup, ...]
    measures: PruneMeasures | None = None


class ApproximateLayer(Record):
    """A layer that the network computes by tables and sums: near QKeras' value, and proven to be no further than
    ``bound`` from it."""

    node: str  # that has the layer's values
    layer: str  # of the model
    kind: Literal["softmax", "layer_normalization"]
    reads: str  # node
    inner: tuple[str, ...]  # nodes between, which stand for nothing in the model
    bound: float  # largest possible |network - QKeras|, in the unit of the values; both rounded to the node's format


class QuantizeResult(ModelResult):
    """The QKeras model ``model.keras`` and the same as integers, ``network.fpn`` (``network.storage.load``).

    ``predictions.npy`` are the QKeras model's outputs on the test part; ``layers.npz`` its outputs of every layer that
    stands as a node of the network (float32 values, under the node's name) for the verification inputs in
    ``inputs.npz`` (int64 words by input name: the whole test part, then the corner vectors). A layer behind an
    approximate one is given the network's values there, so that each is compared by itself; ``outputs.npz`` then has
    the outputs of the model run as a whole.
    """

    input_format: str  # of several inputs "name: format, …"
    input_ports: dict[str, str] = {}  # input of the model -> node of the network, in the order of the network
    saturated_inputs: dict[str, int]  # values beyond the input format's range, by part
    test_samples: int  # the first rows of inputs.npz and layers.npz; corner vectors follow
    float64_layers: tuple[str, ...]  # layers whose float32 sums are not provably exact: witnessed in float64
    network_sha256: str
    approximate_layers: tuple[ApproximateLayer, ...] = ()


# --- hardware -------------------------------------------------------------------------------------------------------


class HlsLayerOptions(Record):
    """What was asked for one layer and read back from the written project."""

    name: str
    strategy: str
    reuse_factor: int


class HlsAccumulator(Record):
    """The type of one layer's sums: the smallest that provably holds them, and what hls4ml's ``auto`` rule gives."""

    name: str
    proven: str
    auto: str
    proven_bits: int
    auto_bits: int
    count: int = 1  # accumulators of this type in one matrix product: one for each output


class HlsResult(StageResult):
    """A written HLS project in the stage's folder (``build_prj.tcl``, ``firmware/``, …)."""

    project_name: str
    backend: Literal["vitis", "vivado"]
    io_type: Literal["io_parallel", "io_stream"]
    part: str
    clock_period_ns: float
    clock_uncertainty_percent: float
    layers: tuple[HlsLayerOptions, ...]
    accumulator: Literal["proven", "auto"] = "proven"  # which of the two was written
    accumulators: tuple[HlsAccumulator, ...] = ()
    formats: dict[str, str]  # node name -> ap_fixed type of its result in firmware/defines.h
    files: dict[str, str]  # relative path -> sha256


class CsimResult(StageResult):
    """Raw words of every node that has a place in hardware: ``<node>.txt``, and of the output port: ``result.txt``."""

    samples: int
    compile_seconds: float
    run_seconds: float
    compiler: str
    formats: dict[str, str]  # node name -> ap_fixed type in the compiled source
    changed_files: tuple[str, ...]  # files of the HLS project that differ from what was written
    differences: tuple[str, ...] = ()  # "<node>: what makes the project another network", found by reading its sources


CauseKind = Literal[
    "input_format", "result_format", "rounding", "overflow", "accumulator", "weights", "bias", "kernel_layout", "table",
    "window", "operator", "wiring", "recorded_words", "not_whole", "qkeras", "unexplained",
]  # fmt: skip


class Mismatch(Record):
    """The first word that differs."""

    layer: str  # node of the network
    keras_layer: str
    sample: int
    element: tuple[int, ...]
    expected_word: int | None
    found_word: int | None  # None: there is no such word
    fractional_bits: int  # of both words
    cause: str
    cause_kind: CauseKind = "unexplained"
    alternatives: tuple[str, ...] = ()  # other causes that give every word found, too
    tried: tuple[str, ...] = ()  # families of hypotheses, each with their number


class Approximation(Record):
    """One layer that is no equality: how far it lies from QKeras' values on the same inputs, and at most may lie."""

    layer: str  # node of the network
    keras_layer: str
    kind: Literal["softmax", "layer_normalization"]
    words: int
    different_words: int
    largest_deviation: float  # measured, in the unit of the values
    bound: float  # proven, for every input of the input format


class Comparison(Record):
    """Two computations of the same words; ``words`` and ``layers`` count those that must be equal."""

    verdict: Literal["bit_exact", "approximation", "mismatch", "not_run"]
    samples: int
    words: int
    mismatched_words: int
    first_mismatch: Mismatch | None = None
    layers: dict[str, int] = {}  # node -> mismatched words
    layer_words: dict[str, int] = {}  # node -> words compared
    reason: str = ""  # why it was not run
    approximations: tuple[Approximation, ...] = ()
    output_deviation: float | None = None  # largest, of the outputs from the QKeras model run as a whole


class VerifyResult(StageResult):
    """Both statements, never mixed."""

    hardware: Comparison  # C-simulation against the FixedPointNetwork
    model: Comparison  # FixedPointNetwork against QKeras
    window: Comparison | None = None  # the step run over the window against the unrolled network
    saturations: dict[str, int] = {}  # node -> words that its format clipped or wrapped, where the proof allows any


class Estimated(Record):
    """An estimate with its 80 % interval."""

    value: float
    low: float
    high: float


class LayerEstimate(Record):
    """One layer's share, and how it was counted."""

    name: str
    kind: str
    dsp: float
    bram_18k: float
    lut: float
    ff: float
    latency_cycles: float
    initiation_interval: float
    explanation: tuple[str, ...] = ()


class EstimateResult(StageResult):
    """C-synthesis estimate of the design on a device."""

    stage: Literal["csynth", "logic_synthesis"]
    dsp: Estimated
    bram_18k: Estimated
    lut: Estimated
    ff: Estimated
    latency_cycles: Estimated
    latency_ns: Estimated
    least_latency_cycles: float = 0.0  # where the cycles depend on the data; else as latency_cycles
    initiation_interval: Estimated
    layers: tuple[LayerEstimate, ...]
    logic_synthesis: dict[str, Estimated] = {}  # dsp, bram_18k, lut, ff after logic synthesis
    share: dict[str, float]  # of the device: dsp, bram_18k, lut, ff
    fits: bool
    limiting: str  # the resource with the largest share
    grade: Literal["A", "B", "C", "D"]  # A: every part was measured; D: most of it never was
    notes: tuple[str, ...] = ()


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
    skipped: dict[str, str] = {}  # kind -> why it was not made
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
    not_verified: dict[str, str] = {}
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
