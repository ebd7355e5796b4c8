"""``toolchain init``: a project.toml with every key, its meaning and its default as comments."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from toolchain.errors import PreflightError, ProjectError
from toolchain.project import Project, explain, parse_project

_HEAD = """\
# A project of toolchain. Keys that are commented out show their defaults.
#   toolchain check {name}                       finds mistakes in seconds
#   toolchain build {name} --target alveo_u250   does everything; 'toolchain targets' lists the devices
"""


@dataclass(frozen=True)
class Columns:
    """Columns of a table: the ``targets``, or those of each of several ``outputs`` of the model; and those that each of
    several inputs reads."""

    targets: tuple[str, ...] = ()
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def create(name: str, folder: Path, model: str, data: str, columns: Columns = Columns()) -> Path:
    """Write ``folder/name/project.toml`` and return its path.

    Raises ProjectError for a name that is not allowed, a file that exists, a folder that cannot be written;
    DataSourceError for a table that cannot be read or has no such column; UnsupportedModelError for a model of several
    inputs or outputs that the data do not name.
    """
    table = _starting_table(name, model, data, columns)
    try:
        project = Project.model_validate(table)
    except ValidationError as error:
        raise PreflightError(explain(Project, error, f"toolchain init {name}")) from None
    from toolchain.preflight import input_problems, output_problems

    for problem in input_problems(project, folder) + output_problems(project, folder):
        raise problem
    file = folder / name / "project.toml"
    if file.exists():
        raise ProjectError("is there already; it was left as it is", where=str(file))
    text = render(table)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ProjectError(f"cannot be written: {error.strerror}", where=str(file)) from None
    return file


def _starting_table(name: str, model: str, data: str, columns: Columns) -> dict[str, Any]:
    table: dict[str, Any] = {"name": name, "data": {}, "model": {}}
    if model:
        table["model"]["file"] = str(Path(model).resolve())
        table["train"] = {"epochs": 0}
    else:
        table["model"]["architecture"] = "btc_mlp" if data else "spx_cnn"
    if data:
        table["data"] = _data_table(Path(data).resolve(), columns)
    elif columns != Columns():
        raise ProjectError("names columns of a table", where=_option(columns), hint="--data FILE.csv or FILE.parquet")
    return table


def _option(columns: Columns) -> str:
    return "--predict" if columns.targets else "--output" if columns.outputs else "--input"


def _data_table(path: Path, columns: Columns) -> dict[str, Any]:
    """``[data]`` for a file or folder; the task of a table follows from its columns."""
    from toolchain.data.memory import source_of, task_of_file

    source = source_of(path)
    table: dict[str, Any] = {"source": source, "path": str(path)}
    if source in ("npz", "npy"):
        if columns != Columns():
            raise ProjectError("names columns of a table", where=_option(columns), allowed=".csv, .csv.gz, .parquet")
        return table | {"task": task_of_file(path)}
    if columns.inputs and not columns.targets and not columns.outputs:
        raise ProjectError("needs the columns that are predicted, too", where="--input", hint="--predict COLUMN")
    if columns.targets and columns.outputs:
        raise ProjectError("says what is predicted, and so does --output", where="--predict", allowed="one of the two")
    if columns.targets or columns.outputs:
        from toolchain.data.column_samples import task_of

        table |= {"task": task_of(path, source, columns.outputs.values() or [columns.targets])}
        table |= {"outputs": dict(columns.outputs)} if columns.outputs else {"target_columns": columns.targets}
        return table | ({"inputs": dict(columns.inputs)} if columns.inputs else {})
    if path.is_file():
        from toolchain.data.columns import CANDLE_COLUMNS
        from toolchain.data.sources import header_of

        names = header_of(path, source)
        if not set(CANDLE_COLUMNS) <= set(names):
            raise ProjectError(
                "is no table of candles: which columns are predicted?", where=str(path),
                allowed=f"--predict with one or more of: {', '.join(names)}", hint="the other numbers are the inputs",
            )  # fmt: skip
    return table | {"task": "direction"}


def render(table: dict[str, Any]) -> str:
    """The text of a project.toml with ``table``'s keys set and all others as comments."""
    lines = [_HEAD.format(name=table["name"]), f'name = "{table["name"]}"']
    lines += _keys(Project, table, skip=("name",))
    for section, entry in Project.model_fields.items():
        schema = entry.annotation
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            lines += ["", f"[{section}]", *_keys(schema, table.get(section, {}))]
    for kind in ("inputs", "outputs"):
        ports = table.get("data", {}).get(kind, {})
        if ports:
            lines += ["", f"[data.{kind}]", *(f"{name} = {_toml(columns)}" for name, columns in ports.items())]
    sparsities = table.get("prune", {}).get("sparsities", {})
    if sparsities:
        lines += ["", "[prune.sparsities]", *(f"{name} = {_toml(value)}" for name, value in sparsities.items())]
    for section in ("quantize", "hls"):
        for name, options in table.get(section, {}).get("layers", {}).items():
            given = [f"{key} = {_toml(value)}" for key, value in options.items()]
            lines += ["", f"[{section}.layers.{name}]", *given]
    text = "\n".join(lines) + "\n"
    import tomllib

    parse_project(tomllib.loads(text), "the template")
    return text


def _keys(schema: type[BaseModel], given: dict[str, Any], skip: tuple[str, ...] = ()) -> list[str]:
    lines = []
    for key, entry in schema.model_fields.items():
        if key in skip or _is_table(entry.annotation):
            continue
        mark, value = ("", given[key]) if key in given else ("# ", entry.get_default(call_default_factory=True))
        remark = _remark(entry)
        shown = f"{key} = {_toml(value)}" if value is not None else f"{key} ="
        lines.append(f"{mark}{shown}" + (f"  # {remark}" if remark else ""))
    if schema.__name__ == "DataSection":
        lines.append("# [data.inputs] with NAME = [columns] is one input of a model that has several; of a table")
        lines.append("# [data.outputs] with NAME = [columns] is what one of several outputs predicts; of a table")
    if schema.__name__ == "PruneSection":
        lines.append("# [prune.sparsities] with NAME = 0.9 is the final_sparsity of one layer")
    if schema.__name__ == "QuantizeSection":
        lines.append("# [quantize.layers.NAME] with weight_bits and activation_bits overrides them for one layer")
    if schema.__name__ == "HlsSection":
        lines.append("# [hls.layers.NAME] with strategy and reuse_factor overrides them for one layer")
    return lines


def _is_table(annotation: Any) -> bool:
    return get_origin(annotation) is dict or (isinstance(annotation, type) and issubclass(annotation, BaseModel))


def _remark(entry: FieldInfo) -> str:
    choices = _choices(entry.annotation)
    parts = [entry.description or "", " | ".join(choices)]
    return "; ".join(part for part in parts if part)


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation) if value != ""]
    if get_origin(annotation) in (Union, types.UnionType, tuple):
        return [choice for part in get_args(annotation) for choice in _choices(part)]
    return []


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path | Enum):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)
