"""The figures in docs/data.md are the ones its own program prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_cases import SHARED

from toolchain.data.sources import read_csv
from toolchain.project import DataSection

DOCS = Path(__file__).resolve().parents[2] / "docs" / "data.md"
PERPETUAL = "bybit_linear_{}_5m_20250403_20250821.csv.gz"


def printed_by_docs(section: DataSection | None, capsys: pytest.CaptureFixture[str]) -> str:
    program = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[0]
    scope: dict[str, Any] = {}
    exec(program, scope)
    if section is not None:
        capsys.readouterr()
        scope["show"](section)
    return capsys.readouterr().out


def shown_in_docs(after: str) -> str:
    found = re.search(rf"{re.escape(after)}\n\n```text\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def perpetual(symbol: str) -> Path:
    file = SHARED / PERPETUAL.format(symbol)
    if not file.is_file():
        pytest.skip(f"{file.name} is not at hand")
    return file


def test_the_default_project(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed_by_docs(None, capsys) == shown_in_docs("(index points):")


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_real_candles(symbol: str, capsys: pytest.CaptureFixture[str]) -> None:
    section = DataSection(source="csv", path=str(perpetual(symbol)), task="direction", look_back=8, embargo=8)
    assert printed_by_docs(section, capsys) == shown_in_docs(f"{symbol}:")


@pytest.mark.parametrize(("symbol", "figure"), [("BTCUSDT", "49.89 %"), ("ETHUSDT", "50.92 %")])
def test_reversal_over_all_pairs(symbol: str, figure: str) -> None:
    close = read_csv(perpetual(symbol))["close"].to_numpy()
    up = np.diff(close) > 0
    assert f"{(up[1:] != up[:-1]).mean():.2%}".replace("%", " %") == figure
    assert figure in DOCS.read_text()
