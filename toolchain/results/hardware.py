"""What the stages of a target with an FPGA hand on: hls, csim, verify, estimate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from toolchain.results.record import Record, StageResult


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
    output_ports: tuple[str, ...] = ()  # arguments of the top function that take the outputs, in the network's order
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
    port: str = ""  # of several output ports the one that differs: "'price' (result_0)"; empty: a layer's own words
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
    layers: dict[str, int] = Field({})  # node -> mismatched words
    layer_words: dict[str, int] = Field({})  # node -> words compared
    reason: str = ""  # why it was not run
    approximations: tuple[Approximation, ...] = ()
    output_deviation: float | None = None  # largest, of the outputs from the QKeras model run as a whole


class VerifyResult(StageResult):
    """Both statements, never mixed."""

    hardware: Comparison  # C-simulation against the FixedPointNetwork
    model: Comparison  # FixedPointNetwork against QKeras
    window: Comparison | None = None  # the step run over the window against the unrolled network
    saturations: dict[str, int] = Field(
        default_factory=dict
    )  # node -> words that its format clipped or wrapped, where the proof allows any


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
    logic_synthesis: dict[str, Estimated] = Field({})  # dsp, bram_18k, lut, ff after logic synthesis
    share: dict[str, float]  # of the device: dsp, bram_18k, lut, ff
    fits: bool
    limiting: str  # the resource with the largest share
    grade: Literal["A", "B", "C", "D"]  # A: every part was measured; D: most of it never was
    notes: tuple[str, ...] = ()
