"""What was fetched so far, beside the file to be: a killed download goes on where it was."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolchain.data.bybit.protocol import Query, Row
from toolchain.errors import ProjectError


class Journal:
    """One line of JSON with its checksum for each finished page; a torn last line is dropped.

    ``rows`` are the closed candles by start.
    """

    def __init__(self, file: Path, query: Query) -> None:
        """Open ``file`` or begin it. Raises ProjectError when it belongs to another download."""
        self.file = file
        self.rows: dict[int, Row] = {}
        header = asdict(query)
        lines = _whole_lines(file)
        if lines and lines[0] != header:
            raise ProjectError(
                "holds part of another download", where=str(file), hint="remove it, or give another --out"
            )
        for line in lines[1:]:
            self.rows |= {int(cells[0]): tuple(cells) for cells in line}
        if not lines:
            file.write_text("", encoding="utf-8")
            self._append(header)

    def add(self, rows: dict[int, Row]) -> None:
        """Keep the closed candles of a finished page."""
        self._append([*rows.values()])
        self.rows |= rows

    def remove(self) -> None:
        """Delete the file."""
        self.file.unlink(missing_ok=True)

    def _append(self, line: Any) -> None:
        text = json.dumps(line)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(f"{zlib.crc32(text.encode()):08x} {text}\n")
            stream.flush()
            os.fsync(stream.fileno())


def _whole_lines(file: Path) -> list[Any]:
    """The lines whose checksum holds, up to the first that does not; the file is cut there."""
    if not file.exists():
        return []
    content = file.read_bytes()
    lines, good = [], 0
    for line in content.splitlines(keepends=True):
        checksum, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or checksum != f"{zlib.crc32(text):08x}".encode():
            break
        lines.append(json.loads(text))
        good += len(line)
    if good < len(content):
        with file.open("rb+") as stream:
            stream.truncate(good)
    return lines
