"""Every gate on a run on ARM code, broken one at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolchain.arm.gates import Rounding, Task, Vectors, examine, read_vectors, tie_band
from toolchain.errors import ExternalToolError


def vectors(outputs: int = 1, samples: int = 40) -> Vectors:
    """Words that all agree, on a grid of 1/8 with zero point 3."""
    rng = np.random.default_rng(0)
    words = rng.integers(-100, 100, (samples, outputs)).astype(np.int8)
    values = (words.astype(np.float64) - 3) / 8
    inputs = rng.integers(-128, 128, (samples, 4)).astype(np.int8)
    return Vectors(inputs, words, words, words, words, values, 0.125, 3, (0.5,), (0,), samples)


@pytest.mark.parametrize("rounding", ["once", "twice", "to_even"])
@pytest.mark.parametrize(("task", "outputs"), [("regression", 1), ("binary", 1), ("multiclass", 5)])
def test_equal_words_pass_every_gate(rounding: Rounding, task: Task, outputs: int) -> None:
    case = vectors(outputs)
    found = examine(case, case.once.copy(), rounding, task)
    assert found.failures == ()
    assert (found.machine_differences, found.equal_words_share, found.largest_word_difference) == (0, 1.0, 0)
    assert (found.decisions is None) == (task == "regression")
    assert task == "regression" or 0 < (found.decisions or 0) <= 40


@pytest.mark.parametrize("rounding", ["once", "twice", "to_even"])
def test_one_word_that_was_not_predicted_fails_however_near(rounding: Rounding) -> None:
    case = vectors()
    words = case.once.copy()
    words[7, 0] += 1
    (failure,) = examine(case, words, rounding, "regression").failures
    assert examine(case, words, "to_even", "regression", exact=False).failures == ()  # XNNPACK: within 1 LSB
    assert f"sample 7, element [0]: expected {case.once[7, 0]}, found {words[7, 0]}" in failure


@pytest.mark.parametrize(("rounding", "allowed"), [("to_even", 1), ("once", 1), ("twice", 1)])
def test_the_distance_from_the_network_is_bounded(rounding: Rounding, allowed: int) -> None:
    case = vectors()
    for step in (allowed, allowed + 1):
        shifted = replace(case, network=(case.network - step).astype(np.int8))
        found = examine(shifted, case.once, rounding, "regression")
        assert found.largest_word_difference == step
        assert bool(found.failures) == (step > allowed)


def test_a_sign_may_differ_inside_the_tie_band_only() -> None:
    case = vectors()
    band = tie_band(case.scale, 1, "binary")
    assert band == 1.5 * 0.125
    words = np.full_like(case.once, 3 + 5)  # positive
    for value, failing in ((-band, False), (-band - 0.001, True)):
        altered = replace(
            case, values=np.full_like(case.values, value), network=words, once=words, twice=words, to_even=words
        )
        assert bool(examine(altered, words, "to_even", "binary").failures) == failing


def test_a_class_may_differ_inside_the_tie_band_only() -> None:
    case = vectors(outputs=3)
    words = np.tile(np.array([3, 11, 10], np.int8), (40, 1))
    for margin, failing in ((3 * 0.125, False), (3 * 0.125 + 0.001, True)):
        values = np.tile(np.array([0.0, 1.0, 1.0 + margin]), (40, 1))
        altered = replace(case, values=values, network=words, once=words, twice=words, to_even=words)
        found = examine(altered, words, "to_even", "multiclass")
        assert bool(found.failures) == failing
        assert found.decisions == (40 if failing else 0)


def test_values_that_both_saturate_at_the_ports_end_are_a_tie() -> None:
    case = vectors(outputs=2)
    words = np.tile(np.array([127, 127], np.int8), (40, 1))
    values = np.tile(np.array([20.0, 30.0]), (40, 1))
    altered = replace(case, values=values, network=words, once=words, twice=words, to_even=words)
    found = examine(altered, words, "to_even", "multiclass")
    assert (found.decisions, found.failures) == (0, ())


def test_another_shape_or_type_fails() -> None:
    case = vectors()
    for words in (case.once[:-1], case.once.astype(np.int16), case.once.reshape(-1)):
        assert "not int8 (40, 1)" in examine(case, words, "once", "binary").failures[0]


def test_damaged_vectors_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "test_vectors.npz"
    for content in (b"", b"PK nonsense", b"\x93NUMPY"):
        file.write_bytes(content)
        with pytest.raises(ExternalToolError, match=r"test_vectors\.npz"):
            read_vectors(file)
    np.savez(file, inputs=np.zeros(3))
    with pytest.raises(ExternalToolError, match="cannot be read"):
        read_vectors(file)
