"""Many written projects as one C-simulation: one g++ run shares the headers and most templates, 4 times faster.

Each project's sources stand in a namespace of their own; nothing of their text is changed but the name of ``main``.
The product's own csim stage compiles a single project; which of the two programs runs does not change a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from toolchain.errors import BitMismatchError, ExternalToolError, ToolchainError
from toolchain.fixed_point import Words
from toolchain.hls.compilation import Compiler, precompiled_header, run_program
from toolchain.network.nodes import FixedPointNetwork
from toolchain.network.words import input_rows, write_words

_INCLUDE = re.compile(r'^#include "(?:nnet_utils/)?(nnet_\w+\.h)"\s*$', re.MULTILINE)
_GUARD = re.compile(r"^#ifndef (\w+_H_?)\s*$", re.MULTILINE)
_BENCH = "nnet_bench.h"
RUN_SECONDS = 600
#: A quarter of g++'s time went into collecting garbage and landing pads of exceptions that nothing throws.
_QUICK = ["-fno-exceptions", "--param", "ggc-min-heapsize=600000"]


@dataclass(frozen=True)
class Program:
    """A compiled program and which number of its first argument runs which project."""

    file: Path
    numbers: dict[Path, int]

    def run(self, project: Path, network: FixedPointNetwork, inputs: dict[str, Words], folder: Path) -> None:
        """Run ``project`` on ``inputs``; writes its word files into ``folder`` (made here).

        Raises BitMismatchError when it ends early.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_words(folder / "input_words.txt", input_rows(network, inputs))
        number = str(self.numbers[project])
        done = run_program([str(self.file), number, str(folder / "input_words.txt"), str(folder)], folder, RUN_SECONDS)
        if done.returncode or not (folder / "complete.txt").is_file():
            said = done.stderr.strip()[-300:]
            raise BitMismatchError(f"the C-simulation ended early: exit {done.returncode}: {said}")


def compile_together(projects: list[Path], top: str, folder: Path, compiler: Compiler) -> Program:
    """One program of all ``projects``, which must be of one backend. Raises ExternalToolError when g++ fails."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "all.cpp"
    source.write_text(_source(projects, top))
    flags = ["-O0", "-std=c++11", "-w", "-pipe", *_QUICK, "-I", "firmware/ap_types"]
    prelude = precompiled_header(projects[0], flags, compiler, user_cache_path("toolchain") / "selftest")
    flags += ["-I", "firmware", "-I", "firmware/nnet_utils", "-include", str(prelude)]
    program = folder / "program"
    compiler.call([*flags, str(source), "-o", str(program)], projects[0])
    return Program(program, {project: number for number, project in enumerate(projects)})


def compile_each(
    projects: list[Path], top: str, folder: Path, compiler: Compiler
) -> tuple[dict[Path, Program], dict[Path, ToolchainError]]:
    """A program for every project, together as far as they compile, and g++'s complaint for those that do not."""
    try:
        program = compile_together(projects, top, folder, compiler)
    except ExternalToolError as error:
        if len(projects) == 1:
            return {}, {projects[0]: error}
        half = len(projects) // 2
        programs, errors = compile_each(projects[:half], top, folder / "left", compiler)
        more = compile_each(projects[half:], top, folder / "right", compiler)
        return programs | more[0], errors | more[1]
    return dict.fromkeys(projects, program), {}


def _source(projects: list[Path], top: str) -> str:
    benches = [_bench(project, top) for project in projects]
    headers = sorted({name for project in projects for name in _headers(project)})
    lines = [f'#include "nnet_utils/{name}"' for name in headers]
    for number, (project, bench) in enumerate(zip(projects, benches, strict=True)):
        lines += [f"#undef {guard}" for guard in sorted(_guards(project, top))]
        lines += [f"namespace project{number} {{", "namespace nnet { using namespace ::nnet; }"]
        lines += [f'#include "{project}/firmware/{top}.cpp"', bench, "}"]
    lines += ["int main(int argc, char **argv) {", "    switch (std::atoi(argv[1])) {"]
    lines += [f"    case {n}: return project{n}::run_bench(argc - 1, argv + 1);" for n in range(len(projects))]
    return "\n".join([*lines, "    }", "    return 2;", "}", ""])


def _bench(project: Path, top: str) -> str:
    """The test bench without what it includes, and ``main`` under another name."""
    text = (project / f"{top}_test.cpp").read_text()
    if text.count("\nint main(") != 1 or f'"nnet_utils/{_BENCH}"' not in text.replace("firmware/", ""):
        raise ExternalToolError("is not a test bench of this version", where=str(project / f"{top}_test.cpp"))
    return re.sub(r"^(#include|//).*\n", "", text, flags=re.MULTILINE).replace("\nint main(", "\nint run_bench(")


def _headers(project: Path) -> set[str]:
    """The library headers that the project reads, beside its own generated code."""
    firmware = project / "firmware"
    sources = ("defines.h", "parameters.h", "nnet_utils/nnet_code_gen.h")
    text = "".join((firmware / name).read_text() for name in sources)
    return {*_INCLUDE.findall(text), "nnet_helpers.h", _BENCH} - {"nnet_code_gen.h"}


def _guards(project: Path, top: str) -> set[str]:
    firmware = project / "firmware"
    own = [firmware / "defines.h", firmware / "parameters.h", firmware / f"{top}.h"]
    own += [firmware / "nnet_utils" / "nnet_code_gen.h", *(firmware / "weights").glob("*.h")]
    found = set()
    for file in own:
        guard = _GUARD.search(file.read_text())
        if guard:
            found.add(guard[1])
    return found
