"""The page in headless Chromium: no sideways scrolling, both themes, print. The page itself runs no script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import chromium, needs_chromium, probe
from report_cases import (
    HOSTILE,
    arm_results,
    build_results,
    class_figures,
    figures,
    hostile_results,
    mismatch_results,
)

from toolchain.report.assemble import assemble
from toolchain.report.html import render

pytestmark = needs_chromium

TOP = 'found.top = document.querySelector(".keys").getBoundingClientRect().bottom;'


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("case", ["good", "mismatch", "arm", "hostile"])
def test_the_page_never_scrolls_sideways(case: str, width: int, tmp_path: Path) -> None:
    text = {
        "good": lambda: render(assemble(build_results()), figures()),
        "mismatch": lambda: render(assemble(mismatch_results()), figures()),
        "arm": lambda: render(assemble(arm_results()), class_figures(simulated=False)),
        "hostile": lambda: render(assemble(hostile_results()), figures(HOSTILE)),
    }[case]()
    found = probe(text, tmp_path, width)
    assert found["width"] == width
    assert found["scroll"] == width, found["wide"]
    assert found["wide"] == []
    assert (found["scripts"], found["images"], found["requests"]) == (1, 0, 0), "only the probe itself"
    assert found["heading"] >= 40
    assert width < 1280 or case == "hostile" or found["boxed"] == 0


def test_a_manager_sees_verdict_and_numbers_on_one_screen(tmp_path: Path) -> None:
    assert probe(render(assemble(build_results()), figures()), tmp_path, 1280, more=TOP)["top"] < 900


def test_light_and_dark(tmp_path: Path) -> None:
    text = render(assemble(build_results()), figures())
    light, dark = (probe(text, tmp_path, 1280, dark) for dark in (False, True))
    assert (light["page"], light["ink"]) == ("rgb(247, 246, 242)", "rgb(22, 25, 29)")
    assert (dark["page"], dark["ink"]) == ("rgb(17, 20, 23)", "rgb(236, 234, 228)")


def test_it_prints(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(assemble(build_results()), figures()))
    chromium(tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", "--no-pdf-header-footer", page.as_uri())
    pages = re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())
    assert 1 <= len(pages) <= 8


def test_a_page_that_is_too_wide_would_be_noticed(tmp_path: Path) -> None:
    text = render(assemble(build_results()), figures()).replace("</style>", ".mast { width: 500px }</style>")
    found = probe(text, tmp_path, 360)
    assert found["scroll"] > 360
    assert "HEADER.mast" in found["wide"]
