"""The chapter's study: strategies, shares of the budget, the verdict, and the whole command on made-up candles."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import ROOT, run_toolchain
from hypothesis import given
from hypothesis import strategies as st
from test_study_walk_forward import write_candles

from toolchain.errors import ProjectError
from toolchain.prune.options import unused
from toolchain.results import Interval
from toolchain.study import chapter_page
from toolchain.study.chapter import ChapterPlan, ChapterStudy, StrategyRow, compare_strategies, strategies
from toolchain.study.latency_budget import BUDGET, REST_US, share_of
from toolchain.study.options import load_varied

PROJECT = ROOT / "hls_projects" / "btc_direction" / "project.toml"


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8, 0.95])
def test_every_strategy_is_a_project(sparsity: float) -> None:
    for name, settings in strategies(sparsity).items():
        section = load_varied(PROJECT, settings).prune
        assert not unused(section), name
        left = (1 - section.final_sparsity) * (1 - section.structured_sparsity) ** 2
        assert left == pytest.approx(1.0 if name == "dense" else 1 - sparsity, abs=1e-3)


@given(st.floats(1e-3, 1e4), st.floats(0, 0.5))
def test_shares_are_of_the_whole_way(value: float, spread: float) -> None:
    found = share_of(Interval(value=value, low=value * (1 - spread), high=value * (1 + spread)))
    assert 0 < found.low <= found.value <= found.high < 1
    assert found.high == pytest.approx(value * (1 + spread) / (value * (1 + spread) + REST_US[0]))


def test_the_rest_of_the_budget_is_the_chapters() -> None:
    assert REST_US == (4.0, 20.0)
    assert BUDGET["model inference"] == (5.0, 50.0)


def row(name: str, low: float, high: float) -> StrategyRow:
    value = (low + high) / 2 if math.isfinite(low) else 0.0
    difference = None if name == "dense" else Interval(value=value, low=low, high=high)
    return StrategyRow(
        name=name, metric=Interval(value=0.5, low=0.4, high=0.6), difference=difference, sparsity=0.8, compression=4,
        mac_reduction=0.8, lut_equivalent=100 if name == "dense" else 25, latency_ns=75,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "low", "high", "words"),
    [("accuracy", -0.02, -0.01, " worse: a"), ("accuracy", 0.01, 0.02, " better: a"),
     ("accuracy", -0.01, 0.02, "not shown to differ: a"), ("rmse", 0.01, 0.02, " worse: a"),
     ("rmse", -0.02, -0.01, " better: a"), ("accuracy", -math.inf, math.inf, "one seed tells nothing of: a")],
)  # fmt: skip
def test_the_verdict_follows_the_interval(metric: str, low: float, high: float, words: str) -> None:
    found = ChapterStudy(
        project="p", source="s", metric=metric, unit="", seeds=(0,) if math.isinf(low) else (0, 1), samples=10,
        target="zcu102", wanted_sparsity=0.8, baselines={"x": 0.4, "y": 0.6},
        rows=(row("dense", 0, 0), row("a", low, high)),
    )  # fmt: skip
    text = chapter_page.verdict(found)
    assert words in text
    assert "4 times fewer LUTs" in text
    assert f"Best without a model: {'y, 0.6' if metric == 'accuracy' else 'x, 0.4'}" in text


def test_a_target_without_fpga_is_refused() -> None:
    with pytest.raises(ProjectError, match="no FPGA"):
        compare_strategies(ChapterPlan(PROJECT, (0,), target="cortex_m4"), lambda text: None)


@pytest.mark.slow
def test_the_study_of_made_up_candles(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text(PROJECT.read_text())
    write_candles(tmp_path / "candles.csv", 700)
    short = ["data.path=candles.csv", "data.volume_window=5", "train.epochs=2", "prune.epochs=2", "quantize.epochs=1"]
    short += ["prune.frequency=1"]
    settings = [f"--set={key}" for key in short]
    done = run_toolchain("study", "chapter", str(tmp_path), "--seeds", "1", "--json", *settings)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = {item["name"]: item for item in found["rows"]}
    assert list(rows) == list(strategies(0.8))
    assert rows["dense"]["sparsity"] == 0
    for name in ("one-shot", "iterative", "lottery ticket", "gradual, cubic"):
        assert 0.75 < rows[name]["sparsity"] < 0.85
        assert rows[name]["lut_equivalent"] < rows["dense"]["lut_equivalent"] / 2
    shares = {item["target"]: item for item in found["shares"]}
    assert {"alveo_u250", "pynq_z2", "this machine", "raspberry_pi_4", "cortex_m4"} <= set(shares)
    assert shares["this machine"]["inference_us"]["value"] > 0
    assert shares["cortex_m4"]["inference_us"] is None
    page = (tmp_path / "build" / "study" / "chapter.html").read_text()
    HTMLParser().feed(page)
    assert "://" not in page
