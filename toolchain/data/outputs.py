"""The outputs of a model of several: which columns of ``Part.y`` and of predictions belong to each, and its task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolchain.data.ports import names_problem
from toolchain.errors import UnsupportedModelError
from toolchain.results import DataResult


def output_columns(data: DataResult) -> dict[str, slice]:
    """The columns of each named output, in the order of their names, which is that of the columns."""
    found, first = {}, 0
    for port in data.targets:
        found[port.name] = slice(first, first + port.outputs)
        first += port.outputs
    assert not data.targets or first == data.outputs
    return found


def each_output(data: DataResult) -> Iterator[tuple[str, slice, DataResult]]:
    """Name, columns and description of each output, described as the data of a model that has it alone."""
    columns = output_columns(data)
    for port in data.targets:
        metric = "rmse" if port.task == "regression" else "accuracy"
        alone = {"task": port.task, "metric": metric, "outputs": port.outputs, "targets": ()}
        yield port.name, columns[port.name], data.model_copy(update=alone)


def check_outputs(given: Mapping[str, tuple[int | None, ...]], data: DataResult, where: str) -> None:
    """Raise UnsupportedModelError when the model's outputs (name -> shape of a sample) are not the data's targets."""
    problem = names_problem(tuple(given), tuple(port.name for port in data.targets), where, "y")
    if problem:
        raise problem
    sizes = {port.name: port.outputs for port in data.targets}
    for name, shape in given.items():
        wanted = sizes.get(name, data.outputs)
        if shape != (wanted,):
            place = f"{where}: output '{name}'" if len(given) > 1 else where
            raise UnsupportedModelError(
                f"gives outputs of shape {shape}, the data's target has {wanted}", where=place
            )  # fmt: skip
