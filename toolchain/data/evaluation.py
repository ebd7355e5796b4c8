"""Task metrics with 95 % intervals, and the baselines that stand beside them."""

from __future__ import annotations

import numpy as np

from toolchain.results import DataResult, FloatArray, Interval, Part, Samples

_Z95 = 1.959963984540054


def evaluate(data: DataResult, part: Part, predictions: FloatArray) -> Interval:
    """The task metric of ``predictions (samples, outputs)``, model outputs, on ``part``.

    Regression: root mean squared error in the target's unit; classification: accuracy of the sign of a logit or of the
    largest output.
    """
    if data.task == "regression":
        return _rmse((predictions - part.y) * data.y_scale)
    if data.task == "binary":
        return _accuracy((predictions > 0) == (part.y > 0.5))
    return _accuracy(predictions.argmax(axis=1) == part.y.argmax(axis=1))


def baselines(data: DataResult, samples: Samples) -> dict[str, Interval]:
    """What predicting without a model gives on the test part; what is learned is learned from the training part."""
    test, train = samples.test, samples.train
    if data.task == "regression":
        found = {"mean of the training part": evaluate(data, test, np.broadcast_to(train.y.mean(axis=0), test.y.shape))}
        if len(test.reference):
            found["persistence"] = evaluate(data, test, test.reference[:, None])
        return found
    if data.task == "multiclass":
        majority = np.eye(data.outputs)[train.y.mean(axis=0).argmax()]
        return {"majority class": evaluate(data, test, np.broadcast_to(majority, test.y.shape))}
    sign = 1.0 if train.y.mean() > 0.5 else -1.0
    found = {"majority class": evaluate(data, test, np.full(test.y.shape, sign))}
    if len(test.reference):
        last = np.where(test.reference[:, None] > 0.5, 1.0, -1.0)
        found["last direction"] = evaluate(data, test, last)
        found["reversal of the last direction"] = evaluate(data, test, -last)
    return found


def lower_is_better(metric: str) -> bool:
    return metric == "rmse"


def relative_loss(metric: str, before: float, after: float) -> float:
    """How much worse ``after`` is than ``before``, as a fraction of ``before``; negative when it is better."""
    if not before:
        return 0.0 if before == after else float("inf")
    change = (after - before) / abs(before)
    return change if lower_is_better(metric) else -change


def _accuracy(right: np.ndarray) -> Interval:
    """Wilson's score interval."""
    n, p = right.size, float(right.mean())
    middle = (p + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
    half = _Z95 / (1 + _Z95**2 / n) * np.sqrt(p * (1 - p) / n + _Z95**2 / (4 * n**2))
    return Interval(value=p, low=float(middle - half), high=float(middle + half))


def _rmse(error: FloatArray) -> Interval:
    """Moving-block bootstrap (blocks of n**(1/3) samples, 400 draws, fixed seed): errors in time are not independent."""
    squares = (error**2).mean(axis=1)
    n = len(squares)
    value = float(np.sqrt(squares.mean()))
    block = max(1, round(n ** (1 / 3)))
    sums = np.convolve(squares, np.ones(block), mode="valid")
    starts = np.random.default_rng(0).integers(0, len(sums), size=(400, -(-n // block)))
    means = sums[starts].sum(axis=1) / (starts.shape[1] * block)
    low, high = np.sqrt(np.quantile(means, (0.025, 0.975)))
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))
