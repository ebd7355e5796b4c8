"""Paired comparisons and their intervals."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toolchain.results import FloatArray, Interval

#: Student's t, two-sided 95 %, by degrees of freedom.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
            2.120, 2.110, 2.101, 2.093)  # fmt: skip
MOST_SEEDS = len(_STUDENT) + 1
_DRAWS = 2000


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Samples that only ``first`` gets right, that only ``second`` does, and the exact two-sided p-value.

    Q. McNemar, Psychometrika 12, 1947; the binomial test of the pairs that differ. 1 when none does.
    """
    only_first = int(np.sum(first & ~second))
    only_second = int(np.sum(second & ~first))
    n, k = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return 0, 0, 1.0
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    top = max(logs)
    tail = math.exp(top) * math.fsum(math.exp(item - top) for item in logs)
    return only_first, only_second, min(1.0, 2 * tail)


def mean_over_seeds(values: FloatArray) -> Interval:
    """The mean of ``values (seeds,)`` with Student's 95 % interval: what another seed would do, not another market."""
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(value=mean, low=-math.inf, high=math.inf)
    half = _STUDENT[len(values) - 2] * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Interval(value=mean, low=mean - half, high=mean + half)


def mean_in_blocks(values: FloatArray) -> Interval:
    """The mean of ``values (samples,)`` in order of time with a circular block bootstrap's 95 % interval.

    Blocks of sqrt(n), 2,000 draws, fixed seed (Politis and Romano, 1992): neighbours in time resemble one another.
    """
    n = len(values)
    block = max(1, round(n**0.5))
    sums = np.convolve(np.concatenate([values, values[: block - 1]]), np.ones(block), mode="valid")
    starts = np.random.default_rng(0).integers(0, n, size=(_DRAWS, -(-n // block)))
    low, high = np.quantile(sums[starts].sum(axis=1) / (starts.shape[1] * block), (0.025, 0.975))
    mean = float(values.mean())
    return Interval(value=mean, low=min(float(low), mean), high=max(float(high), mean))


def terciles(volatility: FloatArray, training: FloatArray) -> NDArray[np.int64]:
    """0, 1 or 2 for each of ``volatility (samples,)``: calm, middle, wild; the borders are the training part's."""
    borders = np.quantile(training, (1 / 3, 2 / 3))
    return np.searchsorted(borders, volatility, side="right").astype(np.int64)
