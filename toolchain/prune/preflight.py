"""Checks of ``[prune]`` against the model's layers, without TensorFlow."""

from __future__ import annotations

from toolchain.errors import ProjectError, ToolchainError, nearest
from toolchain.project import PruneSection


def check(section: PruneSection, layers: tuple[str, ...]) -> list[ToolchainError]:
    """Names in ``skip`` that are none of ``layers``, the model's Dense and Conv1D layers."""
    return [
        ProjectError(
            f"the model has no Dense or Conv1D layer '{name}'", where="[prune] skip", hint=nearest(name, layers)
        )
        for name in section.skip
        if name not in layers
    ]
