"""How sparsity grows with the training step: TFMOT's own schedules, and their formula for reports and tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolchain.errors import ProjectError
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
    """``s_f + (s_i - s_f) (1 - (t - t_0) / (t_1 - t_0))**power`` (Zhu and Gupta 2017), constant outside t_0..t_1."""
    if section.schedule == "constant":
        return section.final_sparsity if step >= steps.begin_step else 0.0
    share = min(max((step - steps.begin_step) / (steps.end_step - steps.begin_step), 0.0), 1.0)
    return float(
        section.final_sparsity + (section.initial_sparsity - section.final_sparsity) * (1 - share) ** section.power
    )


def tfmot_schedule(section: PruneSection, steps: Steps) -> Any:
    """The TFMOT schedule object."""
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule

    if section.schedule == "constant":
        return pruning_schedule.ConstantSparsity(section.final_sparsity, steps.begin_step, frequency=section.frequency)
    return pruning_schedule.PolynomialDecay(
        initial_sparsity=section.initial_sparsity, final_sparsity=section.final_sparsity,
        begin_step=steps.begin_step, end_step=steps.end_step, power=section.power, frequency=section.frequency,
    )  # fmt: skip
