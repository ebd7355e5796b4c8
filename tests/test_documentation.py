"""Every command in README and docs is run as it stands there; every link leads somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, run_toolchain, write_small_project

sys.path.insert(0, str(ROOT / "tests" / "vendor"))
from test_calibrate import synthesized

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Commands that take minutes or need a set-up of their own; continuous integration runs the make targets themselves.
LONG = (
    "toolchain build",
    "toolchain verify",
    "toolchain report",
    "toolchain tflite",
    "toolchain sweep",
    "toolchain widths",
    "toolchain study",
    "toolchain prune",
    "toolchain synth",
    "toolchain selftest",
    "toolchain estimate hls_projects/",
    "python benchmarks/",
)


def commands(page: Path) -> list[str]:
    """Command lines of a page's plain and ``sh`` blocks."""
    found = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        if language not in ("", "sh"):
            continue
        joined = block.replace("\\\n", " ")
        found += [line.strip() for line in joined.splitlines() if re.match(r"^(toolchain|make|python) ", line.strip())]
    return found


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: the reference projects, a model, its data, a file of candles."""
    folder = write_small_project(tmp_path_factory.mktemp("docs"), units=32)
    (folder / "project.toml").unlink()
    for name in ("spx_forecast", "btc_direction"):
        (folder / "hls_projects" / name).mkdir(parents=True)
        shutil.copy(ROOT / "hls_projects" / name / "project.toml", folder / "hls_projects" / name)
    shutil.copy(ROOT / "targets" / "zcu102.toml", folder / "my_board.toml")
    for name in ("benchmarks", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    _write_candles(folder / "candles.csv.gz")
    synthesized(folder / "my_synthesized_project", 900)
    return folder


def _write_candles(file: Path) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 1e-3, 3000)))
    opened = np.concatenate([[100.0], close[:-1]])
    table = pd.DataFrame({"start_ms": 1_700_000_000_000 + 300_000 * np.arange(3000), "open": opened})
    table["high"] = np.maximum(opened, close) * 1.0005
    table["low"] = np.minimum(opened, close) * 0.9995
    table["close"], table["volume"] = close, rng.lognormal(size=3000)
    table.to_csv(file, index=False)


def run_line(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(line, comments=True)
    if words[:2] == ["toolchain", "selftest"]:  # as written but for the number: a thousand models take most of an hour
        words = [str(min(int(word), 12)) if word.isdigit() and int(word) >= 40 else word for word in words]
    if words[:2] == ["toolchain", "init"]:
        shutil.rmtree(folder / "hls_projects" / words[2], ignore_errors=True)
    if words[0] == "python":
        return subprocess.run([sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True, check=False)
    if "bybit" in words:  # against an exchange on this machine: tests need no network
        sys.path.append(str(ROOT / "tests" / "data"))
        from bybit_server import Exchange

        with Exchange(3000) as exchange:
            return run_toolchain(*words[1:], cwd=folder, env={"TOOLCHAIN_BYBIT_URL": exchange.url}, timeout=600)
    return run_toolchain(*words[1:], cwd=folder, timeout=1800)


def lines(long: bool) -> list[object]:
    return [
        pytest.param(page, line, id=f"{page.name}: {line[:60]}")
        for page in PAGES
        for line in dict.fromkeys(commands(page))
        if not line.startswith("make ") and line.startswith(LONG) == long
    ]


@pytest.mark.parametrize(("page", "line"), lines(long=False))
def test_command(page: Path, line: str, workplace: Path) -> None:
    done = run_line(line, workplace)
    assert done.returncode == 0, f"{page.name}: {line}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), lines(long=True))
def test_long_command(page: Path, line: str, workplace: Path) -> None:
    if "my_model" in line and not (workplace / "hls_projects" / "my_model").exists():
        run_line("toolchain init my_model --model model.keras --data data.npz", workplace)
    if "my_calibration.json" in line:
        run_line("toolchain calibrate my_synthesized_project --out my_calibration.json", workplace)
    if "build/alveo_u250/hls" in line:
        run_line("toolchain hls spx_forecast", workplace)
    done = run_line(line, workplace)
    allowed = [0]
    if line.startswith("toolchain synth") and shutil.which("vitis_hls") is None:
        allowed = [6]
    assert done.returncode in allowed, f"{page.name}: {line}\n{done.stderr}"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for line in commands(page):
            if line.startswith("make "):
                assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE), f"{page.name}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in link:
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_readme_names_what_it_must() -> None:
    text = (ROOT / "README.md").read_text()
    for words in ("make demo", "make test", "apt-get install", "Honest limits"):
        assert words in text
