"""Which designs are tried: Optuna's samplers over a journal on disk, which outlives a killed sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toolchain.errors import ProjectError, nearest
from toolchain.sweep.axes import Axis
from toolchain.sweep.design import OBJECTIVES, Design

if TYPE_CHECKING:
    import optuna

Sampler = Literal["auto", "grid", "tpe", "nsga2", "qmc", "random"]


class Search:
    """The trials of one sweep. A trial's settings are fixed when it is asked for and never change."""

    def __init__(self, folder: Path, axes: Sequence[Axis], objectives: Sequence[str], sampler: Sampler, seed: int):
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.axes = tuple(axes)
        self._distributions = {axis.key: _distribution(axis) for axis in axes}
        self.study: optuna.Study = optuna.create_study(
            study_name="sweep", storage=JournalStorage(JournalFileBackend(str(folder / "journal.log"))),
            directions=["minimize"] * len(objectives), sampler=_sampler(self.axes, sampler, seed), load_if_exists=True,
        )  # fmt: skip
        self.objectives = tuple(objectives)
        self._drawn = sampler, seed

    def unfinished(self) -> list[tuple[int, dict[str, Any]]]:
        """The trials that an earlier run had begun and not finished: they are built again, with the same settings."""
        from optuna.trial import Trial, TrialState

        found = []
        for frozen in self.study.get_trials(states=(TrialState.RUNNING,)):
            trial = Trial(self.study, frozen._trial_id)
            # a kill can fall between two of a trial's settings: what is missing is drawn as it would have been
            self._draw_for(trial.number)
            for axis in self.axes:
                if axis.key in frozen.params and self._drawn[0] == "random":
                    self.study.sampler.sample_independent(self.study, frozen, axis.key, _distribution(axis))
            found.append((trial.number, {axis.key: _suggest(trial, axis) for axis in self.axes}))
        return found

    def begun(self) -> int:
        """How many trials there are, finished or not."""
        return len(self.study.get_trials(deepcopy=False))

    def ask(self) -> tuple[int, dict[str, Any]]:
        """A new trial's number and settings. What chance decides depends on ``seed`` and that number alone.

        A sampler that began anew after a kill would draw its first settings twice.
        """
        self._draw_for(self.begun())
        trial = self.study.ask(self._distributions)
        return trial.number, dict(trial.params)

    def _draw_for(self, number: int) -> None:
        sampler, seed = self._drawn
        if sampler not in ("grid", "qmc"):  # these two keep account of what is done in the journal
            self.study.sampler = _sampler(self.axes, sampler, seed + number)

    def tell(self, design: Design, lower_is_better: bool) -> None:
        """Record a finished design; one that failed is kept as such."""
        from optuna.trial import Trial, TrialState

        found = next(trial for trial in self.study.get_trials(deepcopy=False) if trial.number == design.number)
        trial = Trial(self.study, found._trial_id)
        trial.set_user_attr("design", design.model_dump_json())
        if design.state == "failed":
            self.study.tell(trial, state=TrialState.FAIL)
            return
        values = [design.metrics[name] for name in self.objectives]
        # Optuna minimizes everything here: an accuracy that is better when larger is given with the other sign
        signs = [-1.0 if name == "accuracy" and not lower_is_better else 1.0 for name in self.objectives]
        self.study.tell(trial, [sign * value for sign, value in zip(signs, values, strict=True)])

    def designs(self) -> list[Design]:
        """Every finished design, in the order of their numbers."""
        return [
            Design.model_validate_json(trial.user_attrs["design"])
            for trial in self.study.get_trials(deepcopy=False)
            if "design" in trial.user_attrs
        ]


def check_objectives(names: Sequence[str], has_fpga: bool) -> tuple[str, ...]:
    """The objectives' names, known and measurable on the target. Raises ProjectError."""
    for name in names:
        if name not in OBJECTIVES:
            raise ProjectError(f"unknown objective {name!r}", where="--objective", hint=nearest(name, OBJECTIVES))
        if not has_fpga and name not in ("accuracy", "parameters"):
            raise ProjectError(f"{name} needs a target with an FPGA", where="--objective")
    if not names or len(set(names)) < len(names):
        raise ProjectError("needs one or more different objectives", where="--objective", allowed=", ".join(OBJECTIVES))
    return tuple(names)


def front(designs: Sequence[Design], objectives: Sequence[str], lower_is_better: bool) -> list[Design]:
    """The designs that no other one is at least as good as in every objective and better in one."""
    found = [design for design in designs if design.state == "complete"]

    def costs(design: Design) -> list[float]:
        flipped = {"accuracy"} if not lower_is_better else set()
        return [-design.metrics[name] if name in flipped else design.metrics[name] for name in objectives]

    rows = {design.number: costs(design) for design in found}

    def dominated(one: list[float]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, one, strict=True)) and any(a < b for a, b in zip(other, one, strict=True))
            for other in rows.values()
        )

    return [design for design in found if not dominated(rows[design.number])]


def grid_size(axes: Sequence[Axis]) -> int | None:
    """How many designs the whole grid has; None when an axis is continuous."""
    sizes = [axis.size for axis in axes]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def _suggest(trial: optuna.Trial, axis: Axis) -> Any:
    """The trial's setting on ``axis``: the stored one where there is one."""
    found = _distribution(axis)
    if axis.choices:
        return trial.suggest_categorical(axis.key, axis.choices)
    if axis.whole:
        return trial.suggest_int(axis.key, found.low, found.high, step=found.step)
    return trial.suggest_float(axis.key, found.low, found.high, step=found.step)


def _distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if axis.choices:
        return CategoricalDistribution(axis.choices)
    if axis.whole:
        step = int(axis.step or 1)
        return IntDistribution(
            int(axis.low), int(axis.low) + (int(axis.high) - int(axis.low)) // step * step, step=step
        )
    if axis.step is None:
        return FloatDistribution(axis.low, axis.high)
    high = axis.low + ((axis.size or 1) - 1) * axis.step
    return FloatDistribution(axis.low, high, step=axis.step)


def _sampler(axes: tuple[Axis, ...], name: Sampler, seed: int) -> Any:
    from optuna import samplers

    if name == "auto":
        name = "tpe"
    if name == "grid":
        space = {axis.key: _values(axis) for axis in axes}
        return samplers.GridSampler(space, seed=seed)
    if name == "tpe":
        # other workers' running trials count as bad ones, so that two workers do not try the same design
        return samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=10)
    if name == "nsga2":
        return samplers.NSGAIISampler(seed=seed, population_size=10)
    return samplers.QMCSampler(seed=seed) if name == "qmc" else samplers.RandomSampler(seed=seed)


def _values(axis: Axis) -> list[Any]:
    if axis.choices:
        return list(axis.choices)
    if axis.size is None:
        raise ProjectError(
            f"{axis.key} is a continuous range: there is no grid", where="--sampler grid", allowed="LOW:HIGH:STEP"
        )
    values = [axis.low + place * float(axis.step or 1) for place in range(axis.size)]
    return [int(value) for value in values] if axis.whole else values
