"""Runs a TFLite file through TensorFlow's interpreter."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError
from toolchain.model.tensorflow import load_tensorflow, quiet_stderr

Kernels = Literal["reference", "default"]
_BATCH = 4096


def run_file(path: Path, inputs: NDArray[Any], kernels: Kernels = "reference") -> NDArray[Any]:
    """The first output ``(samples, *shape)`` for ``inputs (samples, *shape)`` of the file's own types.

    ``reference``: TFLite's reference kernels; ``default``: what its users run (XNNPACK where it applies).
    Raises UnsupportedModelError when the file cannot be run or the inputs are of another type.
    """
    return run_tensors(path, (inputs,), (), kernels)[0][0]


def kernels_for(path: Path) -> Kernels:
    """``reference`` where TensorFlow's set of reference kernels has every operator of the file, else ``default``.

    That set has no ROUND (QKeras' quantizers) and no ELU, among others.
    """
    try:
        _open(path, "reference", False)
    except UnsupportedModelError:
        return "default"
    return "reference"


def run_tensors(
    path: Path, inputs: tuple[NDArray[Any], ...], names: tuple[str, ...], kernels: Kernels = "reference"
) -> tuple[tuple[NDArray[Any], ...], dict[str, NDArray[Any]]]:
    """The outputs for the inputs, in the file's order, and every tensor called one of ``names`` (reference kernels
    only): ``(samples, *shape)`` each."""
    interpreter = _open(path, kernels, bool(names))
    ports, results = interpreter.get_input_details(), interpreter.get_output_details()
    _check_inputs(path, inputs, ports)
    places = {item["name"]: item["index"] for item in interpreter.get_tensor_details()} if names else {}
    outputs: list[list[NDArray[Any]]] = [[] for _ in results]
    tensors: dict[str, list[NDArray[Any]]] = {name: [] for name in names if name in places}
    for start in range(0, len(inputs[0]), _BATCH):
        batch = [part[start : start + _BATCH] for part in inputs]
        try:
            for port, part in zip(ports, batch, strict=True):
                interpreter.resize_tensor_input(port["index"], part.shape)
            with quiet_stderr():  # XNNPACK announces itself here
                interpreter.allocate_tensors()
            for port, part in zip(ports, batch, strict=True):
                interpreter.set_tensor(port["index"], part)
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise UnsupportedModelError(f"cannot be run: {error}", where=str(path)) from None
        for found, result in zip(outputs, results, strict=True):
            found.append(interpreter.get_tensor(result["index"]))
        for name, kept in tensors.items():
            kept.append(interpreter.get_tensor(places[name]))
    whole = tuple(np.concatenate(found) for found in outputs)
    return whole, {name: np.concatenate(kept) for name, kept in tensors.items()}


def _check_inputs(path: Path, inputs: tuple[NDArray[Any], ...], ports: list[Any]) -> None:
    if len(inputs) != len(ports):
        raise UnsupportedModelError(f"it has {len(ports)} inputs, not {len(inputs)}", where=str(path))
    for part, port in zip(inputs, ports, strict=True):
        shape = tuple(port["shape"][1:])
        if part.dtype != port["dtype"] or tuple(part.shape[1:]) != shape:
            found, wanted = f"{part.dtype} {part.shape[1:]}", f"{np.dtype(port['dtype'])} {shape}"
            raise UnsupportedModelError(f"its input is {wanted}, not {found}", where=str(path))


def _open(path: Path, kernels: Kernels, keep_tensors: bool) -> Any:
    tf = load_tensorflow()
    kinds = tf.lite.experimental.OpResolverType
    resolver = kinds.BUILTIN_REF if kernels == "reference" else kinds.AUTO
    try:
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # announces the package that will replace this one
            return tf.lite.Interpreter(
                model_content=path.read_bytes(), experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=keep_tensors, num_threads=1,
            )  # fmt: skip
    except (ValueError, RuntimeError, OSError) as error:
        raise UnsupportedModelError(
            f"cannot be opened: {error}", where=str(path), hint="is it a .tflite file?"
        ) from None
