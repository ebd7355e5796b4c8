"""80 % intervals from designs that the fit had not seen, by figure, stage and grade.

Split conformal prediction (Vovk, Gammerman, Shafer 2005): the half-width is a quantile of the deviations of held-out
designs. What a user brings is the design of a new author, so the designs of one source are left out together, and a
source counts little more for many designs than for a few (pooling in two layers: Dunn, Wasserman, Ramdas 2023). Each
grade is drawn to all grades together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from toolchain.estimate.coefficients import Coefficients, Entry
from toolchain.results import Estimated

COVERAGE = 0.8
#: What is drawn for it of the fitted figures. The rules were found on the designs that are drawn from, so these are
#: nearer than those of others: at two first contacts 39 to 83 % of the truth lay inside (docs/estimates.md).
_DRAWN = 0.87
#: From the best to the worst; ``doubted``: a kernel may be built otherwise than it was counted (grade D, too).
GRADES = ("A", "B", "C", "D", "doubted")
#: Rules, not fits: their layers say how far off they may be, and only what lies beyond that is a deviation.
RULES = ("dsp", "bram_18k", "initiation_interval")
#: Below these a deviation is not worth being relative.
_SMALL: Mapping[str, float] = {"lut": 50.0, "ff": 50.0, "latency_cycles": 2.0}
#: A source with n designs weighs n / (n + this); all grades together weigh as much as this many large sources; and the
#: design that is asked for, of a source not seen, as much as one of a single design: it may be further off than all.
_HALF_TRUSTED, _SHRINKAGE = 3.0, 0.5
_NEW_SOURCE = 1 / (1 + _HALF_TRUSTED)
#: Most of such designs is not known: their deviations say nothing of better grades.
_UNKNOWN, _FEWEST_SOURCES = ("D", "doubted"), 2


@dataclass(frozen=True)
class Deviation:
    """One figure of a design of ``source``, estimated by coefficients that have not seen that source."""

    source: str
    kind: str  # of GRADES, or what logic_synthesis calls the design
    stage: str
    figure: str
    size: float  # |log(truth / value)|, of a rule |log(truth / nearer end)| or 0 inside


def deviation(figure: str, value: float, truth: float) -> float:
    """How far ``value`` is from ``truth``, as the logarithm of a ratio; counts below a handful are taken as one."""
    small = _SMALL.get(figure, 1.0)
    return abs(math.log((max(truth, 0.0) + small) / (max(value, 0.0) + small)))


def design_deviation(figure: str, stage: str, found: Estimated, truth: float) -> float:
    """``deviation`` from the value; of a rule from the nearer end of the interval of its layers, 0 inside."""
    low, high = _ends(figure, stage, found)
    if low <= truth <= high:
        return 0.0
    return min(deviation(figure, low, truth), deviation(figure, high, truth))


def _ends(figure: str, stage: str, found: Estimated) -> tuple[float, float]:
    ruled = stage == "csynth" and figure in RULES
    return (found.low, found.high) if ruled else (found.value, found.value)


def interval_entries(deviations: Iterable[Deviation]) -> dict[str, Entry]:
    """Entries ``interval_<stage>/<figure>/<kind>`` whose spread covers 80 % of new sources. A worse grade is no
    narrower than a better one."""
    by_figure: dict[tuple[str, str], list[Deviation]] = defaultdict(list)
    for one in deviations:
        by_figure[one.stage, one.figure].append(one)
    found: dict[str, Entry] = {}
    for (stage, figure), seen in sorted(by_figure.items()):
        widest = 0.0
        others = sorted({one.kind for one in seen} - set(GRADES))
        for kind in (*GRADES, *others):
            own = [one for one in seen if one.kind == kind]
            half = _half_width(own, _together(kind, own, seen), COVERAGE if figure in RULES else _DRAWN)
            if kind in GRADES:
                half = widest = max(half, widest)
            sources = tuple(sorted({one.source for one in own}))
            spread = (round(math.exp(-half), 4), round(math.exp(half), 4))
            found[f"interval_{stage}/{figure}/{kind}"] = Entry({}, spread, len(own), sources)
    return found


def _together(kind: str, own: list[Deviation], seen: list[Deviation]) -> list[Deviation]:
    """What a grade is drawn to: all designs but the unknown; grade D to the doubted, too, where few authors have it."""
    if kind not in _UNKNOWN:
        return [one for one in seen if one.kind not in _UNKNOWN] or seen
    few = len({one.source for one in own}) < _FEWEST_SOURCES
    return seen if few else [one for one in seen if one.kind in (kind, *GRADES[: GRADES.index(kind)])]


def _half_width(own: list[Deviation], everything: list[Deviation], covered: float) -> float:
    """The weighted quantile of ``own``, drawn to that of ``everything``."""
    weighted = _weighted(own, 0.0) + _weighted(everything, _SHRINKAGE)
    whole = sum(weight for _, weight in weighted) + _NEW_SOURCE
    reached = 0.0
    for size, weight in sorted(weighted):
        reached += weight
        if reached >= covered * whole:
            return size
    return max(size for size, _ in weighted)


def _weighted(deviations: list[Deviation], together: float) -> list[tuple[float, float]]:
    """(size, weight); ``together``: what all weigh in sum, 0 for their own trust."""
    number: dict[str, int] = defaultdict(int)
    for one in deviations:
        number[one.source] += 1
    weights = [1 / (number[one.source] + _HALF_TRUSTED) for one in deviations]
    scale = together / sum(weights) if together else 1.0
    return [(one.size, weight * scale) for one, weight in zip(deviations, weights, strict=True)]


def conformal(found: Estimated, figure: str, stage: str, kind: str, coefficients: Coefficients) -> Estimated | None:
    """``found`` with the interval of its ``kind``; None where no design of that stage was seen."""
    entry = coefficients.entries.get(f"interval_{stage}/{figure}/{kind}")
    if entry is None:
        return None
    small = _SMALL.get(figure, 1.0) if entry.spread[1] > 1 else 0.0
    ends = _ends(figure, stage, found)
    low = (ends[0] + small) * entry.spread[0] - small
    high = (ends[1] + small) * entry.spread[1] - small
    return Estimated(
        value=found.value, low=max(0, math.floor(min(low, found.value))), high=math.ceil(max(high, found.value))
    )


def united(one: Estimated, other: Estimated | None) -> Estimated:
    """The interval that holds both."""
    if other is None:
        return one
    return Estimated(value=one.value, low=min(one.low, other.low), high=max(one.high, other.high))
