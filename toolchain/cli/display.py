"""Progress on standard error."""

from __future__ import annotations

import sys
from typing import Any


class Display:
    """Progress on standard error: bars on a terminal, one line per stage elsewhere."""

    def __init__(self, terminal: bool) -> None:
        self._terminal = terminal
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def stage_begins(self, name: str) -> None:
        self.close()
        sys.stderr.write(f"{name} …\n")

    def note(self, text: str) -> None:
        self.close()
        sys.stderr.write(f"note: {text}\n")

    def progress(self, label: str, done: int, total: int) -> None:
        if not self._terminal:
            return
        if self._bars is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bars.start()
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total)
        self._bars.update(self._tasks[label], completed=done, total=total)

    def close(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars, self._tasks = None, {}
