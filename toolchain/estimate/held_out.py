"""How far estimates are from whole reports that their coefficients have not seen, and intervals made of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from toolchain.estimate.calibration import Observation, SynthesizedDesign, fit_rows, rows_of
from toolchain.estimate.coefficients import Coefficients, Entry
from toolchain.estimate.confidence import interval_kind
from toolchain.estimate.design import Design
from toolchain.estimate.intervals import Deviation, design_deviation, interval_entries
from toolchain.estimate.logic_synthesis import is_measured
from toolchain.estimate.stage import estimate_design
from toolchain.results import EstimateResult
from toolchain.target import Fpga

#: Left-out designs of one grade that make an interval: of five, the worst covers 80 % of a sixth.
FEWEST_DESIGNS = 5


@dataclass(frozen=True)
class ReportedDesign:
    """A design with its reports: single layers, and figures of the whole by stage (``csynth``, ``logic_synthesis``)."""

    design: Design
    fpga: Fpga
    layers: tuple[Observation, ...]
    whole: Mapping[str, Mapping[str, float]]
    source: str

    def synthesized(self) -> list[SynthesizedDesign]:
        """What a fit takes from the report of logic synthesis."""
        figures = self.whole.get("logic_synthesis")
        return [SynthesizedDesign(self.design, figures, self.source)] if figures else []


def deviations(
    design: Design, found: EstimateResult, stage: str, truth: Mapping[str, float], source: str
) -> Iterator[Deviation]:
    """One for each figure of ``truth`` that ``found`` has at ``stage``; ``found`` by coefficients without intervals."""
    later = stage == "logic_synthesis"
    kind = "dense_in_memory" if later and is_measured(design) else interval_kind(design, found.grade)
    for name, true in truth.items():
        if later and name not in found.logic_synthesis:
            continue
        value = found.logic_synthesis[name] if later else getattr(found, name)
        yield Deviation(source, kind, stage, name, design_deviation(name, stage, value, true))


def own_intervals(reports: Sequence[ReportedDesign], start: Coefficients) -> dict[str, Entry]:
    """Intervals by cross-validation: each design estimated by a fit on all others, which begins at ``start``.

    Only of figures and grades that at least ``FEWEST_DESIGNS`` of them have; empty when there are fewer.
    """
    if len(reports) < FEWEST_DESIGNS:
        return {}
    bare = Coefficients({name: e for name, e in start.entries.items() if not name.startswith("interval_")})
    seen: list[Deviation] = []
    for left in reports:
        rest = [report for report in reports if report is not left]
        rows = rows_of([one for report in rest for one in report.layers], [w for r in rest for w in r.synthesized()])
        used = fit_rows(rows, bare, spreads=False)
        found = estimate_design(left.design, left.fpga, used)
        for stage, truth in left.whole.items():
            seen += deviations(left.design, found, stage, truth, left.source)
    number = Counter((one.stage, one.figure, one.kind) for one in seen)
    enough = [one for one in seen if number[one.stage, one.figure, one.kind] >= FEWEST_DESIGNS]
    return {name: entry for name, entry in interval_entries(enough).items() if entry.layers >= FEWEST_DESIGNS}
