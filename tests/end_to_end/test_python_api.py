"""The Python API, as a notebook uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import toolchain
from toolchain.errors import PreflightError, ProjectError

KERAS3 = """
import sys
import numpy as np, keras, toolchain
keras.utils.set_random_seed(1)
hidden = keras.layers.Dense(5, activation="relu", name="h")
model = keras.Sequential([keras.Input((6,)), hidden, keras.layers.Dense(3, name="o")])
rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, (300, 6)); y = rng.integers(0, 3, 300)
result = toolchain.build(model, (x[:200], y[:200], x[200:], y[200:]), target="pynq_z2", folder=sys.argv[1],
    settings={"prune.final_sparsity": 0.5, "prune.epochs": 2, "prune.frequency": 1, "quantize.epochs": 1})
result.raise_for_problems()
assert result.report.bit_accuracy.verdict == "bit_exact"
assert result.report.accuracy.metric == "accuracy"
assert "<table" in result._repr_html_()
assert (result.folder / "hls" / "build_prj.tcl").is_file()
assert keras.__version__.startswith("3")
print("built", result.report.accuracy.hls.value)
"""


def test_a_keras_3_model_in_memory(tmp_path: Path) -> None:
    """In a process of its own, which has loaded Keras 3 as a notebook has."""
    # what an earlier test has set for itself would let the build stay in that process
    alone = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, "-c", KERAS3, str(tmp_path)],
        env=alone,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("built")


def test_a_project_on_disk(small_build: Path) -> None:
    result = toolchain.run(small_build, target="zcu102")
    assert result.report.bit_accuracy.verdict == "bit_exact"
    assert not result.problems
    assert result.folder == small_build / "build" / "zcu102"


def test_wrong_use_is_refused(tmp_path: Path) -> None:
    data = tuple(np.zeros((4, 2)) for _ in range(4))
    with pytest.raises(ProjectError, match="section"):
        toolchain.build("m.keras", data, settings={"sparsity": 0.5}, folder=tmp_path)
    with pytest.raises(ProjectError, match="Keras model"):
        toolchain.build(object(), data, folder=tmp_path)
    with pytest.raises(ProjectError, match="x_train"):
        toolchain.build("m.keras", np.zeros(3), folder=tmp_path)
    with pytest.raises(PreflightError, match="final_sparsity"):
        toolchain.build("m.keras", data, settings={"prune.final_sparsty": 0.5}, folder=tmp_path)


def test_settings_of_a_loaded_project() -> None:
    project = toolchain.load_project(ROOT / "hls_projects" / "spx_forecast", {"prune.final_sparsity": 0.5})
    assert project.prune.final_sparsity == 0.5
    assert {target.name for target in toolchain.targets()} >= {"zcu102", "alveo_ul3524"}
