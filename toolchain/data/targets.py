"""What the targets of ready samples are: values, or class numbers and one-hot rows in the form that a loss takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from toolchain.data import ports
from toolchain.data.prepared import Task
from toolchain.errors import DataSourceError
from toolchain.results import FloatArray, InputPort, OutputPort

_PARTS = ("train", "validation", "test")
#: More different whole numbers than this in a float array are taken for values.
LARGEST_CLASSES = 20


def task_of_arrays(found: Mapping[str, Any]) -> Literal["classification", "regression"]:
    """classification when ``y_train`` holds class numbers 0, 1, 2 … without a gap, or one-hot rows; else regression.

    Floats count as class numbers when there are at most ``LARGEST_CLASSES`` of them. Several outputs must all do so.
    """
    named = [found[f"y_train{ports.MARK}{name}"] for name in ports.port_names(found, "y")
             if f"y_train{ports.MARK}{name}" in found]  # fmt: skip
    tasks = {_task_of_target(np.asarray(y)) for y in named or [found.get("y_train", ())]}
    return "classification" if tasks == {"classification"} else "regression"


def _task_of_target(y: Any) -> Literal["classification", "regression"]:
    if y.ndim == 0 or not len(y) or y.dtype.kind not in "fiub":
        return "regression"
    columns = y.reshape(len(y), -1)
    if columns.shape[1] > 1:
        hot = y.ndim == 2 and np.isin(columns, (0, 1)).all() and (columns.sum(axis=1) == 1).all()
        return "classification" if hot else "regression"
    classes = np.unique(columns)
    numbered = len(classes) >= 2 and np.array_equal(classes, np.arange(len(classes)))
    few = y.dtype.kind != "f" or len(classes) <= LARGEST_CLASSES
    return "classification" if numbered and few else "regression"


def targets_of(
    parts: list[FloatArray], outputs: tuple[InputPort, ...], task: str, where: str
) -> tuple[Task, list[FloatArray], tuple[OutputPort, ...]]:
    """The task of all outputs, their targets side by side in the form of the task, and what each of the named ones is.

    ``parts`` are the training, validation and test part, packed where ``outputs`` are named; ``task`` is regression or
    classification. Raises DataSourceError.
    """
    if not outputs:
        return *_targets(parts, task, where), ()
    given = [ports.unpack(y, {port.name: port.shape for port in outputs}) for y in parts]
    made = [_targets([y[port.name] for y in given], task, f"{where}: output '{port.name}'") for port in outputs]
    named = tuple(
        OutputPort(name=port.name, outputs=found[0].shape[1], task=own)
        for port, (own, found) in zip(outputs, made, strict=True)
    )
    packed = [np.concatenate([found[place] for _, found in made], axis=1) for place in range(len(_PARTS))]
    several: Task = "regression" if task == "regression" else "classification"
    return (several if len(named) > 1 else named[0].task), packed, named


def _targets(targets: list[FloatArray], task: str, where: str) -> tuple[Task, list[FloatArray]]:
    """The training, validation and test targets in the form of the task, and the task."""
    train = targets[0].reshape(len(targets[0]), -1)
    if (train == train[0]).all():
        raise DataSourceError("y_train is the same in every sample", where=where, allowed="values that differ")
    if task == "regression":
        return "regression", [y.reshape(len(y), -1) for y in targets]
    if train.shape[1] > 1:
        for name, y in zip(_PARTS, targets, strict=True):
            if y.ndim != 2 or not (np.isin(y, (0.0, 1.0)).all() and (y.sum(axis=1) == 1).all()):
                raise DataSourceError(f"y_{name} has several columns that are not one-hot", where=where)
        return "multiclass", targets
    return _class_numbers([y.reshape(-1) for y in targets], where)


def _class_numbers(targets: list[FloatArray], where: str) -> tuple[Task, list[FloatArray]]:
    for name, y in zip(_PARTS, targets, strict=True):
        bad = np.flatnonzero((y != np.round(y)) | (y < 0))
        if len(bad):
            row = int(bad[0])
            raise DataSourceError(f"y_{name}[{row}] is {y[row]:g}", where=where, allowed="class numbers 0, 1, 2 …")
        new = np.setdiff1d(y, targets[0])
        if len(new):
            raise DataSourceError(f"y_{name} has class {new[0]:g}, y_train has not", where=where)
    count = int(targets[0].max()) + 1
    absent = np.setdiff1d(np.arange(count), targets[0])
    if len(absent):
        raise DataSourceError(
            f"y_train has class {count - 1} and none of class {absent[0]}", where=where, allowed="0, 1, 2 … without gap"
        )
    if count == 2:
        return "binary", [y[:, None] for y in targets]
    return "multiclass", [np.eye(count)[y.astype(np.int64)] for y in targets]
