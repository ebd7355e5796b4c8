"""The page in headless Chromium: no sideways scrolling, both themes, print. The page itself runs no script."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape
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
)

from toolchain.report.assemble import assemble
from toolchain.report.html import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip

PROBE = """<script>
const wide = [...document.querySelectorAll("body *")].filter(x => !x.closest(".scroll, pre") && !x.closest("svg svg")
  && x.getBoundingClientRect().right > innerWidth + 1).map(x => x.tagName + "." + x.getAttribute("class"));
const style = getComputedStyle(document.body);
const found = {width: innerWidth, scroll: document.documentElement.scrollWidth, wide,
  page: style.backgroundColor, ink: style.color,
  boxed: [...document.querySelectorAll(".scroll")].filter(x => x.scrollWidth > x.clientWidth).length,
  requests: performance.getEntriesByType("resource").length,
  scripts: document.scripts.length, images: document.images.length,
  heading: parseFloat(getComputedStyle(document.querySelector("h1")).fontSize),
  top: document.querySelector(".keys").getBoundingClientRect().bottom};
parent.document.documentElement.setAttribute("data-found", JSON.stringify(found));
</script>"""


def chromium(folder: Path, *arguments: str) -> str:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def probe(text: str, folder: Path, width: int, dark: bool = False) -> dict[str, Any]:
    """Measures of the page; its own policy forbids scripts, so the copy that is measured goes without it."""
    page = folder / "page.html"
    measured = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", PROBE + "</body>")
    # A frame, because a headless window is never narrower than 500 pixels.
    frame = f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{escape(measured)}"></iframe>'
    page.write_text(f"<!DOCTYPE html><html><body>{frame}</body></html>")
    theme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    dom = chromium(folder, "--window-size=1400,1000", theme, "--dump-dom", page.as_uri())
    found = re.search(r'data-found="([^"]*)"', dom)
    assert found
    measures: dict[str, Any] = json.loads(found[1].replace("&quot;", '"'))
    return measures


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
    assert probe(render(assemble(build_results()), figures()), tmp_path, 1280)["top"] < 900


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
