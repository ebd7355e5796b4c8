"""``source = "python"``: a function of the user's own, called only where project.toml allows it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.data.ports import flattened
from toolchain.errors import DataSourceError, ProjectError
from toolchain.project import DataSection

_FORM = re.compile(r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")
_NAMES = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, eq=False)
class Returned:
    """What the function gave: a ``pandas.DataFrame``, or arrays by name."""

    table: Any = None
    arrays: Mapping[str, Any] | None = None

    def digest(self) -> str:
        """SHA-256 of every value and name: equal data are the same data, whatever the function did to get them."""
        found = hashlib.sha256()
        if self.arrays is None:
            from pandas.util import hash_pandas_object

            kinds = [(str(name), str(kind)) for name, kind in self.table.dtypes.items()]
            found.update(repr(kinds).encode())
            found.update(hash_pandas_object(self.table, index=False).to_numpy().tobytes())
            return found.hexdigest()
        for name in sorted(self.arrays):
            array = np.asarray(self.arrays[name])
            found.update(repr((name, array.shape, str(array.dtype))).encode())
            found.update(array.tobytes() if array.dtype.kind != "O" else repr(array.tolist()).encode())
        return found.hexdigest()


def function_problem(section: DataSection, project_folder: Path) -> ProjectError | None:
    """What is wrong with ``function`` and ``allow_custom_code``, without running anything; None when nothing is."""
    if not _FORM.match(section.function):
        return ProjectError(
            f"{section.function!r} names no function", where="[data] function", allowed="module:function",
            hint='load.py beside project.toml with a function samples: function = "load:samples"',
        )  # fmt: skip
    if not section.allow_custom_code:
        return ProjectError(
            f"{section.function} is code, and was not run", where="[data] function",
            hint="data.allow_custom_code = true lets it run, if you trust it",
        )  # fmt: skip
    module = section.function.split(":")[0]
    if not _file_of(module, project_folder).is_file() and not _is_installed(module):
        return ProjectError(
            f"there is no module '{module}'", where="[data] function",
            allowed=f"{_file_of(module, project_folder)}, or an installed package",
        )  # fmt: skip
    return None


def call(section: DataSection, project_folder: Path) -> Returned:
    """Call the function without arguments.

    Raises ProjectError where it is not allowed or not there, DataSourceError when it fails or returns something else
    than a non-empty ``pandas.DataFrame``, a mapping of arrays, or ``x_train, y_train, x_test, y_test``.
    """
    problem = function_problem(section, project_folder)
    if problem:
        raise problem
    module_name, name = section.function.split(":")
    where = f"function {section.function}"
    try:
        with _folder_first(project_folder):
            function = getattr(_load(module_name, project_folder), name, None)
            if not callable(function):
                raise DataSourceError(f"module '{module_name}' has no function '{name}'", where="[data] function")
            found = function()
    except DataSourceError:
        raise
    except Exception as error:  # whatever a user's code raises is the user's to see, not a crash of ours
        raise DataSourceError(f"failed: {type(error).__name__}: {error}", where=where, hint=_place(error)) from error
    return _checked(found, where)


def _checked(found: Any, where: str) -> Returned:
    if hasattr(found, "iloc") and hasattr(found, "columns"):
        table = found.reset_index(drop=True)
        if not len(table):
            raise DataSourceError("returned a table without rows", where=where)
        doubled = [str(name) for name in table.columns[table.columns.duplicated()]]
        if doubled:
            raise DataSourceError(f"returned two columns '{doubled[0]}'", where=where)
        return Returned(table=table)
    if isinstance(found, tuple) and len(found) == len(_NAMES):
        found = dict(zip(_NAMES, found, strict=True))
    if isinstance(found, Mapping) and all(isinstance(name, str) for name in found):
        return Returned(arrays={name: value for name, value in flattened(found).items() if value is not None})
    raise DataSourceError(
        f"returned a {type(found).__name__}", where=where,
        allowed=f"a pandas.DataFrame, {', '.join(_NAMES)} as a tuple, or a mapping of arrays",
    )  # fmt: skip


def _load(module: str, project_folder: Path) -> Any:
    """The module beside project.toml, executed anew, or an installed one."""
    file = _file_of(module, project_folder)
    if not file.is_file():
        return importlib.import_module(module)
    spec = importlib.util.spec_from_file_location(module, file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def _file_of(module: str, project_folder: Path) -> Path:
    return project_folder.joinpath(*module.split(".")).with_suffix(".py")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module.split(".")[0]) is not None
    except (ImportError, ValueError):
        return False


@contextmanager
def _folder_first(folder: Path) -> Iterator[None]:
    """The function may import what stands beside it."""
    place = str(folder.resolve())
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)


def _place(error: Exception) -> str:
    """File and line of the deepest frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno}" if trace else ""
