"""Samples for a model of several inputs or outputs: arrays by name, packed side by side into one ``(samples, values)``.

Between the stages ``Part.x`` stays one array. Where a model has several inputs, its columns are those of the inputs in
the alphabetical order of their names, each flattened; ``DataResult.inputs`` says which. One input alone is not packed.
``Part.y`` and every array of predictions are the same for outputs; ``DataResult.targets`` says which (``outputs.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np

from toolchain.errors import DataSourceError, UnsupportedModelError
from toolchain.network.nodes import FixedPointNetwork
from toolchain.results import DataResult, FloatArray, InputPort

#: Between the name of a part and that of an input or output: ``x_train.price``.
MARK = "."
Letter = Literal["x", "y"]
_KINDS: dict[Letter, str] = {"x": "input", "y": "output"}
_PARTS = ("train", "validation", "test")


def is_port_array(name: str) -> bool:
    """Whether ``name`` is one input's or output's array of a part: ``x_train.price``."""
    part, mark, port = name.partition(MARK)
    return part in (f"{letter}_{each}" for letter in _KINDS for each in _PARTS) and bool(mark and port)


def port_names(names: Iterable[str], letter: Letter = "x") -> tuple[str, ...]:
    """The inputs (outputs: ``"y"``) that the arrays' names speak of, in alphabetical order; none where ``x_train`` is
    one array."""
    mine = (name for name in names if is_port_array(name) and name.startswith(f"{letter}_"))
    return tuple(sorted({name.partition(MARK)[2] for name in mine}))


def plain_names(names: list[str]) -> list[str]:
    """The names with ``x_train`` in the place of all ``x_train.NAME``."""
    return list(dict.fromkeys(name.partition(MARK)[0] if is_port_array(name) else name for name in names))


def name_problems(names: list[str], where: str) -> list[DataSourceError]:
    """A part that lacks an input or output which another part has, or that has both one array and arrays by name."""
    problems = []
    for letter, kind in _KINDS.items():
        ports, found = port_names(names, letter), set(names)
        parts = [f"{letter}_{part}" for part in _PARTS]
        problems += [
            DataSourceError(f"has no array '{part}{MARK}{port}': {kind} '{port}' is missing", where=where)
            for part in parts if any(name.startswith(part + MARK) for name in names if is_port_array(name))
            for port in ports if f"{part}{MARK}{port}" not in found
        ]  # fmt: skip
        problems += [
            DataSourceError(f"array '{part}' is of no {kind}", where=where, allowed=f"{part}{MARK}{ports[0]} …")
            for part in parts if ports and part in found
        ]  # fmt: skip
    return problems


def flattened(found: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings of inputs in the place of arrays as arrays of their own: ``x_train["price"]`` as ``x_train.price``."""
    flat: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}{MARK}{port}": array for port, array in value.items()}
        else:
            flat[name] = value
    return flat


def pack_parts(
    clean: Mapping[str, FloatArray], where: str, letter: Letter = "x"
) -> tuple[dict[str, FloatArray], tuple[InputPort, ...]]:
    """The arrays with every ``x_train.NAME`` packed into ``x_train``, and what the inputs (``"y"``: outputs) are.

    ``clean`` has passed ``name_problems``. Raises DataSourceError for inputs of unequal length or shape.
    """
    names, kind = port_names(clean, letter), _KINDS[letter]
    if not names:
        return dict(clean), ()
    shapes = {name: clean[f"{letter}_train{MARK}{name}"].shape[1:] for name in names}
    mine = {name for name in clean if is_port_array(name) and name.startswith(f"{letter}_")}
    packed = {name: array for name, array in clean.items() if name not in mine}
    for part in (f"{letter}_{part}" for part in _PARTS):
        arrays = {name: clean[f"{part}{MARK}{name}"] for name in names if f"{part}{MARK}{name}" in clean}
        if not arrays:
            continue
        for name, array in arrays.items():
            place = f"{where}: {kind} '{name}'"
            if array.shape[1:] != shapes[name]:
                raise DataSourceError(
                    f"{part}{MARK}{name} has samples of shape {array.shape[1:]}, {letter}_train{MARK}{name} of "
                    f"{shapes[name]}", where=place,
                )  # fmt: skip
            if len(array) != len(arrays[names[0]]):
                raise DataSourceError(
                    f"{part}{MARK}{name} has {len(array)} samples, {part}{MARK}{names[0]} {len(arrays[names[0]])}",
                    where=place, allowed=f"equally many of every {kind}",
                )  # fmt: skip
        packed[part] = pack(arrays)
    return packed, tuple(InputPort(name=name, shape=shape) for name, shape in shapes.items())


