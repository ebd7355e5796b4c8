"""The two folders that are the user's as much as ours: ``hls/`` and ``csim/`` of a build.

They are copies of a stage's files. What a person changed there is kept and used as it stands, so that the verdict is
about the project that would be synthesized; it is moved aside, never overwritten, when the stage has made another.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolchain.workspace import PUBLISHED, manifest, publish


def publish_unless_edited(source: Path, folder: Path, key: str, restore: bool, notes: Callable[[str], None]) -> None:
    """Make ``folder`` the copy of ``source`` that belongs to ``key``.

    A folder that was published for ``key`` before is left alone, edited or not, unless ``restore``. The mark that tells
    so is swapped in together with the folder: a killed run cannot part them.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    known = _read_mark(folder / PUBLISHED)
    edited = folder.is_dir() and known.get("files") != manifest(folder)
    if folder.is_dir() and known.get("key") == key and not (edited and restore):
        if edited:
            notes(f"{folder} was changed since it was written; it is used as it stands (--restore undoes that)")
        return
    if edited and not restore:
        aside = _free_name(folder)
        folder.rename(aside)
        notes(f"{folder} was changed since it was written; the changed one is now {aside}")
    files = {name: digest for name, digest in manifest(source).items() if name != "result.json"}
    publish(source, folder, json.dumps({"key": key, "files": files}).encode())


def _read_mark(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except (OSError, json.JSONDecodeError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _free_name(folder: Path) -> Path:
    number = 1
    while (aside := folder.with_name(f"{folder.name}.edited{number}")).exists():
        number += 1
    return aside
