"""Checks of ``[model]`` that need no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import ToolchainError
from toolchain.model.inspect import check_layers, read_keras_file
from toolchain.project import ModelSection


def check(section: ModelSection, project_folder: Path) -> list[ToolchainError]:
    """Every problem of the model file that its JSON shows."""
    if not section.file:
        return []
    try:
        return check_layers(read_keras_file(project_folder / section.file, section.allow_custom_code))
    except ToolchainError as error:
        return [error]
