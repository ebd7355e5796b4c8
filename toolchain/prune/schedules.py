"""How sparsity grows with the training step: TFMOT's own schedules, and their formula for reports and tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolchain.project import PruneSection


@dataclass(frozen=True)
class Steps:
    """Training steps between which sparsity grows."""

    begin_step: int
    end_step: int
    total: int


def steps_for(section: PruneSection, samples: int, batch_size: int) -> Steps:
    """Steps of a run over ``samples``; the mask is at rest for the last third unless the project says otherwise."""
    total = section.epochs * -(-samples // batch_size)
    end = (
        section.end_step if section.end_step is not None else section.begin_step + (total - section.begin_step) * 2 // 3
    )
    return Steps(section.begin_step, min(max(end, section.begin_step + 1), max(total, section.begin_step + 1)), total)


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
