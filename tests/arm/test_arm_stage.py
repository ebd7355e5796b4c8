"""The int8 artefact on emulated ARM cores: whole, and with one thing changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from arm_cases import data_result, exported, job, need_emulation, recorded
from tflite_networks import image_network, operators_network

from toolchain.arm.bare_metal import COMPILER, EMULATOR
from toolchain.arm.stage import problems, verify_on_arm
from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.network.nodes import FixedPointNetwork
from toolchain.results import ArmResult
from toolchain.tflite.flatbuffer import AlignedBuffer
from toolchain.tflite.schema import load_schema


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artefact")
    exported(folder)
    return folder


def verified(folder: Path) -> ArmResult:
    return verify_on_arm(data_result(), recorded(folder), None, job(folder))


def cortex_m() -> set[tuple[str, str]]:
    """The runs for Cortex-M that this machine has the tools for."""
    found = set()
    if find_spec("tflite_micro"):
        found.add(("x86-64", "tflite-micro"))
    if shutil.which(COMPILER) and shutil.which(EMULATOR):
        found.add(("armv7-m", "generated"))
    return found


def test_every_runtime_on_every_core_gives_the_predicted_words(artefact: Path) -> None:
    need_emulation()
    found = verified(artefact)
    assert problems(found) == []
    assert {(run.architecture, run.runtime.split()[0]) for run in found.runs} == {
        ("aarch64", "tflite-runtime"), ("aarch64", "litert"), ("armv7", "tflite-runtime"),
        *cortex_m(),
    }  # fmt: skip
    assert {run.rounding for run in found.runs} == {"once", "twice", "to_even"}
    for run in found.runs:
        assert run.machine_differences == 0
        assert run.samples == 209
        assert run.different_decisions == 0
    assert len(found.not_verified) == 2 - len(cortex_m())


@pytest.mark.slow
@pytest.mark.parametrize("make", [image_network, operators_network])
def test_every_operator_gives_the_predicted_words_on_every_core(
    make: Callable[[], FixedPointNetwork], tmp_path: Path
) -> None:
    need_emulation()
    exported(tmp_path, make())
    found = verified(tmp_path)
    unlike = {run.kernels for run in found.runs if run.machine_differences}
    assert unlike <= {"default"}  # XNNPACK multiplies tensors in another way on ARM
    assert len(found.runs) == 6 + len(cortex_m())


def _weight(model: Any) -> None:
    for tensor in model.subgraphs[0].tensors:
        if tensor.name == b"hidden/kernel":
            data = bytearray(model.buffers[tensor.buffer].data.tobytes())
            data[next(i for i, byte in enumerate(data) if byte)] ^= 0x20
            model.buffers[tensor.buffer].data = bytes(data)


def _scale(model: Any) -> None:
    next(t for t in model.subgraphs[0].tensors if t.name == b"out").quantization.scale = [0.25]


def _zero_point(model: Any) -> None:
    port = next(t for t in model.subgraphs[0].tensors if t.name == b"x")
    port.quantization.zeroPoint = [int(port.quantization.zeroPoint[0]) + 1]


def _swapped(model: Any) -> None:
    tensors = {t.name: t for t in model.subgraphs[0].tensors}
    conv = tensors[b"conv/bias"], tensors[b"conv/kernel"]
    data = bytearray(model.buffers[conv[0].buffer].data.tobytes())
    data[0:4], data[4:8] = data[4:8], data[0:4]
    model.buffers[conv[0].buffer].data = bytes(data)


@pytest.mark.parametrize("mutate", [_weight, _scale, _zero_point, _swapped])
def test_one_changed_thing_is_caught_on_arm_alone(
    artefact: Path, tmp_path: Path, mutate: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record has the changed file's own hash: only the words can tell."""
    need_emulation()
    import toolchain.arm.stage as stage

    monkeypatch.setattr(stage, "ARCHITECTURES", ("aarch64",))
    monkeypatch.setitem(stage.RUNS, "aarch64", {"tflite-runtime": {"builtin": "twice"}})
    folder = tmp_path / "changed"
    shutil.copytree(artefact, folder)
    _rewrite(folder / "model.int8.tflite", mutate)
    found = problems(verified(folder))
    assert found
    assert found[0].exit_code == 5
    assert "words" in found[0].problem


def _rewrite(path: Path, mutate: Callable[[Any], None]) -> None:
    import flatbuffers

    schema = load_schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(path.read_bytes()), 0))
    mutate(model)
    for place, buffer in enumerate(model.buffers):
        data = b"" if buffer.data is None else bytes(buffer.data)
        model.buffers[place] = AlignedBuffer(data)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def test_a_truncated_file_is_caught_on_arm_alone(artefact: Path, tmp_path: Path) -> None:
    need_emulation()
    folder = tmp_path / "cut"
    shutil.copytree(artefact, folder)
    path = folder / "model.int8.tflite"
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises((BitMismatchError, ExternalToolError)) as caught:
        verified(folder)
    assert isinstance(caught.value, BitMismatchError), caught.value


def test_a_file_that_is_not_the_stages_is_refused(artefact: Path, tmp_path: Path) -> None:
    need_emulation()
    folder = tmp_path / "other"
    shutil.copytree(artefact, folder)
    result = recorded(folder)
    (folder / "model.int8.tflite").write_bytes(b"TFL3" * 10)
    with pytest.raises(BitMismatchError, match="SHA-256"):
        verify_on_arm(data_result(), result, None, job(folder))
