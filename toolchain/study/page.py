"""``study.html``: one page without network, in the style of the report."""

from __future__ import annotations

from toolchain.study.comparison import Comparison
from toolchain.study.template import number, render_page, show


def render(found: Comparison) -> str:
    """The page of a walk-forward study."""
    return render_page("page.html.j2", found=found, verdict=verdict(found))


def verdict(found: Comparison) -> str:
    """The study's answer in one or two sentences."""
    half = (found.difference.high - found.difference.low) / 2
    kind = "squared error" if found.metric == "rmse" else "share of wrong answers"
    if len(found.seeds) < 2:
        start = "One seed shows little: another start of the training may say otherwise"
    elif found.difference.high < 0:
        start = "The compressed model is better than the dense one"
    elif found.within_noise:
        start = "No difference between the compressed and the dense model is shown"
    else:
        start = "The compressed model is worse than the dense one"
    return (
        f"{start}: {kind} {show(found.difference)} higher, where this study can tell about {number(half)}. "
        f"It has {number(found.products_ratio)} times fewer multiplications."
    )
