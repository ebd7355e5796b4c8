"""A sweep on a Ray cluster that somebody else started: ``--ray-address``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, write_small_project

from toolchain.errors import ExternalToolError
from toolchain.sweep.workers import cluster as cluster_at

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Address of a Ray head of two cores, and the environment of who may use it: a home with nothing older in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**ENVIRONMENT, "HOME": str(tmp_path)}
    head = subprocess.Popen(
        [str(Path(sys.executable).with_name("ray")), "start", "--head", f"--port={port}", "--num-cpus=2",
         "--include-dashboard=false", "--disable-usage-stats", "--block"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert head.stdout is not None
    told = ""
    for line in head.stdout:
        told += line
        if "--block" in line:  # the last paragraph: it is up, and stays until it is stopped
            break
    assert head.poll() is None, told
    yield f"127.0.0.1:{port}", environment
    assert head.poll() is None, "a sweep stopped the cluster"
    os.killpg(head.pid, signal.SIGTERM)
    head.communicate(timeout=60)


@pytest.mark.slow
def test_a_sweep_is_killed_and_resumed_on_a_cluster(tmp_path: Path, cluster: tuple[str, dict[str, str]]) -> None:
    address, environment = cluster
    command = [
        sys.executable, "-m", "toolchain.cli", "sweep", str(write_small_project(tmp_path)), "--trials", "4", "--json",
        "--axis", "quantize.bits=4,6", "--axis", "prune.final_sparsity=0.5:0.9", "--objective", "accuracy,dsp",
        "--no-verify-front", "--ray-address", address,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if line.strip().startswith("2/4"):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "".join(told)
    time.sleep(2)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    designs = json.loads(done.stdout)["designs"]
    assert [(design["number"], design["state"]) for design in designs] == [(n, "complete") for n in range(4)]


@pytest.mark.parametrize("address", ["127.0.0.1:9", "127.0.0.1:x", "127.0.0.1:99999", "no-such-host.invalid:6379"])
def test_an_address_where_nothing_answers_is_a_plain_error(address: str) -> None:
    """At once: Ray itself goes on trying for many minutes."""
    with pytest.raises(ExternalToolError) as caught, cluster_at(None, address):
        pass
    assert address in caught.value.text()
    assert "--ray-address" in caught.value.text()
