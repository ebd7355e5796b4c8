"""An exported small network, as the stage ``tflite`` leaves it, and whether ARM cores can be emulated here."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "tflite"))

from tflite_networks import convolution_network, lowered

from toolchain.arm.packages import ARCHITECTURES, system
from toolchain.arm.sysroot import is_set_up
from toolchain.network.nodes import FixedPointNetwork
from toolchain.results import DataResult, Job, TfliteFile, TfliteResult
from toolchain.tflite.check import check_file
from toolchain.tflite.flatbuffer import to_bytes
from toolchain.tflite.plain_c import write_plain_c
from toolchain.tflite.vectors import write_vectors


def need_emulation() -> None:
    """Skip where qemu or the foreign systems are not."""
    for architecture in ARCHITECTURES:
        if shutil.which(system(architecture).emulator) is None:
            pytest.skip(f"{system(architecture).emulator} is not installed")
        if not is_set_up(architecture):
            pytest.skip("ARM systems are not set up (toolchain arm-setup)")


def exported(folder: Path, network: FixedPointNetwork | None = None) -> TfliteResult:
    """``model.int8.tflite`` and ``test_vectors.npz`` of ``network`` (a small convolutional one) in ``folder``."""
    network = network or convolution_network()
    model, inputs = lowered(network)
    path = folder / "model.int8.tflite"
    path.write_bytes(to_bytes(model))
    write_vectors(folder, network, model, check_file(path, model, network, inputs), 9)
    write_plain_c(folder / "plain_c", model)
    return recorded(folder)


def recorded(folder: Path) -> TfliteResult:
    """The stage's result for the file that stands in ``folder``."""
    content = (folder / "model.int8.tflite").read_bytes()
    file = TfliteFile(
        path="model.int8.tflite", kind="int8", size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest(),
        checked="",
    )  # fmt: skip
    result = TfliteResult(files=(file,))
    result.at(folder)
    return result


def data_result() -> DataResult:
    return DataResult(
        source="random", task="multiclass", metric="accuracy", unit="", input_shape=(10, 2), outputs=3,
        feature_names=(), y_scale=1.0, y_offset=0.0, counts={}, first_test_time="", last_test_time="", sha256="",
    )  # fmt: skip


def job(folder: Path) -> Job:
    return Job(folder, folder)


__all__ = ["data_result", "exported", "job", "need_emulation", "np", "recorded"]
