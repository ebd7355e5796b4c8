"""The test bench compiled with g++: two translation units at once, a precompiled header, and a cache by content.

Where the cache has no precompiled header yet, the units are compiled without one, which is sooner done, and the header
is made behind the program for the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import ExternalToolError
from toolchain.hls.quick import QUICK_WORDS
from toolchain.workspace import file_digest, manifest, remove

COMPILE_SECONDS = 1800
#: Programs and precompiled headers kept; the oldest go first.
KEPT = 40
#: What every translation unit of a project begins with, in the language level of the vendor's own C-simulation.
_STANDARD = "-std=c++11"
_PRELUDE = "\n".join(
    f"#include <{name}>"
    for name in (
        "algorithm", "array", "cassert", "cmath", "cstddef", "cstdio", "cstdlib", "fstream", "iostream", "map",
        "sstream", "string", "tuple", "vector", "ap_fixed.h", "ap_int.h", "hls_stream.h",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Compiler:
    """g++ as found: its path and the line that tells its version."""

    path: str
    version: str

    def call(self, arguments: list[str], folder: Path) -> None:
        """Run it in ``folder``. Raises ExternalToolError with the first lines of its complaint."""
        result = run_program([self.path, *arguments], folder, COMPILE_SECONDS)
        if result.returncode:
            lines = result.stderr.splitlines()
            errors = [line for line in lines if "error" in line] or lines or [f"exit {result.returncode}"]
            raise ExternalToolError("g++ failed: " + "\n    ".join(errors[:5]), where=str(folder))


def find_compiler() -> Compiler:
    """g++ on PATH. Raises ExternalToolError when it is missing or does not run."""
    path = shutil.which("g++")
    if path is None:
        raise ExternalToolError("g++ was not found on PATH", where="csim", hint="install it, e.g. apt-get install g++")
    result = run_program([path, "--version"], Path("/"), 60)
    if result.returncode or not result.stdout:
        raise ExternalToolError(f"g++ --version ended with exit {result.returncode}", where=path)
    return Compiler(path, result.stdout.splitlines()[0])


def run_program(command: list[str], folder: Path, seconds: int) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in ``folder``, in an environment that holds nothing a compiler would take options from.

    Raises ExternalToolError when it cannot be run or does not end within ``seconds``.
    """
    path = os.pathsep.join([str(Path(command[0]).parent), os.defpath])
    clean = {"PATH": path, "LC_ALL": "C"}
    try:
        return subprocess.run(
            command, cwd=folder, env=clean, capture_output=True, text=True, errors="replace", timeout=seconds,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ExternalToolError(f"did not end within {seconds} s", where=Path(command[0]).name) from None
    except OSError as error:
        raise ExternalToolError(f"cannot be run: {error.strerror}", where=command[0]) from None


def build_bench(
    project: Path, top: str, optimization: str, cache: Path, *, unchanged: bool = False
) -> tuple[Path, Compiler]:  # fmt: skip
    """The compiled test bench of ``project``: from ``cache`` only when sources, flags and compiler are the same.

    ``unchanged``: it is as the hls stage wrote it. Raises ExternalToolError when g++ is missing or fails.
    """
    compiler = find_compiler()
    project = project.resolve()
    flags = [f"-{optimization}", _STANDARD, "-w", "-pipe", "-I", "firmware/ap_types"]
    sources = {name: digest for name, digest in manifest(project).items() if not name.startswith("tb_data/")}
    own = [*flags, QUICK_WORDS] if unchanged else flags
    key = _key("bench", compiler, own, top, sources)

    def compile_in(work: Path) -> None:
        header = _Header(project, flags, compiler)
        ready = _stored(cache / header.key)
        prelude = cache / header.key / "content" if ready else work / "prelude.h"
        if not ready:
            prelude.write_text(_PRELUDE + "\n")
        units = {"design.o": f"firmware/{top}.cpp", "bench.o": f"{top}_test.cpp"}

        def compile_unit(name: str) -> None:
            compiler.call([*own, "-include", str(prelude), "-c", units[name], "-o", str(work / name)], project)

        with ThreadPoolExecutor(len(units)) as pool:
            list(pool.map(compile_unit, units))
        compiler.call([*(str(work / name) for name in units), "-o", str(work / "content")], work)
        for file in work.iterdir():
            if file.name != "content":
                file.unlink()
        if not ready:
            header.make_later(cache)

    return _cached(cache, key, compile_in) / "content", compiler


def precompiled_header(project: Path, flags: list[str], compiler: Compiler, cache: Path) -> Path:
    """A header to include first; g++ takes the compiled one beside it when that fits, and the text when not."""
    header = _Header(project, flags, compiler)
    return _cached(cache, header.key, header.compile_in) / "content"


def wait_for_headers() -> None:
    """Return when no header is being compiled for later programs: a benchmark's other numbers would feel it."""
    for job in list(_JOBS.values()):
        job.exception()


#: Headers being made in this process for programs to come, by their place in the cache.
_JOBS: dict[Path, Future[Path]] = {}
_LATER = ThreadPoolExecutor(1, thread_name_prefix="header")


class _Header:
    """The prelude of ``project`` precompiled: its key, and a copy of all it is made from, which nobody changes."""

    def __init__(self, project: Path, flags: list[str], compiler: Compiler) -> None:
        self.flags, self.compiler = flags, compiler
        types = sorted(file for file in (project / "firmware" / "ap_types").rglob("*") if file.is_file())
        self.files = {file.relative_to(project): file.read_bytes() for file in types}
        digests = {str(name): hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        self.key = _key("header", compiler, flags, _PRELUDE, digests)

    def compile_in(self, work: Path) -> None:
        """Write the header as ``content`` and what g++ makes of it as ``content.gch``."""
        for name, content in self.files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(content)
        (work / "content").write_text(_PRELUDE + "\n")
        output = str(work / "content.gch")
        self.compiler.call([*self.flags, "-x", "c++-header", str(work / "content"), "-o", output], work)
        remove(work / "firmware")

    def make_later(self, cache: Path) -> None:
        """Compile it in a thread of its own. Whether that succeeds matters to the speed of later programs alone."""
        place = cache / self.key
        if place not in _JOBS or _JOBS[place].done():
            _JOBS[place] = _LATER.submit(_cached, cache, self.key, self.compile_in)


def _key(kind: str, compiler: Compiler, flags: list[str], name: str, sources: dict[str, str]) -> str:
    text = json.dumps([kind, compiler.path, compiler.version, flags, name, sources], sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:40]}"


def _cached(cache: Path, key: str, produce: Callable[[Path], None]) -> Path:
    """The folder ``cache/key``: made in a fresh folder and renamed when whole; its checksums must hold to be used."""
    folder = cache / key
    sums = folder / "sha256.json"
    if _stored(folder):
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


def _stored(folder: Path) -> bool:
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
