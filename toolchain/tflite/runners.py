"""Minimal C++ programs around the int8 file: for Cortex-A with LiteRT's C API, for Cortex-M with TFLite Micro's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from toolchain.tflite.operators import IntegerModel, ModelPort
from toolchain.tflite.reader import read_summary, read_tensors
from toolchain.tflite.vectors import VECTORS_FILE

FOLDER = "runners"
CORTEX_A, CORTEX_M, VECTORS_HEADER = "runner_cortex_a.cpp", "runner_cortex_m.cpp", "test_vectors.h"
_REAL_SAMPLES = 16
_COLUMNS = 20
#: TFLite's operator -> the method of MicroMutableOpResolver that registers it.
RESOLVERS = {
    "ADD": "AddAdd", "CAST": "AddCast", "CONCATENATION": "AddConcatenation", "CONV_2D": "AddConv2D",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D", "FULLY_CONNECTED": "AddFullyConnected", "GATHER": "AddGather",
    "MAXIMUM": "AddMaximum", "MAX_POOL_2D": "AddMaxPool2D", "MINIMUM": "AddMinimum", "MUL": "AddMul", "PAD": "AddPad",
    "PADV2": "AddPadV2", "RELU": "AddRelu", "RESHAPE": "AddReshape", "SLICE": "AddSlice", "SUB": "AddSub",
    "TRANSPOSE": "AddTranspose",
}  # fmt: skip


def write_runners(path: Path, model: IntegerModel) -> None:
    """Write ``runners/`` beside the int8 file ``path`` and its ``test_vectors.npz``: a program for each kind of core,
    and some of the vectors as a header for the one that has no files. ``model`` has one output; a sample is the words
    of its inputs, one behind the other.
    """
    folder = path.parent / FOLDER
    folder.mkdir(exist_ok=True)
    sizes = [int(np.prod(port.tensor.shape)) for port in model.inputs]
    names = dict.fromkeys(read_summary(path).operators)  # in order, each once
    values = {
        "INPUT": str(sum(sizes)), "OUTPUT": str(int(np.prod(model.output.shape))),
        "INPUTS": ", ".join(map(str, sizes)), "PORTS": "\n".join(map(_describe, model.inputs)),
        "OUTPUT_SCALE": repr(model.output.grid.scale), "OUTPUT_ZERO": str(model.output.grid.zero_point),
        "ARENA": str(arena_bound(path)), "COUNT": str(len(names)),
        "OPERATORS": "\n".join(f"  TF_LITE_ENSURE_STATUS(resolver.{RESOLVERS[name]}());" for name in names),
    }  # fmt: skip
    for name in (CORTEX_A, CORTEX_M):
        text = Path(__file__).with_name(name).read_text(encoding="ascii")
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
        (folder / name).write_text(text, encoding="ascii")
    (folder / VECTORS_HEADER).write_text(_vectors(path.parent / VECTORS_FILE), encoding="ascii")


def _describe(port: ModelPort) -> str:
    grid, size = port.tensor.grid, int(np.prod(port.tensor.shape))
    return f"//   {size} bytes of {port.name}: q = clip(rint(x / {grid.scale!r}) + {grid.zero_point}, -128, 127)"


def arena_bound(path: Path) -> int:
    """Bytes of TFLite Micro's arena that are enough for the file at ``path``: every activation at once, though most
    share their place, and what the interpreter keeps of each tensor, channel and operator. A multiple of 16.
    """
    total = 2048 + 256 * len(read_summary(path).operators)
    for tensor in read_tensors(path).values():
        total += 64 + 24 * len(tensor.scale)
        if not tensor.content:
            total += 4 * int(np.prod(tensor.shape)) + 16  # of up to 32 bits
    return -(-total // 16) * 16


def _vectors(file: Path) -> str:
    with np.load(file, allow_pickle=False) as stored:
        real, inputs, words = int(stored["real"]), stored["inputs"], stored["twice"]
    rows = [*range(min(real, _REAL_SAMPLES)), *range(real, len(inputs))]
    inputs, words = inputs[rows].reshape(len(rows), -1), words[rows].reshape(len(rows), -1)
    return "\n".join([
        f"/* {len(rows)} samples of {VECTORS_FILE}, corners last, and their words from kernels like TFLite Micro's. */",
        "#ifndef TEST_VECTORS_H", "#define TEST_VECTORS_H", "#include <stdint.h>",
        f"#define TEST_VECTORS {len(rows)}",
        f"#define MODEL_INPUT_BYTES {inputs.shape[1]}", f"#define MODEL_OUTPUT_BYTES {words.shape[1]}",
        "static const int8_t test_inputs[TEST_VECTORS][MODEL_INPUT_BYTES] = {", *_rows(inputs), "};",
        "static const int8_t test_outputs[TEST_VECTORS][MODEL_OUTPUT_BYTES] = {", *_rows(words), "};",
        "#endif", "",
    ])  # fmt: skip


def _rows(samples: Iterable[np.ndarray[tuple[int, ...], np.dtype[np.int8]]]) -> list[str]:
    lines = []
    for sample in samples:
        words = [str(int(word)) for word in sample]
        parts = [", ".join(words[start : start + _COLUMNS]) for start in range(0, len(words), _COLUMNS)]
        lines.append("  {" + ",\n   ".join(parts) + "},")
    return lines
