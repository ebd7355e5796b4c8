"""Where stage results live: found by a key, written whole or not at all, trusted only when their checksums hold.

``build/.stages/<stage>/<key>/`` holds ``result.json``, ``manifest.json`` (SHA-256 of every file) and the stage's files.
The key is a hash of everything the stage depends on: its own section, its inputs' keys and the versions of the packages
that take part. A stage writes into ``<key>.partial``, which is renamed into place after every file is synced; what a
killed run left is removed by the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from pydantic import ValidationError

from toolchain.errors import ProjectError
from toolchain.results import StageResult

#: Files of this package that decide what a stage makes: code, templates, style, tables.
SOURCE_SUFFIXES = (".py", ".c", ".cpp", ".h", ".ld", ".json", ".j2", ".css")

#: Results of one stage that are kept: enough for a sweep over targets and backends.
KEPT = 40
#: Stands in a published folder and tells what it was published from; no part of its content.
PUBLISHED = ".published.json"

Result = TypeVar("Result", bound=StageResult)


@dataclass(frozen=True)
class StageRun:
    """How one stage went."""

    name: str
    key: str
    seconds: float
    cached: bool


class Workspace:
    """The stage results of one project.

    ``shared``: several processes work on this store at once. A stage is then made by one of them while the others wait
    for it, and nothing is forgotten.
    """

    def __init__(self, build: Path, shared: bool = False) -> None:
        self.build, self.shared = build, shared
        self.runs: list[StageRun] = []

    def stage(
        self,
        name: str,
        kind: type[Result],
        depends: dict[str, Any],
        packages: tuple[str, ...],
        produce: Callable[[Path], Result],
    ) -> tuple[Result, str]:
        """The stored result of stage ``name`` for ``depends``, or a new one made by ``produce(folder)``.

        Returns the result and its key, which goes into the ``depends`` of the stages that read it.
        """
        key = stage_key(name, depends, packages)
        folder = self.build / ".stages" / name / key
        start = time.monotonic()
        with self._alone(folder):
            found = load_stored(folder, kind) or self._produce(folder, produce)
        self.runs.append(StageRun(name, key, time.monotonic() - start, cached=found[1]))
        return found[0], key

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[None]:
        if not self.shared:
            yield
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            yield

    def holds(self, name: str, kind: type[StageResult], depends: dict[str, Any], packages: tuple[str, ...]) -> bool:
        """Whether a whole, undamaged result of stage ``name`` for ``depends`` is stored."""
        return load_stored(self.build / ".stages" / name / stage_key(name, depends, packages), kind) is not None

    def forget(self, name: str, depends: dict[str, Any], packages: tuple[str, ...]) -> None:
        """Remove what is stored of stage ``name`` for ``depends``: a measurement is made anew where it is asked for."""
        remove(self.build / ".stages" / name / stage_key(name, depends, packages))

    def _produce(self, folder: Path, produce: Callable[[Path], Result]) -> tuple[Result, bool]:
        partial = folder.with_name(folder.name + ".partial")
        remove(partial)
        partial.mkdir(parents=True)
        result = produce(partial)
        write_file(partial / "result.json", result.model_dump_json(indent=1).encode())
        write_file(partial / "manifest.json", json.dumps(manifest(partial), indent=1).encode())
        sync_tree(partial)
        remove(folder)
        partial.rename(folder)
        sync(folder.parent)
        if not self.shared:
            forget_old(folder.parent)
        result.at(folder)
        return result, False


def forget_old(stage: Path) -> None:
    """Keep the newest ``KEPT`` results of a stage; what is older can be made again."""
    results = sorted((path for path in stage.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime_ns)
    for path in results[:-KEPT]:
        remove(path)


def load_stored(folder: Path, kind: type[Result]) -> tuple[Result, bool] | None:
    """The whole, undamaged result in ``folder``, or None."""
    try:
        expected = json.loads((folder / "manifest.json").read_text())
        if manifest(folder) != expected:
            return None
        result = kind.model_validate_json((folder / "result.json").read_text())
    except (OSError, json.JSONDecodeError, ValidationError, UnicodeDecodeError):
        return None
    result.at(folder)
    return result, True


def stage_key(name: str, depends: dict[str, Any], packages: tuple[str, ...]) -> str:
    """SHA-256 (24 hexadecimal digits) of all that decides a stage's result."""
    versions = {package: package_version(package) for package in packages}
    text = json.dumps([name, depends, versions, source_digest()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


@cache
def source_digest() -> str:
    """SHA-256 of this package's own source, so that no result outlives the code that made it."""
    total = hashlib.sha256()
    root = Path(__file__).parent
    for file in sorted(root.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts and file.suffix in SOURCE_SUFFIXES:
            total.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


def manifest(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder`` but the manifest itself, by relative path."""
    return {
        str(file.relative_to(folder)): file_digest(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in ("manifest.json", PUBLISHED)
    }


def file_digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def publish(source: Path, destination: Path, mark: bytes | None = None) -> None:
    """Copy ``source`` (file or folder) to ``destination``, which is the old or the new whole at any moment, or absent.

    ``mark`` goes into a folder as ``PUBLISHED``.
    """
    fresh = destination.with_name(f".{destination.name}.partial")
    old = destination.with_name(f".{destination.name}.old")
    destination.parent.mkdir(parents=True, exist_ok=True)
    remove(fresh)
    remove(old)
    if source.is_dir():
        shutil.copytree(source, fresh, ignore=shutil.ignore_patterns("result.json", "manifest.json"))
        if mark is not None:
            write_file(fresh / PUBLISHED, mark)
        sync_tree(fresh)
    else:
        write_file(fresh, source.read_bytes())
    if destination.is_dir():
        destination.rename(old)
    fresh.replace(destination)
    remove(old)


def write_file(file: Path, content: bytes) -> None:
    """Write and sync ``file``."""
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def replace_file(file: Path, content: bytes) -> None:
    """Write ``file`` so that readers see the old or the new content, never a part."""
    fresh = file.with_name(f".{file.name}.partial")
    write_file(fresh, content)
    fresh.replace(file)


def sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)


def sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def exclusive(build: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of ``build``; ``waiting`` is called once when another process has it.

    Raises ProjectError when the folder cannot be written.
    """
    try:
        build.mkdir(parents=True, exist_ok=True)
        lock = FileLock(build / ".lock")
        try:
            lock.acquire(timeout=0.1)
        except Timeout:
            waiting()
            lock.acquire()
    except OSError as error:
        raise ProjectError(f"cannot be written: {error.strerror or error}", where=str(build)) from None
    try:
        yield
    finally:
        lock.release()
