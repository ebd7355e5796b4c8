"""The C++ programs beside the int8 file: the one for Cortex-A compiled and run on emulated aarch64, word for word."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from arm_cases import exported, need_emulation
from test_arm_ports import two_ports
from tflite_networks import convolution_network, image_network, lowered, operators_network

from toolchain.arm.emulation import open_emulator
from toolchain.arm.micro import run_on_micro
from toolchain.arm.sysroot import open_sysroot
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.reader import read_summary
from toolchain.tflite.runners import CORTEX_A, CORTEX_M, RESOLVERS, VECTORS_HEADER, arena_bound, write_runners

COMPILER = "aarch64-linux-gnu-g++"
LIBRARIES = Path("/usr/aarch64-linux-gnu/lib")
NETWORKS = (convolution_network, image_network, operators_network)


def with_runners(folder: Path, network: FixedPointNetwork) -> Path:
    exported(folder, network)
    model, _ = lowered(network)
    write_runners(folder / "model.int8.tflite", model)
    return folder


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path, bytes], tuple[int, bytes, str]]:
    """Runs the compiled program of the small network: file and input bytes to exit code, output, errors."""
    return compiled(with_runners(tmp_path_factory.mktemp("runner"), convolution_network()))


def compiled(folder: Path) -> Callable[[Path, bytes], tuple[int, bytes, str]]:
    need_emulation()
    if shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} is not installed (apt-get install g++-aarch64-linux-gnu)")
    emulator = open_emulator(open_sysroot("aarch64"))
    # Alone: beside it in the wheel stands a library for GPUs that LiteRT would load, whose code a Cortex-A72 has not.
    library = shutil.copy(emulator.sysroot.site / "ai_edge_litert" / "ai_edge_litert" / "libLiteRt.so", folder)
    program = folder / "runner"
    flags = ["-O2", "-std=c++11", "-Wall", "-Wextra", "-Werror"]
    source = folder / "runners" / CORTEX_A
    subprocess.run([COMPILER, *flags, str(source), "-o", str(program), library], check=True)

    def run(model: Path, inputs: bytes) -> tuple[int, bytes, str]:
        (folder / "inputs.bin").write_bytes(inputs)
        (folder / "outputs.bin").unlink(missing_ok=True)
        done = subprocess.run(
            [emulator.program, "-cpu", emulator.cpu, "-L", str(emulator.sysroot.root), "-E",
             f"LD_LIBRARY_PATH={folder}:{LIBRARIES}", str(program), str(model), str(folder / "inputs.bin"),
             str(folder / "outputs.bin")],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        output = folder / "outputs.bin"
        return done.returncode, output.read_bytes() if output.is_file() else b"", done.stderr

    return run


def test_the_program_for_cortex_a_gives_every_predicted_word(
    runner: Callable[[Path, bytes], tuple[int, bytes, str]], tmp_path: Path
) -> None:
    with_runners(tmp_path, convolution_network())
    vectors = np.load(tmp_path / "test_vectors.npz")
    code, output, errors = runner(tmp_path / "model.int8.tflite", vectors["inputs"].tobytes())
    assert code == 0, errors
    assert np.array_equal(np.frombuffer(output, np.int8).reshape(vectors["to_even"].shape), vectors["to_even"])


def test_the_program_for_cortex_a_feeds_two_ports(tmp_path: Path) -> None:
    folder = with_runners(tmp_path, two_ports())
    run = compiled(folder)
    vectors = np.load(folder / "test_vectors.npz")
    code, output, errors = run(folder / "model.int8.tflite", vectors["inputs"].tobytes())
    assert code == 0, errors
    assert np.array_equal(np.frombuffer(output, np.int8).reshape(vectors["to_even"].shape), vectors["to_even"])


def test_the_program_for_cortex_m_knows_the_size_of_every_port(tmp_path: Path) -> None:
    text = (with_runners(tmp_path, two_ports()) / "runners" / CORTEX_M).read_text()
    assert "input_bytes[] = {8, 5};" in text


def test_the_program_for_cortex_a_fails_aloud(
    runner: Callable[[Path, bytes], tuple[int, bytes, str]], tmp_path: Path
) -> None:
    with_runners(tmp_path, convolution_network())
    model = tmp_path / "model.int8.tflite"
    code, _, errors = runner(model, bytes(21))
    assert code == 1
    assert "do not end with a whole sample" in errors
    assert runner(tmp_path / "none.tflite", bytes(20))[0] == 1
    exported(tmp_path, image_network())
    code, _, errors = runner(model, bytes(20))
    assert code == 1
    assert "not of this runner's size" in errors


@pytest.mark.parametrize("make", NETWORKS)
def test_the_arena_is_enough_for_tflite_micro(make: Callable[[], FixedPointNetwork], tmp_path: Path) -> None:
    if find_spec("tflite_micro") is None:
        pytest.skip("tflite-micro is not installed")
    network = make()
    _, inputs = lowered(network, samples=1)
    with_runners(tmp_path, network)
    path = tmp_path / "model.int8.tflite"
    used = run_on_micro(path, next(iter(inputs.values()))).arena_bytes
    assert used <= arena_bound(path) <= 10 * used


@pytest.mark.parametrize("make", NETWORKS)
def test_the_program_for_cortex_m_registers_exactly_the_operators_of_the_file(
    make: Callable[[], FixedPointNetwork], tmp_path: Path
) -> None:
    with_runners(tmp_path, make())
    text = (tmp_path / "runners" / CORTEX_M).read_text()
    registered = re.findall(r"resolver\.(Add\w+)\(\)", text)
    used = {RESOLVERS[name] for name in read_summary(tmp_path / "model.int8.tflite").operators}
    assert sorted(registered) == sorted(used)
    assert text.count(f"MicroMutableOpResolver<{len(used)}>") == 2
    assert "@" not in text
    assert "@" not in (tmp_path / "runners" / CORTEX_A).read_text()


def test_the_header_holds_samples_corners_and_their_words(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    folder = with_runners(tmp_path, convolution_network()) / "runners"
    (folder / "main.cpp").write_text(
        f'#include <cstdio>\n#include "{VECTORS_HEADER}"\nint main() {{\n'
        "fwrite(test_inputs, 1, sizeof test_inputs, stdout); fwrite(test_outputs, 1, sizeof test_outputs, stdout); }\n"
    )
    subprocess.run(["g++", "-Wall", "-Werror", str(folder / "main.cpp"), "-o", str(folder / "main")], check=True)
    found = subprocess.run([str(folder / "main")], capture_output=True, check=True).stdout
    vectors = np.load(tmp_path / "test_vectors.npz")
    rows = [*range(16), *range(len(vectors["inputs"]) - 9, len(vectors["inputs"]))]
    assert found == vectors["inputs"][rows].tobytes() + vectors["twice"][rows].tobytes()
