"""Runs on the ARM side, under its own Python and numpy: a TFLite file on int8 inputs. No other module is imported.

Its one argument is a JSON file: ``runtime`` (``tflite-runtime`` or ``litert``), ``model``, ``inputs`` (.npy), ``runs``
(``kernels`` and ``outputs`` for each), ``repeats`` (invocations of the first sample alone, instead of all at once),
``ports`` (a JSON file to write: scale and zero point of input and output as the runtime reads them).
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
        port, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        if not job["repeats"]:
            interpreter.resize_tensor_input(port["index"], inputs.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(port["index"], inputs[:1] if job["repeats"] else inputs)
        gc.disable()  # its rounds would be counted as instructions of the inference
        for _ in range(max(job["repeats"], 1)):
            interpreter.invoke()
        np.save(run["outputs"], interpreter.get_tensor(result["index"]))
        with open(job["ports"], "w", encoding="utf-8") as stream:  # noqa: PTH123
            json.dump(
                [[float(scale), int(zero)] for scale, zero in (port["quantization"], result["quantization"])], stream
            )


main()  # type: ignore[no-untyped-call]
