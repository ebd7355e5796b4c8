"""Runs on the ARM side, under its own Python and numpy: a TFLite file on int8 inputs. No other module is imported.

Its one argument is a JSON file: ``runtime`` (``tflite-runtime`` or ``litert``), ``model``, ``inputs`` (.npy), ``runs``
(``kernels`` and ``outputs`` for each), ``repeats`` (invocations of the first sample alone, instead of all at once),
``ports`` (a JSON file to write: scale and zero point of every input and of the output as the runtime reads them). The
inputs of a file of several stand side by side in its own order: ``(samples, words)``.
"""

import gc
import json
import sys

import numpy as np


def main():  # type: ignore[no-untyped-def]
    """Write the outputs of every run as .npy."""
    with open(sys.argv[1], encoding="utf-8") as stream:  # noqa: PTH123 - runs where pathlib costs emulated seconds
        job = json.load(stream)
    if job["runtime"] == "litert":
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    else:
        from tflite_runtime.interpreter import Interpreter, OpResolverType
    resolvers = {
        "reference": OpResolverType.BUILTIN_REF,
        "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        "default": OpResolverType.AUTO,
    }
    inputs = np.load(job["inputs"], allow_pickle=False)
    for run in job["runs"]:
        interpreter = Interpreter(
            model_path=job["model"], experimental_op_resolver_type=resolvers[run["kernels"]], num_threads=1
        )
        ports, result = interpreter.get_input_details(), interpreter.get_output_details()[0]
        chosen = inputs[:1] if job["repeats"] else inputs
        given = columns(chosen, [port["shape"][1:] for port in ports])  # type: ignore[no-untyped-call]
        for port, part in zip(ports, given, strict=True):
            if not job["repeats"]:
                interpreter.resize_tensor_input(port["index"], part.shape)
        interpreter.allocate_tensors()
        for port, part in zip(ports, given, strict=True):
            interpreter.set_tensor(port["index"], part)
        gc.disable()  # its rounds would be counted as instructions of the inference
        for _ in range(max(job["repeats"], 1)):
            interpreter.invoke()
        np.save(run["outputs"], interpreter.get_tensor(result["index"]))
        with open(job["ports"], "w", encoding="utf-8") as stream:  # noqa: PTH123
            grids = [port["quantization"] for port in (*ports, result)]
            json.dump([[float(scale), int(zero)] for scale, zero in grids], stream)


def columns(inputs, shapes):  # type: ignore[no-untyped-def]
    """The part of ``inputs`` that each port reads."""
    if len(shapes) == 1:
        return [inputs]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = np.split(inputs, ends[:-1], axis=1)
    return [np.ascontiguousarray(part).reshape(len(inputs), *shape) for part, shape in zip(parts, shapes, strict=True)]


main()  # type: ignore[no-untyped-call]
