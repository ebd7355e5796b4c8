"""Checks of ``[model]`` that need no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import ToolchainError
from toolchain.model.inspect import read_keras_file
from toolchain.model.layer_rules import check_layers
from toolchain.project import ModelSection

#: The layers with kernels of each reference architecture, in order.
KERNELS = {"spx_cnn": ("conv", "hidden", "forecast"), "btc_mlp": ("hidden1", "hidden2", "hidden3", "logit")}


def check(section: ModelSection, project_folder: Path) -> list[ToolchainError]:
    """Every problem of the model file that its JSON shows: file, custom code, layers, names."""
    if not section.file:
        return []
    try:
        file = read_keras_file(project_folder / section.file, section.allow_custom_code)
    except ToolchainError as error:
        return [error]
    return check_layers(file.layers, str(file.path))


def kernel_names(section: ModelSection, project_folder: Path) -> tuple[str, ...]:
    """The names of the Dense and Conv1D layers: what ``[prune] skip`` can name. Empty when the file cannot be used."""
    if not section.file:
        return KERNELS[section.architecture]
    try:
        file = read_keras_file(project_folder / section.file, section.allow_custom_code)
    except ToolchainError:
        return ()
    return tuple(str(config.get("name")) for kind, config in file.layers if kind in ("Dense", "Conv1D"))
