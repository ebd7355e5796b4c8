"""The studies' pages in headless Chromium: on a phone, in both themes, every box reached by keyboard and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import check_layout, contrast, needs_chromium, probe
from test_study_chapter import row
from test_study_paper import study

from toolchain.report.figures import LayerHistogram
from toolchain.results import DataResult, Interval, Part
from toolchain.study import chapter_page, paper_page
from toolchain.study import page as walk_page
from toolchain.study.chapter import ChapterStudy, Share
from toolchain.study.comparison import Comparison, Pair, Row
from toolchain.study.latency_budget import share_of
from toolchain.study.paper import COMPACT, INTEGERS, ORIGINAL, PaperTrial
from toolchain.study.scaling import Measured

pytestmark = needs_chromium
LONG = "a_project_of_a_name_that_is_longer_than_a_phone_is_wide_and_more"
VALUE = Interval(value=1234.5, low=1200.25, high=1300.75)


def walk() -> str:
    names = ("dense", "compressed", "majority class", "reversal of the last direction")
    rows = [
        Row(name=name, over_time=VALUE, over_seeds=VALUE if place < 2 else None, by_fold=(0.5, 0.51, 0.52),
            by_regime={"calm": 0.5, "middle": 0.51, "wild": 0.49}, worst_regime="wild")
        for place, name in enumerate(names)
    ]  # fmt: skip
    return walk_page.render(
        Comparison(
            project=LONG, source="candles.csv, rows 0 to 40171", metric="accuracy", unit="", samples=12345,
            seeds=(0, 1), periods=("2025-04-03 to 2025-05-01",) * 3, rows=tuple(rows), difference=VALUE,
            difference_over_seeds=VALUE, pairs=(Pair(seed=0, only_dense=10, only_compressed=12, p_value=0.8),),
            dense_products=5000.0, compressed_products=500.0,
        )
    )  # fmt: skip


def chapter() -> str:
    shares = tuple(
        Share(target=name, title="a device", inference_us=VALUE if name == "zcu102" else None,
              share=share_of(VALUE) if name == "zcu102" else None, how="estimated", fits=True)
        for name in ("zcu102", "cortex_m4")
    )  # fmt: skip
    return chapter_page.render(
        ChapterStudy(
            project=LONG, source="candles.csv", metric="accuracy", unit="", seeds=(0, 1), samples=1000,
            target="zcu102", wanted_sparsity=0.8, baselines={"majority class": 0.51, "last direction": 0.49},
            rows=(row("dense", 0, 0), row("gradual pruning", -0.02, 0.01), row("lottery ticket", 0.01, 0.02)),
            shares=shares,
        )
    )  # fmt: skip


def paper() -> str:
    random = np.random.default_rng(0)
    prices = 700 + random.normal(size=200).cumsum()
    trial = PaperTrial(
        seed=0, data=DataResult.model_construct(unit="USD"),
        test=Part(np.zeros((200, 14, 1)), prices[:, None], prices, np.arange(200) * 86_400_000_000_000),
        truth=prices, forecasts={ORIGINAL: prices + 1, COMPACT: prices - 1},
        weights=LayerHistogram("hidden", random.normal(size=500), random.normal(size=300)), folders={},
    )  # fmt: skip
    scaling = tuple(
        Measured(model=model, days=days, seconds=days / 1e4, peak_mb=400 + days / 100)
        for model in (ORIGINAL, COMPACT, INTEGERS) for days in (1000, 20000)
    )  # fmt: skip
    found = study(Interval(value=1, low=-1, high=3), (0,)).model_copy(update={"scaling": scaling, "project": LONG})
    return paper_page.render(found, [trial])


@pytest.mark.parametrize("make", [walk, chapter, paper])
def test_it_fits_a_phone_in_both_themes(make: object, tmp_path: Path) -> None:
    text = make()  # type: ignore[operator]
    for width, dark in ((360, False), (1280, True)):
        found = probe(text, tmp_path, width, dark)
        check_layout(found, width)
        assert found["scripts"] == 1, "only the probe itself"
        assert contrast(found["page"], found["ink"]) >= 7
        assert (found["page"] == "rgb(17, 20, 23)") == dark
        assert found["reached"] == len(found["boxes"]), "nothing but the boxes that scroll is there to be reached"
        assert len(found["boxes"]) >= 2
    assert "default-src 'none'" in text
