"""What pydantic found wrong with a table of the user's, in the user's words.

Unknown keys are named with the nearest known one.
"""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from toolchain.errors import ProjectError, nearest


def explain(schema: type[BaseModel], error: ValidationError, where: str) -> list[ProjectError]:
    """One ProjectError for each problem pydantic found, in the user's words."""
    return [_explain_one(schema, detail, where) for detail in error.errors()]


def _explain_one(schema: type[BaseModel], detail: ErrorDetails, where: str) -> ProjectError:
    path = [str(part) for part in detail["loc"]]
    place = f"{where}: [{'.'.join(path[:-1])}] {path[-1]}" if len(path) > 1 else f"{where}: {path[-1] if path else ''}"
    if detail["type"] == "extra_forbidden":
        known = _fields_at(schema, path[:-1])
        return ProjectError("unknown key", where=place, hint=nearest(path[-1], known))
    if detail["type"] == "missing":
        return ProjectError("missing", where=place)
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return ProjectError(message, where=place.rstrip(": "))
    return ProjectError(f"{detail['input']!r} is not allowed", where=place, allowed=message)


def _fields_at(schema: type[BaseModel], path: list[str]) -> list[str]:
    """The keys of the table at ``path``; none where no table can stand."""
    place: Any = schema
    for part in path:
        place = _below(place, part)
    return [key for table in _tables(place) for key in table.model_fields]


def _below(annotation: Any, part: str) -> Any:
    """The type of what stands under the key, name or number ``part`` of a value of this type; None: nothing can."""
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    if get_origin(annotation) in (list, tuple):
        return get_args(annotation)[0]
    fields = {key: field.annotation for table in _tables(annotation) for key, field in table.model_fields.items()}
    return fields.get(part)


def _tables(annotation: Any) -> list[type[BaseModel]]:
    """The schema that this type is, or that it may be: ``Section | None``."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    if get_origin(annotation) in (dict, list, tuple):
        return []
    return [table for member in get_args(annotation) for table in _tables(member)]
