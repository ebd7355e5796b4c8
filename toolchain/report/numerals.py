"""Numbers as people read them; the exact ones stand in report.json."""

from __future__ import annotations

import math

from toolchain.results import Estimated, Interval


def plain(value: float, significant: int = 3) -> str:
    """At least ``significant`` digits, whole thousands grouped: 0.0123, 4.57, 1,234."""
    if not math.isfinite(value):
        return str(value)
    if value == 0 or (float(value).is_integer() and abs(value) < 1e15):
        return f"{value:,.0f}"
    digits = max(0, significant - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}" if digits <= 8 else f"{value:.2e}"


def tick(value: float) -> str:
    """A round number on an axis, no digit more than it needs."""
    return f"{value:,.10g}"


def counted(number: float, noun: str) -> str:
    """``1 cycle``, ``17 cycles``."""
    return f"{plain(number)} {noun}" + ("" if number == 1 else "s")


def percent(fraction: float) -> str:
    """0.034 is ``3.4 %``; what is not zero is never shown as zero, what is not all never as 100 %."""
    if 0 < fraction < 0.0005:
        return "< 0.1 %"
    if 0.9995 <= fraction < 1:
        return "> 99.9 %"
    return f"{fraction * 100:.1f} %"


def file_size(size_bytes: int) -> str:
    """Bytes below 1,000, else kB or MB (powers of ten)."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1000:.1f} kB"
    return f"{size_bytes / 1_000_000:.1f} MB"


def duration(seconds: float) -> str:
    """Hundredths below ten seconds; minutes from 100 seconds on."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    return f"{seconds:.0f} s" if seconds < 100 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


def metric_value(value: float, metric: str) -> str:
    """A value of the task metric: accuracies in percent, errors as they are."""
    return f"{value * 100:.2f} %" if metric == "accuracy" else plain(value, 4)


def metric_interval(interval: Interval, metric: str) -> str:
    return f"{metric_value(interval.low, metric)} – {metric_value(interval.high, metric)}"


def estimated_interval(estimated: Estimated) -> str:
    """Empty when the estimate is exact."""
    if estimated.low == estimated.value == estimated.high:
        return ""
    return f"{plain(estimated.low)} – {plain(estimated.high)}"


def shape(sizes: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in sizes)


def word_value(word: int | None, fractional_bits: int) -> str:
    """The value a word stands for, in full."""
    if word is None:
        return "no word"
    if abs(word) < 2**53 and abs(fractional_bits) <= 60:
        return f"{math.ldexp(word, -fractional_bits):.17g}"
    return f"{word} × 2^{-fractional_bits}"
