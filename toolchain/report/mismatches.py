"""The figure of differing words per layer."""

from __future__ import annotations

from markupsafe import Markup

from toolchain.report import svg
from toolchain.report.numerals import percent
from toolchain.results import Comparison

_ROW = 22
_LONGEST_NAME = 22


def mismatches(found: Comparison) -> Markup:
    """A bar for each layer, in the network's order: the fraction of its words that differ, and how many these are."""
    rows = [(name, count, found.layer_words.get(name) or 0) for name, count in found.layers.items()]
    parts, gutter = [], 0
    for place, (name, count, words) in enumerate(rows):
        middle = place * _ROW + _ROW / 2
        share = count / words if words else 0.0
        parts += [_bar("track", middle, 1.0)]
        if count:
            parts.append(_bar("fill over", middle, max(share, 0.004)))
        said = f"{count:,} of {words:,} ({percent(share)})" if count else "0"
        parts.append(svg.label(100, round(middle) + 4, said))
        parts.append(svg.side_label(middle, _short(name)))
        gutter = max(gutter, svg.label_width(_short(name)))
    description = "; ".join(f"{name}: {count:,} of {words:,} words differ" for name, count, words in rows)
    return svg.figure(_ROW * max(len(rows), 1), description, parts, gutter)


def _bar(kind: str, middle: float, share: float) -> Markup:
    return Markup('<rect class="{}" x="0" y="{}" width="{}%" height="12" rx="2"/>').format(
        kind, f"{middle - 6:.1f}", f"{100 * share:.2f}"
    )


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
