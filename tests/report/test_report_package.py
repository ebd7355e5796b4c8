"""Templates and style are part of the product: they are installed, and changing one makes stored results stale."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path

from toolchain import workspace
from toolchain.workspace import SOURCE_SUFFIXES

PACKAGE = Path(workspace.__file__).parent
FILES = [file for file in PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts]


def test_every_file_that_is_not_code_is_installed() -> None:
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    patterns = settings["package-data"]["*"]
    data = [file for file in FILES if file.suffix != ".py"]
    assert {file.suffix for file in data} >= {".j2", ".css"}
    for file in data:
        assert any(fnmatch.fnmatch(file.name, Path(pattern).name) for pattern in patterns), file
        if not (file.parent / "__init__.py").exists():
            assert any(fnmatch.fnmatch(str(Path(file.parent.name, file.name)), pattern) for pattern in patterns), file


def test_every_file_takes_part_in_the_stage_keys() -> None:
    assert [file for file in FILES if file.suffix not in SOURCE_SUFFIXES and file.name != "py.typed"] == []
