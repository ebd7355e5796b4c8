"""Ready-made samples: an .npz file's arrays or a notebook's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from toolchain.data import ports
from toolchain.data.prepared import Prepared
from toolchain.data.targets import targets_of
from toolchain.errors import DataSourceError, nearest
from toolchain.project import DataSection
from toolchain.results import FloatArray, InputPort, Part, Samples

#: Parts in order of time; the validation part may be missing.
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Arrays:
    """``x_* (samples, *shape)``; ``y_* (samples,)`` or ``(samples, outputs)``: values, class numbers or one-hot rows.

    Without a validation part, one is cut from the end of the training part. For a model of several inputs each ``x_*``
    is a mapping of arrays by the input's name, and for one of several outputs each ``y_*`` by the output's.
    """

    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any
    x_validation: Any = None
    y_validation: Any = None


def name_problems(names: list[str], where: str) -> list[DataSourceError]:
    """Every problem that the names of the arrays show: one missing, or one that nobody would read."""
    found = ports.name_problems(names, where)
    names, known = ports.plain_names(names), [field.name for field in fields(Arrays)]
    needed = known[:4] + (known[4:] if set(names) & set(known[4:]) else [])
    missing = [
        DataSourceError(f"has no array '{name}'", where=where, allowed=", ".join(known))
        for name in needed
        if name not in names
    ]
    unknown = [
        DataSourceError(f"array '{name}' is unknown", where=where, hint=nearest(name, known))
        for name in names
        if name not in known
    ]
    return found + missing + unknown


def from_names(found: Mapping[str, Any], where: str) -> Arrays:
    """The arrays of a file by their names. Raises DataSourceError."""
    problems = name_problems(list(found), where)
    if problems:
        raise problems[0]
    arrays: dict[str, Any] = {name: array for name, array in found.items() if not ports.is_port_array(name)}
    for name in filter(ports.is_port_array, found):
        part, _, port = name.partition(ports.MARK)
        arrays.setdefault(part, {})[port] = found[name]
    return Arrays(**arrays)


def array_samples(arrays: Arrays, section: DataSection, title: str) -> Prepared:
    """The samples as they are, x unscaled, copied to float64; y as the loss takes it. Raises DataSourceError.

    For class numbers two classes become one 0/1 column, more become one-hot rows. ``reference`` is empty, ``time`` the
    sample's number. The validation part, when cut, is the last ``section.validation_share`` of the training samples,
    ``section.embargo`` samples before it left out.
    """
    given = ports.flattened({field.name: getattr(arrays, field.name) for field in fields(Arrays)})
    clean = {name: _numbers(name, value, title) for name, value in given.items() if value is not None}
    problems = name_problems(list(clean), title)
    if problems:
        raise problems[0]
    clean, inputs = ports.pack_parts(clean, title)
    clean, outputs = ports.pack_parts(clean, title, "y")
    _check_pair(clean, "train", title)
    notes: tuple[str, ...] = ()
    if "x_validation" not in clean:
        notes = (_cut_validation(clean, section, title),)
    for part in _PARTS[1:]:
        _check_pair(clean, part, title)
    task, targets, named = targets_of([clean[f"y_{part}"] for part in _PARTS], outputs, section.task, title)
    parts = [
        Part(clean[f"x_{part}"], y, np.zeros(0), np.arange(len(y), dtype=np.int64))
        for part, y in zip(_PARTS, targets, strict=True)
    ]
    names = _feature_names(inputs or (InputPort(name="", shape=parts[0].x.shape[1:]),))
    notes += _found(parts, names)
    return Prepared(Samples(*parts), title, task, names, timed=False, notes=notes, inputs=inputs, targets=named)


def _feature_names(inputs: tuple[InputPort, ...]) -> tuple[str, ...]:
    """``x0, x1 …`` of one array, ``price.x0 …`` of the input price."""
    marks = {port.name: f"{port.name}{ports.MARK}" if port.name else "" for port in inputs}
    return tuple(f"{marks[port.name]}x{place}" for port in inputs for place in range(int(np.prod(port.shape))))


def _found(parts: list[Part], names: tuple[str, ...]) -> tuple[str, ...]:
    """What a reader should know and nobody can decide here: constant inputs, test samples that were trained on."""
    notes = []
    flat = parts[0].x.reshape(len(parts[0].x), -1)
    constant = np.flatnonzero((flat == flat[0]).all(axis=0))
    if len(constant):
        first = ", ".join(names[place] for place in constant[:3]) + (", …" if len(constant) > 3 else "")
        notes.append(f"{len(constant)} of {flat.shape[1]} inputs are constant in the training part: {first}")
    seen = {row.tobytes() for row in flat + 0.0}  # + 0.0: -0.0 and 0.0 are equal
    for name, part in zip(_PARTS[1:], parts[1:], strict=True):
        again = sum(row.tobytes() in seen for row in part.x.reshape(len(part.x), -1) + 0.0)
        if again:
            notes.append(f"{again} of {len(part.x)} {name} samples have the inputs of a training sample")
    return tuple(notes)


def _numbers(name: str, value: Any, where: str) -> FloatArray:
    found = np.asarray(value)
    if found.dtype.kind not in "fiub":
        raise DataSourceError(f"array '{name}' has type {found.dtype}", where=where, allowed="real numbers")
    clean = found.astype(np.float64)
    bad = np.argwhere(~np.isfinite(clean))
    if len(bad):
        raise DataSourceError(f"array '{name}' holds NaN or infinity, first at {bad[0].tolist()}", where=where)
    if clean.ndim < (2 if name.startswith("x_") else 1) or 0 in clean.shape[1:]:
        allowed = "(samples, features) or more dimensions" if name.startswith("x_") else "(samples,) or more dimensions"
        raise DataSourceError(f"array '{name}' has shape {clean.shape}", where=where, allowed=allowed)
    return clean


def _cut_validation(clean: dict[str, FloatArray], section: DataSection, where: str) -> str:
    count = len(clean["x_train"])
    first = count - int(count * section.validation_share)
    last = first - section.embargo
    if last < 1 or first == count:
        raise DataSourceError(
            f"{count} training samples are too few to cut a validation part from", where=where,
            hint="give x_validation and y_validation, or more samples, or a smaller data.embargo",
        )  # fmt: skip
    for name in ("x", "y"):
        whole = clean[f"{name}_train"]
        clean[f"{name}_train"], clean[f"{name}_validation"] = whole[:last], whole[first:]
    return (
        f"the last {count - first} of {count} training samples are the validation part; "
        f"{section.embargo} before them are left out"
    )


def _check_pair(clean: dict[str, FloatArray], part: str, where: str) -> None:
    x, y = clean[f"x_{part}"], clean[f"y_{part}"]
    if len(x) != len(y) or not len(x):
        raise DataSourceError(
            f"x_{part} has {len(x)} samples, y_{part} {len(y)}", where=where, allowed="equal, above 0"
        )
    for name, found in (("x", x), ("y", y)):
        expected = clean[f"{name}_train"].shape[1:]
        if found.shape[1:] != expected:
            raise DataSourceError(
                f"{name}_{part} has samples of shape {found.shape[1:]}, {name}_train of {expected}", where=where
            )