def pack(arrays: Mapping[str, FloatArray]) -> FloatArray:
    """One array of several inputs' ``(samples, *shape)``; that of one input as it is."""
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    return np.concatenate([arrays[name].reshape(len(arrays[name]), -1) for name in sorted(arrays)], axis=1)


def unpack(
    x: Any, shapes: Mapping[str, tuple[int, ...]], reshape: Callable[[Any, tuple[int, ...]], Any] = np.reshape
) -> dict[str, Any]:
    """What each input of a model reads of ``x``, in the order of ``shapes`` (input name -> shape of a sample).

    ``x`` is what ``pack`` made: a numpy array, or with its own ``reshape`` another kind of array.
    """
    if len(shapes) == 1:
        return dict.fromkeys(shapes, x)
    found, first = {}, 0
    for name in sorted(shapes):
        last = first + int(np.prod(shapes[name], dtype=np.int64))
        found[name] = reshape(x[:, first:last], (-1, *shapes[name]))
        first = last
    assert first == x.shape[1], f"{x.shape[1]} packed values, the inputs take {first}"
    return {name: found[name] for name in shapes}


def by_port(x: FloatArray, network: FixedPointNetwork, ports: Mapping[str, str]) -> dict[str, FloatArray]:
    """``(samples, *shape)`` for each input node of ``network``; ``ports`` is ``QuantizeResult.input_ports``."""
    assert ports or len(network.inputs) == 1, "which input is which port?"
    names = dict(ports) or {"": network.inputs[0].name}
    found = unpack(x, {name: network[port].shape for name, port in names.items()})
    return {names[name]: values for name, values in found.items()}


def check_inputs(taken: Mapping[str, tuple[int | None, ...]], data: DataResult, where: str) -> None:
    """Raise UnsupportedModelError when the model's inputs (name -> shape of a sample) are not those of the data."""
    problem = names_problem(tuple(taken), tuple(port.name for port in data.inputs), where)
    if problem:
        raise problem
    for name, shape in taken.items():
        given = {port.name: port.shape for port in data.inputs}.get(name, data.input_shape)
        if shape != given:
            place = f"{where}: input '{name}'" if len(taken) > 1 else where
            raise UnsupportedModelError(f"takes samples of shape {shape}, the data give {given}", where=place)


def names_problem(
    taken: tuple[str, ...], given: tuple[str, ...], where: str, letter: Letter = "x"
) -> UnsupportedModelError | None:
    """What is wrong when a model of the inputs (``"y"``: outputs) ``taken`` gets data of ``given`` (none: one without
    name)."""
    kind = _KINDS[letter]
    if len(taken) == 1 and not given:
        return None
    names, known = ", ".join(sorted(taken)), ", ".join(given)
    if not given:
        return UnsupportedModelError(
            f"the model has {len(taken)} {kind}s ({names}), the data have one", where=where,
            allowed=f"arrays {letter}_train{MARK}{sorted(taken)[0]}, {letter}_train{MARK}{sorted(taken)[1]} …; of a "
            f"table: [data.{kind}s] with {sorted(taken)[0]} = [columns]",
        )  # fmt: skip
    for name in sorted({*taken, *given}):
        if name not in given:
            return UnsupportedModelError(f"the data have nothing for {kind} '{name}'; they have {known}", where=where)
        if name not in taken:
            return UnsupportedModelError(f"the model has no {kind} '{name}'; it has {names}", where=where)
    return None
