"""Compiled files in folders named by a hash of all that they are made from; used only when whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from toolchain.workspace import file_digest, remove

#: Programs and precompiled headers kept; the oldest go first.
KEPT = 40


def key_of(kind: str, *parts: object) -> str:
    """A name for what is made from ``parts``, which JSON can hold."""
    text = json.dumps([kind, *parts], sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def cached(cache: Path, key: str, produce: Callable[[Path], None]) -> Path:
    """The folder ``cache/key``: made in a fresh folder and renamed when whole; its checksums must hold to be used."""
    folder = cache / key
    sums = folder / "sha256.json"
    if stored(folder):
        return folder
    remove(folder)
    work = cache / f".{key}.{os.getpid()}"
    remove(work)
    work.mkdir(parents=True)
    try:
        produce(work)
        contents = {file.name: file_digest(file) for file in work.iterdir()}
        (work / sums.name).write_text(json.dumps(contents))
        try:
            work.rename(folder)
        except OSError:
            if _read_sums(sums) is None:  # otherwise another process made the same one in the meantime
                raise
    finally:
        remove(work)
    _forget_oldest(cache)
    return folder


def stored(folder: Path) -> bool:
    """Whether ``folder`` of the cache is there and whole; then it was used now."""
    expected = _read_sums(folder / "sha256.json")
    if not expected or any(_digest(folder / name) != digest for name, digest in expected.items()):
        return False
    os.utime(folder)
    return True


def _read_sums(file: Path) -> dict[str, str] | None:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _digest(file: Path) -> str:
    return file_digest(file) if file.is_file() else ""


def _forget_oldest(cache: Path) -> None:
    folders = [folder for folder in cache.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    for folder in sorted(folders, key=_last_use)[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)  # another process may be at it too


def _last_use(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # another process has just removed it
        return 0.0
