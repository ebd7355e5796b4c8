"""Instructions per inference: the plugin counts, and counts the same again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from arm_cases import exported, need_emulation

from toolchain.arm.emulation import open_emulator
from toolchain.arm.instructions import count_instructions
from toolchain.arm.sysroot import open_sysroot
from toolchain.errors import ExternalToolError


@pytest.mark.slow
def test_counts_are_of_the_inference_and_repeatable(tmp_path: Path) -> None:
    need_emulation()
    exported(tmp_path)
    emulator = open_emulator(open_sysroot("aarch64"))
    model, x = tmp_path / "model.int8.tflite", np.zeros((1, 10, 2), np.int8)
    first, second = (count_instructions(emulator, model, x, "tflite-runtime") for _ in range(2))
    assert 1_000 < first < 1_000_000
    assert abs(first - second) < 0.02 * first  # addresses in the Python around it are not fixed


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toolchain.arm.instructions import build_plugin

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExternalToolError, match="gcc: is missing"):
        build_plugin(tmp_path)
