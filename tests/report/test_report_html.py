"""The page: self-contained, escaped, accessible, and the verdict first."""

from __future__ import annotations

import re
import tomllib
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from report_cases import (
    HOSTILE,
    arm_results,
    build_results,
    class_figures,
    figures,
    hostile_results,
    mismatch_results,
    over_budget_results,
    project,
)

from toolchain.project import parse_project
from toolchain.report import html
from toolchain.report.assemble import assemble
from toolchain.report.figures import Figures
from toolchain.report.html import options_as_toml, render

STYLE = (Path(html.__file__).parent / "style.css").read_text(encoding="utf-8")
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Tags with attributes, the text of the body, and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


CASES: dict[str, tuple[Any, Figures]] = {
    "good": (build_results, figures()),
    "mismatch": (mismatch_results, figures()),
    "budget": (over_budget_results, figures()),
    "arm": (arm_results, class_figures(simulated=False)),
    "hostile": (hostile_results, figures(HOSTILE)),
    "bare": (build_results, Figures()),
}


@pytest.fixture(params=list(CASES))
def text(request: pytest.FixtureRequest) -> str:
    results, drawn = CASES[request.param]
    return render(assemble(results()), drawn)


def test_every_page_is_well_formed_and_self_contained(text: str) -> None:
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for _, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on") or key in ("src", "href", "xlink:href")]
    assert not re.search(r"url\(|@import|https?:", text)


def test_headings_come_in_order(text: str) -> None:
    levels = [int(tag[1]) for tag, _ in Page(text).tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_figures_and_landmarks_have_names(text: str) -> None:
    tags = Page(text).tags
    assert ("html", {"lang": "en"}) in tags
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in tags if tag == "th")
    assert sum(tag == "table" for tag, _ in tags) == sum(tag == "caption" for tag, _ in tags)
    drawn = [attributes for tag, attributes in tags if tag == "svg" and attributes.get("class") == "plot"]
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawn)
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [attributes["aria-labelledby"] for _, attributes in tags if "aria-labelledby" in attributes]
    assert set(named) <= set(ids)


def test_the_verdict_stands_first() -> None:
    words = Page(render(assemble(build_results()), figures())).words()
    assert words.index("Bit-exact") < words.index("173,740 words") < words.index("Accuracy") < words.index("Pruning")


def test_what_pruning_saved_and_cost_stands_on_the_page() -> None:
    words = Page(render(assemble(build_results()), figures())).words()
    for part in ("7,159 of 8,525 multipliers and 83.3 % of 8,590 multiply-accumulates are gone", "retention 90.0 %",
                 "lost <much>", "8,400 → 1,260", "6.67 ×", "16.20 → 18,", "Sensitivity"):  # fmt: skip
        assert part in words, part


def test_a_mismatch_shows_where_which_words_and_why() -> None:
    words = Page(render(assemble(mismatch_results()), figures())).words()
    assert words.index("Not bit-exact") < words.index("rounding TRN instead of RND_CONV")
    for part in ("Layer dense", "Sample 17", "Element 42", "Expected word -1219", "Found word -1220", "-1.19140625"):
        assert part in words
    assert "exit code 5" in words


def test_a_mismatch_is_drawn_layer_by_layer() -> None:
    page = render(assemble(mismatch_results()), figures())
    assert "fraction of the words that differ, layer by layer" in Page(page).words()
    assert "dense: 1,207 of 51,408 words differ; dense_relu: 734 of 51,408 words differ" in page
    assert page.count('class="fill over" x="0"') == 3
    assert "fraction of the words that differ" not in render(assemble(build_results()), figures())


def test_a_page_without_hardware_says_why() -> None:
    words = Page(render(assemble(arm_results()), class_figures(simulated=False))).words()
    assert "Not verified" in words
    assert "skipped: target raspberry_pi_5 has no FPGA" in words
    assert "not measured: target raspberry_pi_5 has no FPGA" in words


def test_an_exceeded_budget_stands_on_the_first_screen() -> None:
    words = Page(render(assemble(over_budget_results()), figures())).words()
    assert words.index("next: hls.reuse_factor = 28") < words.index("Accuracy")
    assert "exit code 4" in words


def test_every_artefact_stage_and_version_is_named() -> None:
    report = assemble(build_results())
    words = Page(render(report, figures())).words()
    for file in report.tflite:
        assert file.sha256 in words
        assert file.path in words
    for stage in report.stages:
        assert stage.name in words
    for name, version in report.tool_versions.items():
        assert f"{name} {version}" in words
    assert "toolchain build spx_forecast --target alveo_u250" in words


def test_hostile_names_are_text_and_nothing_else() -> None:
    text = render(assemble(hostile_results()), figures(HOSTILE))
    assert HOSTILE not in text
    assert "<script" not in text
    assert HOSTILE in "".join(Page(text).text)


def test_removing_the_escapes_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = html._environment().overlay(autoescape=False)
    monkeypatch.setattr(html, "_environment", lambda: environment)
    text = render(assemble(hostile_results()), figures(HOSTILE))
    assert "<script" in text


def test_the_same_report_gives_the_same_page() -> None:
    assert render(assemble(build_results()), figures()) == render(assemble(build_results()), figures())


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"budget": {"dsp": 3, "latency_ns": 12.5}, "prune": {"skip": ["conv", "forecast"]}},
        {"hls": {"layers": {"dense": {"reuse_factor": 4}, 'odd "name" é\n': {"strategy": "resource"}}}},
        {"description": HOSTILE + "\\ \x7f \t"},
    ],
)
def test_the_options_can_be_built_again(sections: dict[str, Any]) -> None:
    whole = project(**sections)
    text = options_as_toml(whole.model_dump(mode="json"))
    assert parse_project(tomllib.loads(text), "test") == whole


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast(theme: int) -> None:
    """WCAG 2.2: text 4.5 to 1 (1.4.3), lines and marks 3 to 1 (1.4.11)."""
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[theme]))
    for ground in ("page", "sheet"):
        for name in ("ink", "quiet", "good", "bad", "open"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in ("truth", "float", "hardware", "after", "before"):
        assert _contrast(colours[name], colours["page"]) >= 3, name
