"""The Bybit client against a loopback exchange that misbehaves: nothing lost, nothing twice, every refusal named."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bybit_server import FAULTS, IMPATIENT, START_MS, STEP_MS, Exchange, candle
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from toolchain.data.bybit.client import Client, Patience
from toolchain.data.bybit.download import Download, Downloaded, download
from toolchain.data.bybit.journal import Journal
from toolchain.data.bybit.protocol import INTERVALS, Query, closes, parse_time, read_page, starts
from toolchain.errors import DataSourceError, ProjectError


def query(candles: int = 0, **changes: Any) -> Query:
    end = START_MS + candles * STEP_MS if candles else None
    return Query(
        **({"category": "linear", "symbol": "BTCUSDT", "interval": "5", "start_ms": START_MS, "end_ms": end} | changes)
    )


def fetch(exchange: Exchange, out: Path, patience: Patience = IMPATIENT, **changes: Any) -> Downloaded:
    client = exchange.client(patience)
    try:
        return download(Download(changes.pop("query", query()), out, **changes), client)
    finally:
        client.close()


def assert_whole(out: Path, candles: int) -> None:
    table = parquet.read_table(out).to_pandas()
    wanted = np.array([[float(cell) for cell in candle(n)] for n in range(candles)])
    assert np.array_equal(table.to_numpy(dtype=np.float64), wanted)
    assert table["start_ms"].dtype == np.int64


def test_all_closed_candles_and_not_the_open_one(tmp_path: Path) -> None:
    with Exchange(437) as exchange:
        done = fetch(exchange, tmp_path / "a.parquet", page_size=100)
    assert done.candles == 437
    assert_whole(tmp_path / "a.parquet", 437)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]
    assert all(int(asked["end"]) - int(asked["start"]) < 100 * STEP_MS for asked in exchange.seen[1:])


@pytest.mark.parametrize("seed", range(50))
def test_random_faults_lose_and_double_nothing(seed: int, tmp_path: Path) -> None:
    """Half of all answers are bad, never more than three in a row that bring nothing."""
    rng = random.Random(seed)
    bad = 0

    def faults(_number: int) -> str:
        nonlocal bad
        bad = bad + 1 if rng.random() < 0.5 and bad < 2 else 0
        return rng.choice(FAULTS) if bad else ""

    with Exchange(rng.randint(150, 400), faults) as exchange:
        done = fetch(exchange, tmp_path / "a.parquet", page_size=rng.choice((20, 37, 100)))
        assert done.candles == exchange.candles
        assert_whole(tmp_path / "a.parquet", exchange.candles)


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_is_survived(fault: str, tmp_path: Path) -> None:
    with Exchange(30, lambda number: fault if number in (1, 3) else "") as exchange:
        fetch(exchange, tmp_path / "a.parquet", page_size=10)
    assert_whole(tmp_path / "a.parquet", 30)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_is_refused_and_bounded(fault: str, tmp_path: Path) -> None:
    quick = Patience(3, 0.001, 0.01, 0.05, 1e6, 5)
    with Exchange(30, lambda number: fault if number > 2 else "") as exchange:
        if fault == "duplicate rows":
            fetch(exchange, tmp_path / "a.parquet", quick, page_size=10)
            return assert_whole(tmp_path / "a.parquet", 30)
        if fault == "gap":  # comes piece by piece
            fetch(exchange, tmp_path / "a.parquet", quick, page_size=10, allow_gaps=True)
        else:
            with pytest.raises(DataSourceError):
                fetch(exchange, tmp_path / "a.parquet", quick, page_size=10)
            assert not (tmp_path / "a.parquet").exists()
        assert exchange.requests < 80
    return None


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("403 html", "block this country"), ("403 json", "wait 10 minutes"), ("404", "check --base-url"),
        ("302", "status 302"),
        ("10001", "may not exist"), ("10029", "does not know this symbol"),
    ],
)  # fmt: skip
def test_what_asking_again_cannot_change_fails_at_once(fault: str, words: str, tmp_path: Path) -> None:
    with Exchange(30, lambda number: fault if number == 2 else "") as exchange:
        with pytest.raises(DataSourceError, match=words):
            fetch(exchange, tmp_path / "a.parquet")
        assert exchange.requests == 2


def test_no_server(tmp_path: Path) -> None:
    quick = Patience(2, 0.001, 0.01, 0.2)
    with pytest.raises(DataSourceError, match="cannot be reached"):
        download(Download(query(), tmp_path / "a.parquet"), Client("http://127.0.0.1:9", quick))


def test_the_wait_that_the_exchange_asks_for_is_kept(tmp_path: Path) -> None:
    waits: list[float] = []
    with Exchange(5, lambda number: "10006 header" if number == 2 else "") as exchange:
        patient = Patience(4, 30.0, 60.0, 5.0, 1e6)
        download(Download(query(), tmp_path / "a.csv"), Client(exchange.url, patient, waits.append))
    assert len(waits) == 1
    assert 0 < waits[0] <= 0.005


def test_real_gaps_are_refused_or_told(tmp_path: Path) -> None:
    with Exchange(60) as exchange:
        exchange.missing = {20, 21, 40}
        exchange.unlisted = 7
        with pytest.raises(
            DataSourceError, match=r"gives 10 candles not, in 3 gaps; first: 2025-04-03T17:05:00Z"
        ) as caught:
            fetch(exchange, tmp_path / "a.parquet")
        assert "--start 2025-04-03T17:40:00Z, or --allow-gaps" in caught.value.text()
        done = fetch(exchange, tmp_path / "a.parquet", allow_gaps=True)
    assert done.candles == done.resumed == 50
    assert done.gaps[0] == (START_MS, START_MS + 6 * STEP_MS)
    assert done.gaps[1:] == ((START_MS + 20 * STEP_MS, START_MS + 21 * STEP_MS), (START_MS + 40 * STEP_MS,) * 2)
    assert done.notes[0] == "no candle from 2025-04-03T17:05:00Z to 2025-04-03T17:35:00Z"


def test_nothing_in_the_range(tmp_path: Path) -> None:
    with Exchange(20) as exchange:
        exchange.unlisted = 100
        with pytest.raises(DataSourceError, match="has no candle"):
            fetch(exchange, tmp_path / "a.parquet")
        with pytest.raises(DataSourceError, match="no closed candle"):
            fetch(exchange, tmp_path / "a.parquet", query=query(start_ms=START_MS + 30 * STEP_MS))


class Fickle:
    """Answers with one candle, then with another of the same start."""

    def __init__(self) -> None:
        self.pages = [{START_MS: tuple(candle(0))}, {START_MS: (*candle(0)[:5], "9", "9")}]

    def now_ms(self) -> int:
        return START_MS + 9 * STEP_MS

    def page(self, *_: Any) -> Any:
        return self.pages.pop(0), self.now_ms()


def test_a_candle_that_changes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match="two answers differ in the candle of 2025-04-03T17:05:00Z"):
        download(Download(query(2), tmp_path / "a.parquet"), Fickle())  # type: ignore[arg-type]


def test_an_interrupted_download_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    with Exchange(100, lambda number: "404" if number == 6 else "") as exchange:
        with pytest.raises(DataSourceError):
            fetch(exchange, out, page_size=10)
        partial = tmp_path / "a.parquet.partial"
        partial.write_bytes(partial.read_bytes()[:-9])  # killed while it wrote the fourth page
        done = fetch(exchange, out, page_size=10)
    assert done.resumed == 30
    assert_whole(out, 100)


def test_a_killed_process_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    with Exchange(30_000) as exchange:
        command = [
            sys.executable, "-m", "toolchain.cli", "data", "fetch", "bybit", "--symbol", "BTCUSDT", "--start",
            "2025-04-03T17:05", "--out", str(out), "--base-url", exchange.url, "--json",
        ]  # fmt: skip
        first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while exchange.requests < 8:
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["resumed"] >= 5000
    assert_whole(out, 30_000)


def test_files_that_must_not_be_touched(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("x")
    with Exchange(5) as exchange:
        for name, words in (("there.csv", "exists already"), ("a.txt", "no known ending"), ("no/a.csv", "no folder")):
            with pytest.raises(ProjectError, match=words):
                fetch(exchange, tmp_path / name)
        Journal(tmp_path / "b.csv.partial", query(symbol="ETHUSDT"))
        with pytest.raises(ProjectError, match="another download"):
            fetch(exchange, tmp_path / "b.csv")


@pytest.mark.parametrize(
    "row",
    [
        candle(1)[:6], [*candle(1)[:6], 7], ["x", *candle(1)[1:]], [str(START_MS + 1), *candle(1)[1:]],
        [*candle(1)[:2], "1", *candle(1)[3:]], [*candle(1)[:5], "-1", "1"], [*candle(1)[:5], "nan", "1"],
    ],
)  # fmt: skip
def test_malformed_rows(row: list[Any]) -> None:
    from toolchain.data.bybit.protocol import MalformedAnswerError

    with pytest.raises(MalformedAnswerError):
        read_page(body([candle(0), row]), query())
    changed = [*candle(0)[:5], "9", "9"]
    with pytest.raises(MalformedAnswerError, match="two different"):
        read_page(body([candle(0), changed]), query())


def body(rows: list[Any]) -> dict[str, Any]:
    return {"retCode": 0, "result": {"symbol": "BTCUSDT", "category": "linear", "list": rows}, "time": 1}


def test_captured_answers_are_read(shared: Path) -> None:
    for name, interval, rows in (("1_real_20230624", "1", 5), ("60_real_20260815", "60", 2), ("D_real_202109", "D", 3)):
        found = json.loads((shared / "data" / f"bybit_v5_kline_linear_BTCUSDT_{name}.json").read_text())
        page = read_page(found, query(interval=interval))
        assert len(page) == rows
        open_rows = [start for start in page if closes(interval, start) > found["time"]]
        assert len(open_rows) == (0 if interval == "D" else 1)


@given(st.sampled_from(INTERVALS), st.integers(0, 4_000_000_000_000), st.integers(1, 40))
def test_the_grid_of_starts(interval: str, first: int, count: int) -> None:
    grid = starts(interval, first, first + count * 86_400_000)
    assert all(closes(interval, a) == b for a, b in pairwise(grid))
    assert all(starts(interval, start, start + 1) == [start] for start in grid[:3])
    assert starts(interval, first, first + 60 * 86_400_000)[0] >= first


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    assert starts("W", parse_time("2025-04-03", ""), parse_time("2025-04-10", "")) == [parse_time("2025-04-07", "")]
    months = starts("M", parse_time("2024-11-02", ""), parse_time("2025-02-01", ""))
    assert months == [parse_time("2024-12-01", ""), parse_time("2025-01-01", "")]


@pytest.mark.parametrize(
    "changes", [{"category": "option"}, {"interval": "7"}, {"symbol": "btc"}, {"end_ms": START_MS}, {"symbol": "A&B"}]
)
def test_questions_that_make_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(ProjectError):
        query(**changes)
    with pytest.raises(ProjectError, match="not a time"):
        parse_time("yesterday", "--start")
