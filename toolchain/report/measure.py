"""The task metric of every stage on the test part, and the model outputs it is measured on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolchain.data.evaluation import (
    baselines,
    baselines_of_outputs,
    decisions,
    evaluate,
    evaluate_outputs,
    relative_loss,
)
from toolchain.data.outputs import each_output
from toolchain.data.samples import load as load_samples
from toolchain.errors import BitMismatchError, BudgetError
from toolchain.network.words import read_formats, read_words
from toolchain.project import Project
from toolchain.report.assemble import BuildResults
from toolchain.report.schema import Agreement, OutputAccuracy
from toolchain.results import CsimResult, DataResult, FloatArray, Interval, Part, QuantizeResult, Samples, TfliteResult


@dataclass(frozen=True, eq=False)
class Measured:
    """``outputs`` are ``(samples, outputs)`` on the test part by stage; ``missing`` says why one is not there."""

    test: Part
    outputs: dict[str, FloatArray]
    accuracies: dict[str, Interval]
    missing: dict[str, str]
    baselines: dict[str, Interval]
    by_output: dict[str, OutputAccuracy] = field(default_factory=dict)  # of several


def measure(results: BuildResults, words: Path) -> Measured:
    """Evaluate the stored predictions of every stage, and the hardware's own words in the folder ``words``."""
    samples = load_samples(results.data)
    shape = (len(samples.test.y), results.data.outputs)
    outputs, missing = {}, {}
    stages = {"float": results.trained, "pruned": results.pruned, "quantized": results.quantized}
    for name, stage in stages.items():
        if stage is not None:
            outputs[name] = _checked(np.load(stage.folder / "predictions.npy", allow_pickle=False), shape)
    if results.csim and results.quantized:
        try:
            outputs["hls"] = hardware_outputs(results.csim, results.quantized, words, results.data)
        except BitMismatchError as error:
            missing["hls"] = error.text()
    elif "csim" in results.skipped:
        missing["hls"] = results.skipped["csim"]
    if results.tflite:
        outputs |= {name: _checked(values, shape) for name, values in _tflite_outputs(results.tflite).items()}
        missing |= {
            f"tflite_{kind}": why for kind, why in results.tflite.skipped.items() if kind in ("float32", "int8")
        }
        for kind in ("float32", "int8"):
            if kind not in results.project.tflite.kinds:
                missing[f"tflite_{kind}"] = "not among [tflite] kinds"
    return Measured(
        test=samples.test,
        outputs=outputs,
        accuracies={name: evaluate(results.data, samples.test, values) for name, values in outputs.items()},
        missing=missing,
        baselines=baselines(results.data, samples),
        by_output=_by_output(results, samples, outputs) if len(results.data.targets) > 1 else {},
    )


def _by_output(results: BuildResults, samples: Samples, outputs: dict[str, FloatArray]) -> dict[str, OutputAccuracy]:
    """The metric of each output alone, by stage, and what it is called in hardware."""
    data = results.data
    stages = {name: evaluate_outputs(data, samples.test, values) for name, values in outputs.items()}
    without, ports = baselines_of_outputs(data, samples), list(output_ports(data))
    return {
        name: OutputAccuracy(
            task=alone.task, metric=alone.metric, unit=data.unit, words=port,
            port=results.hls.output_ports[place] if results.hls else "",
            node=results.quantized.output_ports[name] if results.quantized else "",
            stages={stage: found[name] for stage, found in stages.items()}, baselines=without[name],
        )
        for place, ((name, _, alone), port) in enumerate(zip(each_output(data), ports, strict=True))
    }  # fmt: skip


def output_ports(data: DataResult) -> dict[str, int]:
    """The name under which the words of each output port stand in ``csim/``, and how many a sample has."""
    if len(data.targets) > 1:
        return {f"result_{place}": port.outputs for place, port in enumerate(data.targets)}
    return {"result": data.outputs}


def hardware_outputs(csim: CsimResult, quantized: QuantizeResult, words: Path, data: DataResult) -> FloatArray:
    """The values of the output ports' words on the test part, ``(samples, outputs)``; corner vectors are left out.

    Raises BitMismatchError when the words cannot be read.
    """
    ports = output_ports(data)
    if quantized.window is not None:
        ports = {"result_0": data.outputs}  # of a step the states follow
    try:
        formats = read_formats(words)
        forms = [formats[port] for port in ports]
    except (OSError, ValueError, KeyError) as error:
        raise BitMismatchError(f"cannot be read: {error}", where=f"{words.name}/formats.txt") from None
    found = [
        form.values_of(read_words(words, port, csim.samples, (size,))[: quantized.test_samples])
        for form, (port, size) in zip(forms, ports.items(), strict=True)
    ]
    return np.concatenate(found, axis=1)


def accuracy_problems(project: Project, metric: str, accuracies: dict[str, Interval]) -> list[BudgetError]:
    """A BudgetError when the hardware (or, without one, the last stage measured) loses more than the budget allows."""
    allowed = project.budget.accuracy_loss
    last = next((name for name in ("hls", "tflite_int8", "quantized", "pruned") if name in accuracies), None)
    if allowed is None or last is None or "float" not in accuracies:
        return []
    loss = relative_loss(metric, accuracies["float"].value, accuracies[last].value)
    if loss <= allowed:
        return []
    return [
        BudgetError(
            f"the {metric} of stage '{last}' is {loss:.2%} worse than the float model's",
            where="[budget] accuracy_loss", allowed=f"at most {allowed:.2%}",
            hint="a lower prune.final_sparsity, more bits or more epochs",
        )
    ]  # fmt: skip


def agreements(data: DataResult, outputs: dict[str, FloatArray]) -> tuple[Agreement, ...]:
    """FPGA, ARM and QKeras against one another, as far as they were run; ``outputs (samples, outputs)`` by stage."""
    names = {"hls": "FPGA", "tflite_int8": "ARM", "quantized": "QKeras"}
    found = []
    for first, second in (("hls", "quantized"), ("tflite_int8", "hls"), ("tflite_int8", "quantized")):
        if first not in outputs or second not in outputs:
            continue
        one, other = outputs[first], outputs[second]
        same = None
        if data.task != "regression":
            same = float((decisions(data, one) == decisions(data, other)).mean())
        found.append(
            Agreement(
                first=names[first], second=names[second], equal_values_share=float((one == other).mean()),
                largest_difference=float(np.abs(one - other).max(initial=0.0)), equal_decisions_share=same,
            )
        )  # fmt: skip
    return tuple(found)


def _tflite_outputs(found: TfliteResult) -> dict[str, FloatArray]:
    with np.load(found.folder / "predictions.npz", allow_pickle=False) as stored:
        return {f"tflite_{kind}": stored[kind] for kind in stored.files}


def _checked(values: FloatArray, shape: tuple[int, int]) -> FloatArray:
    values = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    assert values.shape == shape, f"predictions of shape {values.shape}, the test part needs {shape}"
    return values
