"""The two reference projects on real data: every target, backend and interface bit-exact; five seeds lose nothing."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path
from statistics import mean

import pytest
from conftest import ROOT, run_toolchain

BTC = "bybit_linear_BTCUSDT_5m_20250403_20250821.csv.gz"
DESIGNS = list(product(("alveo_u250", "alveo_ul3524", "zcu102"), ("vitis", "vivado"), ("io_parallel", "io_stream")))


def project_and_settings(name: str, folder: Path, shared: Path) -> tuple[Path, list[str]]:
    place = folder / name
    place.mkdir(exist_ok=True)
    shutil.copy(ROOT / "hls_projects" / name / "project.toml", place)
    return place, ["--set", f"data.path={shared / 'data' / BTC}"] if name == "btc_direction" else []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reference")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spx_forecast", "btc_direction"])
@pytest.mark.parametrize(("target", "backend", "io_type"), DESIGNS)
def test_bit_exact(name: str, target: str, backend: str, io_type: str, place: Path, shared: Path) -> None:
    project, settings = project_and_settings(name, place, shared)
    for setting in (f"hls.backend={backend}", f"hls.io_type={io_type}"):
        settings += ["--set", setting]
    done = run_toolchain("build", str(project), "--target", target, *settings, "--json", timeout=1800)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    found = report["bit_accuracy"]
    assert found["verdict"] == "bit_exact"
    assert found["model"]["verdict"] == "bit_exact"
    assert found["samples"] >= report["data"]["counts"]["test"] + 10  # the whole test part, then the corner vectors
    assert report["pruning"]["sparsity"] >= 0.75
    assert report["options"]["hls"]["io_type"] == io_type
    folder = project / "build" / target / "hls"
    assert f'set backend "{backend}"' in (folder / "project.tcl").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spx_forecast", "btc_direction"])
def test_five_seeds_lose_nothing(name: str, place: Path, shared: Path) -> None:
    """The compressed model is at most 2 %, or the float model's own spread, worse than the float model."""
    project, settings = project_and_settings(name, place, shared)
    before, after, lower_is_better = [], [], False
    for seed in range(5):
        # A target without an FPGA: the network's accuracy is the hardware's, which the other test holds.
        done = run_toolchain(
            "build",
            str(project),
            "--target",
            "raspberry_pi_4",
            *settings,
            "--set",
            f"seed={seed}",
            "--json",
            timeout=1800,
        )
        assert done.returncode == 0, done.stderr
        accuracy = json.loads(done.stdout)["accuracy"]
        before.append(accuracy["float"]["value"])
        after.append(accuracy["quantized"]["value"])
        lower_is_better = accuracy["metric"] == "rmse"
    loss = (mean(after) - mean(before)) * (1 if lower_is_better else -1)
    allowed = max(0.02 * mean(before), max(before) - min(before))
    print(f"{name}: float {before}, compressed {after}, loss {loss:.4g}, allowed {allowed:.4g}")
    assert loss <= allowed
