"""Runs on a board, under its own Python and numpy: ``model.tflite`` on ``inputs.npy``, both in the working directory.

No other module of the toolchain is imported. The answer is one line of JSON on standard output, after ``ANSWER``: what
ran, the words of every run in base64, and the nanoseconds of each invocation with the default kernels; or what is
``missing``, or why the file was ``refused``.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import os
import platform
import sys
import time
from typing import Any

ANSWER = "toolchain-device-answer "
#: Module of the interpreter, name of the package: the first that is installed is used.
RUNTIMES = (
    ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow.lite.python.interpreter", "tensorflow"),
)


def main() -> dict[str, Any]:
    """The whole answer."""
    try:
        import numpy as np
    except ImportError:
        return {"missing": "numpy"}
    module, package = find_runtime()
    if module is None:
        return {"missing": "TFLite runtime (ai-edge-litert, tflite-runtime or tensorflow)"}
    with open("model.tflite", "rb") as stream:  # noqa: PTH123
        content = stream.read()
    answer = describe(package)
    answer["model_sha256"] = hashlib.sha256(content).hexdigest()
    inputs = np.load("inputs.npy", allow_pickle=False)
    kinds = module.OpResolverType
    answer["runs"] = {}
    for kernels, resolver in (("reference", kinds.BUILTIN_REF), ("default", kinds.AUTO)):
        try:
            interpreter = module.Interpreter(
                model_path="model.tflite", experimental_op_resolver_type=resolver, num_threads=1
            )
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            return {"refused": str(error)[:400]}
        warm = np.array(invoke_each(interpreter, inputs)[0])
        found, answer["nanoseconds"] = invoke_each(interpreter, inputs)  # of the default kernels, which come last
        words = np.array(found)
        if not np.array_equal(warm, words):
            return {"refused": "the same inputs gave other words in a second pass"}
        answer["runs"][kernels] = {
            "dtype": words.dtype.name, "shape": list(words.shape),
            "words": base64.b64encode(words.tobytes()).decode("ascii"),
        }  # fmt: skip
        ports = [*interpreter.get_input_details(), interpreter.get_output_details()[0]]
        answer["ports"] = [[float(scale), int(zero)] for scale, zero in (port["quantization"] for port in ports)]
    return answer


def find_runtime() -> tuple[Any, str]:
    """The interpreter's module and its package's name, or None and nothing."""
    for module, package in RUNTIMES:
        try:
            return importlib.import_module(module), package
        except ImportError:
            continue
    return None, ""


def invoke_each(interpreter: Any, inputs: Any) -> tuple[list[Any], list[int]]:
    """The output words of each sample, invoked alone, and the nanoseconds of each call of ``invoke``."""
    sources = interpreter.get_input_details()
    result = interpreter.get_output_details()[0]["index"]
    words, nanoseconds = [], []
    for sample in inputs:
        given = sample.reshape(-1)
        for source in sources:  # one port's words behind the other's
            size = int(source["shape"].prod())
            interpreter.set_tensor(source["index"], given[:size].reshape(source["shape"]))
            given = given[size:]
        start = time.perf_counter_ns()
        interpreter.invoke()
        nanoseconds.append(time.perf_counter_ns() - start)
        words.append(interpreter.get_tensor(result)[0])
    return words, nanoseconds


def describe(package: str) -> dict[str, Any]:
    """What this machine is, and what runs on it."""
    try:
        from importlib.metadata import version

        found = version(package)
    except Exception:  # whatever an old Python's metadata raises: the version is a label, not a result
        found = "of unknown version"
    return {
        "machine": platform.machine(), "processor": processor(), "system": platform.platform(),
        "python": platform.python_version(), "runtime": package + " " + found,
        "governor": first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    }  # fmt: skip


def processor() -> str:
    """The board's own name, else the processor's."""
    board = first_line("/proc/device-tree/model").strip("\0")
    if board:
        return board
    if os.path.exists("/proc/cpuinfo"):  # noqa: PTH110
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
            for line in stream:
                if line.startswith(("model name", "Model")):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"


def first_line(path: str) -> str:
    """The first line of a file, empty when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
            return stream.readline().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    sys.stdout.write("\n" + ANSWER + json.dumps(main()) + "\n")
