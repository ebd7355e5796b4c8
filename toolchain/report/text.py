"""The report on a terminal: plain lines, the verdict first."""

from __future__ import annotations

from toolchain.report.numerals import estimated_interval, file_size, metric_value, percent, plain, word_value
from toolchain.report.schema import Report
from toolchain.report.statements import (
    RESOURCES,
    STAGE_LABELS,
    accuracy_rows,
    hardware_statement,
    headline,
    model_statement,
)
from toolchain.results import Mismatch


def summary(report: Report) -> str:
    """About ten lines without a final line break."""
    found = headline(report)
    lines = [f"{report.project} for {report.target.name}: {found.words.upper()}"]
    lines += [_line("hardware", hardware_statement(report)), _line("model", model_statement(report))]
    if found.mismatch:
        lines += [_line("first", text) for text in mismatch_lines(found.mismatch)]
    lines += _accuracy(report) + _pruning(report) + _estimate(report) + _artefacts(report)
    lines += [_line("exceeded", problem) for problem in report.budget.problems]
    return "\n".join(lines)


def mismatch_lines(first: Mismatch) -> tuple[str, ...]:
    """Where, which words, and the cause."""
    element = ", ".join(str(index) for index in first.element)
    expected = f"{first.expected_word} ({word_value(first.expected_word, first.fractional_bits)})"
    words = (
        f"expected word {expected}, found {first.found_word} ({word_value(first.found_word, first.fractional_bits)})"
    )
    port = f", output port {first.port}" if first.port else ""
    where = f"layer '{first.layer}'{port}, sample {first.sample}, element [{element}]"
    others = [f"gives the same words: {text}" for text in first.alternatives]
    return (where, words, f"cause ({first.cause_kind.replace('_', ' ')}): {first.cause}", *others)


def _line(label: str, text: str) -> str:
    return f"  {label:<10}" + text.replace("\n", "\n" + " " * 12)


def _accuracy(report: Report) -> list[str]:
    metric = report.accuracy.metric
    rows = [row for row in accuracy_rows(report) if row.interval is not None]
    shown = [f"{row.label} {metric_value(row.interval.value, metric)}" for row in rows if row.interval]
    lines = [_line(metric, ", ".join(shown) + (f" ({report.accuracy.unit})" if report.accuracy.unit else ""))]
    for name, own in report.accuracy.outputs.items():
        found = [f"{STAGE_LABELS[stage]} {metric_value(own.stages[stage].value, own.metric)}" for stage in own.stages]
        lines.append(_line("", f"output {name}: {own.metric} {', '.join(found)}"))
    return lines


def _pruning(report: Report) -> list[str]:
    found = report.pruning
    if found is None:
        return []
    sizes = f"{percent(found.sparsity)}; {found.parameters_before:,} → {found.parameters_after:,} parameters"
    notes = found.measures.notes if found.measures else ()
    return [_line("sparsity", sizes), *(_line("note", note) for note in notes)]


def _estimate(report: Report) -> list[str]:
    found = report.estimate
    if found is None:
        return []
    counts = []
    for name, label in RESOURCES.items():
        resource = getattr(found, name)
        interval = estimated_interval(resource)
        share = f", {percent(found.share[name])}" if name in found.share else ""
        counts.append(f"{label} {plain(resource.value)}" + (f" [{interval}]" if interval else "") + share)
    speed = f"latency {plain(found.latency_cycles.value)} cycles, {plain(found.latency_ns.value)} ns; " + (
        f"initiation interval {plain(found.initiation_interval.value)}; grade {found.grade}"
    )
    return [_line("estimate", "; ".join(counts)), _line("", speed)]


def _artefacts(report: Report) -> list[str]:
    lines = [_line("tflite", f"{file.path}: {file_size(file.size_bytes)}; {file.checked}") for file in report.tflite]
    return lines + [_line("tflite", f"no {kind}: {why}") for kind, why in report.tflite_skipped.items()]
