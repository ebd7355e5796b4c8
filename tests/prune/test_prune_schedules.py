"""The sparsity over the steps is TFMOT's own, and the last update is at end_step."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import ProjectError
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import PruneSection
from toolchain.prune.schedules import Steps, first_resting_epoch, sparsity_at, steps_for, tfmot_schedule


@pytest.mark.parametrize("power", [1.0, 3.0])
@pytest.mark.parametrize("schedule", ["polynomial", "constant", "linear", "cubic", "exponential"])
def test_our_formula_is_what_tfmot_computes(schedule: str, power: float) -> None:
    tf = load_tensorflow()
    section = PruneSection(
        schedule=schedule, power=power, initial_sparsity=0.2, final_sparsity=0.8, begin_step=5, frequency=4
    )  # fmt: skip
    steps = Steps(5, 45, 60)
    theirs = tfmot_schedule(section, steps)
    updates = []
    for step in range(1, 61):
        turn, sparsity = theirs(tf.constant(step, tf.int64))
        if bool(turn):
            updates.append(step)
            assert float(sparsity) == pytest.approx(sparsity_at(step, section, steps), abs=1e-6)
    assert updates[0] == 5
    if schedule != "constant":
        assert updates == list(range(5, 46, 4))
        assert sparsity_at(updates[-1], section, steps) == 0.8


@given(st.floats(0, 1), st.floats(0, 0.98), st.floats(0.5, 9))
def test_each_curve_is_its_formula(t: float, final: float, alpha: float) -> None:
    def at(schedule: str, **options: float) -> float:
        section = PruneSection(schedule=schedule, final_sparsity=final, **options)
        return sparsity_at(round(t * 1000), section, Steps(0, 1000, 1500))

    t = round(t * 1000) / 1000
    assert at("linear") == pytest.approx(final * t, abs=1e-14)
    assert at("cubic") == pytest.approx(final * (1 - (1 - t) ** 3), abs=1e-14)
    assert at("polynomial", power=alpha) == pytest.approx(final * (1 - (1 - t) ** alpha), abs=1e-14)
    assert at("exponential", rate=alpha) == pytest.approx(
        final * (1 - math.exp(-alpha * t)) if t < 1 else final, abs=1e-14
    )
    assert at("constant") == final


@given(st.integers(1, 60), st.integers(1, 500), st.integers(1, 64), st.integers(0, 200), st.integers(1, 50))
def test_the_default_end_is_an_update_inside_the_run(
    epochs: int, samples: int, batch_size: int, begin: int, frequency: int
) -> None:
    section = PruneSection(epochs=epochs, begin_step=begin, frequency=frequency)
    total = epochs * -(-samples // batch_size)
    if total - begin < frequency:
        with pytest.raises(ProjectError, match="no mask update"):
            steps_for(section, samples, batch_size)
        return
    steps = steps_for(section, samples, batch_size)
    assert steps.total == total
    assert begin < steps.end_step <= total
    assert (steps.end_step - begin) % frequency == 0
    first = first_resting_epoch(steps, epochs)
    assert first == epochs - 1 or first * (total // epochs) >= steps.end_step


@pytest.mark.parametrize("end", [25, 110])
def test_an_end_that_is_no_update_or_lies_outside_is_refused(end: int) -> None:
    section = PruneSection(epochs=10, end_step=end)
    with pytest.raises(ProjectError) as caught:
        steps_for(section, 100, 10)
    assert caught.value.where == "[prune] end_step"
    suggestion = int(caught.value.hint.split()[-1])
    assert steps_for(PruneSection(epochs=10, end_step=suggestion), 100, 10).end_step == suggestion


def test_an_end_that_fits_is_taken() -> None:
    assert steps_for(PruneSection(epochs=10, end_step=40), 100, 10) == Steps(0, 40, 100)
