"""Each guard of the check is broken once: weight, bias, scale, zero point, tensors, length."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from tflite_networks import convolution_network, lowered

from toolchain.errors import BitMismatchError, ToolchainError, UnsupportedModelError
from toolchain.tflite import check
from toolchain.tflite.check import check_file
from toolchain.tflite.flatbuffer import AlignedBuffer, to_bytes
from toolchain.tflite.schema import load_schema

NETWORK = convolution_network()
MODEL, INPUTS = lowered(NETWORK)


def changed(change: Callable[[Any], None]) -> bytes:
    """The file with ``change`` applied to its object form."""
    schema = load_schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(to_bytes(MODEL), 0))
    for place, buffer in enumerate(model.buffers):
        model.buffers[place] = AlignedBuffer(b"" if buffer.data is None else bytes(buffer.data))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def tensor(model: Any, name: str) -> Any:
    return next(item for item in model.subgraphs[0].tensors if item.name.decode() == name)


def add_to_byte(name: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        place = tensor(model, name).buffer
        data = bytearray(model.buffers[place].data)
        data[0] = (data[0] + 1) % 256
        model.buffers[place] = AlignedBuffer(bytes(data))

    return change


def set_scale(name: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        quantization = tensor(model, name).quantization
        quantization.scale = np.asarray(quantization.scale) * 2

    return change


def set_zero_point(name: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        quantization = tensor(model, name).quantization
        quantization.zeroPoint = np.asarray(quantization.zeroPoint) + 1

    return change


def swap_kernels(model: Any) -> None:
    a, b = (tensor(model, f"{name}/bias") for name in ("conv", "hidden"))
    first, second = model.buffers[a.buffer].data, model.buffers[b.buffer].data
    model.buffers[a.buffer] = AlignedBuffer(second[: len(first)])
    assert len(second) > len(first)


def test_the_unchanged_file_passes(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(changed(lambda model: None))
    check_file(path, MODEL, NETWORK, INPUTS)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (add_to_byte("conv/kernel"), "conv"),
        (add_to_byte("hidden/kernel"), "hidden"),
        (add_to_byte("out/kernel"), "out"),
        (add_to_byte("out/bias"), "out"),
        (set_zero_point("conv_relu"), "conv_relu"),
        (set_zero_point("x"), "x"),
        (set_scale("out"), "out"),
        (set_scale("x"), "x"),
        (swap_kernels, "conv"),
    ],
)
def test_a_changed_file_is_a_mismatch_that_names_the_layer(
    change: Callable[[Any], None], where: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(changed(change))
    with pytest.raises(BitMismatchError) as caught:
        check_file(path, MODEL, NETWORK, INPUTS)
    assert f"'{where}'" in caught.value.text()
    assert caught.value.exit_code == 5


def test_a_port_under_another_name_is_a_mismatch(tmp_path: Path) -> None:
    def rename(model: Any) -> None:
        model.signatureDefs[0].outputs[0].name = "logits"

    path = tmp_path / "m.tflite"
    path.write_bytes(changed(rename))
    with pytest.raises(BitMismatchError, match="port 'out'"):
        check_file(path, MODEL, NETWORK, INPUTS)


@pytest.mark.parametrize("name", ["conv_relu", "hidden_relu"])
def test_a_changed_inner_scale_is_caught(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(changed(set_scale(name)))
    with pytest.raises(ToolchainError):  # the runtime refuses the bias' scale, or the words differ
        check_file(path, MODEL, NETWORK, INPUTS)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    whole = to_bytes(MODEL)
    for length in (0, 10, len(whole) // 3, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(UnsupportedModelError):
            check_file(path, MODEL, NETWORK, INPUTS)


def test_another_networks_file_is_a_mismatch(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(lowered(convolution_network(seed=9))[0]))
    with pytest.raises(BitMismatchError):
        check_file(path, MODEL, NETWORK, INPUTS)


def test_a_result_beyond_the_proven_bound_is_a_mismatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulation believes another network's file; the comparison with this network must not."""
    other, _ = lowered(convolution_network(seed=9))
    path = tmp_path / "m.tflite"
    path.write_bytes(to_bytes(other))
    monkeypatch.setattr(check, "_check_ports", lambda path, model: None)
    with pytest.raises(BitMismatchError, match="the formats allow"):
        check_file(path, other, NETWORK, INPUTS)
