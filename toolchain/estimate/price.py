"""The price of one layer: what it needs, how sure that is, and how it was counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolchain.estimate.amounts import Amounts
from toolchain.estimate.coefficients import UNKNOWN_SPREAD, Coefficients, Entry
from toolchain.estimate.priors import PRIORS

Spread = tuple[float, float]
EXACT: Spread = (1.0, 1.0)
#: A fit of another tool is off by more than its own residuals say.
_FOREIGN = 1.6


@dataclass(frozen=True)
class Price:
    """Resources and timing of one layer.

    ``spread``: by figure, the multiples of the value between which the truth is in 80 % of cases. ``measured``: ``own``
    when the tool family's own designs were fitted, ``foreign`` when another tool's were, ``none`` when nothing was.
    """

    dsp: float
    bram_18k: float
    lut: float
    ff: float
    latency_cycles: float
    initiation_interval: float
    spread: Mapping[str, Spread] = field(default_factory=dict)
    explanation: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    measured: str = "own"
    least_latency_cycles: float | None = None  # where it depends on the data; else None
    delay_ns: float | None = None  # of a layer that may share its cycle with its neighbours
    more_dsp: float = 0.0  # blocks that products by unknown constants may take beyond ``dsp``
    more_bram_18k: float = 0.0  # and that a FIFO may take that not every such design has

    def of(self, figure: str) -> Spread:
        return self.spread.get(figure, EXACT)


@dataclass(frozen=True)
class Figure:
    """One priced figure."""

    value: float
    spread: Spread
    measured: str
    line: str


def figure(name: str, amounts: Amounts, tool: str, coefficients: Coefficients) -> Figure:
    """Amounts times coefficients; what an entry does not have is priced by construction.

    Without any entry the price is half to twice what that says.
    """
    entry, own = coefficients.find(amounts.regime, name, tool)
    built: Mapping[str, float] = PRIORS.get(f"{amounts.regime}/{name}", {})
    if entry is None:
        entry = Entry(built, UNKNOWN_SPREAD, 0, ())
    each = {**built, **entry.terms}
    parts = {term: each.get(term, 0.0) * amount for term, amount in amounts.terms.items() if amount}
    value = max(0.0, amounts.fixed + sum(parts.values()))
    shown = [f"{amounts.fixed:.0f} bits of adders"] if amounts.fixed else []
    shown += [
        f"{amounts.terms[term]:g} {term.replace('_', ' ')} x {each.get(term, 0.0):.3g}"
        for term, part in sorted(parts.items(), key=lambda item: -item[1]) if part >= 0.5
    ]  # fmt: skip
    unseen = [term for term, amount in amounts.terms.items() if amount and term not in entry.terms]
    spread = entry.spread if own else widened(entry.spread, _FOREIGN)
    if unseen:
        spread = widened((min(spread[0], 0.8), max(spread[1], 1.25)), _FOREIGN)
    line = f"{name} {value:.0f} = " + (" + ".join(shown) or "0") + ("" if entry.layers else ", never calibrated")
    evidence = entry.evidence
    return Figure(value, spread, evidence if (own and not unseen) or evidence == "none" else "foreign", line)


def widened(spread: Spread, power: float) -> Spread:
    """The spread further out by ``power`` on a logarithmic scale."""
    return max(spread[0], 0.02) ** power, spread[1] ** power
