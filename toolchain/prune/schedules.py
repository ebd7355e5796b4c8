"""How sparsity grows with the training step: TFMOT's own schedules, and their formula for reports and tests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from toolchain.errors import ProjectError
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import PruneSection


@dataclass(frozen=True)
class Steps:
    """Training steps between which sparsity grows."""

    begin_step: int
    end_step: int
    total: int


def steps_for(section: PruneSection, samples: int, batch_size: int) -> Steps:
    """Steps of a run over ``samples``; the mask is at rest for the last third unless the project says otherwise.

    TFMOT moves the mask only every ``frequency`` steps after ``begin_step``, so ``final_sparsity`` is reached only when
    ``end_step`` is such a step. The default is; another is refused. Raises ProjectError.
    """
    total = section.epochs * -(-samples // batch_size)
    room = total - section.begin_step
    if room < section.frequency:
        raise ProjectError(
            f"no mask update falls between begin_step = {section.begin_step} and the last of {total} steps",
            where="[prune]", allowed=f"begin_step + frequency at most {total}", hint="more epochs",
        )  # fmt: skip
    end = section.end_step
    if end is None:
        updates = max(room * 2 // 3 // section.frequency, 1)
        return Steps(section.begin_step, section.begin_step + updates * section.frequency, total)
    if end > total or (end - section.begin_step) % section.frequency:
        last = section.begin_step + (min(end, total) - section.begin_step) // section.frequency * section.frequency
        raise ProjectError(
            f"final_sparsity is not reached at end_step = {end}: {total} steps, one mask update every "
            f"{section.frequency} after {section.begin_step}", where="[prune] end_step",
            allowed=f"begin_step + a multiple of frequency, at most {total}", hint=f"for instance {last}",
        )  # fmt: skip
    return Steps(section.begin_step, end, total)


def first_resting_epoch(steps: Steps, epochs: int) -> int:
    """The first epoch (from 0) that is trained with the final mask from its first step on, or the last epoch."""
    per_epoch = steps.total // epochs
    return min(-(-steps.end_step // per_epoch), epochs - 1)


def sparsity_at(step: int, section: PruneSection, steps: Steps) -> float:
    """The sparsity asked for at a training step; ``final_sparsity`` from ``end_step`` on, zero before ``begin_step``.

    See ``growth`` for the curves; a constant schedule jumps at ``begin_step``.
    """
    if step < steps.begin_step:
        return 0.0
    share = (step - steps.begin_step) / (steps.end_step - steps.begin_step)
    return section.initial_sparsity + (section.final_sparsity - section.initial_sparsity) * growth(section, share)


def growth(section: PruneSection, share: float) -> float:
    """How much of the way from initial to final sparsity is done after ``share`` of the steps (0 … 1).

    constant: 1; linear: ``t``; cubic: ``1 - (1 - t)^3``; polynomial: ``1 - (1 - t)^power`` (Zhu and Gupta 2017, TFMOT's
    ``PolynomialDecay``); exponential: ``1 - exp(-rate t)``, and 1 at the end, which that curve alone does not reach.
    """
    if section.schedule == "constant" or share >= 1:
        return 1.0
    share = max(share, 0.0)
    if section.schedule == "exponential":
        return 1 - math.exp(-section.rate * share)
    return float(1 - (1 - share) ** _power(section))


def iterative_sparsities(final_sparsity: float, pruned_share: float) -> tuple[float, ...]:
    """``s_t = 1 - (1 - p)^t`` for t = 1, 2 … while it is below ``final_sparsity``, and then that (Frankle 2019)."""
    found: list[float] = []
    while (after := 1 - (1 - pruned_share) ** (len(found) + 1)) < final_sparsity - 1e-12:
        found.append(after)
    return (*found, final_sparsity)


def tfmot_schedule(section: PruneSection, steps: Steps) -> Any:
    """The TFMOT schedule object; the exponential one is ours, written on TFMOT's base class."""
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule

    if section.schedule == "constant":
        return pruning_schedule.ConstantSparsity(
            section.final_sparsity, steps.begin_step, steps.end_step, section.frequency
        )
    if section.schedule != "exponential":
        return pruning_schedule.PolynomialDecay(
            initial_sparsity=section.initial_sparsity, final_sparsity=section.final_sparsity,
            begin_step=steps.begin_step, end_step=steps.end_step, power=_power(section), frequency=section.frequency,
        )  # fmt: skip
    tf = load_tensorflow()

    class Exponential(pruning_schedule.PruningSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> Any:
            turn = self._should_prune_in_step(step, steps.begin_step, steps.end_step, section.frequency)
            share = tf.cast(step - steps.begin_step, tf.float32) / float(steps.end_step - steps.begin_step)
            done = tf.where(share >= 1.0, 1.0, 1.0 - tf.exp(-section.rate * tf.maximum(share, 0.0)))
            return turn, section.initial_sparsity + (section.final_sparsity - section.initial_sparsity) * done

        def get_config(self) -> dict[str, Any]:
            return {"class_name": "Exponential", "config": {"rate": section.rate}}

    return Exponential()


def _power(section: PruneSection) -> float:
    return {"linear": 1.0, "cubic": 3.0}.get(section.schedule, section.power)
