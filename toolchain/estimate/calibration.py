"""Counts and reports in, coefficients out: the same fit for published reports and for a user's own.

The least sum of relative deviations with coefficients that are not negative (each is a cost). The spread of an entry
comes from designs that its fit has not seen: sources, or shapes, are left out in turn.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.estimate.amounts import Amounts
from toolchain.estimate.coefficients import UNKNOWN_SPREAD, Coefficients, Entry
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.kinds import layer_amounts
from toolchain.estimate.logic_synthesis import is_measured, logic_amounts
from toolchain.estimate.priors import PRIORS, strength

#: A spread from few designs is too narrow: with n residuals it is widened by 1 + 4 / n.
_FEW = 4.0
_LEAST_SPREAD = 0.01
_FROM_ONE_SHAPE, _WIDEST = (0.6, 1.6), (0.2, 5.0)
#: Look-up tables or flip-flops below which a deviation is not worth being relative.
_SMALL = 50.0
#: Relative deviations below the first count alike, far beyond the second hardly at all; how often weights are set anew.
_ALIKE, _OUTLIER, _REWEIGHTINGS = 0.01, 0.3, 12


@dataclass(frozen=True)
class Observation:
    """One layer of a report: its design, what the report says (``lut``, ``ff``), and whose report it is."""

    design: Design
    layer: DesignLayer
    figures: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class SynthesizedDesign:
    """A whole design after logic synthesis: ``lut`` and ``ff`` of its utilisation report."""

    design: Design
    figures: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Row:
    """What one report says about one entry."""

    amounts: Amounts
    truth: float
    source: str
    shape: str


def fit(
    observations: Iterable[Observation],
    start: Coefficients | None = None,
    synthesized: Iterable[SynthesizedDesign] = (),
) -> Coefficients:
    """Coefficients of every regime, figure and tool that occurs; entries of ``start`` stay where nothing was observed.

    ``synthesized`` calibrates the figures after logic synthesis. Raises ValueError when nothing can be priced.
    """
    return fit_rows(rows_of(observations, synthesized), start)


def rows_of(
    observations: Iterable[Observation], synthesized: Iterable[SynthesizedDesign] = ()
) -> list[tuple[str, Row]]:
    """(entry, row) of every figure that was seen: what a fit needs, counted once."""
    found = []
    for whole in synthesized:
        if not is_measured(whole.design):
            continue
        shape = " > ".join(_shape(layer) for layer in whole.design.layers)
        for figure, amounts in logic_amounts(whole.design).items():
            if whole.figures.get(figure) is not None:
                row = Row(amounts, whole.figures[figure], whole.source, shape)
                found.append((f"{amounts.regime}/{figure}/any", row))
    for seen in observations:
        for figure, amounts in layer_amounts(seen.layer, seen.design).items():
            truth = seen.figures.get(figure)
            if truth is None or not math.isfinite(truth) or truth < 0:
                continue
            row = Row(amounts, truth, seen.source, f"{seen.source} {_shape(seen.layer)}")
            found += [(f"{amounts.regime}/{figure}/{tool}", row) for tool in (seen.design.tool, "any")]
    return found


def fit_rows(seen: Iterable[tuple[str, Row]], start: Coefficients | None = None, spreads: bool = True) -> Coefficients:
    """``fit`` on rows; without ``spreads`` those of the entries stay at half to twice, which saves most of the time."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for name, row in seen:
        rows[name].append(row)
    if not rows:
        raise ValueError("no layer of these reports can be priced: nothing to calibrate")
    entries = dict(start.entries) if start else {}
    for name in sorted(rows):  # "any" comes before the tools
        regime, figure, tool = name.split("/")
        pooled = entries.get(f"{regime}/{figure}/any")
        prior = PRIORS.get(f"{regime}/{figure}", {})
        if tool != "any" and pooled:
            prior = {term: value for term, value in pooled.terms.items() if value or term in prior}
        entries[name] = _entry(rows[name], prior, spreads)
    return Coefficients(entries)


def _shape(layer: DesignLayer) -> str:
    shape = layer.weights.shape if layer.weights is not None else layer.kernel_shape or (layer.words,)
    return " x ".join(map(str, shape))


def _entry(rows: Sequence[Row], prior: Mapping[str, float], spreads: bool) -> Entry:
    terms = sorted({*prior, *(term for row in rows for term, amount in row.amounts.terms.items() if amount)})
    found = _solve(rows, terms, prior)
    number = Counter(row.source for row in rows)
    return Entry(
        dict(zip(terms, (round(float(value), 6) for value in found), strict=True)),
        _spread(rows, terms, prior) if spreads else UNKNOWN_SPREAD, len(rows), tuple(sorted(number)),
        round(len(rows) ** 2 / sum(count**2 for count in number.values()), 3),
    )  # fmt: skip


