"""Checks of ``[prune]`` against the model's layers, without TensorFlow."""

from __future__ import annotations

from toolchain.errors import ProjectError, ToolchainError, nearest
from toolchain.project import PruneSection
from toolchain.prune.options import unused


def check(section: PruneSection, layers: tuple[str, ...]) -> list[ToolchainError]:
    """Options without effect; names in ``skip`` and ``sparsities`` that are none of ``layers``, those with kernels."""
    named = [(name, "skip") for name in section.skip] + [(name, "sparsities") for name in section.sparsities]
    problems: list[ToolchainError] = [
        ProjectError(
            f"the model has no layer with weights to prune '{name}'", where=f"[prune] {key}", hint=nearest(name, layers)
        )
        for name, key in named
        if name not in layers and name.split("/")[0] not in layers
    ]
    both = sorted(set(section.skip) & set(section.sparsities))
    problems += [ProjectError(f"'{name}' is in skip too", where="[prune] sparsities") for name in both]
    return unused(section) + problems
