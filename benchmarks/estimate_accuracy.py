"""How far estimates are from published reports they have not seen: ``python benchmarks/estimate_accuracy.py FOLDER``.

FOLDER holds ``designs.csv``, ``layers.csv``, ``weights.csv`` and ``weights.npz``. Each source is scored with the
coefficients of all others; the grid of single layers also by shapes left out in eight folds, and above 128 inputs from
at most 128. ``--plot FILE.svg`` draws estimate over report; ``--write`` fits on everything and stores what the package
ships.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from project_reports import PROJECT, project_reports
from published_reports import Reader
from scored_reports import Report, observations

from toolchain.estimate.calibration import SynthesizedDesign, fit_rows, rows_of
from toolchain.estimate.coefficients import Coefficients
from toolchain.estimate.held_out import deviations
from toolchain.estimate.intervals import GRADES, Deviation, interval_entries
from toolchain.estimate.stage import estimate_design
from toolchain.results import Estimated
from toolchain.target import load_target

FIGURES = ("dsp", "bram_18k", "lut", "ff", "latency_cycles", "initiation_interval")
FOLDS = 8
CONVOLUTIONS = {"conv1d", "conv2d", "depthwise"}
GRID = 8  # every eighth design of the grid says enough of its deviations


_fits: Calibrator  # of the process


class Calibrator:
    """Fits on any choice of reports; what a fit needs of a report is counted once."""

    def __init__(self, reports: list[Report], later: list[Report]) -> None:
        self.reports, self.later = reports, later
        self._rows = {id(report): rows_of(observations(report)) for report in reports}
        self._rows |= {
            id(report): rows_of((), [SynthesizedDesign(report.design, report.figures, report.row.source)])
            for report in later
        }

    @property
    def all(self) -> list[Report]:
        return [*self.reports, *self.later]

    def fitted(self, reports: Iterable[Report], spreads: bool = False) -> Coefficients:
        return fit_rows([row for report in reports for row in self._rows[id(report)]], spreads=spreads)

    def without(self, sources: frozenset[str]) -> list[Report]:
        return [report for report in self.all if report.group not in sources]

    def deviations(self, left_out: frozenset[str]) -> list[Deviation]:
        """Every other source as seen by a fit on the rest; of a grid of designs every eighth. Networks of the only
        source of dense layers in memory after logic synthesis are left out one by one."""
        found: list[Deviation] = []
        groups = sorted({report.group for report in (*self.reports, *self.later)} - left_out)
        for source in groups:
            used = self.fitted(self.without(left_out | {source}))
            thin = GRID if source == "wa" else 1
            out = [report for report in self.reports if report.group == source][::thin]
            out += [report for report in self.later if report.group == source and calibrates(report)]
            found += deviations_of(out, used)
        if "jdweitz" not in left_out:
            found += self.networks(frozenset())
        return found

    def networks(self, left_out: frozenset[str]) -> list[Deviation]:
        found: list[Deviation] = []
        stacks = [report for report in self.later if report.group == "jdweitz" and report.row.model not in left_out]
        for model in sorted({report.row.model for report in stacks}):
            used = self.fitted(report for report in stacks if report.row.model != model)
            found += deviations_of([report for report in stacks if report.row.model == model], used)
        return found


def calibrates(report: Report) -> bool:
    """Networks of jdweitz are left out one by one; P01 has 2,742 DSP blocks before and 24 after: another run."""
    return report.group != "jdweitz" and report.row.pair_id != "P01"


def with_intervals(used: Coefficients, deviations: list[Deviation]) -> Coefficients:
    return Coefficients({**used.entries, **interval_entries(deviations)})


def deviations_of(reports: list[Report], used: Coefficients) -> list[Deviation]:
    fpga = load_target("alveo_u250").fpga
    assert fpga is not None
    found: list[Deviation] = []
    for report in reports:
        result = estimate_design(report.design, report.fpga or fpga, used)
        source = report.row.model if report.group == "jdweitz" else report.group
        found += deviations(report.design, result, report.row.stage, report.figures, source)
    return found


def scored(reports: list[Report], group: Callable[[Report], str], used: Coefficients) -> Iterator[tuple[object, ...]]:
    fpga = load_target("alveo_u250").fpga
    assert fpga is not None
    for report in reports:
        found = estimate_design(report.design, report.fpga or fpga, used)
        later = report.row.stage == "logic_synthesis"
        for name, true in report.figures.items():
            one: Estimated = (
                found.logic_synthesis[name] if later and name in found.logic_synthesis else getattr(found, name)
            )
            yield group(report), name, one.value, true, one.low <= true <= one.high, found.grade, report.group


def kind(report: Report) -> str:
    """Quality, source, strategy and whether weights are used once."""
    if report.row.quality == PROJECT:
        kinds = {layer.kind for layer in report.design.layers}
        made = "recurrent" if "recurrent" in kinds else "convolutions" if kinds & CONVOLUTIONS else "dense"
        doubted = any(layer.doubt for layer in report.design.layers)
        return f"projects, {report.design.tool}, {report.design.io_type}, {made}{', doubted' if doubted else ''}"
    once = str(report.row.reuse_effective) in ("1", "1.0")
    label = f"{report.row.quality} {report.group}"
    if report.group in ("wa", "ArgyKokk"):
        label += f", {str(report.row.strategy).split(';')[-1]}, RF {'1' if once else '> 1'}"
    return label


def later_kind(report: Report) -> str:
    return kind(report) if report.row.quality == PROJECT else report.group


def fold(report: Report) -> int:
    """A shape is in one fold as a whole."""
    return zlib.crc32(str(report.row.model).encode()) % FOLDS


def _share(fits: Calibrator) -> None:
    global _fits
    _fits = fits


def source_left_out(source: str) -> list[tuple[object, ...]]:
    """The reports of ``source`` as a fit on all others sees them."""
    left = frozenset({source})
    used = with_intervals(_fits.fitted(_fits.without(left), True), _fits.deviations(left))
    out = [report for report in _fits.reports if report.group == source]
    after = [report for report in _fits.later if report.group == source]
    rows = list(scored(out, lambda r: f"source left out: {kind(r)}", used))
    return rows + list(scored(after, lambda r: f"source left out, logic synthesis: {later_kind(r)}", used))


def every_report(reader: Reader, more: list[Report]) -> tuple[list[Report], list[Report]]:
    """After C synthesis, and after logic synthesis."""
    reports = [*reader.reports("csynth"), *(one for one in more if one.row.stage == "csynth")]
    return reports, [*reader.reports("logic_synthesis"), *(one for one in more if one.row.stage != "csynth")]


def everything(folder: Path, more: list[Report]) -> pd.DataFrame:
    reader = Reader(folder)
    reports, later = every_report(reader, more)
    fits = Calibrator(reports, later)
    rows: list[tuple[object, ...]] = []
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork"), _share, (fits,)) as workers:
        for found in workers.map(source_left_out, sorted({report.group for report in reports})):
            rows += found
    grid = [report for report in reports if report.group == "wa"]
    seen = fits.deviations(frozenset())
    for number in range(FOLDS):
        used = with_intervals(fits.fitted((r for r in fits.all if r.group != "wa" or fold(r) != number), True), seen)
        out = [report for report in grid if fold(report) == number]
        rows += scored(out, lambda r: f"shape left out: {kind(r)}", used)
    used = with_intervals(fits.fitted((r for r in fits.all if r.group != "wa" or inputs(r) <= 128), True), seen)
    large = [report for report in grid if inputs(report) > 128]
    rows += scored(large, lambda r: f"n_in > 128 from <= 128: {kind(r)}", used)
    stacks = [report for report in later if report.group == "jdweitz"]
    for model in sorted({report.row.model for report in stacks}):
        used = fits.fitted((r for r in stacks if r.row.model != model), True)
        used = with_intervals(used, fits.networks(frozenset({model})))
        out = [report for report in stacks if report.row.model == model]
        rows += scored(out, lambda r: "network left out, logic synthesis: jdweitz", used)
    return pd.DataFrame(rows, columns=["group", "figure", "estimate", "truth", "inside", "grade", "source"])


def inputs(report: Report) -> int:
    weights = report.design.layers[0].weights
    assert weights is not None
    return int(weights.shape[0])


def coverage(scores: pd.DataFrame) -> str:
    """Share inside the 80 % interval with the source left out: every source weighs the same, and every design."""
    out = scores[scores.group.str.startswith("source left out: ")]
    lines = ["| figure | sources | designs | by source | by design | A | B | C | D |", "| --- " * 9 + "|"]
    for figure in FIGURES:
        part = out[out.figure == figure]
        by_source = part.groupby("source").inside.mean()
        cells = [f"{100 * by_source.mean():.0f} %", f"{100 * part.inside.mean():.0f} %"]
        for grade in GRADES[:4]:
            own = part[part.grade == grade]
            sources = own.groupby("source").inside.mean()
            cells.append(f"{100 * sources.mean():.0f} % of {len(own)}" if len(own) else "–")
        lines.append(f"| {figure} | {len(by_source)} | {len(part)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table(scores: pd.DataFrame) -> str:
    """Median, 90th percentile, sMAPE of the relative error; share within max(1, 5 %), exact, in the 80 % interval."""
    lines = ["| designs | figure | n | median | p90 | sMAPE | within | exact | in interval |", "| --- " * 9 + "|"]
    for (group, figure), part in scores.groupby(["group", "figure"], sort=True):
        error = (part.estimate - part.truth).abs()
        relative = 100 * error / part.truth.clip(lower=1)
        within = 100 * (error <= np.maximum(1, 0.05 * part.truth)).mean()
        cells = (
            relative.median(),
            relative.quantile(0.9),
            200 * (error / (part.estimate.abs() + part.truth.abs()).clip(lower=1e-9)).mean(),
            within,
            100 * (error < 0.5).mean(),
            100 * part.inside.mean(),
        )
        lines.append(f"| {group} | {figure} | {len(part)} | " + " | ".join(f"{value:.1f} %" for value in cells) + " |")
    return "\n".join(lines)


def plot(scores: pd.DataFrame, file: Path) -> None:
    """Estimate against report, one panel a figure, both axes logarithmic; held-out scores."""
    size, gap = 220, 40
    parts = []
    for place, figure in enumerate(FIGURES):
        part = scores[(scores.figure == figure) & (scores.truth > 0) & (scores.estimate > 0)]
        left, top = gap + (place % 3) * (size + gap), gap + (place // 3) * (size + gap)
        low, high = np.log10(part.truth.min()), np.log10(max(part.truth.max(), part.truth.min() + 1))
        parts.append(f'<rect x="{left}" y="{top}" width="{size}" height="{size}" fill="none" stroke="#888"/>')
        parts.append(f'<line x1="{left}" y1="{top + size}" x2="{left + size}" y2="{top}" stroke="#888"/>')
        parts.append(f'<text x="{left}" y="{top - 8}" font-size="13">{figure}: estimate over report</text>')
        for row in part.drop_duplicates(["estimate", "truth"]).itertuples():
            x, y = ((np.log10(value) - low) / (high - low) for value in (row.truth, row.estimate))
            if 0 <= y <= 1:
                own = "#c60" if "wa" not in row.group else "#06c"
                place_x, place_y = left + x * size, top + size - y * size
                parts.append(f'<circle cx="{place_x:.1f}" cy="{place_y:.1f}" r="1.8" fill="{own}" fill-opacity="0.6"/>')
    width, height = 3 * (size + gap) + gap, 2 * (size + gap) + gap
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
    file.write_text("\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>"]) + "\n")


def speed() -> str:
    """Seconds for a small network and for 100,000 weights."""
    from toolchain.estimate.design import Design, DesignLayer

    fpga = load_target("alveo_u250").fpga
    assert fpga is not None
    lines = []
    for widths in ((16, 64, 32, 32, 5), (316, 316, 5)):
        rng = np.random.default_rng(0)
        layers = tuple(
            DesignLayer(f"d{i}", "dense", 16, 16, b, 1, rng.integers(-128, 128, (a, b)), 8, 30)
            for i, (a, b) in enumerate(pairwise(widths))
        )
        begin = time.perf_counter()
        estimate_design(Design(layers, "vitis", "io_parallel", "ultrascale_plus", 5.0), fpga)
        lines.append(f"{'-'.join(map(str, widths))}: {time.perf_counter() - begin:.3f} s")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--projects", type=Path, help="synthesized hls4ml projects: FOLDER/AUTHOR/… (projects.csv)")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    more = list(project_reports(given.projects)) if given.projects else []
    if given.write:
        reader = Reader(given.folder)
        fits = Calibrator(*every_report(reader, more))
        found = with_intervals(fits.fitted(fits.all, True), fits.deviations(frozenset()))
        shipped = Path(__file__).parents[1] / "toolchain" / "estimate" / "coefficients.json"
        shipped.write_text(found.to_json())
    else:
        scores = everything(given.folder, more)
        print(table(scores))
        print(coverage(scores))
        print(speed())
        if given.plot:
            plot(scores, given.plot)
