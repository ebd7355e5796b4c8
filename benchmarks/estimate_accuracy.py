"""How far estimates are from published reports they have not seen: ``python benchmarks/estimate_accuracy.py FOLDER``.

FOLDER holds ``designs.csv``, ``layers.csv``, ``weights.csv`` and ``weights.npz``. Each source is scored with the
coefficients of all others; the grid of single layers also by shapes left out in eight folds, and above 128 inputs from
at most 128. ``--plot FILE.svg`` draws estimate over report; ``--write`` fits on everything and stores what the package
ships.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from published_reports import Reader, Report, observations

from toolchain.estimate.calibration import SynthesizedDesign, fit
from toolchain.estimate.coefficients import Coefficients
from toolchain.estimate.stage import estimate_design
from toolchain.results import Estimated
from toolchain.target import load_target

FIGURES = ("dsp", "bram_18k", "lut", "ff", "latency_cycles", "initiation_interval")
FOLDS = 8


def calibrated(reports: list[Report], later: list[Report]) -> Coefficients:
    """Fitted on these reports."""
    whole = [SynthesizedDesign(r.design, r.figures, r.row.source) for r in later if r.group == "jdweitz"]
    return fit((seen for report in reports for seen in observations(report)), synthesized=whole)


def scored(reports: list[Report], group: Callable[[Report], str], used: Coefficients) -> Iterator[tuple[object, ...]]:
    fpga = load_target("alveo_u250").fpga
    assert fpga is not None
    for report in reports:
        found = estimate_design(report.design, fpga, used)
        later = report.row.stage == "logic_synthesis"
        for name, true in report.figures.items():
            one: Estimated = (
                found.logic_synthesis[name] if later and name in found.logic_synthesis else getattr(found, name)
            )
            yield group(report), name, one.value, true, one.low <= true <= one.high


def kind(report: Report) -> str:
    """Quality, source, strategy and whether weights are used once."""
    once = str(report.row.reuse_effective) in ("1", "1.0")
    label = f"{report.row.quality} {report.group}"
    if report.group in ("wa", "ArgyKokk"):
        label += f", {str(report.row.strategy).split(';')[-1]}, RF {'1' if once else '> 1'}"
    return label


def fold(report: Report) -> int:
    """A shape is in one fold as a whole."""
    return zlib.crc32(str(report.row.model).encode()) % FOLDS


def everything(folder: Path) -> pd.DataFrame:
    reader = Reader(folder)
    reports, later = list(reader.reports("csynth")), list(reader.reports("logic_synthesis"))
    rows: list[tuple[object, ...]] = []
    for source in sorted({report.group for report in reports}):
        out = [report for report in reports if report.group == source]
        used = calibrated([report for report in reports if report.group != source], [])
        rows += scored(out, lambda r: f"source left out: {kind(r)}", used)
    grid = [report for report in reports if report.group == "wa"]
    others = [report for report in reports if report.group != "wa"]
    for number in range(FOLDS):
        used = calibrated(others + [report for report in grid if fold(report) != number], [])
        rows += scored(
            [report for report in grid if fold(report) == number], lambda r: f"shape left out: {kind(r)}", used
        )
    small = [report for report in grid if report.design.layers[0].weights.shape[0] <= 128]
    large = [report for report in grid if report.design.layers[0].weights.shape[0] > 128]
    rows += scored(large, lambda r: f"n_in > 128 from <= 128: {kind(r)}", calibrated(others + small, []))
    stacks = [report for report in later if report.group == "jdweitz"]
    for model in sorted({report.row.model for report in stacks}):
        used = calibrated([], [report for report in stacks if report.row.model != model])
        out = [report for report in stacks if report.row.model == model]
        rows += scored(out, lambda r: "network left out, logic synthesis: jdweitz", used)
    return pd.DataFrame(rows, columns=["group", "figure", "estimate", "truth", "inside"])


def table(scores: pd.DataFrame) -> str:
    """Median / 90th percentile of the relative error, share within max(1, 5 %), exact, inside the 80 % interval."""
    lines = ["| designs | figure | n | median | p90 | within | exact | in interval |", "| --- " * 8 + "|"]
    for (group, figure), part in scores.groupby(["group", "figure"], sort=True):
        error = (part.estimate - part.truth).abs()
        relative = 100 * error / part.truth.clip(lower=1)
        within = 100 * (error <= np.maximum(1, 0.05 * part.truth)).mean()
        cells = (
            relative.median(),
            relative.quantile(0.9),
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
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if given.write:
        reader = Reader(given.folder)
        found = calibrated(list(reader.reports("csynth")), list(reader.reports("logic_synthesis")))
        shipped = Path(__file__).parents[1] / "toolchain" / "estimate" / "coefficients.json"
        shipped.write_text(found.to_json())
    else:
        scores = everything(given.folder)
        print(table(scores))
        print(speed())
        if given.plot:
            plot(scores, given.plot)
