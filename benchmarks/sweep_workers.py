"""A sweep with two workers against one, killed half-way and resumed, and on a Ray cluster started apart.

Run: python benchmarks/sweep_workers.py [--trials 60] [--work FOLDER]     (needs two idle cores; makes its own data)
All sweeps ask for the same trials (sampler ``random``: a trial's settings depend on the seed and its number alone),
each in a project of its own, so that nothing is shared. Printed: the ratio of the two times, measured in this run;
what the kill left; whether all sweeps have the same trials with the same figures.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = """\
name = "sweep_workers"

[data]
source = "npz"
path = "data.npz"
task = "regression"

[model]
architecture = "btc_mlp"

[train]
epochs = 10

[prune]
epochs = 8
frequency = 2

[quantize]
epochs = 4
"""
AXES = ("quantize.bits=4,6,8", "prune.final_sparsity=0.5:0.95", "hls.reuse_factor=1,2,4")


def project(folder: Path) -> Path:
    """A project of made-up numbers."""
    folder.mkdir(parents=True)
    (folder / "project.toml").write_text(PROJECT)
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (3000, 16))
    y = np.tanh(x @ rng.normal(size=(16, 1))) + 0.1 * rng.normal(size=(3000, 1))
    np.savez(folder / "data.npz", x_train=x[:2400], y_train=y[:2400], x_test=x[2400:], y_test=y[2400:])
    return folder


def command(folder: Path, trials: int, *more: str) -> list[str]:
    axes = [part for axis in AXES for part in ("--axis", axis)]
    return [
        sys.executable, "-m", "toolchain.cli", "sweep", str(folder), *axes, "--trials", str(trials), "--json",
        "--objective", "accuracy,lut_equivalent,latency_ns", "--sampler", "random", "--no-verify-front", *more,
    ]  # fmt: skip


def sweep(folder: Path, trials: int, *more: str) -> tuple[float, dict[int, Any]]:
    """Seconds of the whole command, and its designs by number."""
    start = time.monotonic()
    done = subprocess.run(command(folder, trials, *more), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"exit {done.returncode}: {done.stderr[-2000:]}")
    designs = json.loads(done.stdout)["designs"]
    return time.monotonic() - start, {design["number"]: design for design in designs}


def killed(folder: Path, trials: int) -> int:
    """Kill -9 the sweep's whole process group when half of the trials are told; returns how many were."""
    words = command(folder, trials, "--workers", "2")
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    told = 0
    for line in process.stderr:
        if f"/{trials} " in line:
            told += 1
        if told >= trials // 2:
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(3)  # Ray's own processes notice and end
    return told


def on_a_cluster(folder: Path, trials: int) -> tuple[float, dict[int, Any]]:
    """The same on a Ray head that was started apart, and is stopped afterwards."""
    port = 6390  # below 10002, where Ray's workers begin
    head = subprocess.Popen(
        [str(Path(sys.executable).with_name("ray")), "start", "--head", f"--port={port}", "--num-cpus=2",
         "--include-dashboard=false", "--disable-usage-stats", "--block"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        time.sleep(15)
        assert head.poll() is None, "the Ray head did not start"
        return sweep(folder, trials, "--ray-address", f"127.0.0.1:{port}")
    finally:
        if head.poll() is None:
            os.killpg(head.pid, signal.SIGTERM)
            head.wait(timeout=60)


def same(one: dict[int, Any], other: dict[int, Any]) -> tuple[bool, int]:
    """Whether numbers and settings are the same, and in how many trials every figure is too."""
    settings = {number: design["settings"] for number, design in one.items()}
    equal = settings == {number: design["settings"] for number, design in other.items()}
    figures = sum(design["metrics"] == other[number]["metrics"] for number, design in one.items() if number in other)
    return equal, figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--work", type=Path, default=None)
    options = parser.parse_args()
    place = options.work or Path(tempfile.mkdtemp(prefix="sweep-"))
    trials = options.trials
    one_time, one = sweep(project(place / "one"), trials, "--workers", "1")
    print(f"one worker: {len(one)} trials, {one_time:.1f} s", flush=True)
    two_time, two = sweep(project(place / "two"), trials, "--workers", "2")
    print(f"two workers: {len(two)} trials, {two_time:.1f} s: {one_time / two_time:.2f} times one", flush=True)
    equal, figures = same(one, two)
    print(f"  same trials as with one: {equal}; every figure equal in {figures} of {len(one)}", flush=True)
    folder = project(place / "killed")
    told = killed(folder, trials)
    rest_time, resumed = sweep(folder, trials, "--workers", "2")
    equal, figures = same(one, resumed)
    numbers = sorted(resumed) == list(range(trials))
    print(f"killed with {told} told, resumed in {rest_time:.1f} s: {len(resumed)} trials, each number once: {numbers}")
    print(f"  same trials as with one: {equal}; every figure equal in {figures} of {len(one)}", flush=True)
    ray_time, ray = on_a_cluster(project(place / "ray"), trials)
    equal, figures = same(one, ray)
    print(f"cluster at an address: {len(ray)} trials, {ray_time:.1f} s: {one_time / ray_time:.2f} times one")
    print(f"  same trials as with one: {equal}; every figure equal in {figures} of {len(one)}", flush=True)
    if options.work is None:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
