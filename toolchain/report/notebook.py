"""The report as a short HTML table, for ``_repr_html_``."""

from __future__ import annotations

from markupsafe import Markup

from toolchain.report.schema import Report
from toolchain.report.statements import budget_statement, headline, key_figures, model_statement
from toolchain.report.text import mismatch_lines

_ROW = Markup('<tr><th scope="row" style="text-align:left">{}</th><td style="text-align:left">{}</td></tr>')
_TONES = {"good": "✓", "bad": "✗", "open": "–"}


def html_table(report: Report) -> str:
    """A table without styles of its own but alignment: notebooks have light and dark themes. Everything is escaped."""
    found = headline(report)
    rows = [_ROW.format("verdict", f"{found.words}. {found.sentence}"), _ROW.format("model", model_statement(report))]
    if found.mismatch:
        rows.append(_ROW.format("first mismatch", "; ".join(mismatch_lines(found.mismatch))))
    for figure in key_figures(report):
        rows.append(_ROW.format(figure.label, figure.text + (f" ({figure.note})" if figure.note else "")))
    rows.append(_ROW.format("budget", " ".join((budget_statement(report), *report.budget.problems))))
    caption = Markup('<caption style="text-align:left"><strong>{} {}: {} for {}</strong></caption>').format(
        _TONES[found.tone], found.words, report.project, report.target.title
    )
    return str(Markup("<table>{}<tbody>{}</tbody></table>").format(caption, Markup("").join(rows)))
