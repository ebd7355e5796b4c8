"""What the trials of a walk say together: metrics, their intervals, and the paired difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from toolchain.results import FloatArray, Interval, Record
from toolchain.study.statistics import mcnemar, mean_in_blocks, mean_over_seeds
from toolchain.study.walk_forward import REGIMES, Trial

#: Outputs of one kind in a trial.
Choose = Callable[[Trial], FloatArray]


class Row(Record):
    """One predictor: its metric over all test parts, and where it was worst."""

    name: str
    over_time: Interval  # how far other samples of the same time would move it: block bootstrap
    over_seeds: Interval | None  # how far other seeds would; None for baselines
    by_fold: tuple[float, ...]
    by_regime: dict[str, float]  # calm, middle, wild; without a regime that no sample is in
    worst_regime: str


class Pair(Record):
    """McNemar's test of one seed."""

    seed: int
    only_dense: int  # samples that only the dense model gets right
    only_compressed: int
    p_value: float


class Comparison(Record):
    """A finished study."""

    project: str
    source: str
    metric: str
    unit: str
    samples: int  # tested, over all folds
    seeds: tuple[int, ...]
    periods: tuple[str, ...]  # of each fold's test part
    rows: tuple[Row, ...]
    # mean loss of the compressed model less the dense one's: wrong answers per sample, or squared errors
    difference: Interval
    difference_over_seeds: Interval
    pairs: tuple[Pair, ...]  # classification
    dense_products: float  # mean over the trials: non-zero weights
    compressed_products: float

    @property
    def within_noise(self) -> bool:
        """Whether neither interval, over time and over seeds, tells the compressed model to be worse."""
        return self.difference.low <= 0 and self.difference_over_seeds.low <= 0

    @property
    def products_ratio(self) -> float:
        return self.dense_products / self.compressed_products


def compare(project: str, trials: Sequence[Trial]) -> Comparison:
    """The study of ``trials``, every fold with every seed."""
    data = trials[0].data
    seeds = tuple(dict.fromkeys(trial.seed for trial in trials))
    dense, compressed = _losses(trials, lambda trial: trial.dense), _losses(trials, lambda trial: trial.compressed)
    rows = [
        _row("dense", trials, dense, over_seeds=True),
        _row("compressed", trials, compressed, over_seeds=True),
        *(_row(name, trials, _losses(trials, _baseline(name)), over_seeds=False) for name in trials[0].baselines),
    ]
    right = data.task != "regression"
    pairs = [Pair(seed=seed, **_mcnemar(dense[place], compressed[place])) for place, seed in enumerate(seeds) if right]
    return Comparison(
        project=project, source=data.source, metric=data.metric, unit=data.unit, samples=dense.shape[1], seeds=seeds,
        periods=tuple(dict.fromkeys(f"{t.data.first_test_time} to {t.data.last_test_time}" for t in trials)),
        rows=tuple(rows), difference=mean_in_blocks((compressed - dense).mean(axis=0)),
        difference_over_seeds=mean_over_seeds((compressed - dense).mean(axis=1)), pairs=tuple(pairs),
        dense_products=float(np.mean([trial.dense_products for trial in trials])),
        compressed_products=float(np.mean([trial.compressed_products for trial in trials])),
    )  # fmt: skip


def _baseline(name: str) -> Choose:
    return lambda trial: trial.baselines[name]


def _loss(trial: Trial, outputs: FloatArray) -> FloatArray:
    """``(samples,)``: 1 for a wrong class, or the squared error in the task's unit."""
    y = trial.part.y
    if trial.data.task == "regression":
        return np.asarray((((outputs - y) * trial.data.y_scale) ** 2).mean(axis=1))
    if trial.data.task == "binary":
        return np.asarray((outputs > 0) != (y > 0.5), dtype=np.float64)[:, 0]
    return np.asarray(outputs.argmax(axis=1) != y.argmax(axis=1), dtype=np.float64)


def _losses(trials: Sequence[Trial], choose: Choose) -> FloatArray:
    """``(seeds, samples)``, the folds one after the other."""
    seeds = dict.fromkeys(trial.seed for trial in trials)
    return np.stack([np.concatenate([_loss(t, choose(t)) for t in trials if t.seed == seed]) for seed in seeds])


def _metric(metric: str, loss: float) -> float:
    return max(loss, 0.0) ** 0.5 if metric == "rmse" else 1.0 - loss


def _interval(metric: str, loss: Interval) -> Interval:
    ends = sorted((_metric(metric, loss.low), _metric(metric, loss.high)))
    return Interval(value=_metric(metric, loss.value), low=ends[0], high=ends[1])


def _row(name: str, trials: Sequence[Trial], losses: FloatArray, over_seeds: bool) -> Row:
    metric, seed = trials[0].data.metric, trials[0].seed
    each = losses.mean(axis=0)
    sizes = [len(trial.part.y) for trial in trials if trial.seed == seed]
    regimes = np.concatenate([trial.regime for trial in trials if trial.seed == seed])
    found = {
        regime: _metric(metric, float(each[regimes == place].mean()))
        for place, regime in enumerate(REGIMES)
        if (regimes == place).any()
    }
    by_seed = np.array([_metric(metric, float(row.mean())) for row in losses])
    worst = (max if metric == "rmse" else min)(found, key=lambda regime: found[regime])
    return Row(
        name=name, over_time=_interval(metric, mean_in_blocks(each)),
        over_seeds=mean_over_seeds(by_seed) if over_seeds else None,
        by_fold=tuple(_metric(metric, float(part.mean())) for part in np.split(each, np.cumsum(sizes)[:-1])),
        by_regime=found, worst_regime=worst,
    )  # fmt: skip


def _mcnemar(dense: FloatArray, compressed: FloatArray) -> dict[str, float]:
    only_dense, only_compressed, p_value = mcnemar(dense == 0, compressed == 0)
    return {"only_dense": only_dense, "only_compressed": only_compressed, "p_value": p_value}