def _matrix(rows: Sequence[Row], terms: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[row.amounts.terms.get(term, 0.0) for term in terms] for row in rows], dtype=float)


def _solve(rows: Sequence[Row], terms: Sequence[str], prior: Mapping[str, float]) -> NDArray[np.float64]:
    """Non-negative coefficients that minimise the sum of relative deviations (least squares, reweighted).

    A coefficient that has a prior is drawn to it as if by a few more layers.
    """
    matrix = _matrix(rows, terms)
    truth = np.array([row.truth for row in rows])
    target = truth - np.array([row.amounts.fixed for row in rows])
    number = Counter(row.source for row in rows)
    scale = np.array([number[row.source] ** -0.25 for row in rows]) / (truth + _SMALL)
    drawn = [place for place, term in enumerate(terms) if term in prior]
    robust = scale
    found = np.zeros(len(terms))
    for _ in range(_REWEIGHTINGS):
        scaled = matrix * robust[:, None]
        pull = np.zeros((len(drawn), len(terms)))
        wanted = np.zeros(len(drawn))
        for line, place in enumerate(drawn):
            column = scaled[:, place]
            used = column[column > 0]
            size = math.sqrt(strength(terms[place]) * float((used**2).mean())) if len(used) else 1e-6
            pull[line, place], wanted[line] = size, size * prior[terms[place]]
        found = nonnegative_least_squares(np.vstack([scaled, pull]), np.concatenate([target * robust, wanted]))
        deviation = np.abs(matrix @ found - target) / (truth + _SMALL)
        robust = scale / np.sqrt(np.maximum(deviation, _ALIKE) * (1 + (deviation / _OUTLIER) ** 2))
    return found


def nonnegative_least_squares(matrix: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """``x >= 0`` that minimises ``|matrix x - target|``: the active set method of Lawson and Hanson (1974).

    ``matrix (rows, columns)``, ``target (rows,)``; returns ``(columns,)``.
    """
    columns = matrix.shape[1]
    norm = np.maximum(np.linalg.norm(matrix, axis=0), 1e-300)
    scaled = matrix / norm
    x, active = np.zeros(columns), np.zeros(columns, dtype=bool)
    for _ in range(3 * columns):
        gradient = scaled.T @ (target - scaled @ x)
        gradient[active] = -np.inf
        if active.all() or gradient.max() <= 1e-10 * max(1.0, float(np.linalg.norm(target))):
            break
        active[int(gradient.argmax())] = True
        while active.any():
            trial = np.zeros(columns)
            trial[active] = np.linalg.lstsq(scaled[:, active], target, rcond=None)[0]
            if (trial[active] > 0).all():
                x = trial
                break
            low = active & (trial <= 0)
            step = min((x[low] / np.maximum(x[low] - trial[low], 1e-300)).min(), 1.0)
            x = x + step * (trial - x)
            active &= x > 1e-12
            x[~active] = 0.0
    found: NDArray[np.float64] = x / norm
    return found


def _spread(rows: Sequence[Row], terms: Sequence[str], prior: Mapping[str, float]) -> tuple[float, float]:
    """The 10 % and 90 % quantile of truth / value over rows that were left out, widened where there are few.

    A source is left out as a whole when the others have as many rows, else shape by shape.
    """
    number = Counter(row.source for row in rows)
    name = {id(row): row.source if 2 * number[row.source] <= len(rows) else row.shape for row in rows}
    groups = sorted(set(name.values()))
    ratios: list[float] = []
    for group in groups if len(groups) > 1 else []:
        out = [row for row in rows if name[id(row)] == group]
        rest = [row for row in rows if name[id(row)] != group]
        seen = {term for row in rest for term, amount in row.amounts.terms.items() if amount}
        out = [row for row in out if all(term in seen for term, amount in row.amounts.terms.items() if amount)]
        if not out:  # what no other design has is widened where it is priced
            continue
        value = _matrix(out, terms) @ _solve(rest, terms, prior) + np.array([row.amounts.fixed for row in out])
        ratios += [(row.truth + _SMALL) / (float(v) + _SMALL) for row, v in zip(out, value, strict=True)]
    if not ratios:
        return _FROM_ONE_SHAPE
    low, high = (float(end) for end in np.quantile(ratios, [0.1, 0.9]))
    wider = 1 + _FEW / len(ratios)
    least = 1 + _LEAST_SPREAD + 0.5 / math.sqrt(len(ratios))
    low, high = min(low, 1 / least), max(high, least)
    return (round(max(_WIDEST[0], low**wider), 4), round(min(_WIDEST[1], high**wider), 4))
