"""Options of ``[prune]`` that the chosen way of pruning does not use: each is an error that names where it is used."""

from __future__ import annotations

from collections.abc import Callable

from toolchain.errors import ProjectError, ToolchainError
from toolchain.project import PruneSection


def _given(key: str) -> Callable[[PruneSection], bool]:
    return lambda section: key in section.model_fields_set


def _gradual(section: PruneSection) -> bool:
    return section.strategy == "gradual"


def _fine_tunes(section: PruneSection) -> bool:
    return section.strategy != "gradual"


def _by_hardware(section: PruneSection) -> bool:
    return section.weight_criterion == "hardware" or section.criterion == "hardware"


def _in_rounds(section: PruneSection) -> bool:
    if section.strategy == "one_shot":
        return section.accuracy_loss is not None and section.percentile is None
    return section.strategy != "gradual"


#: Option: what uses it, and whether the section is such.
USES: dict[str, tuple[str, Callable[[PruneSection], bool]]] = {
    "schedule": ("strategy = 'gradual'", _gradual),
    "power": ("strategy = 'gradual' with schedule = 'polynomial'",
              lambda section: _gradual(section) and section.schedule == "polynomial"),
    "rate": ("strategy = 'gradual' with schedule = 'exponential'",
             lambda section: _gradual(section) and section.schedule == "exponential"),
    "initial_sparsity": ("strategy = 'gradual' with any schedule but 'constant'",
                         lambda section: _gradual(section) and section.schedule != "constant"),
    "begin_step": ("strategy = 'gradual'", _gradual),
    "end_step": ("strategy = 'gradual'", _gradual),
    "frequency": ("strategy = 'gradual'", _gradual),
    "learning_rate_factor": ("strategy = 'gradual'; the others have fine_tune_learning_rate_factor", _gradual),
    "pruned_share": ("strategy = 'iterative' or 'lottery_ticket', or 'one_shot' with accuracy_loss", _in_rounds),
    "rewind_epoch": ("strategy = 'lottery_ticket'", lambda section: section.strategy == "lottery_ticket"),
    "fine_tune_share": ("strategy = 'one_shot', 'iterative' or 'lottery_ticket'", _fine_tunes),
    "fine_tune_learning_rate_factor": ("strategy = 'one_shot', 'iterative' or 'lottery_ticket'", _fine_tunes),
    "final_sparsity": ("all but percentile, which stands instead of it", lambda section: section.percentile is None),
    "criterion": ("structured_sparsity with any granularity but 'layer'",
                  lambda section: _given("structured_sparsity")(section) and section.granularity != "layer"),
    "granularity": ("structured_sparsity", _given("structured_sparsity")),
    "temperature": ("distillation", _given("distillation")),
    "hardware_bits": ("weight_criterion = 'hardware' or criterion = 'hardware'", _by_hardware),
}  # fmt: skip


def unused(section: PruneSection) -> list[ToolchainError]:
    """One ProjectError for every option that stands in the file (or in --set) and would have no effect."""
    return [
        ProjectError(
            f"{getattr(section, key)!r} would have no effect", where=f"[prune] {key}", allowed=f"with {where}",
            hint=f"leave it out (--set prune.{key}= takes it out of the file)",
        )
        for key, (where, used) in USES.items()
        if key in section.model_fields_set and not used(section)
    ]  # fmt: skip
