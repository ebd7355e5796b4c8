"""An int8 artefact of two input ports on emulated ARM cores: every port gets its own words."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from arm_cases import data_result, exported, job, need_emulation, recorded
from test_arm_stage import cortex_m
from tflite_networks import ACTIVE, EVEN, WEIGHTS, random_words

import toolchain.arm.device as device
import toolchain.arm.stage as stage
from toolchain.fixed_point import FixedPoint
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.target import Device


def two_ports() -> FixedPointNetwork:
    """Ports of other shapes and formats, joined by an addition."""
    rng, b = np.random.default_rng(4), NetworkBuilder("ports")
    window, book = b.input("window", (4, 2), FixedPoint(True, 2, 5, *EVEN)), b.input("book", (5,), ACTIVE)
    flat = b.reshape("flat", window, (8,))
    sides = [
        b.dense(name, x, random_words(rng, (size, 6), 6), WEIGHTS, None, None, FixedPoint(True, 3, 4, *EVEN))
        for name, x, size in (("left", flat, 8), ("right", book, 5))
    ]
    joined = b.requantize("joined_cut", b.add("joined", (sides[0], sides[1])), FixedPoint(True, 3, 4, *EVEN))
    return b.build((b.dense("out", joined, random_words(rng, (6, 3), 6), WEIGHTS),))


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ports")
    exported(folder, two_ports())
    return folder


def test_the_vectors_hold_both_ports_side_by_side(artefact: Path) -> None:
    with np.load(artefact / "test_vectors.npz") as vectors:
        assert vectors["inputs"].shape == (209, 13)
        assert vectors["input_scale"].shape == vectors["input_zero_point"].shape == (2,)


@pytest.mark.parametrize("architecture", ["aarch64", pytest.param("armv7", marks=pytest.mark.slow)])
def test_every_runtime_reads_both_ports(artefact: Path, architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    need_emulation()
    monkeypatch.setattr(stage, "ARCHITECTURES", (architecture,))
    found = stage.verify_on_arm(data_result(), recorded(artefact), None, job(artefact))
    assert stage.problems(found) == []
    assert {(run.architecture, run.runtime.split()[0]) for run in found.runs} > cortex_m()
    assert {run.machine_differences for run in found.runs} == {0}


def test_a_port_read_with_another_scale_is_caught(artefact: Path) -> None:
    vectors = stage.read_vectors(artefact / "test_vectors.npz")
    sources = tuple(zip(vectors.input_scale, vectors.input_zero_point, strict=True))
    result = (vectors.scale, vectors.zero_point)
    assert stage.port_failures(vectors, sources, result) == ()
    changed = (sources[0], (sources[1][0] * 2, sources[1][1]))
    assert "the input 1 port's scale" in stage.port_failures(vectors, changed, result)[0]
    assert "has 1 input ports" in stage.port_failures(vectors, sources[:1], result)[0]


def test_the_program_for_a_board_reads_both_ports(artefact: Path, tmp_path: Path) -> None:
    """Run here as it would be there; what carries it over is tested in test_arm_device.py."""
    vectors = stage.read_vectors(artefact / "test_vectors.npz")
    shutil.copy(artefact / "model.int8.tflite", tmp_path / "model.tflite")
    np.save(tmp_path / "inputs.npy", vectors.inputs)
    done = subprocess.run(
        [sys.executable, str(device.PROGRAM)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    board = Device(ssh="user@board")
    answer = device.read_answer(done.stdout, board)
    assert len(answer.ports) == 3
    runs = device._examined(answer, vectors, "multiclass", board)
    assert [(run.kernels, run.machine_differences, run.failures) for run in runs] == [
        ("reference", 0, ()), ("default", 0, ()),
    ]  # fmt: skip
