"""What the report says in words: the same sentences in HTML, in a notebook and on a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from toolchain.report.numerals import counted, duration, estimated_interval, file_size, metric_value, percent, plain
from toolchain.report.schema import OutputAccuracy, Report
from toolchain.results import Approximation, Comparison, Interval, Mismatch

STAGE_LABELS = {
    "float": "float model",
    "pruned": "pruned",
    "quantized": "quantized (QKeras)",
    "hls": "hardware (C-simulation)",
    "tflite_float32": "TFLite float32",
    "tflite_int8": "TFLite int8",
}
RESOURCES = {"dsp": "DSP", "bram_18k": "BRAM 18K", "lut": "LUT", "ff": "FF"}


@dataclass(frozen=True)
class Headline:
    """The verdict in large letters, one sentence on it, and how it is to be felt."""

    tone: Literal["good", "bad", "open"]
    words: str
    sentence: str
    mismatch: Mismatch | None = None


@dataclass(frozen=True)
class KeyFigure:
    """One of the few numbers on the first screen."""

    label: str
    value: str
    unit: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        return " ".join(part for part in (self.value, self.unit) if part)


@dataclass(frozen=True)
class AccuracyRow:
    """One line of the accuracy table. ``interval`` is None when it was not measured: ``note`` says why."""

    label: str
    interval: Interval | None
    note: str
    baseline: bool


def headline(report: Report) -> Headline:
    """The verdict. Bit-exact hardware of a network that is not the model is no good news."""
    hardware, model = report.bit_accuracy, report.bit_accuracy.model
    if hardware.verdict == "mismatch":
        return Headline("bad", "Not bit-exact", hardware_statement(report), hardware.first_mismatch)
    if model.verdict == "mismatch":
        return Headline("bad", "Not the model", model_statement(report), model.first_mismatch)
    window = report.bit_accuracy.window
    if window is not None and window.verdict == "mismatch":
        return Headline("bad", "Not the model", model_statement(report), window.first_mismatch)
    if hardware.verdict == "not_run":
        return Headline("open", "Not verified", hardware_statement(report))
    return Headline("good", "Bit-exact", hardware_statement(report))


def hardware_statement(report: Report) -> str:
    """The first statement: hardware against integer network."""
    return _compare(report.bit_accuracy, "The hardware's C-simulation", "the integer network")


def model_statement(report: Report) -> str:
    """The second statement: integer network against QKeras model."""
    window = report.bit_accuracy.window
    step = f" {_compare(window, 'The step over the window', 'the unrolled network')}" if window else ""
    return _compare(report.bit_accuracy.model, "The integer network", "the QKeras model") + step


def _compare(found: Comparison, one: str, other: str) -> str:
    if found.verdict == "not_run":
        return f"{one} was not compared with {other}: {found.reason or 'no reason was given'}."
    extent = f"{found.words:,} words of {found.samples:,} samples, every layer"
    if found.verdict == "bit_exact":
        return f"{one} equals {other} in all {extent}."
    if found.verdict == "approximation":
        return f"{one} equals {other} in all {extent} but {' '.join(map(_near, found.approximations))}{_outputs(found)}"
    return (
        f"{one} differs from {other} in {found.mismatched_words:,} of {found.words:,} words, {found.samples:,} samples."
    )


def _near(found: Approximation) -> str:
    kind = found.kind.replace("_", " ")
    return (
        f"{found.keras_layer}, an approximation ({kind}): its {found.words:,} words are off by up to "
        f"{found.largest_deviation:.3g}, and for no input by more than {found.bound:.3g}."
    )


def _outputs(found: Comparison) -> str:
    if found.output_deviation is None:
        return ""
    return f" The outputs are off by up to {found.output_deviation:.3g} from those of the model run as a whole."


def budget_statement(report: Report) -> str:
    """Whether the design fits device and budget."""
    if report.budget.met is None:
        return "Nothing was estimated, so no budget could be held."
    if report.budget.met:
        return "Within the device and the project's budget." if report.budget.limits else "Fits the device."
    count = len(report.budget.problems)
    return f"{count} {'limit is' if count == 1 else 'limits are'} exceeded."


def accuracy_rows(report: Report) -> tuple[AccuracyRow, ...]:
    """Stages in the order of the flow, then the baselines."""
    found = report.accuracy
    rows = [
        AccuracyRow(label, getattr(found, name), found.missing.get(name, ""), baseline=False)
        for name, label in STAGE_LABELS.items()
    ]
    rows += [AccuracyRow(name, interval, "", baseline=True) for name, interval in found.baselines.items()]
    return tuple(rows)


def output_stages(report: Report) -> dict[str, str]:
    """The stages that were measured for each of several outputs, and what people call them."""
    measured = {stage for own in report.accuracy.outputs.values() for stage in own.stages}
    return {name: label for name, label in STAGE_LABELS.items() if name in measured}


def best_of_output(own: OutputAccuracy) -> str:
    """The strongest baseline of one output and its value."""
    if not own.baselines:
        return "–"
    sign = 1 if own.metric == "rmse" else -1
    name, interval = min(own.baselines.items(), key=lambda item: sign * item[1].value)
    return f"{metric_value(interval.value, own.metric)} ({name})"


def best_baseline(report: Report) -> tuple[str, Interval] | None:
    """The strongest of the baselines."""
    found = report.accuracy
    if not found.baselines:
        return None
    sign = 1 if found.lower_is_better else -1
    return min(found.baselines.items(), key=lambda item: sign * item[1].value)


def relative_loss(report: Report) -> float | None:
    """How much worse the hardware is than the float model, as a fraction of the float model's metric."""
    found = report.accuracy
    if found.float is None or found.hls is None or not found.float.value:
        return None
    change = (found.hls.value - found.float.value) / abs(found.float.value)
    return change if found.lower_is_better else -change


