"""The test bench compiled with g++: translation units on every core, a precompiled header, and a cache by content.

Where the cache has no precompiled header yet, design and bench are compiled without one, which is sooner done, and the
header is made behind the program for the next one, with what is the same in every test bench.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from toolchain.errors import ExternalToolError
from toolchain.hls.compile_cache import cached, key_of, stored
from toolchain.hls.quick import QUICK_WORDS
from toolchain.hls.units import layer_units
from toolchain.workspace import manifest, remove

COMPILE_SECONDS = 1800
#: As many translation units at once, and parts of the design.
_CORES = max(2, min(8, os.cpu_count() or 2))
_BENCH_FILES = ("firmware/nnet_utils/nnet_bench.h", "firmware/nnet_utils/nnet_words.h")
_BENCH_LIBRARY = "bench.o"
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
    key = key_of("bench", compiler.path, compiler.version, own, top, sources)

    def compile_in(work: Path) -> None:
        header = _Header(project, flags, compiler, _BENCH_FILES)
        ready = stored(cache / header.key)
        job = _Job(compiler, project, top, own, work)
        if not (ready and unchanged and job.in_layers(cache / header.key)):
            job.whole(cache / header.key if ready else None)
        for file in work.iterdir():
            if file.name != "content":
                file.unlink()
        if not ready:
            header.make_later(cache)

    return cached(cache, key, compile_in) / "content", compiler


@dataclass(frozen=True)
class _Job:
    """One program to compile with ``flags``: ``content`` in the folder ``work``."""

    compiler: Compiler
    project: Path
    top: str
    flags: list[str]
    work: Path

    def whole(self, header: Path | None) -> None:
        """The design and the bench, a translation unit each; with the precompiled header in ``header``, if any."""
        prelude = (header or self.work) / "content"
        if header is None:
            prelude = self.work / "prelude.h"
            prelude.write_text(_PRELUDE + "\n")
        include = ["-include", str(prelude)]
        self._compile([(f"firmware/{self.top}.cpp", include), (f"{self.top}_test.cpp", include)])

    def in_layers(self, header: Path) -> bool:
        """Layers and design as units of their own, the bench with its compiled library; whether g++ took that."""
        units = layer_units(self.project, self.top, _CORES)
        if not units.layers:
            return False
        include = ["-I", ".", "-include", str(header / "content")]
        (self.work / "declarations.h").write_text(units.declarations)
        sources = []
        for number, text in enumerate(units.layers):
            file = self.work / f"layers{number}.cpp"
            file.write_text(text)
            sources.append((str(file), include))
        sources.append((f"firmware/{self.top}.cpp", [*include, "-include", str(self.work / "declarations.h")]))
        sources.append((f"{self.top}_test.cpp", [*include, "-DBENCH_COMPILED"]))
        # Constants that parameters.h defines stand in each unit of a design, from the same text.
        link = [str(header / _BENCH_LIBRARY), "-Wl,-z,muldefs"]
        try:
            self._compile(sources, link)
        except ExternalToolError:
            return False  # compiled whole it says what is wrong, if anything is
        return True

    def _compile(self, sources: list[tuple[str, list[str]]], link: Sequence[str] = ()) -> None:
        """Every source with options of its own, as many at once as there are cores, linked with ``link``."""

        def compile_unit(number: int) -> str:
            source, options = sources[number]
            output = str(self.work / f"unit{number}.o")
            self.compiler.call([*self.flags, *options, "-c", source, "-o", output], self.project)
            return output

        with ThreadPoolExecutor(_CORES) as pool:
            compiled = list(pool.map(compile_unit, range(len(sources))))
        self.compiler.call([*compiled, *link, "-o", str(self.work / "content")], self.work)


def precompiled_header(project: Path, flags: list[str], compiler: Compiler, cache: Path) -> Path:
    """A header to include first; g++ takes the compiled one beside it when that fits, and the text when not."""
    header = _Header(project, flags, compiler)
    return cached(cache, header.key, header.compile_in) / "content"


def wait_for_headers() -> None:
    """Return when no header is being compiled for later programs: a benchmark's other numbers would feel it."""
    for job in list(_JOBS.values()):
        job.exception()


#: Headers being made in this process for programs to come, by their place in the cache.
_JOBS: dict[Path, Future[Path]] = {}
_LATER = ThreadPoolExecutor(1, thread_name_prefix="header")


class _Header:
    """The prelude of ``project`` precompiled: its key, and a copy of all it is made from, which nobody changes.

    With the files ``bench``, the first one is compiled beside it: what is the same in every test bench.
    """

    def __init__(self, project: Path, flags: list[str], compiler: Compiler, bench: tuple[str, ...] = ()) -> None:
        self.flags, self.compiler, self.bench = flags, compiler, bench
        types = sorted(file for file in (project / "firmware" / "ap_types").rglob("*") if file.is_file())
        types += [project / name for name in bench]
        self.files = {file.relative_to(project): file.read_bytes() for file in types}
        digests = {str(name): hashlib.sha256(content).hexdigest() for name, content in self.files.items()}
        self.key = key_of("header", compiler.path, compiler.version, flags, _PRELUDE, digests)

    def compile_in(self, work: Path) -> None:
        """Write the header as ``content`` and what g++ makes of it as ``content.gch``."""
        for name, content in self.files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(content)
        (work / "content").write_text(_PRELUDE + "\n")
        output = str(work / "content.gch")
        self.compiler.call([*self.flags, "-x", "c++-header", str(work / "content"), "-o", output], work)
        if self.bench:
            options = [*self.flags, "-include", str(work / "content"), "-x", "c++", "-c", self.bench[0]]
            self.compiler.call([*options, "-o", str(work / _BENCH_LIBRARY)], work)
        remove(work / "firmware")

    def make_later(self, cache: Path) -> None:
        """Compile it in a thread of its own. Whether that succeeds matters to the speed of later programs alone."""
        place = cache / self.key
        if place not in _JOBS or _JOBS[place].done():
            _JOBS[place] = _LATER.submit(cached, cache, self.key, self.compile_in)
