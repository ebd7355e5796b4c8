"""TFLite files on emulated ARM cores: qemu's user mode around a foreign Python with a TFLite runtime."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.arm.gates import Rounding
from toolchain.arm.packages import Architecture, system
from toolchain.arm.sysroot import Sysroot, find_emulator, python_program
from toolchain.errors import BitMismatchError, ExternalToolError

Runtime = Literal["tflite-runtime", "litert"]
Kernels = Literal["reference", "builtin", "default"]
PROGRAM = Path(__file__).with_name("inference_program.py")
_SECONDS = 900
#: Nothing of the guest's work depends on hash seeds or on threads that spin.
_REPEATABLE = ("-E", "PYTHONHASHSEED=0", "-E", "OPENBLAS_NUM_THREADS=1", "-E", "OMP_NUM_THREADS=1")
_PACKAGES = {"tflite-runtime": "tflite_runtime", "litert": "ai_edge_litert"}
#: Runtimes that exist for each architecture, the kernels that each is run with, and how those round (measured).
RUNS: dict[Architecture, dict[Runtime, dict[Kernels, Rounding]]] = {
    "aarch64": {
        "tflite-runtime": {"reference": "twice", "builtin": "twice"},
        "litert": {"reference": "once", "default": "to_even"},  # its built-in convolution rounds in yet another way
    },
    "armv7": {"tflite-runtime": {"reference": "twice", "builtin": "twice"}},
}


Grid = tuple[float, int]  # scale, zero point


@dataclass(frozen=True, eq=False)
class ArmOutputs:
    """int8 words ``(samples, *shape)`` by kernels, and the grids of the ports as the runtime reads them."""

    words: dict[Kernels, NDArray[Any]]
    inputs: tuple[Grid, ...]
    output: Grid


@dataclass(frozen=True, slots=True)
class Emulator:
    """qemu and the system that it runs; ``cpu`` is qemu's name of the core."""

    sysroot: Sysroot
    program: str
    cpu: str

    @property
    def version(self) -> str:
        """qemu's own words: ``7.2.22``."""
        done = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False)
        words = done.stdout.split()
        return words[words.index("version") + 1] if "version" in words else "unknown"


def open_emulator(sysroot: Sysroot, cpu: str = "") -> Emulator:
    """The emulator of ``sysroot``'s architecture. Raises ExternalToolError when qemu is missing."""
    return Emulator(sysroot, find_emulator(sysroot.architecture), cpu or system(sysroot.architecture).cpu)


def runtime_version(sysroot: Sysroot, runtime: Runtime) -> str:
    return sysroot.versions[_PACKAGES[runtime]]


def run_on_arm(
    emulator: Emulator, model: Path, inputs: NDArray[Any], runtime: Runtime, kernels: tuple[Kernels, ...]
) -> ArmOutputs:
    """The outputs ``(samples, *shape)`` of ``model`` for ``inputs (samples, *shape)`` (``Vectors.inputs``) with each of
    ``kernels``.

    Raises ExternalToolError when the emulator fails or does not end, BitMismatchError when the runtime refuses
    the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        outputs = {name: place / f"{name}.npy" for name in kernels}
        job = _job(place, model, inputs, runtime, outputs, 0)
        done = execute(emulator, [str(job)])
        if done.returncode:
            raise _failure(emulator, done, model)
        words = {name: _load(file, len(inputs)) for name, file in outputs.items()}
        *sources, result = json.loads((place / "ports.json").read_text(encoding="utf-8"))
        inputs_read = tuple((source[0], source[1]) for source in sources)
        return ArmOutputs(words, inputs_read, (result[0], result[1]))


def execute(
    emulator: Emulator, arguments: list[str], options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run ``inference_program.py`` under qemu, with ``options`` for qemu itself."""
    sysroot = emulator.sysroot
    libraries = sysroot.root / "usr" / "lib"
    own = libraries / system(sysroot.architecture).library_folder
    search = ":".join(str(own / name) for name in ("blas", "lapack"))
    packages = ":".join([*map(str, sorted(sysroot.site.iterdir())), str(libraries / "python3" / "dist-packages")])
    command = [
        emulator.program, "-cpu", emulator.cpu, "-L", str(sysroot.root), *options, "-E", f"LD_LIBRARY_PATH={search}",
        "-E", f"PYTHONPATH={packages}", *_REPEATABLE,
        str(python_program(sysroot)), "-S", "-B", str(PROGRAM), *arguments,
    ]  # fmt: skip
    clean = {"LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False, env=clean)
    except subprocess.TimeoutExpired:
        raise ExternalToolError(f"did not end within {_SECONDS} s", where=Path(emulator.program).name) from None
    except OSError as error:
        raise ExternalToolError(f"cannot be started: {error.strerror}", where=emulator.program) from None


def _job(
    place: Path, model: Path, inputs: NDArray[Any], runtime: Runtime, outputs: dict[Kernels, Path], repeats: int
) -> Path:
    np.save(place / "inputs.npy", inputs, allow_pickle=False)
    content = {
        "runtime": runtime, "model": str(model.resolve()), "inputs": str(place / "inputs.npy"), "repeats": repeats,
        "ports": str(place / "ports.json"),
        "runs": [{"kernels": name, "outputs": str(file)} for name, file in outputs.items()],
    }  # fmt: skip
    (place / "job.json").write_text(json.dumps(content), encoding="utf-8")
    return place / "job.json"


def write_repeated_job(place: Path, model: Path, inputs: NDArray[Any], runtime: Runtime, repeats: int) -> Path:
    """A job that invokes ``model`` ``repeats`` times on the first sample alone, with the default kernels."""
    return _job(place, model, inputs, runtime, {"default": place / "outputs.npy"}, repeats)


def _failure(emulator: Emulator, done: subprocess.CompletedProcess[str], model: Path) -> Exception:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    text = lines[-1][:400] if lines else f"exit code {done.returncode}"
    if lines and lines[-1].startswith(("ValueError", "RuntimeError")):
        return BitMismatchError(f"the ARM runtime refuses it: {text}", where=str(model))
    return ExternalToolError(f"failed: {text}", where=f"{Path(emulator.program).name} -cpu {emulator.cpu}")


def _load(file: Path, samples: int) -> NDArray[Any]:
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError):
        raise ExternalToolError("the emulated program left no whole result", where=file.name) from None
    if len(found) != samples:
        raise ExternalToolError(f"{len(found)} results for {samples} inputs", where=file.name)
    return np.asarray(found)
