"""A build as realistic as it can be without running one: Conv1D 5 filters, Dense 120, Dense 1, 470 test days."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.project import Project, parse_project
from toolchain.report.assemble import BuildResults
from toolchain.report.figures import Figures, LayerHistogram, Predictions
from toolchain.report.schema import Stage
from toolchain.results import (
    Comparison,
    DataResult,
    Estimated,
    EstimateResult,
    HlsLayerOptions,
    HlsResult,
    Interval,
    LayerEstimate,
    LayerSaving,
    LayerSensitivity,
    LayerWeights,
    Mismatch,
    ModelResult,
    PruneMeasures,
    PruneResult,
    RemovedGroup,
    TfliteFile,
    TfliteResult,
    VerifyResult,
)
from toolchain.target import Target, load_target

SAMPLES = 470
HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(2)>&"\''


def project(**sections: Any) -> Project:
    table = {
        "name": "spx_forecast",
        "description": "S&P 500: next day's price from 14 days",
        "model": {"architecture": "spx_cnn"},
        **sections,
    }
    return parse_project(table, "test")


def target(name: str = "alveo_u250") -> Target:
    return load_target(name)


def data_result() -> DataResult:
    return DataResult(
        source="S&P 500 daily, arch package", task="regression", metric="rmse", unit="index points",
        input_shape=(14, 1), outputs=1, feature_names=("price",), y_scale=1000.0, y_offset=700.0,
        counts={"train": 3486, "validation": 489, "test": SAMPLES}, first_test_time="2017-02-16",
        last_test_time="2018-12-31", notes=("1,003 test values lie beyond the training range",), sha256="5e" * 32,
    )  # fmt: skip


def layers(widths: tuple[int, int], zeros: tuple[int, int, int]) -> tuple[LayerWeights, ...]:
    filters, neurons = widths
    shapes = (
        ("conv", "conv1d", (1, 1, filters)),
        ("dense", "dense", (14 * filters, neurons)),
        ("forecast", "dense", (neurons, 1)),
    )
    return tuple(
        LayerWeights(
            name=name, kind=kind, shape=shape, weights=int(np.prod(shape)),
            parameters=int(np.prod(shape)) + shape[-1], zeros=empty,
        )
        for (name, kind, shape), empty in zip(shapes, zeros, strict=True)
    )  # fmt: skip


def model_result() -> ModelResult:
    found = layers((5, 120), (0, 0, 0))
    return ModelResult(
        layers=found, parameters=sum(layer.parameters for layer in found), learning_rate=1e-3, batch_size=64,
        epochs=60, loss="mse", validation_loss=0.0012,
    )  # fmt: skip


def prune_result() -> PruneResult:
    found = layers((5, 108), (0, 6300, 0))
    return PruneResult(
        layers=found, parameters=sum(layer.parameters for layer in found), learning_rate=1e-3, batch_size=64,
        epochs=60, loss="mse", validation_loss=0.0013, sparsity=0.8365, remaining_sparsity=0.82, parameters_before=8651,
        removed=(RemovedGroup(layer="dense", before=120, after=108),), measures=prune_measures(),
    )  # fmt: skip


def prune_measures() -> PruneMeasures:
    def saving(layer: str, before: int, after: int, positions: int = 1) -> LayerSaving:
        return LayerSaving(
            layer=layer, multipliers_before=before, multipliers=after, macs_before=before * positions,
            macs=after * positions, sparsity=1 - after / before, compression_ratio=before / after,
            mac_reduction=1 - after / before, retention_alone=0.97,
        )  # fmt: skip

    tried = (0.0, 0.5, 0.9)
    return PruneMeasures(
        strategy="iterative", final_sparsity=0.8, compression_ratio=5.42, multipliers_before=8525,
        multipliers_removed=7159, macs_before=8590, mac_reduction=0.8334, metric="rmse", metric_before=16.2,
        metric_after=18.0, retention=0.9, layers=(saving("conv", 5, 5, 14), saving("dense", 8400, 1260)),
        sensitivity=(LayerSensitivity(layer="dense", sparsities=tried, metric=(16.2, 16.3, 40.5)),),
        targets={"dense": 0.5}, notes=("lost <much>",),
    )  # fmt: skip


def hls_result() -> HlsResult:
    return HlsResult(
        project_name="spx_forecast", backend="vitis", io_type="io_parallel", part="xcu250-figd2104-2L-e",
        clock_period_ns=5.0, clock_uncertainty_percent=27.0,
        layers=(HlsLayerOptions(name="dense", strategy="latency", reuse_factor=1),), formats={}, files={},
    )  # fmt: skip


NODES = ("conv", "conv_relu", "dense", "dense_relu", "forecast")


def verify_result() -> VerifyResult:
    counts = dict.fromkeys(NODES, 0)
    exact = {"verdict": "bit_exact", "samples": SAMPLES + 6, "mismatched_words": 0, "layers": counts}
    return VerifyResult(
        hardware=Comparison.model_validate({**exact, "words": 173_740}),
        model=Comparison.model_validate({**exact, "words": 173_264}),
    )


def mismatch() -> Mismatch:
    return Mismatch(
        layer="dense", keras_layer="dense", sample=17, element=(42,), expected_word=-1219, found_word=-1220,
        fractional_bits=10, cause="the hardware computes ap_fixed<16,6>, the network "
        "ap_fixed<16,6,AP_RND_CONV,AP_SAT,0>: rounding TRN instead of RND_CONV", cause_kind="rounding",
    )  # fmt: skip


def mismatched() -> VerifyResult:
    found = verify_result()
    hardware = found.hardware.model_copy(
        update={
            "verdict": "mismatch", "mismatched_words": 2311, "first_mismatch": mismatch(),
            "layers": {**found.hardware.layers, "dense": 1207, "dense_relu": 734, "forecast": 370},
            "layer_words": {"conv": 3_332, "conv_relu": 3_332, "dense": 51_408, "dense_relu": 51_408, "forecast": 476},
        }
    )  # fmt: skip
    return VerifyResult(hardware=hardware, model=found.model)


def near(value: float, share: float = 0.1) -> Estimated:
    return Estimated(value=value, low=value * (1 - share), high=value * (1 + share))


def estimate_result(scale: float = 1.0) -> EstimateResult:
    rows = (
        ("conv", "Conv1D", 5, 310, 290, 3),
        ("dense", "Dense", 402, 31_240, 9_120, 7),
        ("forecast", "Dense", 88, 4_130, 1_870, 5),
    )
    found = tuple(
        LayerEstimate(
            name=name, kind=kind, dsp=dsp * scale, bram_18k=0, lut=lut * scale, ff=ff * scale, latency_cycles=cycles,
            initiation_interval=1, explanation=(f"{dsp} multiplications by constants of three or more digits",),
        )
        for name, kind, dsp, lut, ff, cycles in rows
    )  # fmt: skip
    dsp, lut, ff = (sum(getattr(layer, key) for layer in found) for key in ("dsp", "lut", "ff"))
    share = {"dsp": dsp / 12288, "bram_18k": 0.0, "lut": lut / 1_728_000, "ff": ff / 3_456_000}
    return EstimateResult(
        stage="csynth", dsp=Estimated(value=dsp, low=dsp, high=dsp), bram_18k=near(0), lut=near(lut), ff=near(ff),
        latency_cycles=near(17), latency_ns=near(85), initiation_interval=Estimated(value=1, low=1, high=1),
        layers=found, share=share, fits=max(share.values()) <= 1, limiting="dsp", grade="A",
        notes=("io_parallel: no FIFOs",),
    )  # fmt: skip


def tflite_result() -> TfliteResult:
    files = (("float32", 37_912, "ab"), ("int8", 14_264, "cd"))
    return TfliteResult(
        files=tuple(
            TfliteFile(
                path=f"model.{kind}.tflite", kind=kind, size_bytes=size, sha256=digest * 32,
                checked="FixedPointNetwork on 476 inputs: 94.7 % of the output words equal, at most 1 LSB apart; "
                "input port rounds 8 bits of ap_ufixed<16,2,AP_RND_CONV,AP_SAT,0> away; tensors equal the kernels",
            )
            for kind, size, digest in files
        ),
        equal_words_share=0.947, largest_word_difference=1,
    )  # fmt: skip


def interval(value: float, half: float) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def build_results() -> BuildResults:
    """A whole build for the Alveo U250."""
    seconds = {
        "data": 1.4,
        "train": 31.2,
        "prune": 44.9,
        "quantize": 38.0,
        "hls": 6.1,
        "csim": 21.3,
        "verify": 0.8,
        "estimate": 0.2,
        "tflite": 4.4,
    }
    return BuildResults(
        project=project(), target=target(), data=data_result(), trained=model_result(), pruned=prune_result(),
        hls=hls_result(), verified=verify_result(), estimated=estimate_result(), tflite=tflite_result(),
        accuracies={
            "float": interval(21.94, 2.1), "pruned": interval(21.71, 2.2), "quantized": interval(22.05, 2.2),
            "hls": interval(22.05, 2.2), "tflite_float32": interval(21.71, 2.2), "tflite_int8": interval(22.31, 2.3),
        },
        baselines={"persistence": interval(20.83, 2.3), "mean of the training part": interval(1253.1, 14.0)},
        stages=tuple(Stage(name=name, seconds=time, cached=name == "data") for name, time in seconds.items()),
        tool_versions={"python": "3.11.2", "hls4ml": "1.3.0", "g++": "g++ (Debian 12.2.0-14) 12.2.0"},
        toolchain_version="0.1.0", created="2026-01-02T03:04:05+00:00",
    )  # fmt: skip


def mismatch_results() -> BuildResults:
    return replace(build_results(), verified=mismatched(), exit_code=5)


def over_budget_results() -> BuildResults:
    problem = "[budget] dsp: 9,900 DSP are estimated\n  allowed: at most 400\n  next: hls.reuse_factor = 28"
    return replace(
        build_results(), project=project(budget={"dsp": 400, "accuracy_loss": 0.02}), estimated=estimate_result(20.0),
        budget_problems=(problem,), exit_code=4,
    )  # fmt: skip


def arm_results() -> BuildResults:
    """A Raspberry Pi: no FPGA, so nothing to verify."""
    why = "target raspberry_pi_5 has no FPGA"
    found = build_results()
    return replace(
        found, target=target("raspberry_pi_5"), hls=None, csim=None, verified=None, estimated=None,
        skipped=dict.fromkeys(("hls", "csim", "verify", "estimate"), why), unmeasured={"hls": why},
        accuracies={name: value for name, value in found.accuracies.items() if name != "hls"},
    )  # fmt: skip


def hostile_results() -> BuildResults:
    """Names and texts that would break out of the page."""
    found = mismatch_results()
    bad = mismatch().model_copy(
        update={"layer": HOSTILE, "keras_layer": HOSTILE + "2", "cause": HOSTILE, "alternatives": (HOSTILE,)}
    )
    verified = mismatched()
    hardware = verified.hardware.model_copy(
        update={"first_mismatch": bad, "layers": {HOSTILE: 3}, "layer_words": {HOSTILE: 9}}
    )
    rename = {"name": HOSTILE, "kind": HOSTILE}
    assert found.tflite is not None
    return replace(
        found,
        project=project(description=HOSTILE),
        data=found.data.model_copy(update={"source": HOSTILE, "notes": (HOSTILE,), "unit": HOSTILE}),
        trained=_with_layers(model_result(), rename),
        pruned=_with_layers(prune_result(), rename),
        estimated=_with_layers(estimate_result(), rename | {"explanation": (HOSTILE,)}),
        verified=VerifyResult(hardware=hardware, model=verified.model),
        tflite=tflite_result().model_copy(
            update={
                "files": tuple(x.model_copy(update={"path": HOSTILE, "checked": HOSTILE}) for x in found.tflite.files),
                "skipped": {HOSTILE: HOSTILE},
            }
        ),
        baselines={HOSTILE: interval(20.0, 2.0)},
        skipped={HOSTILE: HOSTILE}, unmeasured={"hls": HOSTILE}, budget_problems=(HOSTILE,),
        tool_versions={HOSTILE: HOSTILE}, created=HOSTILE, toolchain_version=HOSTILE,
    )  # fmt: skip


def _with_layers(found: Any, change: dict[str, Any]) -> Any:
    return found.model_copy(update={"layers": tuple(layer.model_copy(update=change) for layer in found.layers)})


def figures(name: str = "dense") -> Figures:
    random = np.random.default_rng(7)
    before = {
        "conv": random.normal(0, 0.5, 5),
        name: random.normal(0, 0.12, 8400),
        "forecast": random.normal(0, 0.2, 120),
    }
    kept = {
        key: np.where(np.abs(x) < np.quantile(np.abs(x), 0.8 if key == name else 0), 0, x) for key, x in before.items()
    }
    days = np.datetime64("2017-02-16", "ns").astype(np.int64) + np.arange(SAMPLES) * 86_400 * 10**9 * 7 // 5
    truth = 2350 + np.cumsum(random.normal(0.6, 18, SAMPLES))
    float_model = np.roll(truth, 1) + random.normal(0, 6, SAMPLES)
    float_model[0] = truth[0]
    hardware = np.round((float_model + random.normal(0, 2, SAMPLES)) * 4) / 4
    weights = tuple(LayerHistogram(key, before[key], kept[key]) for key in before)
    return Figures(weights, Predictions("value", "index points", days, truth, float_model, hardware, SAMPLES))


def class_figures(simulated: bool = True) -> Figures:
    """Probabilities of a direction, the last 240 of 8,000 samples."""
    random = np.random.default_rng(3)
    minutes = np.datetime64("2025-03-01T09:00", "ns").astype(np.int64) + np.arange(240) * 300 * 10**9
    truth = random.integers(0, 2, 240).astype(np.float64)
    float_model = np.clip(0.5 + 0.08 * (truth - 0.5) + random.normal(0, 0.05, 240), 0, 1)
    hardware = np.round(float_model * 64) / 64 if simulated else np.zeros(0)
    return Figures((), Predictions("probability", "", minutes, truth, float_model, hardware, 8000))
