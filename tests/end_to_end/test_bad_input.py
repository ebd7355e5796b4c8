"""Bad input: a clear message, its exit code, and earlier results left as they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import run_toolchain, write_small_project


@pytest.fixture(scope="module")
def unbuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_project(tmp_path_factory.mktemp("bad") / "small")


@pytest.fixture
def project(unbuilt: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(unbuilt, tmp_path / "small"))


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (["prune.final_sparsty=0.5"], 2, ["final_sparsty", "perhaps you meant 'final_sparsity'"]),
        (["prune.final_sparsity=1.0"], 2, ["final_sparsity", "less than 1"]),
        (["hls.part=xc7z020clg400-1"], 2, ["no part", "xczu9eg-ffvb1156-2-e"]),
        (["hls.backend=quartus"], 2, ["backend", "vitis"]),
        (["nonsense"], 2, ["--set", "section.key=value"]),
        (["model.file=missing.keras"], 2, ["missing.keras", "no such file"]),
        (["data.path=missing.npz"], 7, ["missing.npz", "no such file"]),
        (["data.path="], 2, ["path"]),
        (["hls.strategy=distributed_arithmetic", "hls.reuse_factor=2"], 2, ["reuse_factor 1 only"]),
    ],
)
def test_settings(project: Path, settings: list[str], code: int, words: list[str]) -> None:
    arguments = [part for setting in settings for part in ("--set", setting)]
    done = run_toolchain("check", str(project), "--target", "zcu102", *arguments, "--json")
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr
    assert json.loads(done.stdout)["error"]["exit_code"] == code
    assert not (project / "build").exists()


def test_all_problems_are_shown_at_once(project: Path) -> None:
    done = run_toolchain(
        "check", str(project), "--set", "data.path=missing.npz", "--set", "model.file=missing.keras", "--json"
    )
    assert len(json.loads(done.stdout)["error"]["problems"]) == 2


def test_nan_in_the_data(project: Path) -> None:
    arrays = dict(np.load(project / "data.npz"))
    arrays["x_train"][5, 2] = np.nan
    np.savez(project / "data.npz", **arrays)
    done = run_toolchain("build", str(project), "--target", "zcu102")
    assert done.returncode == 7
    assert "x_train" in done.stderr


def test_a_file_that_is_not_a_model(project: Path) -> None:
    (project / "model.keras").write_text("hello")
    done = run_toolchain("check", str(project))
    assert done.returncode == 3
    assert "not a Keras model" in done.stderr


def test_missing_compiler(project: Path, tmp_path: Path) -> None:
    done = run_toolchain("check", str(project), "--target", "zcu102", env={"PATH": str(tmp_path)})
    assert done.returncode == 6
    assert "g++" in done.stderr


def test_unwritable_folder(project: Path) -> None:
    (project / "build").write_text("a file where the folder should be")
    done = run_toolchain("build", str(project), "--target", "zcu102")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_unknown_target_command_and_project() -> None:
    assert run_toolchain("check", "nowhere").returncode == 2
    done = run_toolchain("biuld", "nowhere")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_unknown_target_names_the_nearest(project: Path) -> None:
    done = run_toolchain("check", str(project), "--target", "alveo_u25")
    assert done.returncode == 2
    assert "alveo_u250" in done.stderr
