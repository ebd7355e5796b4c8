"""A new user's path, timed: install from the lock file, ``toolchain init`` on an own ``.keras`` and CSV, the verdict.

Run: python benchmarks/new_user.py [--work FOLDER]     (makes a virtual environment of its own; 3 GB)
The model is saved by plain Keras 3 and trained on the table beforehand, by a program that knows nothing of this
project; making both is the user's own work and is not part of the time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT_MINUTES = 10

#: What a user has: a table of 2,000 rows with 12 columns and a class, and a model trained on it with Keras 3.
OWN_WORK = """
import numpy as np, pandas as pd, keras
rng = np.random.default_rng(1)
x = rng.normal(size=(2000, 12)).astype("float32")
kind = (np.tanh(x @ rng.normal(size=(12, 3))) + 0.2 * rng.normal(size=(2000, 3))).argmax(axis=1)
pd.DataFrame(x, columns=[f"sensor{i}" for i in range(12)]).assign(kind=kind).to_csv("own.csv", index=False)
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(32, activation="relu"),
                          keras.layers.BatchNormalization(), keras.layers.Dense(16, activation="relu"),
                          keras.layers.Dense(3, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x[:1400], kind[:1400], epochs=15, verbose=0)
model.save("own.keras")
"""


def run(words: list[str], folder: Path, title: str) -> float:
    """Run one step; seconds."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TF_USE_LEGACY_KERAS")}
    start = time.monotonic()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env=clean)
    spent = time.monotonic() - start
    if done.returncode:
        raise SystemExit(f"{title}: exit {done.returncode}\n{(done.stdout + done.stderr)[-3000:]}")
    print(f"{title:<28}{spent:7.1f} s", flush=True)
    if title == "toolchain build":
        print("".join(f"    {line}\n" for line in done.stderr.splitlines() if "-EXACT" in line or "accuracy" in line))
    return spent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, default=None)
    options = parser.parse_args()
    place = options.work or Path(tempfile.mkdtemp(prefix="new-user-"))
    place.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    venv.create(place / "venv", with_pip=True)
    print(f"{'virtual environment':<28}{time.monotonic() - start:7.1f} s", flush=True)
    total = time.monotonic() - start
    programs = place / "venv" / "bin"
    pip = [str(programs / "pip"), "--disable-pip-version-check", "install", "--quiet"]
    lock = str(ROOT / "requirements.lock")
    total += run([*pip, "--require-hashes", "-r", lock], place, "pip install, lock file")
    # the package of a clean checkout: nothing is built inside the one at hand
    source = place / "source"
    ignored = shutil.ignore_patterns(".venv", "build", "*.egg-info", ".git")
    shutil.copytree(ROOT, source, ignore=ignored, dirs_exist_ok=True)
    total += run([*pip, "--no-deps", "--no-build-isolation", str(source)], place, "pip install, toolchain")
    run([str(programs / "python"), "-c", OWN_WORK], place, "(the user's own work)")
    toolchain = str(programs / "toolchain")
    own = ["--model", "own.keras", "--data", "own.csv", "--predict", "kind"]
    total += run([toolchain, "init", "own", *own], place, "toolchain init")
    total += run([toolchain, "check", "own", "--target", "zcu102"], place, "toolchain check")
    total += run([toolchain, "build", "own", "--target", "zcu102"], place, "toolchain build")
    print(f"{'from nothing to the verdict':<28}{total:7.1f} s, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    if options.work is None:
        shutil.rmtree(place)
    if total > 60 * LIMIT_MINUTES:
        raise SystemExit(f"longer than {LIMIT_MINUTES} minutes")


if __name__ == "__main__":
    main()
