"""Task metrics with 95 % intervals, and the baselines that stand beside them.

Accuracy has Wilson's score interval (E. B. Wilson, JASA 22, 1927), which takes samples for independent. The error of a
forecast is not: the root mean squared error has a circular block bootstrap (Politis and Romano, 1992) with blocks of
sqrt(n) samples, 2,000 draws and a fixed seed, so that equal predictions have equal intervals.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.data.outputs import each_output
from toolchain.errors import UnsupportedModelError
from toolchain.results import DataResult, FloatArray, Interval, Part, Samples

_Z95 = 1.959963984540054
_DRAWS = 2000
_LOWER_IS_BETTER = {"rmse": True, "accuracy": False}


def evaluate(data: DataResult, part: Part, predictions: NDArray[Any]) -> Interval:
    """The task metric of ``predictions (samples, outputs)``, raw model outputs, on ``part``.

    regression: root mean squared error in the target's unit (``data.unit``), over all outputs; binary: share of logits
    whose sign (> 0) is the label; multiclass: share of largest outputs (the first of equals) that are the label;
    classification (of several outputs): the mean of the shares of all. Its interval takes the samples, not the
    decisions, for independent: outputs of one sample may err together.
    Raises UnsupportedModelError for NaN or infinity, ValueError for another shape than ``part.y``'s.
    """
    if predictions.shape != part.y.shape:
        raise ValueError(f"predictions have shape {predictions.shape}, targets {part.y.shape}")
    bad = np.argwhere(~np.isfinite(predictions))
    if len(bad):
        raise UnsupportedModelError(
            f"the model's output is not a number in {len(bad)} places, first at {bad[0].tolist()}",
            where="predictions", hint="training diverged: a smaller train.learning_rate",
        )  # fmt: skip
    found = predictions.astype(np.float64)
    if data.task == "regression":
        return _rmse((found - part.y) * data.y_scale)
    return _accuracy((decisions(data, found) == decisions(data, part.y, 0.5)).mean(axis=1))


def evaluate_outputs(data: DataResult, part: Part, predictions: NDArray[Any]) -> dict[str, Interval]:
    """The same of each named output alone, by its name; raises as ``evaluate``."""
    return {
        name: evaluate(alone, replace(part, y=part.y[:, columns]), predictions[:, columns])
        for name, columns, alone in each_output(data)
    }


def decisions(data: DataResult, values: FloatArray, threshold: float = 0.0) -> NDArray[np.int64]:
    """The class that every output says, ``(samples, outputs)``: whether a logit is above ``threshold``, or the place of
    the largest. ``values (samples, columns)`` are raw outputs, or targets with the threshold 0.5."""
    if data.task == "classification":
        own = [decisions(alone, values[:, columns], threshold) for _, columns, alone in each_output(data)]
        return np.concatenate(own, axis=1)
    if data.task == "binary":
        return np.asarray(values > threshold, dtype=np.int64)
    assert data.task == "multiclass", data.task
    return np.asarray(values.argmax(axis=1), dtype=np.int64)[:, None]


def baselines(data: DataResult, samples: Samples) -> dict[str, Interval]:
    """What predicting without a model gives on the test part; what it needs to learn comes from the training part."""
    test, train = samples.test, samples.train
    if data.task == "classification":
        return {"majority class": evaluate(data, test, np.broadcast_to(_majority(data, train), test.y.shape))}

    def score(predictions: FloatArray) -> Interval:
        return evaluate(data, test, np.broadcast_to(predictions, test.y.shape))

    if data.task == "regression":
        found = {"mean of the training part": score(train.y.mean(axis=0))}
        if len(test.reference):
            found["persistence"] = score(test.reference[:, None])
        return found
    if data.task == "multiclass":
        return {"majority class": score(np.eye(data.outputs)[train.y.sum(axis=0).argmax()])}
    found = {"majority class": score(np.array([1.0 if train.y.mean() > 0.5 else -1.0]))}
    if len(test.reference):
        last = np.where(test.reference[:, None] > 0.5, 1.0, -1.0)
        found["last direction"] = score(last)
        found["reversal of the last direction"] = score(-last)
    return found


def lower_is_better(metric: str) -> bool:
    """The direction of a task metric. Raises KeyError for an unknown one."""
    return _LOWER_IS_BETTER[metric]


def is_better(metric: str, value: float, than: float) -> bool:
    """Whether ``value`` of ``metric`` is strictly better than ``than``."""
    return value < than if lower_is_better(metric) else value > than


def relative_loss(metric: str, before: float, after: float) -> float:
    """How much worse ``after`` is than ``before``, as a fraction of ``before``; negative when it is better.

    From ``before`` = 0 every change is infinite.
    """
    worse = after - before if lower_is_better(metric) else before - after
    if before:
        return worse / abs(before)
    return float(np.copysign(np.inf, worse)) if worse else 0.0


def baselines_of_outputs(data: DataResult, samples: Samples) -> dict[str, dict[str, Interval]]:
    """The same for each named output alone, by its name."""
    found = {}
    for name, columns, alone in each_output(data):
        parts = [replace(part, y=part.y[:, columns]) for part in (samples.train, samples.validation, samples.test)]
        found[name] = baselines(alone, Samples(*parts))
    return found


def _majority(data: DataResult, train: Part) -> FloatArray:
    """Outputs of one row that say the most frequent class of the training part at every output."""
    best: list[FloatArray] = []
    for _, columns, alone in each_output(data):
        y = train.y[:, columns]
        if alone.task == "binary":
            best.append(np.array([1.0 if y.mean() > 0.5 else -1.0]))
        else:
            best.append(np.eye(alone.outputs)[y.sum(axis=0).argmax()])
    return np.concatenate(best)


def _accuracy(right: NDArray[Any]) -> Interval:
    n, p = right.size, float(right.mean())
    middle = (p + _Z95**2 / (2 * n)) / (1 + _Z95**2 / n)
    half = _Z95 / (1 + _Z95**2 / n) * float(np.sqrt(p * (1 - p) / n + _Z95**2 / (4 * n**2)))
    return Interval(value=p, low=min(max(middle - half, 0.0), p), high=max(min(middle + half, 1.0), p))


def _rmse(error: FloatArray) -> Interval:
    squares = (error**2).mean(axis=1)
    n = len(squares)
    value = float(np.sqrt(squares.mean()))
    block = max(1, round(n**0.5))
    sums = np.convolve(np.concatenate([squares, squares[: block - 1]]), np.ones(block), mode="valid")
    starts = np.random.default_rng(0).integers(0, n, size=(_DRAWS, -(-n // block)))
    means = sums[starts].sum(axis=1) / (starts.shape[1] * block)
    low, high = np.sqrt(np.quantile(np.maximum(means, 0.0), (0.025, 0.975)))
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value))
