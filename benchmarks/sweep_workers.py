"""A sweep with two workers against one, killed half-way and resumed: here, and on a Ray cluster started apart.

Run: python benchmarks/sweep_workers.py [--trials 60] [--where here|cluster] [--work FOLDER]
Needs two idle cores; makes its own data.
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
from collections.abc import Iterator
from contextlib import contextmanager
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


def killed(folder: Path, trials: int, *more: str) -> int:
    """Kill -9 the sweep's whole process group when half of the trials are told; returns how many were."""
    words = command(folder, trials, *more)
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


@contextmanager
def cluster() -> Iterator[str]:
    """The address of a Ray head of two cores that is started apart, and stopped afterwards."""
    port = 6390  # below 10002, where Ray's workers begin
    ray = str(Path(sys.executable).with_name("ray"))
    head = subprocess.Popen(
        [ray, "start", "--head", f"--port={port}", "--num-cpus=2", "--include-dashboard=false",
         "--disable-usage-stats", "--block"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        time.sleep(15)
        assert head.poll() is None, "the Ray head did not start"
        yield f"127.0.0.1:{port}"
    finally:
        if head.poll() is None:
            os.killpg(head.pid, signal.SIGTERM)
            head.wait(timeout=60)


def same(one: dict[int, Any], other: dict[int, Any]) -> str:
    """Whether numbers and settings are the same, and in how many trials every figure is too."""
    settings = {number: design["settings"] for number, design in one.items()}
    equal = settings == {number: design["settings"] for number, design in other.items()}
    figures = sum(design["metrics"] == other[number]["metrics"] for number, design in one.items() if number in other)
    return f"the trials of one worker: {equal}; every figure equal in {figures} of {len(one)}"


def compare(place: Path, trials: int, *where: str) -> None:
    """One worker, two, and two that are killed half-way and resumed."""
    one_time, one = sweep(project(place / "one"), trials, "--workers", "1", *where)
    print(f"one worker: {len(one)} trials, {one_time:.1f} s", flush=True)
    two_time, two = sweep(project(place / "two"), trials, "--workers", "2", *where)
    print(f"two workers: {len(two)} trials, {two_time:.1f} s: {one_time / two_time:.2f} times one")
    print(f"  {same(one, two)}", flush=True)
    folder = project(place / "killed")
    told = killed(folder, trials, "--workers", "2", *where)
    rest_time, resumed = sweep(folder, trials, "--workers", "2", *where)
    numbers = sorted(resumed) == list(range(trials))
    print(f"killed with {told} told, resumed in {rest_time:.1f} s: {len(resumed)} trials, each number once: {numbers}")
    print(f"  {same(one, resumed)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--where", choices=("both", "here", "cluster"), default="both")
    options = parser.parse_args()
    place = options.work or Path(tempfile.mkdtemp(prefix="sweep-"))
    if options.where in ("both", "here"):
        print("workers of this machine", flush=True)
        compare(place / "here", options.trials)
    if options.where in ("both", "cluster"):
        print("a Ray cluster at an address", flush=True)
        with cluster() as address:
            compare(place / "cluster", options.trials, "--ray-address", address)
    if options.work is None:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
