"""A trained, pruned Conv2D model at several widths: every gate on every emulated core."""

from __future__ import annotations

from pathlib import Path

import pytest
from arm_cases import need_emulation
from digits_case import digits_outcome

from toolchain.results import ArmResult, TfliteResult


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 6, 8])
def test_a_conv2d_model_passes_every_gate(bits: int, tmp_path: Path) -> None:
    need_emulation()
    outcome = digits_outcome(tmp_path, bits)
    assert outcome.problems == []
    written, found = outcome.get("tflite", TfliteResult), outcome.get("arm", ArmResult)
    assert written is not None
    assert written.skipped == {}
    assert found is not None
    for run in found.runs:
        assert run.failures == ()
        assert run.largest_word_difference <= 1
        assert run.different_decisions == 0
        assert run.machine_differences == 0 or run.kernels == "default"
