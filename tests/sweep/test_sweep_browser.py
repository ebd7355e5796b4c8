"""The sweep's page in headless Chromium: its plot by keyboard, on a phone, in both themes."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import check_layout, chromium, contrast, needs_chromium, probe

from toolchain.sweep.design import Design
from toolchain.sweep.exploration import Exploration
from toolchain.sweep.page import render

pytestmark = needs_chromium


def page(designs: int = 6) -> str:
    made = [
        Design(
            number=number, state="complete", metric="accuracy",
            settings={"quantize.bits": 4 + number, "hls.io_type": "io_stream"},
            metrics={"accuracy": 0.5 + number / 20, "lut_equivalent": 1000.0 * (number + 1),
                     "latency_ns": 70.0 - number,
                     "a_metric_of_a_name_that_is_longer_than_a_phone_is_wide_and_more": 1.0},
        )
        for number in range(designs)
    ]  # fmt: skip
    failed = Design(number=designs, settings={"quantize.bits": 2, "hls.io_type": "io_stream"}, state="failed",
                    problem="layer 'hidden': too few bits\nmore")  # fmt: skip
    return render(
        Exploration(
            project="a_project", target="alveo_u250", axes={"quantize.bits": [4], "hls.io_type": ["io_stream"]},
            objectives=("accuracy", "lut_equivalent"), metric="accuracy", lower_is_better=False,
            designs=(*made, failed), front=(0, 3), verdicts={0: "bit_exact", 3: "bit_exact"}, folder=Path("sweeps/abc"),
        )
    )  # fmt: skip


PLOT = """
const plot = document.getElementById("plot"), panel = document.getElementById("design");
const circles = [...plot.querySelectorAll("circle")];
found.circles = circles.length;
found.colour = {point: getComputedStyle(circles[1]).fill, front: getComputedStyle(circles[0]).fill,
  label: getComputedStyle(plot.querySelector("text")).fill, sheet: getComputedStyle(plot).backgroundColor};
found.text = Math.min(...[...plot.querySelectorAll("text")].map(x => x.getBoundingClientRect().height));
found.inside = [...plot.querySelectorAll("circle, text")].every(x => {
  const one = x.getBoundingClientRect(), all = plot.getBoundingClientRect();
  return one.left >= all.left - 1 && one.right <= all.right + 1; });
const press = (x, key) => x.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
circles[3].focus();
found.focused = document.activeElement === circles[3];
found.before = panel.textContent;
press(circles[3], "a");
found.unchanged = panel.textContent === found.before;
found.prevented = !press(circles[3], "Enter");
found.chosen = panel.textContent;
press(circles[4], " ");
found.second = panel.textContent;
found.marked = plot.querySelectorAll(".chosen").length;
const x = document.getElementById("x"), before = circles[2].getAttribute("cx");
x.value = "latency_ns";
x.dispatchEvent(new Event("change"));
found.redrawn = plot.querySelectorAll("circle")[2].getAttribute("cx") !== before;
found.label = plot.querySelectorAll("circle")[2].getAttribute("aria-label");
found.scroll = document.documentElement.scrollWidth; // once more, with a design shown
found.live = panel.getAttribute("aria-live");
"""


@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_is_worked_by_keyboard(width: int, tmp_path: Path) -> None:
    found = probe(page(), tmp_path, width, more=PLOT)
    check_layout(found, width)
    assert found["circles"] == 6  # a failed design stands in the table alone
    assert found["reached"] == 6 + 2 + 1  # points, two choices, the table's box
    assert found["inside"]
    assert found["text"] >= 12
    assert found["focused"]
    assert found["unchanged"]
    assert found["prevented"], "a space must not scroll the page"
    assert found["chosen"].startswith("Trial 3, on the front")
    assert "toolchain build a_project --target alveo_u250 --from abc/3" in found["chosen"]
    assert found["second"].startswith("Trial 4")
    assert found["marked"] == 1
    assert found["redrawn"]
    assert found["label"].startswith("trial 2: latency ns 68, accuracy, validation 0.6")
    assert found["live"] == "polite"


@pytest.mark.parametrize("dark", [False, True])
def test_points_and_labels_stand_out_in_both_themes(dark: bool, tmp_path: Path) -> None:
    found = probe(page(), tmp_path, 1280, dark, PLOT)
    assert (found["page"] == "rgb(17, 20, 23)") == dark
    sheet = found["colour"]["sheet"]
    assert contrast(found["page"], found["ink"]) >= 7
    assert contrast(found["colour"]["label"], sheet) >= 4.5
    assert contrast(found["colour"]["point"], sheet) >= 3
    assert contrast(found["colour"]["front"], sheet) >= 3


def test_a_sweep_whose_designs_all_failed_has_a_page(tmp_path: Path) -> None:
    check_layout(probe(page(0), tmp_path, 360), 360)


def test_the_page_may_fetch_nothing_and_draws_under_its_own_policy(tmp_path: Path) -> None:
    assert "default-src 'none'" in page()
    (tmp_path / "sweep.html").write_text(page())
    assert chromium(tmp_path, "--dump-dom", (tmp_path / "sweep.html").as_uri()).count("<circle") == 6


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        (' role="region" aria-labelledby="table-title"', ' role="region"'),
        ("tabindex: 0, role", "tabindex: -1, role"),
        ('"aria-label": "trial "', '"data-label": "trial "'),
        ("</style>", "main { width: 900px }</style>"),
        ("</main>", '<img src="absent.png" alt="x"></main>'),
    ],
)
def test_what_the_checks_guard_is_seen_when_it_breaks(found: str, instead: str, tmp_path: Path) -> None:
    text = page(2)
    assert found in text
    with pytest.raises(AssertionError):
        check_layout(probe(text.replace(found, instead), tmp_path, 360), 360)