def loss_words(report: Report) -> str:
    loss = relative_loss(report)
    if loss is None:
        return ""
    if abs(loss) < 0.0005:
        return "the same as the float model"
    return f"{percent(abs(loss))} {'worse' if loss > 0 else 'better'} than the float model"


def key_figures(report: Report) -> tuple[KeyFigure, ...]:
    """The numbers of the first screen, most telling first; only what was measured."""
    return tuple(figure for figure in (_task(report), *_design(report), *_artefact(report)) if figure is not None)


def _task(report: Report) -> KeyFigure | None:
    found = report.accuracy
    shown = next(
        (name for name in ("hls", "quantized", "pruned", "float") if getattr(found, name) is not None),
        None,
    )
    if shown is None:
        return None
    interval: Interval = getattr(found, shown)
    notes = [loss_words(report)] if shown == "hls" else [STAGE_LABELS[shown]]
    best = best_baseline(report)
    if best:
        ahead = best[1].value < interval.value if found.lower_is_better else best[1].value > interval.value
        notes.append(f"{best[0]}{' is better' if ahead else ''}: {metric_value(best[1].value, found.metric)}")
    name = "RMSE" if found.metric == "rmse" else found.metric.capitalize()
    where = "in hardware" if shown == "hls" else ""
    return KeyFigure(
        f"{name} {where}".strip(), metric_value(interval.value, found.metric), found.unit, "; ".join(notes)
    )


def _design(report: Report) -> list[KeyFigure]:
    figures = []
    if report.pruning:
        pruned = report.pruning
        note = f"{pruned.parameters_before:,} → {pruned.parameters_after:,} parameters, zeros included"
        figures.append(KeyFigure("Sparsity", percent(pruned.sparsity), note=note))
    if report.estimate:
        found = report.estimate
        share = found.share.get(found.limiting)
        of = f"{percent(share)} of the device" if share is not None else "share of the device unknown"
        fits = "fits" if found.fits else "does not fit"
        label = RESOURCES.get(found.limiting, found.limiting)
        value = getattr(found, found.limiting, None)
        shown = plain(value.value) if value is not None else "–"
        figures.append(KeyFigure("Largest resource", shown, label, f"{of}, {fits}; grade {found.grade}"))
        cycles = f"{counted(found.latency_cycles.value, 'cycle')}, II {plain(found.initiation_interval.value)}"
        interval = estimated_interval(found.latency_ns)
        figures.append(
            KeyFigure("Latency", plain(found.latency_ns.value), "ns", cycles + (f"; {interval} ns" if interval else ""))
        )
    return figures


def _artefact(report: Report) -> list[KeyFigure]:
    smallest = min(report.tflite, key=lambda file: file.size_bytes, default=None)
    if smallest is None:
        return []
    value, unit = file_size(smallest.size_bytes).split()
    return [KeyFigure("ARM artefact", value, unit, f"TFLite {smallest.kind}")]


def total_time(report: Report) -> str:
    return duration(sum(stage.seconds for stage in report.stages))
