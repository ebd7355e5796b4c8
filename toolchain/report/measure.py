"""The task metric of every stage on the test part, and the model outputs it is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolchain.data.evaluation import baselines, evaluate, relative_loss
from toolchain.data.samples import load as load_samples
from toolchain.errors import BitMismatchError, BudgetError
from toolchain.network.words import read_formats, read_words
from toolchain.project import Project
from toolchain.report.assemble import BuildResults
from toolchain.report.schema import Agreement
from toolchain.results import CsimResult, FloatArray, Interval, Part, QuantizeResult, TfliteResult


@dataclass(frozen=True, eq=False)
class Measured:
    """``outputs`` are ``(samples, outputs)`` on the test part by stage; ``missing`` says why one is not there."""

    test: Part
    outputs: dict[str, FloatArray]
    accuracies: dict[str, Interval]
    missing: dict[str, str]
    baselines: dict[str, Interval]


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
            outputs["hls"] = hardware_outputs(results.csim, results.quantized, words, results.data.outputs)
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
    )


def hardware_outputs(csim: CsimResult, quantized: QuantizeResult, words: Path, outputs: int) -> FloatArray:
    """The values of the output port's words on the test part, ``(samples, outputs)``; corner vectors are left out.

    Raises BitMismatchError when the words cannot be read.
    """
    try:
        formats = read_formats(words)
        port = "result" if "result" in formats else "result_0"  # of a step the states follow
        form = formats[port]
    except (OSError, ValueError, KeyError) as error:
        raise BitMismatchError(f"cannot be read: {error}", where=f"{words.name}/formats.txt") from None
    found = read_words(words, port, csim.samples, (outputs,))
    return form.values_of(found[: quantized.test_samples])


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


def agreements(task: str, outputs: dict[str, FloatArray]) -> tuple[Agreement, ...]:
    """FPGA, ARM and QKeras against one another, as far as they were run; ``outputs (samples, outputs)`` by stage."""
    names = {"hls": "FPGA", "tflite_int8": "ARM", "quantized": "QKeras"}
    found = []
    for first, second in (("hls", "quantized"), ("tflite_int8", "hls"), ("tflite_int8", "quantized")):
        if first not in outputs or second not in outputs:
            continue
        one, other = outputs[first], outputs[second]
        same = None
        if task == "binary":
            same = float(((one > 0) == (other > 0)).mean())
        elif task != "regression":
            same = float((one.argmax(axis=-1) == other.argmax(axis=-1)).mean())
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
