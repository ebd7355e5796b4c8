"""The arrays behind the page's figures, and how they are read from the stages' folders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.data.outputs import each_output
from toolchain.results import DataResult, FloatArray, Part

#: More points than this do not fit the width of a page: the last ones are shown, and the caption says so.
LONGEST_SERIES = 1500
LONGEST_CLASS_SERIES = 240


@dataclass(frozen=True, eq=False)
class LayerHistogram:
    """One kernel's weights before and after pruning, flat."""

    name: str
    before: FloatArray
    after: FloatArray


@dataclass(frozen=True, eq=False)
class Predictions:
    """The end of the test part, ``(samples,)`` each, in the unit of ``unit``; an array is empty where there is none.

    ``kind`` says what the values are: ``value`` (of a regression), ``probability`` (of class 1, from a logit; ``truth``
    is 0 or 1) or ``output`` (the model's output for the true class; no ``truth``).
    """

    kind: Literal["value", "probability", "output"]
    unit: str
    time: NDArray[np.int64]  # ns since 1970, or a count
    truth: FloatArray
    float_model: FloatArray
    hardware: FloatArray
    samples: int  # of the whole test part
    values: int = 1  # that a sample of a regression has; the first is drawn

    def last(self, count: int) -> Predictions:
        """The same, of the last ``count`` samples alone."""
        series = {name: getattr(self, name)[-count:] for name in ("time", "truth", "float_model", "hardware")}
        return replace(self, **series)


@dataclass(frozen=True, eq=False)
class Figures:
    """What the page draws beside the numbers of the report."""

    weights: tuple[LayerHistogram, ...] = ()
    predictions: Predictions | None = None
    by_output: Mapping[str, Predictions] = field(default_factory=dict)  # instead, of several outputs


def read_weights(before: Path, after: Path) -> tuple[LayerHistogram, ...]:
    """The kernels of two ``weights.npz`` that stand in both, in the order of the second."""
    with np.load(before, allow_pickle=False) as old, np.load(after, allow_pickle=False) as new:
        names = [name for name in new.files if name in old.files]
        return tuple(
            LayerHistogram(name, old[name].astype(np.float64).ravel(), new[name].astype(np.float64).ravel())
            for name in names
        )


def predictions_over_time(data: DataResult, test: Part, outputs: Mapping[str, FloatArray]) -> Predictions | None:
    """The end of the test part as a series; ``outputs`` has ``float`` and, when it was simulated, ``hls``.

    Outputs are ``(samples, outputs)`` in the model's own scale. None when there is no float model.
    """
    if "float" not in outputs:
        return None
    last = LONGEST_SERIES if data.task == "regression" else LONGEST_CLASS_SERIES
    place = slice(max(0, len(test.y) - last), None)
    nothing = np.zeros(0)
    series = {name: _series(data, test.y[place], values[place]) for name, values in outputs.items()}
    kinds: dict[str, Literal["value", "probability", "output"]]
    kinds = {"regression": "value", "binary": "probability", "multiclass": "output"}
    return Predictions(
        kind=kinds[data.task],
        unit=data.unit if data.task == "regression" else "",
        time=test.time[place],
        truth=nothing if data.task == "multiclass" else _truth(data, test.y[place]),
        float_model=series["float"],
        hardware=series.get("hls", nothing),
        samples=len(test.y),
        values=data.outputs if data.task == "regression" else 1,
    )


def predictions_of_outputs(
    data: DataResult, test: Part, outputs: Mapping[str, FloatArray]
) -> dict[str, Predictions]:  # fmt: skip
    """The same for each of several outputs, by its name."""
    found = {}
    for name, columns, alone in each_output(data):
        own = {stage: values[:, columns] for stage, values in outputs.items()}
        drawn = predictions_over_time(alone, replace(test, y=test.y[:, columns]), own)
        if drawn is not None:
            found[name] = drawn
    return found


def _truth(data: DataResult, y: FloatArray) -> FloatArray:
    return y[:, 0] * data.y_scale + data.y_offset if data.task == "regression" else y[:, 0]


def _series(data: DataResult, y: FloatArray, outputs: FloatArray) -> FloatArray:
    outputs = np.asarray(outputs, dtype=np.float64)
    if data.task == "regression":
        return np.asarray(outputs[:, 0] * data.y_scale + data.y_offset)
    if data.task == "binary":
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(outputs[:, 0], -60, 60))))
    return np.asarray(outputs[np.arange(len(outputs)), y.argmax(axis=1)])
