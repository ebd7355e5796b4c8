"""Shared by all tests: where the real data may stand, and a small project that builds in seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# A busy machine makes a single example, or its drawing, slow; time limits are not what these properties are about.
# The same examples in every run, so that a change is judged by what it changed; HYPOTHESIS_PROFILE=exploring draws new
# ones.
_ANY_SPEED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, **_ANY_SPEED)
settings.register_profile("exploring", **_ANY_SPEED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data that is not part of the project."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"real data are not here: no {SHARED / 'data'}")
    return SHARED


def run_toolchain(*arguments: str, cwd: Path = ROOT, env: dict[str, str] | None = None, timeout: int = 600):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "toolchain.cli", *arguments], cwd=cwd, env={**os.environ, **(env or {})},
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


SMALL = """\
name = "small"

[data]
source = "npz"
path = "data.npz"
task = "regression"

[model]
file = "model.keras"

[train]
epochs = 3

[prune]
final_sparsity = 0.5
epochs = 4
frequency = 1
skip = ["out"]

[quantize]
epochs = 2
input_bits = 8
"""


def write_small_project(folder: Path, units: int = 6) -> Path:
    """A project of 8 features -> Dense -> ReLU -> Dense 1 on made-up numbers."""
    from toolchain.model.tensorflow import load_tensorflow

    folder.mkdir(parents=True, exist_ok=True)
    keras = load_tensorflow().keras
    keras.utils.set_random_seed(3)
    layers = [keras.Input((8,), name="x"), keras.layers.Dense(units, name="hidden"), keras.layers.ReLU(name="act")]
    keras.Sequential([*layers, keras.layers.Dense(1, name="out")]).save(folder / "model.keras")
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (400, 8))
    y = x @ rng.normal(size=(8, 1)) + 0.3
    np.savez(folder / "data.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
    (folder / "project.toml").write_text(SMALL)
    return folder


@pytest.fixture(scope="session")
def small_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built small project. Tests that change it must copy it."""
    folder = write_small_project(tmp_path_factory.mktemp("small") / "small")
    done = run_toolchain("build", str(folder), "--target", "zcu102", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bit_accuracy"]["verdict"] == "bit_exact"
    return folder
