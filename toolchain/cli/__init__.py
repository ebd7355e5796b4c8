"""The command line: the only folder that prints or exits, one file for each group of commands.

Results go to standard output (with ``--json``: one JSON document), everything for people to standard error.
Imports are kept inside the commands, so that ``--help`` and ``--version`` are instant.
"""

from __future__ import annotations

import sys

import typer

from toolchain.cli import (
    calibrate,
    data,
    estimate,
    projects,
    prune,
    selftest,
    stages,
    study,
    sweep,
    synth,
    tflite,
    widths,
)
from toolchain.cli.application import app, fail, find_project
from toolchain.errors import ProjectError, ToolchainError

#: Importing a file of commands adds them to ``app``.
COMMANDS = (calibrate, data, estimate, projects, prune, selftest, stages, study, sweep, synth, tflite, widths)
__all__ = ["COMMANDS", "app", "find_project", "main"]


def main() -> None:
    """Entry point: every ToolchainError becomes text (or JSON) and its exit code."""
    try:
        app(standalone_mode=False)
    except ToolchainError as error:
        fail(error)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted; what was finished is kept\n")
        sys.exit(130)
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("click", "typer"):  # usage errors: unknown flag, missing argument
            message = error.format_message() if hasattr(error, "format_message") else str(error)
            fail(ProjectError(message, hint="toolchain --help"))
        raise
