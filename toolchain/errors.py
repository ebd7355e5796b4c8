"""Every failure a user can act on: one class and one exit code per cause.

``cli`` turns these into text on standard error and an exit code. Anything that is not a ``ToolchainError`` is a
bug of ours and shows its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class ToolchainError(Exception):
    """Base of all user-facing failures.

    ``where`` names the file, table and key, or the layer; ``found`` what is there; ``allowed`` what may stand there;
    ``hint`` what to do next. Each part may be empty.
    """

    exit_code = 1

    def __init__(self, problem: str, *, where: str = "", allowed: str = "", hint: str = "") -> None:
        self.problem = problem
        self.where = where
        self.allowed = allowed
        self.hint = hint
        super().__init__(self.text())

    def text(self) -> str:
        """The message on one to three lines: where and what, what is allowed, what to do next."""
        first = f"{self.where}: {self.problem}" if self.where else self.problem
        lines = [first]
        if self.allowed:
            lines.append(f"  allowed: {self.allowed}")
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return "\n".join(lines)


class ProjectError(ToolchainError):
    """A project or target file, a flag or a folder that cannot be used as it stands."""

    exit_code = 2


class UnsupportedModelError(ToolchainError):
    """A model file, layer or quantizer that has no exact meaning here."""

    exit_code = 3


class BudgetError(ToolchainError):
    """The design does not fit the target device or the project's budget."""

    exit_code = 4


class BitMismatchError(ToolchainError):
    """At least one bit of the hardware's result differs from the network's."""

    exit_code = 5


class ExternalToolError(ToolchainError):
    """A compiler, emulator or vendor tool is missing or failed."""

    exit_code = 6


class DataSourceError(ToolchainError):
    """Data could not be fetched, read or trusted."""

    exit_code = 7


class PreflightError(ToolchainError):
    """Several problems found before any work began, shown at once. Its exit code is that of the first problem."""

    def __init__(self, problems: Iterable[ToolchainError]) -> None:
        self.problems = tuple(problems)
        assert self.problems
        super().__init__("\n".join(problem.text() for problem in self.problems))
        self.exit_code = self.problems[0].exit_code


def problem_from(description: dict[str, Any]) -> ToolchainError:
    """The error that another process described as JSON (``kind`` or ``exit_code``, ``problem``, ``where`` …)."""
    kinds = {kind.exit_code: kind for kind in ToolchainError.__subclasses__() if kind is not PreflightError}
    kind = kinds.get(int(description["exit_code"]), ToolchainError)
    rest = {key: str(description.get(key, "")) for key in ("where", "allowed", "hint")}
    return kind(str(description["problem"]), **rest)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint "perhaps you meant …" naming the closest of ``known``, or all of them when none is close."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"perhaps you meant '{close[0]}'"
    return "known: " + ", ".join(names)
