"""Sparse and int4 kernels in the int8 file: size, time, and which runtimes still give the same words.

A 64-256-128-10 network with 4-bit weights. ``sparse``: kernels as TFLite stores pruned ones (rows by index, 8-bit
indices), made dense by DENSIFY; ``sparse alone``: without it. ``int4``: kernels as int4. The runs on aarch64, armv7 and
TFLite Micro need `toolchain arm-setup` and the package tflite-micro; what is missing is said.

Run: python benchmarks/tflite_sparse_int4.py
"""

from __future__ import annotations

import copy
import gzip
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from toolchain.arm.emulation import RUNS, open_emulator, run_on_arm
from toolchain.arm.micro import run_on_micro
from toolchain.arm.packages import ARCHITECTURES
from toolchain.arm.sysroot import open_sysroot
from toolchain.errors import ToolchainError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.model.tensorflow import load_tensorflow, quiet_stderr
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.tflite.emulation import emulate
from toolchain.tflite.flatbuffer import AlignedBuffer, to_bytes
from toolchain.tflite.grids import INT8
from toolchain.tflite.operators import IntegerModel
from toolchain.tflite.schema import load_schema
from toolchain.tflite.settling import settle

SIZES = (64, 256, 128, 10)
MODES = (Rounding.RND_CONV, Overflow.SAT)
FULLY_CONNECTED, DENSIFY = 9, 124
SCALED = 4  # the file's weights are the network's times 4, so that no kernel rounds twice; int4 has no room for that


def network_of(zeros: float) -> FixedPointNetwork:
    """A multilayer perceptron whose kernels have this share of zeros."""
    rng = np.random.default_rng(0)
    builder, weights = NetworkBuilder("dense"), FixedPoint(True, 0, 3)
    last = builder.input("x", (SIZES[0],), FixedPoint(True, 2, 5, *MODES))
    for place, (rows, columns) in enumerate(pairwise(SIZES)):
        kernel = rng.integers(-7, 8, (rows, columns)) * (rng.random((rows, columns)) >= zeros)
        last = builder.dense(f"dense{place}", last, kernel, weights, rng.integers(-7, 8, columns), weights)
        if columns != SIZES[-1]:
            last = builder.requantize(f"cut{place}", last, FixedPoint(True, 3, 4, *MODES))
    return builder.build((last,))


def opened(data: bytes) -> tuple[Any, list[Any]]:
    """The model as objects, and its FULLY_CONNECTED operators."""
    schema = load_schema()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(data), 0))
    codes = [code.builtinCode for code in model.operatorCodes]
    return model, [o for o in model.subgraphs[0].operators if codes[o.opcodeIndex] == FULLY_CONNECTED]


def packed(model: Any) -> bytes:
    for place, buffer in enumerate(model.buffers):
        model.buffers[place] = AlignedBuffer(b"" if buffer.data is None else bytes(buffer.data))
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_sparse_kernels(data: bytes, densify: bool) -> bytes:
    """Every kernel (rows, columns) stored by its nonzero words; ``densify``: an operator that undoes it."""
    schema = load_schema()
    model, dense = opened(data)
    graph, operators = model.subgraphs[0], []
    if densify:
        model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=DENSIFY, version=1, builtinCode=DENSIFY))
    for operator in graph.operators:
        if operator in dense:
            tensor = graph.tensors[operator.inputs[1]]
            whole = copy.copy(tensor)
            kernel = np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int8).reshape(tensor.shape)
            tensor.sparsity = _sparsity(kernel)
            model.buffers[tensor.buffer].data = kernel[kernel != 0].tobytes()
            if densify:
                whole.buffer, whole.name = 0, b"whole/" + tensor.name
                graph.tensors.append(whole)
                operators.append(schema.OperatorT(
                    opcodeIndex=len(model.operatorCodes) - 1, inputs=[operator.inputs[1]],
                    outputs=[len(graph.tensors) - 1], builtinOptionsType=schema.BuiltinOptions.DensifyOptions,
                    builtinOptions=schema.DensifyOptionsT(),
                ))  # fmt: skip
                operator.inputs = [operator.inputs[0], len(graph.tensors) - 1, operator.inputs[2]]
        operators.append(operator)
    graph.operators = operators
    return packed(model)


def _sparsity(kernel: NDArray[np.int8]) -> Any:
    schema = load_schema()
    segments, indices = schema.Uint16VectorT(), schema.Uint8VectorT()
    segments.values = [0, *np.cumsum(np.count_nonzero(kernel, axis=1)).tolist()]
    indices.values = np.nonzero(kernel)[1].tolist()
    rows = schema.DimensionMetadataT(format=schema.DimensionType.DENSE, denseSize=kernel.shape[0])
    columns = schema.DimensionMetadataT(
        format=schema.DimensionType.SPARSE_CSR, arraySegmentsType=schema.SparseIndexVector.Uint16Vector,
        arraySegments=segments, arrayIndicesType=schema.SparseIndexVector.Uint8Vector, arrayIndices=indices,
    )  # fmt: skip
    return schema.SparsityParametersT(traversalOrder=[0, 1], blockMap=[], dimMetadata=[rows, columns])


