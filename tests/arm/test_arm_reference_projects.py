"""The reference projects at 4, 6 and 8 bits, pruned, real data: every gate on every emulated core."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from arm_cases import need_emulation
from conftest import ROOT, run_toolchain

BTC = "bybit_linear_BTCUSDT_5m_20250403_20250821.csv.gz"
#: LiteRT and tflite-runtime with each of their kernels on two cores, TFLite Micro, bare metal.
RUNS = 8


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all widths: the data, the float model and the pruned one are made once."""
    return tmp_path_factory.mktemp("arm_reference")


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 6, 8])
@pytest.mark.parametrize("name", ["spx_forecast", "btc_direction"])
def test_every_gate_holds(name: str, bits: int, place: Path, shared: Path) -> None:
    need_emulation()
    project = place / name
    project.mkdir(exist_ok=True)
    shutil.copy(ROOT / "hls_projects" / name / "project.toml", project)
    settings = [f"quantize.weight_bits={bits}"]
    if name == "btc_direction":
        settings.append(f"data.path={shared / 'data' / BTC}")
    chosen = [part for setting in settings for part in ("--set", setting)]
    done = run_toolchain("tflite", str(project), "--verify", *chosen, "--json", timeout=1800)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    runs = report["arm"]["runs"]
    assert len(runs) == RUNS
    for run in runs:
        assert run["failures"] == []
        assert run["largest_word_difference"] <= 1
        assert run["different_decisions"] == (None if name == "spx_forecast" else 0)  # a forecast decides nothing
        assert run["samples"] >= 900
