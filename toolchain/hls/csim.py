"""Stage ``csim``: the written project compiled with g++ and run on every verification input."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.fixed_point import FixedPoint
from toolchain.hls.compilation import build_bench, run_program
from toolchain.hls.readback import find_differences
from toolchain.network import storage
from toolchain.network.words import input_rows, output_files, read_formats, write_words
from toolchain.project import CsimSection
from toolchain.results import CsimResult, HlsResult, Job, QuantizeResult
from toolchain.workspace import manifest, remove

RUN_SECONDS = 1800
_OWN_FILES = ("complete.txt", "formats.txt", "input_words.txt")


def simulate(project: Path, hls: HlsResult, quantized: QuantizeResult, section: CsimSection, job: Job) -> CsimResult:
    """Compile the HLS project in ``project`` as it stands there and run it on ``inputs.npz``.

    Writes ``<node>.txt`` (words, one sample a line) for each input port and every traced node, ``result.txt`` for the
    output port (``result_0.txt`` … when there are several) and ``formats.txt`` into ``job.folder``. Raises
    ExternalToolError when g++ is missing or fails, BitMismatchError when the run or a file of it is not whole.
    """
    changed = tuple(sorted(changed_files(project, hls)))
    network = storage.load(quantized.folder / "network.fpn")
    start = time.monotonic()
    job.progress("compile", 0, 2)
    program, compiler = _build(project, hls, section, changed)
    compiled = time.monotonic()
    job.progress("run", 1, 2)
    with np.load(quantized.folder / "inputs.npz", allow_pickle=False) as stored:
        words = input_rows(network, {node.name: stored[node.name] for node in network.inputs})
    _run(program, words, job.folder.resolve())
    formats = _read_formats(job.folder, hls, output_files(network))
    done = time.monotonic()
    return CsimResult(
        samples=len(words), compile_seconds=compiled - start, run_seconds=done - compiled, compiler=compiler,
        formats={name: str(form) for name, form in formats.items()}, changed_files=changed,
        differences=tuple(find_differences(project, network, hls.layers, formats)),
    )  # fmt: skip


def changed_files(project: Path, hls: HlsResult) -> list[str]:
    """Files of the project that are not as the hls stage wrote them: changed, missing or new."""
    now = manifest(project)
    names = set(now) | set(hls.files)
    return [name for name in names if now.get(name) != hls.files.get(name)]


def _build(project: Path, hls: HlsResult, section: CsimSection, changed: tuple[str, ...]) -> tuple[Path, str]:
    cache = user_cache_path("toolchain") / "csim"
    try:
        program, compiler = build_bench(project, hls.project_name, section.optimization, cache, unchanged=not changed)
    except ExternalToolError as error:
        if changed:
            error.hint = error.hint or f"changed since the project was written: {', '.join(changed[:5])}"
            error.args = (error.text(),)
        raise
    return program, compiler.version


def _run(program: Path, words: np.ndarray, folder: Path) -> None:
    """Run the bench on halves of the samples, one on each core, and join the outputs."""
    parts = [part for part in np.array_split(words, 2) if len(part)]
    folders = [folder / f"part{number}" for number in range(len(parts))]
    for part, place in zip(parts, folders, strict=True):
        place.mkdir()
        write_words(place / "input_words.txt", part)

    def run_part(place: Path) -> str:
        result = run_program([str(program), str(place / "input_words.txt"), str(place)], folder, RUN_SECONDS)
        return f"exit {result.returncode} {result.stderr.strip()[:300]}" if result.returncode else ""

    with ThreadPoolExecutor(len(parts)) as pool:
        failures = list(pool.map(run_part, folders))
    for failure, part, place in zip(failures, parts, folders, strict=True):
        complete = place / "complete.txt"
        if failure or not complete.is_file() or complete.read_text().split() != [str(len(part))]:
            raise BitMismatchError(f"the C-simulation ended early: {failure or 'no end mark'}", where="csim")
    for file in sorted(folders[0].glob("*.txt")):
        if file.name not in _OWN_FILES:
            (folder / file.name).write_bytes(b"".join((place / file.name).read_bytes() for place in folders))
    shutil.copy(folders[0] / "formats.txt", folder / "formats.txt")
    for place in folders:
        remove(place)


def _read_formats(folder: Path, hls: HlsResult, ports: Iterable[str]) -> dict[str, FixedPoint]:
    """The compiled formats. Raises BitMismatchError when a layer that the project had is not traced any more."""
    try:
        formats = read_formats(folder)
    except (OSError, ValueError) as error:
        raise BitMismatchError(f"a compiled type cannot be read: {error}", where="csim formats.txt") from None
    missing = {*hls.formats, *ports} - set(formats)
    if missing:
        raise BitMismatchError(f"the test bench traces no {', '.join(sorted(missing))}", where="csim")
    return formats
