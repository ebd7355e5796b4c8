"""Stage ``csim``: the written project compiled with g++ and run on every verification input."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.network.words import read_formats, write_words
from toolchain.project import CsimSection
from toolchain.results import CsimResult, HlsResult, Job, QuantizeResult
from toolchain.workspace import manifest, remove

COMPILE_SECONDS = 1800
RUN_SECONDS = 1800


def simulate(project: Path, hls: HlsResult, quantized: QuantizeResult, section: CsimSection, job: Job) -> CsimResult:
    """Compile the HLS project in ``project`` as it stands there and run it on ``inputs.npz``.

    Writes ``<node>.txt`` (words, one sample a line) for every traced node, ``result.txt`` for the output port and
    ``formats.txt`` into ``job.folder``. Raises ExternalToolError when g++ is missing or fails, BitMismatchError when
    the run ended early or its files are not whole.
    """
    changed = tuple(sorted(changed_files(project, hls)))
    start = time.monotonic()
    job.progress("compile", 0, 1)
    program, compiler = build(project, hls.project_name, section, changed)
    job.progress("compile", 1, 1)
    compiled = time.monotonic()
    with np.load(quantized.folder / "inputs.npz", allow_pickle=False) as stored:
        (words,) = (stored[name] for name in stored.files)
    _run(program, words, job)
    formats = read_formats(job.folder)
    done = time.monotonic()
    return CsimResult(
        samples=len(words), compile_seconds=compiled - start, run_seconds=done - compiled, compiler=compiler,
        formats={name: str(form) for name, form in formats.items()}, changed_files=changed,
    )  # fmt: skip


def changed_files(project: Path, hls: HlsResult) -> list[str]:
    """Files of the project that are not as the hls stage wrote them: changed, missing or new."""
    now = manifest(project)
    names = set(now) | set(hls.files)
    return [name for name in names if now.get(name) != hls.files.get(name)]


def build(project: Path, top: str, section: CsimSection, changed: tuple[str, ...] = ()) -> tuple[Path, str]:
    """The compiled test bench, from the cache when the same sources were compiled with the same flags and compiler.

    Returns the program and the compiler's version line.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        raise ExternalToolError("g++ was not found on PATH", where="csim", hint="install it, e.g. apt-get install g++")
    version = _call([compiler, "--version"], project, 60).stdout.splitlines()[0]
    flags = [f"-{section.optimization}", "-std=c++17", "-w", "-pipe"]
    key = hashlib.sha256(repr((version, flags, sorted(_sources(project).items()))).encode()).hexdigest()[:32]
    folder = user_cache_path("toolchain") / "csim"
    program = folder / key
    if program.is_file() and os.access(program, os.X_OK) and _whole(program):
        return program, version
    folder.mkdir(parents=True, exist_ok=True)
    work = folder / f"{key}.{os.getpid()}.partial"
    remove(work)
    work.mkdir()
    try:
        _compile(project, top, [compiler, *flags], work, changed)
        digest = hashlib.sha256((work / "bench").read_bytes()).hexdigest()
        (work / "digest").write_text(digest)
        (work / "digest").replace(program.with_suffix(".sha256"))
        (work / "bench").replace(program)
    finally:
        remove(work)
    return program, version


def _whole(program: Path) -> bool:
    digest = program.with_suffix(".sha256")
    return digest.is_file() and digest.read_text() == hashlib.sha256(program.read_bytes()).hexdigest()


def _sources(project: Path) -> dict[str, str]:
    kept = (".h", ".cpp", ".hpp", ".txt")
    return {name: sha for name, sha in manifest(project).items() if name.endswith(kept) and "tb_data" not in name}


def _compile(project: Path, top: str, command: list[str], work: Path, changed: tuple[str, ...]) -> None:
    include = ["-I", "firmware/ap_types"]
    units = {f"{top}.o": f"firmware/{top}.cpp", "bench.o": f"{top}_test.cpp"}
    calls = [[*command, *include, "-c", source, "-o", str(work / name)] for name, source in units.items()]
    with ThreadPoolExecutor(2) as pool:  # two translation units, two cores
        done = list(pool.map(lambda call: _call(call, project, COMPILE_SECONDS), calls))
    done.append(_call([command[0], *(str(work / name) for name in units), "-o", str(work / "bench")], project, 600))
    for result in done:
        if result.returncode:
            errors = [line for line in result.stderr.splitlines() if "error" in line] or result.stderr.splitlines()
            hint = (
                f"changed since it was written: {', '.join(changed)}" if changed else "the project is as it was written"
            )
            raise ExternalToolError("g++ failed: " + "\n    ".join(errors[:5]), where=str(project), hint=hint)


def _call(command: list[str], folder: Path, seconds: int) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise ExternalToolError(f"did not end within {seconds} s", where=Path(command[0]).name) from None
    except OSError as error:
        raise ExternalToolError(f"cannot be run: {error.strerror}", where=command[0]) from None


def _run(program: Path, words: np.ndarray, job: Job) -> None:
    """Run the bench on halves of the samples, one on each core, and join the outputs."""
    parts = [part for part in np.array_split(words, 2) if len(part)]
    folders = [job.folder / f"part{number}" for number in range(len(parts))]
    calls = []
    for part, folder in zip(parts, folders, strict=True):
        folder.mkdir()
        write_words(folder / "input_words.txt", part)
        calls.append([str(program), str(folder / "input_words.txt"), str(folder)])
    with ThreadPoolExecutor(len(calls)) as pool:
        done = list(pool.map(lambda call: _call(call, job.folder, RUN_SECONDS), calls))
    for result, part, folder in zip(done, parts, folders, strict=True):
        complete = folder / "complete.txt"
        if result.returncode or not complete.is_file() or complete.read_text().split() != [str(len(part))]:
            raise BitMismatchError(
                f"the C-simulation ended early: exit {result.returncode} {result.stderr.strip()[:300]}", where="csim"
            )
    for file in sorted(folders[0].glob("*.txt")):
        if file.name not in ("complete.txt", "formats.txt", "input_words.txt"):
            (job.folder / file.name).write_text("".join((folder / file.name).read_text() for folder in folders))
    shutil.copy(folders[0] / "formats.txt", job.folder / "formats.txt")
    for folder in folders:
        remove(folder)
