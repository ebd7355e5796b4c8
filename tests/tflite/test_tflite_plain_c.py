"""The generated C: every word as predicted, compiled by whatever compiler is here, for this machine and for ARM."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tflite_networks import convolution_network, dense_network, graph_network, image_network, lowered

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.companions import write_c_array
from toolchain.tflite.emulation import emulate
from toolchain.tflite.operators import IntegerModel
from toolchain.tflite.plain_c import write_plain_c
from toolchain.tflite.reader import read_summary

MAIN = """
#include <stdio.h>
#include "model.h"
int main(void) {{
  static int8_t {declarations};
  while ({reads}) {{ model_invoke({names}); {writes} }}
  return 0;
}}
"""


def main_of(model: IntegerModel) -> str:
    inputs = ["input", *(f"input_{k}" for k in range(1, len(model.inputs)))]
    outputs = ["output", *(f"output_{k}" for k in range(1, len(model.outputs)))]
    return MAIN.format(
        declarations=", ".join(f"{name}[MODEL_{name.upper()}_SIZE]" for name in (*inputs, *outputs)),
        reads=" && ".join(f"fread({name}, 1, sizeof {name}, stdin) == sizeof {name}" for name in inputs),
        names=", ".join((*inputs, *outputs)),
        writes=" ".join(f"fwrite({name}, 1, sizeof {name}, stdout);" for name in outputs),
    )


COMPILERS = {"gcc": [], "aarch64-linux-gnu-gcc": ["qemu-aarch64"], "arm-linux-gnueabihf-gcc": ["qemu-arm"]}


def narrow_network() -> FixedPointNetwork:
    """Conv2D stride 2 with uneven padding, ReLU, a 4-bit signed format (limits), Dense."""
    rng = np.random.default_rng(5)
    builder = NetworkBuilder("image")
    weights = FixedPoint(True, 0, 5)
    modes = (Rounding.RND_CONV, Overflow.SAT)
    x = builder.input("x", (7, 6, 2), FixedPoint(True, 2, 5, *modes))
    kernel, bias = rng.integers(-31, 32, (3, 2, 2, 3)), rng.integers(-31, 32, (3,))
    x = builder.convolution("conv", x, kernel, weights, bias, weights, strides=(2, 2), padding=((1, 1), (0, 1)))
    x = builder.requantize("cut", x, FixedPoint(True, 1, 2, *modes))
    x = builder.reshape("flat", x, (int(np.prod(builder.shape_of(x))),))
    return builder.build((builder.dense("out", x, rng.integers(-31, 32, (*builder.shape_of(x), 2)), weights),))


def networks() -> dict[str, FixedPointNetwork]:
    form = FixedPoint(True, 0, 4, Rounding.RND_CONV, Overflow.SAT)
    return {
        "conv1d": convolution_network(padding=(2, 1)),
        "conv2d": narrow_network(),
        "image": image_network(),
        "graph": graph_network(),
        "narrow input": dense_network(np.arange(-6, 6).reshape(4, 3), np.array([3, -4, 5]), form, relu=False),
    }


def samples_of(ports: list[NDArray[Any]]) -> NDArray[Any]:
    """The ports' words sample by sample, one port behind the other."""
    return np.concatenate([words.reshape(len(words), -1) for words in ports], axis=1)


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_word_is_as_predicted(tmp_path: Path, compiler: str) -> None:
    run = COMPILERS[compiler]
    for tool in (compiler, *run):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    for name, network in networks().items():
        folder = tmp_path / name.replace(" ", "_")
        model, inputs = lowered(network, samples=300)
        write_plain_c(folder, model)
        (folder / "main.c").write_text(main_of(model))
        flags = ["-std=c99", "-O1", "-static", "-Wall", "-Wextra", "-Wno-unused-function", "-Werror"]
        sources = [str(folder / "main.c"), str(folder / "model.c")]
        subprocess.run([compiler, *flags, *sources, "-o", str(folder / "run")], check=True)
        done = subprocess.run(
            [*run, str(folder / "run")],
            input=samples_of(list(inputs.values())).tobytes(),
            capture_output=True,
            check=True,
        )
        words = emulate(model, inputs, "to_even")
        expected = samples_of([words[port.tensor.name] for port in model.outputs])
        found = np.frombuffer(done.stdout, np.int8).reshape(expected.shape)
        assert np.array_equal(found, expected), name


def test_the_c_array_holds_the_files_bytes(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    content = bytes(range(256)) * 3 + b"\x00\x01"
    (tmp_path / "model.int8.tflite").write_bytes(content)
    write_c_array(tmp_path / "model.int8.tflite", tmp_path / "model_data.h")
    main = (
        '#include <cstdio>\n#include "model_data.h"\nint main() { fwrite(model_data, 1, sizeof model_data, stdout); }\n'
    )
    (tmp_path / "main.cpp").write_text(main)
    subprocess.run(["g++", str(tmp_path / "main.cpp"), "-o", str(tmp_path / "run")], check=True)
    assert subprocess.run([str(tmp_path / "run")], capture_output=True, check=True).stdout == content


def test_the_description_names_ports_file_and_data(tmp_path: Path) -> None:
    from test_tflite_stage import run_stage, stage_inputs

    inputs = stage_inputs(tmp_path, convolution_network(bits=6))
    run_stage(inputs, tmp_path / "tflite", "int8")
    found = json.loads((tmp_path / "tflite" / "model.int8.json").read_text())
    size = (tmp_path / "tflite" / "model.int8.tflite").stat().st_size
    assert found["file"]["size_bytes"] == size > found["file"]["gzip_bytes"] > 0
    assert found["file"]["signature"] == "serving_default"
    assert found["data"]["sha256"] == inputs.data.sha256
    stored = read_summary(tmp_path / "tflite" / "model.int8.tflite").metadata
    assert json.loads(stored["toolchain"])["sha256"] == inputs.data.sha256
    assert found["cost"]["macs"] == 8 * 3 * 2 * 4 + 32 * 6 + 6 * 3
    assert found["cost"]["nonzero_macs"] < found["cost"]["macs"]
    sizes = {cost["operator"]: cost["constant_bytes"] for cost in found["cost"]["operators"]}
    assert sizes["CONV_2D"] == 3 * 2 * 4 + 4 * 4
    assert (tmp_path / "tflite" / "plain_c" / "model_data.h").is_file()
