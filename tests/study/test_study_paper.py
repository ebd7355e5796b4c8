"""The paper's study: its figures against a recount, its measurements, its page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, run_toolchain
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import ExternalToolError, ProjectError
from toolchain.prune.options import unused
from toolchain.results import Interval
from toolchain.study import charts, paper_page
from toolchain.study.measured_run import peak_bytes
from toolchain.study.options import load_varied
from toolchain.study.paper import SETTINGS, Errors, PaperRow, PaperStudy, build_trials, errors_of
from toolchain.study.scaling import Measured, measure


@given(st.lists(st.tuples(st.floats(1, 500), st.floats(1, 500)), min_size=3, max_size=30))
def test_errors(pairs: list[tuple[float, float]]) -> None:
    forecast, truth = (np.array(column) for column in zip(*pairs, strict=True))
    found = errors_of(forecast, truth)
    assert found.mse == pytest.approx(np.mean((forecast - truth) ** 2))
    assert found.rmse == pytest.approx(found.mse**0.5)
    assert found.mae == pytest.approx(np.mean(np.abs(forecast - truth)))
    if truth.var():
        assert found.r2 == pytest.approx(1 - found.mse / truth.var())
    assert errors_of(truth, truth).mse == 0


def study(difference: Interval, seeds: tuple[int, ...] = (0, 1)) -> PaperStudy:
    errors = Errors(mse=4.0, rmse=2.0, mae=1.5, r2=0.9)
    flat = {name: Interval(value=value, low=value, high=value) for name, value in errors}
    rows = [
        PaperRow(name=name, meaning="", mean=flat, by_seed=(errors,))
        for name in ("original", "compact", "compact, fine-tuned", "compact, integers", "persistence")
    ]
    return PaperStudy(
        project="p", source="s", unit="USD", seeds=seeds, samples=100, period="2020 to 2021", kernel="hidden",
        weights=8400, kept=5460, rows=tuple(rows), difference=difference, difference_tuned=difference,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(-3.0, -1.0, "is better"), (1.0, 3.0, "is worse"), (-1.0, 3.0, "not shown to differ"),
     (-np.inf, np.inf, "one seed shows no more")],
)  # fmt: skip
def test_the_verdict_follows_the_interval(low: float, high: float, words: str) -> None:
    value = 1.0 if np.isinf(low) else (low + high) / 2
    text = paper_page.verdict(study(Interval(value=value, low=low, high=high)))
    assert text.count(words) == 2
    assert "Persistence" in text


def test_a_process_is_measured_by_itself(small_build: Path, tmp_path: Path) -> None:
    store = next((small_build / "build").rglob("network.fpn"))
    inputs = np.random.default_rng(0).uniform(-1, 1, (50, 8))
    ballast = np.ones(40_000_000)  # 320 MB of this process are not the other's
    found = measure({"integers": store}, inputs, (100, 120_000), lambda text: None)
    assert [item.days for item in found] == [100, 120_000]
    assert found[0].peak_mb * 1e6 < peak_bytes() - ballast.nbytes / 2
    assert 20 < found[0].peak_mb < found[1].peak_mb
    assert all(item.seconds > 0 for item in found)
    with pytest.raises(ExternalToolError, match="exit code"):
        measure({"integers": tmp_path / "absent.fpn"}, inputs, (100,), lambda text: None)


def test_other_tasks_are_refused() -> None:
    with pytest.raises(ProjectError, match="forecasts prices"):
        build_trials(ROOT / "hls_projects" / "btc_direction" / "project.toml", (), (0,), "zcu102", lambda text: None)


def test_the_papers_rule_leaves_no_idle_option() -> None:
    section = load_varied(ROOT / "hls_projects" / "spx_forecast" / "project.toml", SETTINGS).prune
    assert not unused(section)
    assert (section.strategy, section.percentile, section.structured_sparsity) == ("one_shot", 35, 0)


def test_a_figure_as_a_file_stands_alone() -> None:
    found = Measured(model="original", days=5, seconds=1.0, peak_mb=2.0)
    x, y = np.array([1.0, 2.0, found.days]), np.array([0.5, 0.75, found.seconds])
    text = charts.as_file(charts.lines(x, {"float": y}, "time"))
    HTMLParser().feed(text)
    assert text.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "prefers-color-scheme: dark" in text
    assert ".line.float" in text
    assert "calc(" not in text


PROJECT = (ROOT / "hls_projects" / "spx_forecast" / "project.toml").read_text()


@pytest.mark.slow
def test_the_study_of_made_up_prices(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text(PROJECT.replace('"sp500"', '"csv"\npath = "prices.csv"'))
    rng = np.random.default_rng(0)
    price = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 500)))
    days = pd.date_range("2020-01-01", periods=500, freq="D")
    pd.DataFrame({"date": days, "Adj Close": price}).to_csv(tmp_path / "prices.csv", index=False)
    short = [f"--set={key}" for key in ("train.epochs=5", "prune.epochs=5", "quantize.epochs=1")]
    done = run_toolchain("study", "paper", str(tmp_path), "--seeds", "2", "--no-scaling", "--json", *short)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["weights"], found["kept"]) == (8400, 5460)  # the paper's own numbers
    rows = {row["name"]: row for row in found["rows"]}
    n = found["samples"]
    persistence = np.mean((price[-n:] - price[-n - 1 : -1]) ** 2)
    assert rows["persistence"]["mean"]["mse"]["value"] == pytest.approx(persistence, rel=1e-9)
    seeds = [item["mse"] for item in rows["compact"]["by_seed"]]
    original = [item["mse"] for item in rows["original"]["by_seed"]]
    assert found["difference"]["value"] == pytest.approx(np.mean(seeds) - np.mean(original))
    page = (tmp_path / "build" / "study" / "paper.html").read_text()
    HTMLParser().feed(page)
    assert "://" not in page
    for name in ("weights", "predictions"):
        assert (tmp_path / "build" / "study" / f"paper_{name}.svg").stat().st_size > 1000
