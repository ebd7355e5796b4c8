"""Which columns a table must have, by name alone: shared by the pre-flight check and the stage, without pandas."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.errors import DataSourceError, ProjectError, nearest
from toolchain.project import DataSection

CANDLE_COLUMNS = ("open", "high", "low", "close", "volume")
#: Looked for, in any case of letters, when ``data.time_column`` is empty.
TIME_COLUMNS = ("start_ms", "timestamp", "datetime", "date", "time")


def check_header(names: Sequence[str], section: DataSection, where: str) -> list[DataSourceError]:
    """Every problem that the column names of a table show."""
    if section.predicted_columns:
        problems = [missing_column(name, names, where) for name in section.target_columns if name not in names]
        for kind, ports in (("input", section.inputs), ("output", section.outputs)):
            for port, columns in ports.items():
                place = f"{where}: {kind} '{port}'"
                problems += [missing_column(name, names, place) for name in columns if name not in names]
        return problems
    needed = CANDLE_COLUMNS if section.task == "direction" else (section.price_column,)
    problems = [missing_column(name, names, where) for name in needed if name not in names]
    try:
        find_time_column(names, section.time_column, where)
    except DataSourceError as error:
        problems.append(error)
    return problems


def inputs_problem(section: DataSection) -> ProjectError | None:
    """What is wrong with ``[data.inputs]`` and ``[data.outputs]`` by themselves; None when nothing is."""
    if section.inputs and not section.predicted_columns:
        return ProjectError(
            "chooses columns of a table that has target_columns or [data.outputs]", where="[data.inputs]",
            hint="of ready samples the arrays' names say it: x_train.NAME",
        )  # fmt: skip
    for table, ports in (("inputs", section.inputs), ("outputs", section.outputs)):
        for name, columns in ports.items():
            where = f"[data.{table}] {name}"
            if not columns:
                return ProjectError("names no column", where=where)
            for column in columns:
                if columns.count(column) > 1:
                    return ProjectError(f"names column '{column}' twice", where=where)
                if table == "inputs" and column in section.predicted_columns:
                    return ProjectError(f"column '{column}' is a target", where=where)
    return None


def missing_column(name: str, names: Sequence[str], where: str) -> DataSourceError:
    return DataSourceError(f"has no column '{name}'", where=where, hint=nearest(name, names))


def find_time_column(names: Sequence[str], chosen: str, where: str) -> str:
    """``chosen``, or the one column with a known name. Raises DataSourceError when there is none or more than one."""
    if chosen:
        if chosen not in names:
            raise missing_column(chosen, names, where)
        return chosen
    found = [name for name in names if name.lower() in TIME_COLUMNS]
    if len(found) == 1:
        return found[0]
    problem = f"has several time columns: {', '.join(found)}" if found else "has no time column"
    raise DataSourceError(
        problem, where=where, allowed="one of " + ", ".join(TIME_COLUMNS), hint="choose: --set data.time_column=NAME"
    )
