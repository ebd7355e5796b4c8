"""What the data stage hands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.results.record import FloatArray, Record, StageResult


@dataclass(frozen=True, eq=False)
class Part:
    """One part of the samples: ``x (samples, *shape)`` and ``y (samples, outputs)`` float64, in order of time.

    Of several inputs ``x`` is ``(samples, values)``, and of several outputs ``y``: packed as ``data/ports.py`` says.

    ``reference (samples,)`` is what a baseline needs to know of each sample: the last known value of the target for
    regression (in the units of y), the last direction (0 or 1) for direction tasks; empty when there is none.
    ``time (samples,)`` is int64 nanoseconds since 1970, or 0, 1, 2 … where the source has no time.
    """

    x: FloatArray
    y: FloatArray
    reference: FloatArray
    time: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Samples:
    """The three parts of the samples, apart by the embargo."""

    train: Part
    validation: Part
    test: Part


class InputPort(Record):
    """An input of the model by its name, and the shape of a sample there."""

    name: str
    shape: tuple[int, ...]


class OutputPort(Record):
    """An output of the model by its name: how many columns of ``Part.y`` are its own, and what they are."""

    name: str
    outputs: int
    task: Literal["regression", "binary", "multiclass"]


class DataResult(StageResult):
    """Prepared samples: ``samples.npz`` in the stage's folder (``data.samples.load``)."""

    source: str  # for people: "S&P 500 daily, arch package"
    # classification: of several outputs, each binary or multiclass; of several regressions it is regression
    task: Literal["regression", "binary", "multiclass", "classification"]
    metric: str  # name of the task metric: "rmse" or "accuracy"
    unit: str  # of y after unscale, for people: "index points", "" for classes
    input_shape: tuple[int, ...]  # of a sample of x; of several inputs (values,)
    inputs: tuple[InputPort, ...] = ()  # named inputs, in alphabetical order; none where there is one without a name
    outputs: int  # columns of y
    targets: tuple[OutputPort, ...] = ()  # named outputs, in alphabetical order; none where there is one without a name
    feature_names: tuple[str, ...]
    # y in the task's unit = y * y_scale + y_offset; (1, 0) where nothing was scaled
    y_scale: float
    y_offset: float
    counts: dict[str, int]  # samples in train, validation, test
    first_test_time: str
    last_test_time: str
    notes: tuple[str, ...] = ()  # what was found and done when loading: dropped rows, values beyond the scaler, …
    sha256: str  # of the samples, their task and their scale
