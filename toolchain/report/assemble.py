"""From the stages' results to the report: a pure function, no files, no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from toolchain.project import Project
from toolchain.report.schema import (
    SCHEMA_VERSION,
    Accuracy,
    Agreement,
    ArmVerification,
    BitAccuracy,
    Budget,
    DataSummary,
    DeviceMeasurement,
    Estimate,
    EthosU,
    OutputAccuracy,
    PrunedLayer,
    Pruning,
    Report,
    SkippedStage,
    Stage,
    TargetSummary,
    TfliteAgreement,
)
from toolchain.results import (
    ArmResult,
    Comparison,
    CsimResult,
    DataResult,
    DeviceResult,
    EstimateResult,
    EthosUResult,
    HlsResult,
    Interval,
    LayerWeights,
    ModelResult,
    PruneResult,
    QuantizeResult,
    TfliteResult,
    VerifyResult,
)
from toolchain.target import Target

#: Stages whose metric may stand in ``report.json``, in the order of the flow.
MEASURED = ("float", "pruned", "quantized", "hls", "tflite_float32", "tflite_int8")


@dataclass(frozen=True)
class BuildResults:
    """All that a build knows when the report is written. A stage that did not run is None.

    ``accuracies`` has the task metric by a name of ``MEASURED``, ``unmeasured`` the reason where one is missing.
    ``stages`` are those of this run, in order.
    """

    project: Project
    target: Target
    data: DataResult
    trained: ModelResult | None = None
    pruned: PruneResult | None = None
    quantized: QuantizeResult | None = None
    hls: HlsResult | None = None
    csim: CsimResult | None = None
    verified: VerifyResult | None = None
    estimated: EstimateResult | None = None
    tflite: TfliteResult | None = None
    arm: ArmResult | None = None
    device: DeviceResult | None = None
    ethos_u: EthosUResult | None = None
    agreements: tuple[Agreement, ...] = ()
    accuracies: dict[str, Interval] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    baselines: dict[str, Interval] = field(default_factory=dict)
    by_output: dict[str, OutputAccuracy] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    budget_problems: tuple[str, ...] = ()
    exit_code: int = 0
    tool_versions: dict[str, str] = field(default_factory=dict)
    toolchain_version: str = ""
    created: str = ""


def assemble(results: BuildResults) -> Report:
    """The report of ``results``."""
    fpga, arm = results.target.fpga, results.target.arm
    part = results.hls.part if results.hls else (fpga.part if fpga else "")
    return Report(
        schema_version=SCHEMA_VERSION,
        project=results.project.name,
        description=results.project.description,
        target=TargetSummary(
            name=results.target.name, title=results.target.title, part=part, arm_core=arm.core if arm else ""
        ),
        created=results.created,
        toolchain_version=results.toolchain_version,
        exit_code=results.exit_code,
        bit_accuracy=_bit_accuracy(results),
        estimate=_estimate(results, part),
        pruning=_pruning(results),
        accuracy=_accuracy(results),
        tflite=results.tflite.files if results.tflite else (),
        tflite_skipped=_tflite_skipped(results),
        tflite_agreement=_agreement(results),
        arm=_arm(results.arm),
        arm_not_run=_arm_not_run(results),
        device=_device(results.device),
        ethos_u=_ethos_u(results.ethos_u),
        agreement=results.agreements,
        budget=_budget(results),
        stages=results.stages,
        skipped_stages=tuple(SkippedStage(name=name, why=why) for name, why in results.skipped.items()),
        tool_versions=results.tool_versions,
        options=results.project.model_dump(mode="json"),
        data=DataSummary(**results.data.model_dump(include=set(DataSummary.model_fields))),
    )


def _bit_accuracy(results: BuildResults) -> BitAccuracy:
    if results.verified is not None:
        fields = {name: getattr(results.verified.hardware, name) for name in Comparison.model_fields}
        return BitAccuracy(**fields, model=results.verified.model, window=results.verified.window)
    why = results.skipped.get("verify") or "the build ended before the stage verify"
    nothing: dict[str, Any] = {"samples": 0, "words": 0, "mismatched_words": 0, "reason": why}
    verdict: Literal["not_run"] = "not_run"
    return BitAccuracy(verdict=verdict, model=Comparison(verdict=verdict, **nothing), **nothing)


def _estimate(results: BuildResults, part: str) -> Estimate | None:
    fpga = results.target.fpga
    if results.estimated is None or fpga is None:
        return None
    fields = {name: getattr(results.estimated, name) for name in EstimateResult.model_fields}
    sizes = {"dsp": fpga.dsp, "bram_18k": fpga.bram_18k, "lut": fpga.lut, "ff": fpga.ff}
    period = results.project.hls.clock_period_ns or fpga.clock_period_ns
    device = {name: size for name, size in sizes.items() if size is not None}
    return Estimate(**fields, part=part, clock_period_ns=period, device=device)


def _pruning(results: BuildResults) -> Pruning | None:
    pruned, trained = results.pruned, results.trained
    if pruned is None or trained is None:
        return None
    before = {layer.name: layer for layer in trained.layers}
    return Pruning(
        sparsity=pruned.sparsity,
        remaining_sparsity=pruned.remaining_sparsity,
        parameters_before=pruned.parameters_before,
        parameters_after=pruned.parameters,
        layers=tuple(_layer(before.get(layer.name, layer), layer) for layer in pruned.layers),
        removed=pruned.removed,
        measures=pruned.measures,
    )


def _layer(before: LayerWeights, after: LayerWeights) -> PrunedLayer:
    return PrunedLayer(
        name=after.name,
        kind=after.kind,
        shape_before=before.shape,
        shape=after.shape,
        parameters_before=before.parameters,
        parameters=after.parameters,
        weights_before=before.weights,
        weights=after.weights,
        zeros=after.zeros,
        sparsity=after.sparsity,
    )


def _accuracy(results: BuildResults) -> Accuracy:
    data = results.data
    assert set(results.accuracies) <= set(MEASURED), "an accuracy without a place in the report"
    measured = {name: results.accuracies.get(name) for name in MEASURED}
    missing = {
        name: results.unmeasured.get(name, "this stage did not run") for name in MEASURED if measured[name] is None
    }
    return Accuracy(
        metric=data.metric,
        unit=data.unit if data.task == "regression" else "",
        lower_is_better=data.metric == "rmse",
        baselines=results.baselines,
        missing=missing,
        outputs=results.by_output,
        **measured,
    )


def _tflite_skipped(results: BuildResults) -> dict[str, str]:
    if results.tflite is not None:
        return results.tflite.skipped
    why = results.skipped.get("tflite", "the build ended before the stage tflite")
    return dict.fromkeys(results.project.tflite.kinds, why)


def _agreement(results: BuildResults) -> TfliteAgreement | None:
    found = results.tflite
    if found is None or all(file.kind != "int8" for file in found.files):
        return None
    return TfliteAgreement(
        equal_words_share=found.equal_words_share, largest_word_difference=found.largest_word_difference
    )


def _arm(found: ArmResult | None) -> ArmVerification | None:
    if found is None:
        return None
    return ArmVerification(**{name: getattr(found, name) for name in ArmVerification.model_fields})


def _device(found: DeviceResult | None) -> DeviceMeasurement | None:
    if found is None:
        return None
    return DeviceMeasurement(**{name: getattr(found, name) for name in DeviceMeasurement.model_fields})


def _ethos_u(found: EthosUResult | None) -> EthosU | None:
    if found is None:
        return None
    return EthosU(**{name: getattr(found, name) for name in EthosU.model_fields})


def _arm_not_run(results: BuildResults) -> str:
    if results.arm is not None:
        return ""
    why = results.skipped.get("arm", "it was not asked for")
    if len(results.data.targets) > 1:
        return why
    return f"{why}; toolchain tflite {results.project.name} --verify"


def _budget(results: BuildResults) -> Budget:
    limits = {name: float(value) for name, value in results.project.budget if value is not None}
    met = False if results.budget_problems else (None if results.estimated is None else True)
    return Budget(met=met, limits=limits, problems=results.budget_problems)
