"""Headless Chromium for tests of the pages: measures of a page in a window of any width, in either theme."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH (apt-get install chromium)")

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip

#: What every page is asked; ``found`` goes on in the probe of each test.
MEASURES = """
const wide = [...document.querySelectorAll("body *")].filter(x => !x.closest(".scroll, pre") && !x.closest("svg svg")
  && x.getBoundingClientRect().right > innerWidth + 1).map(x => x.tagName + "." + x.getAttribute("class"));
const style = getComputedStyle(document.body);
const named = x => x.getAttribute("aria-label") || x.labels && [...x.labels].map(y => y.textContent).join("").trim()
  || (x.getAttribute("aria-labelledby") || "").split(" ").filter(y => y && document.getElementById(y))
    .map(y => document.getElementById(y).textContent).join(" ").trim();
const reached = [...document.querySelectorAll("a, button, select, input, [tabindex], [role=button]")];
const found = {width: innerWidth, scroll: document.documentElement.scrollWidth, wide,
  page: style.backgroundColor, ink: style.color,
  boxed: [...document.querySelectorAll(".scroll")].filter(x => x.scrollWidth > x.clientWidth).length,
  requests: performance.getEntriesByType("resource").length,
  scripts: document.scripts.length, images: document.images.length,
  heading: parseFloat(getComputedStyle(document.querySelector("h1")).fontSize),
  headings: [...document.querySelectorAll("h1, h2, h3")].map(x => Number(x.tagName[1])),
  language: document.documentElement.lang, title: document.title, mains: document.querySelectorAll("main").length,
  reached: reached.length, unreachable: reached.filter(x => x.tabIndex < 0).length,
  nameless: [...reached, ...document.querySelectorAll("[role=region], [role=img], [role=group], section")]
    .filter(x => !named(x)).map(x => x.outerHTML.slice(0, 120)),
  tables: [...document.querySelectorAll("table")].map(x => x.querySelectorAll("th[scope=col]").length),
  boxes: [...document.querySelectorAll(".scroll")].map(x => x.tabIndex)};
"""


def chromium(folder: Path, *arguments: str) -> str:
    """What Chromium prints, with a profile of its own in ``folder``."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def probe(text: str, folder: Path, width: int, dark: bool = False, more: str = "") -> dict[str, Any]:
    """Measures of the page, and what the script ``more`` adds to ``found``.

    The page's own policy may forbid scripts, so the copy that is measured goes without it. It stands in a frame,
    because a headless window is never narrower than 500 pixels.
    """
    script = (
        f"<script>{{{MEASURES}{more}\n"
        'parent.document.documentElement.setAttribute("data-found", JSON.stringify(found));}</script>'
    )
    measured = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", script + "</body>")
    page = folder / "page.html"
    frame = f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{escape(measured)}"></iframe>'
    page.write_text(f"<!DOCTYPE html><html><body>{frame}</body></html>")
    theme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    dom = chromium(folder, "--window-size=1400,1000", theme, "--dump-dom", page.as_uri())
    found = re.search(r'data-found="([^"]*)"', dom)
    assert found
    measures: dict[str, Any] = json.loads(unescape(found[1]))
    return measures


def contrast(first: str, second: str) -> float:
    """The contrast ratio of two colours ``rgb(…)`` as WCAG 2.2 defines it, 1 to 21."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def check_layout(found: dict[str, Any], width: int) -> None:
    """No sideways scrolling but within boxes, nothing fetched, one heading order, a name for all that is reached."""
    assert found["width"] == width
    assert found["scroll"] == width, found["wide"]
    assert found["wide"] == []
    assert (found["requests"], found["images"]) == (0, 0)
    assert found["nameless"] == []
    assert found["unreachable"] == 0
    assert (found["language"], found["mains"]) == ("en", 1)
    assert found["title"]
    levels = found["headings"]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(found["tables"]), "a table without column headings"
    assert set(found["boxes"]) <= {0}, "a box that scrolls must be reached by keyboard"
