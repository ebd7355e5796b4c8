"""docs/pruning_study.md and its plots from pruning_study.json: ``python benchmarks/pruning_study_page.py``."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("pruning_study.json")
TITLES = {
    "digits": ("Digits: accuracy", 100.0, "%"),
    "spx": ("spx_forecast: root mean squared error", 1.0, "points"),
    "btc": ("btc_direction: accuracy", 100.0, "%"),
}
CURVES = ("one-shot", "one-shot, as long as training", "gradual", "iterative", "ticket (init)", "ticket (late)")
SIZES = ("structured", "unstructured, same count", "small, from scratch")
COLOURS = ("#c0392b", "#e08e0b", "#2471a3", "#1e8449", "#7d3c98", "#616a6b")
SHOWN = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)

Curve = list[tuple[float, float, float, int]]


def rows_of(results: dict[str, Any]) -> dict[tuple[str, str], dict[float, list[dict[str, Any]]]]:
    """Rows of all seeds by task and method, and in them by sparsity (structured: by the share of units gone)."""
    found: dict[tuple[str, str], dict[float, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for key, part in results.items():
        for row in part["rows"]:
            if row["method"] == "dense" and not key.endswith("unstructured"):
                continue  # every part trains the same dense model again
            found[row["task"], row["method"]][round(row.get("units_gone", row["sparsity"]), 4)].append(row)
    return found


def spread(rows: list[dict[str, Any]], key: str = "test") -> tuple[float, float]:
    """Mean and sample standard deviation over the seeds."""
    values = np.array([row[key] for row in rows])
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0


def cell(rows: list[dict[str, Any]], scale: float, key: str = "test") -> str:
    """``mean ± spread``."""
    mean, deviation = spread(rows, key)
    digits = 1 if scale == 100 else 2
    return f"{mean * scale:.{digits}f} ± {deviation * scale:.{digits}f}"


def nearest(points: dict[float, list[dict[str, Any]]], sparsity: float) -> list[dict[str, Any]] | None:
    """The rows at this sparsity, or at the nearest within 0.025 (rounds fall where the share puts them)."""
    best = min(points, key=lambda found: abs(found - sparsity))
    return points[best] if abs(best - sparsity) <= 0.025 else None


def task_section(task: str, found: Any) -> list[str]:
    """Both tables of a task."""
    title, scale, unit = TITLES[task]
    dense = found[task, "dense"][0.0]
    lines = [f"## {title}", "", f"Dense: {cell(dense, scale)} {unit} on the test part "
             f"({cell(dense, scale, 'train')} on the training part), {dense[0]['parameters']:,} parameters.", "",
             f"![{title} against sparsity](pruning_study_{task}.svg)", "",
             "| sparsity | " + " | ".join(CURVES) + " |", "| --- |" + " --- |" * len(CURVES)]  # fmt: skip
    for sparsity in SHOWN:
        cells = [nearest(found[task, method], sparsity) for method in CURVES]
        lines.append(f"| {sparsity} | " + " | ".join(cell(rows, scale) if rows else "–" for rows in cells) + " |")
    lines += ["", "At equal parameter counts:", "", "| parameters | " + " | ".join(SIZES) + " |",
              "| --- |" + " --- |" * len(SIZES)]  # fmt: skip
    for share in sorted(found[task, "structured"]):
        parameters = found[task, "structured"][share][0]["parameters"]
        cells = [found[task, method].get(share) for method in SIZES]
        lines.append(f"| {parameters:,} | " + " | ".join(cell(rows, scale) if rows else "–" for rows in cells) + " |")
    return [*lines, ""]


def hardware_section(found: Any) -> list[str]:
    """The cheapest network of each way that keeps the accuracy, chosen on the validation part; then all of them."""
    start = "hardware count: "
    methods = [method for task, method in found if task == "digits" and method.startswith(start)]
    if not methods:
        return []
    dense = found["digits", methods[0]][0.0]
    seeds = len(dense)
    least = spread(dense, "validation")[0] - 0.005
    lines = ["## Look-up-table equivalents at equal accuracy (digits)", "",
             f"{seeds} seeds. The cheapest round whose mean accuracy on the validation part is within 0.5 points of "
             f"the dense, rounded network's ({cell(dense, 100, 'validation')} %, test {cell(dense, 100)} %, "
             f"{spread(dense, 'lut_equivalents')[0]:,.0f} equivalents); the test part decides nothing.", "",
             "| way | sparsity | validation (%) | test (%) | DSP+LUT-equivalents of the kernels | against the first |",
             "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    base = 0.0
    for method in methods[1:]:
        points = found["digits", method]
        good = [s for s in points if spread(points[s], "validation")[0] >= least]
        if not good:
            lines.append(f"| {method.removeprefix(start)} | no round is good enough | – | – | – | – |")
            continue
        sparsity = min(good, key=lambda s: spread(points[s], "lut_equivalents")[0])
        cost, deviation = spread(points[sparsity], "lut_equivalents")
        base = base or cost
        lines.append(
            f"| {method.removeprefix(start)} | {sparsity:.3f} | {cell(points[sparsity], 100, 'validation')} | "
            f"{cell(points[sparsity], 100)} | {cost:,.0f} ± {deviation:,.0f} | {100 * (cost / base - 1):+.0f} % |"
        )
    lines += ["", "All rounds: equivalents in thousands, mean test accuracy in percent.", ""]
    names = [method.removeprefix(start) for method in methods[1:]]
    lines += ["| sparsity | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for sparsity in sorted(found["digits", methods[1]]):
        rows = [found["digits", method].get(sparsity) for method in methods[1:]]
        if sparsity >= 0.7:
            cells = [
                f"{spread(r, 'lut_equivalents')[0] / 1000:.1f}k: {spread(r)[0] * 100:.1f}" if r else "–" for r in rows
            ]
            lines.append(f"| {sparsity:.3f} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def plot(task: str, found: Any) -> str:
    """Mean over the seeds against sparsity, one line for each way, with the spread as bars."""
    title, scale, unit = TITLES[task]
    dense = spread(found[task, "dense"][0.0])[0] * scale
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for method in CURVES:
        points = found[task, method]
        curves[method] = [(s, *(value * scale for value in spread(points[s]))) for s in sorted(points)]
    means = [dense, *(y for curve in curves.values() for _, y, _ in curve)]
    low, high = min(means), max(means)
    if task == "spx":
        high = min(high, 4 * dense)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)

    def at(x: float, y: float) -> str:
        return f"{60 + 520 * x:.1f},{20 + 280 * (1 - (min(max(y, low), high) - low) / (high - low)):.1f}"

    body = [f'<text x="60" y="14">{title} ({unit})</text>']
    for step in range(6):
        value = low + (high - low) * step / 5
        x, y = at(0, value).split(",")
        body.append(f'<line x1="60" x2="580" y1="{y}" y2="{y}" stroke="#ccc"/>')
        body.append(f'<text x="54" y="{float(y) + 4:.1f}" text-anchor="end">{value:.4g}</text>')
        x = at(step / 5, low).split(",")[0]
        body.append(f'<text x="{x}" y="318" text-anchor="middle">{step / 5:g}</text>')
    body.append(f'<polyline points="{at(0, dense)} {at(1, dense)}" stroke="#000" stroke-dasharray="4" fill="none"/>')
    for number, (method, curve) in enumerate(curves.items()):
        colour = COLOURS[number]
        points = " ".join(at(s, y) for s, y, _ in curve)
        body.append(f'<polyline points="{points}" stroke="{colour}" stroke-width="2" fill="none"/>')
        for s, y, deviation in curve:
            first, last = at(s, y - deviation).split(","), at(s, y + deviation).split(",")
            body.append(f'<line x1="{first[0]}" x2="{last[0]}" y1="{first[1]}" y2="{last[1]}" stroke="{colour}"/>')
        body.append(f'<text x="590" y="{40 + 20 * number}" fill="{colour}">{method}</text>')
    body.append('<text x="590" y="160">dashed: dense</text>')
    style = "font-family:sans-serif;font-size:12px;background:#fff"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 790 330" style="{style}">' + "\n".join(body) + "</svg>\n"
    )


def main() -> None:
    """Write the page's generated part and the plots."""
    found = rows_of(json.loads(RESULTS.read_text()))
    tasks = [task for task in TITLES if (task, "dense") in found]
    page = ROOT / "docs" / "pruning_study.md"
    mark = "<!-- from here on written by benchmarks/pruning_study_page.py -->"
    head = page.read_text().split(mark)[0] if page.is_file() else ""
    lines = [line for task in tasks for line in task_section(task, found)] + hardware_section(found)
    page.write_text(head + mark + "\n\n" + "\n".join(lines).rstrip() + "\n")
    for task in tasks:
        (ROOT / "docs" / f"pruning_study_{task}.svg").write_text(plot(task, found))


if __name__ == "__main__":
    main()
