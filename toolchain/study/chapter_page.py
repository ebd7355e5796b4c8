"""The page of the chapter's study."""

from __future__ import annotations

from toolchain.study.chapter import ChapterStudy, StrategyRow
from toolchain.study.latency_budget import BUDGET, REST_US
from toolchain.study.template import number, render_page


def render(found: ChapterStudy) -> str:
    """The page."""
    return render_page("chapter.html.j2", found=found, verdict=verdict(found), budget=BUDGET, rest=REST_US)


def verdict(found: ChapterStudy) -> str:
    """What the strategies cost and save, in plain words."""
    dense, *others = found.rows
    worse = [row.name for row in others if _side(found, row) > 0]
    better = [row.name for row in others if _side(found, row) < 0]
    least = min(others, key=lambda row: row.lut_equivalent)
    rest = [row.name for row in others if row.name not in worse + better]
    kinds = {"worse": worse, "better": better, "not shown to differ": rest}
    if len(found.seeds) < 2:
        kinds = {"one seed tells nothing of": rest}
    shown = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)
    saved = f"Least hardware: {least.name}, {number(dense.lut_equivalent / least.lut_equivalent)} times fewer LUTs"
    ordered = sorted(found.baselines.items(), key=lambda item: item[1], reverse=found.metric == "accuracy")
    baseline = f"Best without a model: {ordered[0][0]}, {number(ordered[0][1])}; dense {number(dense.metric.value)}"
    start = f"With about {found.wanted_sparsity:.0%} of the weights gone, against the dense model"
    return f"{start} {shown}. {saved}. {baseline}."


def _side(found: ChapterStudy, row: StrategyRow) -> int:
    """1 where the interval over the seeds shows the strategy to be worse than dense, -1 better, 0 neither."""
    assert row.difference is not None
    sign = -1 if found.metric == "accuracy" else 1
    low, high = sorted((sign * row.difference.low, sign * row.difference.high))
    return 1 if low > 0 else -1 if high < 0 else 0
