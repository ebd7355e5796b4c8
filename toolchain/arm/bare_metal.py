"""The generated plain C, cross-compiled and run whole on an emulated Cortex-M3 board without an operating system."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import BitMismatchError, ExternalToolError

COMPILER = "arm-none-eabi-gcc"
EMULATOR = "qemu-system-arm"
BOARD = "mps2-an385"
CPU = "cortex-m3"
_PACKAGES = {COMPILER: "gcc-arm-none-eabi libnewlib-arm-none-eabi", EMULATOR: "qemu-system-arm"}
_HERE = Path(__file__).parent
_SECONDS = 600
_VECTOR_BYTES = 2_000_000  # of the board's 4 MB of code memory


@dataclass(frozen=True, eq=False)
class BareMetalRun:
    """int8 words ``(samples, *shape)`` of the first ``samples`` vectors; ``code_bytes``: the model's own object file's
    code and constants, ``ram_bytes`` its variables."""

    words: NDArray[Any]
    compiler: str
    code_bytes: int
    ram_bytes: int


def run_bare_metal(sources: Path, inputs: NDArray[np.int8], shape: tuple[int, ...]) -> BareMetalRun:
    """Compile ``model.c`` of ``sources`` and run it on int8 ``inputs (samples, *shape)``; as many as the memory holds.

    ``shape`` is the output's. Raises ExternalToolError when a tool is missing or fails, BitMismatchError when the
    program does not end as it should.
    """
    for tool, package in _PACKAGES.items():
        if shutil.which(tool) is None:
            raise ExternalToolError("is missing", where=tool, hint=f"apt-get install {package}")
    count = max(min(len(inputs), _VECTOR_BYTES // max(inputs[0].size, 1)), 1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        words = ",".join(map(str, inputs[:count].reshape(-1).tolist()))
        text = (
            f"#include <stdint.h>\n#define VECTORS {count}\n#define VECTOR_WORDS {inputs[0].size}\n"
            f"{_invocation(sources)}\nstatic const int8_t vectors[] = {{{words}}};\n"
        )
        (place / "vectors.h").write_text(text, encoding="ascii")
        program, sizes = _compile(sources, place)
        lines = _run(program).splitlines()
    if len(lines) != count + 1 or lines[-1] != "end":
        raise BitMismatchError(f"{len(lines) - 1} results for {count} inputs", where=f"bare-metal program on {BOARD}")
    found = np.array([[int(word) for word in line.split()] for line in lines[:-1]], dtype=np.int8)
    return BareMetalRun(found.reshape(count, *shape), _version(), *sizes)


def _invocation(sources: Path) -> str:
    """A macro that calls the model with every input port's words, which stand one behind the other."""
    header = (sources / "model.h").read_text(encoding="utf-8")
    sizes = re.findall(r"^#define (MODEL_INPUT(?:_\d+)?_SIZE) ", header, re.MULTILINE)
    places = [" + ".join(["vector", *sizes[:count]]) for count in range(len(sizes))]
    return f"#define INVOKE(vector, output) model_invoke({', '.join(places)}, output)"


def _compile(sources: Path, place: Path) -> tuple[Path, tuple[int, int]]:
    flags = ["-O2", "-std=c99", f"-mcpu={CPU}", "-mthumb", "-I", str(place), "-I", str(sources)]
    part, program = place / "model.o", place / "program.elf"
    _call([COMPILER, *flags, "-c", str(sources / "model.c"), "-o", str(part)])
    start = [str(_HERE / name) for name in ("bare_metal.c", "bare_metal_start.c")]
    script = str(_HERE / "bare_metal.ld")
    _call([COMPILER, *flags, "--specs=rdimon.specs", "-T", script, *start, str(part), "-o", str(program)])
    text, data, bss = (int(word) for word in _call(["arm-none-eabi-size", str(part)]).splitlines()[1].split()[:3])
    return program, (text + data, data + bss)


def _run(program: Path) -> str:
    return _call(
        [EMULATOR, "-M", BOARD, "-nographic", "-monitor", "none", "-serial", "none", "-semihosting-config",
         "enable=on,target=native", "-kernel", str(program)]
    )  # fmt: skip


def _version() -> str:
    return f"{COMPILER} {_call([COMPILER, '-dumpversion']).strip()}"


def _call(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExternalToolError(f"failed: {str(error)[:300]}", where=command[0]) from None
    if done.returncode:
        raise ExternalToolError(f"failed: {done.stderr.strip()[-500:]}", where=command[0])
    return done.stdout