def unscaled(data: bytes, int4: bool) -> bytes:
    """The same network with the weights' own words, which fit 4 bits; ``int4``: two of them in a byte."""
    model, dense = opened(data)
    for operator in dense:
        kernel, bias = (model.subgraphs[0].tensors[place] for place in operator.inputs[1:])
        for tensor, kind in ((kernel, np.int8), (bias, np.int32)):
            words = np.frombuffer(bytes(model.buffers[tensor.buffer].data), kind) // SCALED
            tensor.quantization.scale = [float(scale) * SCALED for scale in tensor.quantization.scale]
            if int4 and tensor is kernel:
                low = words.astype(np.uint8) & 15
                words, tensor.type = low[0::2] | (low[1::2] << 4), load_schema().TensorType.INT4
            model.buffers[tensor.buffer].data = words.astype(words.dtype).tobytes()
    return packed(model)


def run_here(data: bytes, inputs: NDArray[np.int8], kernels: str) -> tuple[NDArray[np.int8], float]:
    """The words, and the median microseconds of one sample."""
    tf = load_tensorflow()
    kinds = {
        "reference": tf.lite.experimental.OpResolverType.BUILTIN_REF,
        "XNNPACK": tf.lite.experimental.OpResolverType.AUTO,
    }
    with quiet_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(
            model_content=data, experimental_op_resolver_type=kinds[kernels], num_threads=1
        )
        interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    words, times = [], []
    for sample in inputs:
        interpreter.set_tensor(source, sample[None])
        start = time.perf_counter_ns()
        interpreter.invoke()
        times.append(time.perf_counter_ns() - start)
        words.append(interpreter.get_tensor(result)[0])
    return np.array(words), float(np.median(times)) / 1000


def say(name: str, words: NDArray[Any], expected: dict[str, NDArray[Any]], more: str = "") -> None:
    unlike = ", ".join(f"{np.count_nonzero(words != wanted)} {rounding}" for rounding, wanted in expected.items())
    print(f"    {name:36} unlike the prediction of {words.size:,} words: {unlike}{more}", flush=True)


def run_everywhere(data: bytes, inputs: NDArray[np.int8], expected: dict[str, NDArray[Any]]) -> None:
    for kernels in ("reference", "XNNPACK"):
        name = f"x86-64 TensorFlow, {kernels}"
        try:
            words, microseconds = run_here(data, inputs, kernels)
            say(name, words, expected, f"; {microseconds:.1f} µs")
        except (RuntimeError, ValueError) as error:
            print(f"    {name:36} refuses it: {str(error).splitlines()[0][:100]}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(data)
        for architecture in ARCHITECTURES:
            for runtime, kinds in RUNS[architecture].items():
                for kernels in kinds:
                    name = f"{architecture} {runtime}, {kernels}"
                    try:
                        emulator = open_emulator(open_sysroot(architecture))
                        say(name, run_on_arm(emulator, path, inputs, runtime, (kernels,)).words[kernels], expected)
                    except ToolchainError as error:
                        print(f"    {name:36} {error.problem[:130]}", flush=True)
        try:
            micro = run_on_micro(path, inputs)
            say("TFLite Micro", micro.words, expected, f"; arena {micro.arena_bytes:,} bytes")
        except ToolchainError as error:
            print(f"    {'TFLite Micro':36} {error.problem[:130]}")


def lowered(network: FixedPointNetwork) -> tuple[IntegerModel, NDArray[np.int8]]:
    rng = np.random.default_rng(1)
    model = settle(network, {"x": rng.integers(-128, 128, (300, SIZES[0]))}, False, INT8)
    return model, rng.integers(-128, 128, (300, SIZES[0])).astype(np.int8)


def main() -> None:
    for zeros in (0.5, 0.8, 0.9):
        model, inputs = lowered(network_of(zeros))
        plain = to_bytes(model)
        files = {
            "int8": plain, "int8, sparse": with_sparse_kernels(plain, True),
            "int8, sparse alone": with_sparse_kernels(plain, False),
            "int8, weights not scaled": unscaled(plain, False), "int4": unscaled(plain, True),
        }  # fmt: skip
        expected = {rounding: emulate(model, inputs, rounding)[model.output.name] for rounding in ("once", "to_even")}
        print(f"{zeros:.0%} zeros")
        for name, data in files.items():
            print(f"  {name}: {len(data):,} bytes, gzip {len(gzip.compress(data, 9, mtime=0)):,}")
            if zeros == 0.8:
                run_everywhere(data, inputs, expected)


if __name__ == "__main__":
    main()
