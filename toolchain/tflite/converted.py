"""Keras models through TensorFlow's converter: the kinds of file that need no integer network."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from toolchain.data.ports import unpack
from toolchain.errors import BitMismatchError, UnsupportedModelError
from toolchain.model.keras_graph import load_keras
from toolchain.model.tensorflow import load_tensorflow, quiet_stderr
from toolchain.results import FloatArray, Samples
from toolchain.tflite.reader import Port, read_summary
from toolchain.tflite.runtime import Kernels, kernels_for, run_tensors

ConvertedKind = Literal["float32", "float16", "dynamic_range", "post_training_int8"]
CONVERTED: tuple[ConvertedKind, ...] = get_args(ConvertedKind)
#: Of the largest output: float32 sums in another order; weights with 11 bits. The others are measured, not bounded.
_TOLERANCE: dict[ConvertedKind, float] = {"float32": 1e-4, "float16": 1e-2}
_CALIBRATION_SAMPLES = 500


def write_converted(kind: ConvertedKind, pruned: Path, samples: Samples, path: Path) -> tuple[FloatArray, str]:
    """Write ``path`` from the pruned Keras model in the folder ``pruned`` and run it on the test part.

    Returns its outputs ``(test samples, outputs)`` and what they were compared with. Raises BitMismatchError when a
    float file's outputs are not the Keras model's.
    """
    model, calibration = load_keras_file(pruned / "model.keras"), samples.train.x[:_CALIBRATION_SAMPLES]
    path.write_bytes(convert_keras(model, calibration if kind == "post_training_int8" else None, kind))
    kernels = kernels_for(path)
    found = run_on_values(path, samples.test.x, kernels, tuple(model.output_names))
    expected = np.load(pruned / "predictions.npy", allow_pickle=False)
    largest = float(np.abs(found - expected).max(initial=0.0))
    allowed = _TOLERANCE.get(kind, np.inf) * max(float(np.abs(expected).max(initial=0.0)), 1.0)
    if not largest <= allowed:
        raise BitMismatchError(
            f"its outputs are {largest:.3g} from the pruned Keras model's", where=path.name,
            allowed=f"at most {allowed:.3g}: weights of the file's precision, float32 sums in another order",
        )  # fmt: skip
    bound = "" if kind in _TOLERANCE else " (made by post-training quantization: measured, no bound holds)"
    by = "" if kernels == "reference" else " (default kernels)"
    return found, f"pruned Keras model on {len(found)} test samples: largest difference {largest:.3g}{by}{bound}"


def run_on_values(
    path: Path, x: FloatArray, kernels: Kernels = "reference", outputs: tuple[str, ...] = ()
) -> FloatArray:  # fmt: skip
    """Outputs in real values for real inputs: quantized to the file's input port, dequantized from its output port.

    ``x`` of a file of several inputs is packed by their names (``data/ports.py``). A file of several outputs gives them
    side by side in the order of ``outputs``, their names. Raises BitMismatchError where they are not the file's.
    """
    summary = read_summary(path)
    given = unpack(x, {port.name: port.shape[1:] for port in summary.inputs})
    words = tuple(_on_port(port, given[port.name]) for port in summary.inputs)
    found = run_tensors(path, words, (), kernels)[0]
    if len(summary.outputs) == 1:
        return _from_port(summary.outputs[0], found[0])
    named = {port.name: _from_port(port, values) for port, values in zip(summary.outputs, found, strict=True)}
    if sorted(named) != sorted(outputs) or len(named) != len(found):
        raise BitMismatchError(
            f"its outputs are {', '.join(named)}", where=path.name, allowed=f"the model's: {', '.join(outputs)}"
        )
    return np.concatenate([named[name].reshape(len(x), -1) for name in outputs], axis=1)


def _from_port(port: Port, words: NDArray[Any]) -> FloatArray:
    found = words.astype(np.float64)
    if port.scale is None or port.zero_point is None or port.kind == "float32":
        return found
    return (found - port.zero_point) * port.scale


def _on_port(port: Port, x: FloatArray) -> NDArray[Any]:
    if port.scale is None or port.zero_point is None or port.kind == "float32":
        return x.astype(np.float32)
    kind: type[np.int8] | type[np.int16] = np.int16 if port.kind == "int16" else np.int8
    ends = np.iinfo(kind)
    return np.asarray(np.clip(np.rint(x / port.scale) + port.zero_point, ends.min, ends.max), dtype=kind)


def convert_keras_file(
    path: Path, kind: ConvertedKind = "float32", calibration: NDArray[np.float64] | None = None
) -> bytes:
    """The flatbuffer of the tf_keras model in ``path``.

    Raises UnsupportedModelError when it cannot be loaded or has operators that TFLite has not.
    """
    return convert_keras(load_keras_file(path), calibration if kind == "post_training_int8" else None, kind)


def load_keras_file(path: Path) -> Any:
    """The tf_keras or QKeras model in ``path``. Raises UnsupportedModelError when it cannot be loaded."""
    try:
        return load_keras(path)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UnsupportedModelError(f"cannot be loaded: {str(error)[:300]}", where=str(path)) from None


def convert_keras(model: Any, calibration: NDArray[np.float64] | None = None, kind: ConvertedKind = "float32") -> bytes:
    """The flatbuffer of a tf_keras model; with ``calibration (samples, …)``, packed where inputs are several, full int8
    as the converter's own post-training quantization makes it. ``float16``: weights in half precision;
    ``dynamic_range``: int8 weights."""
    tf = load_tensorflow()
    from tensorflow.lite.python.convert import ConverterError

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind != "float32" or calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if calibration is not None:
        converter.representative_dataset = lambda: _one_by_one(model, calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about calibration statistics it then collects itself
            return bytes(converter.convert())
    except (ValueError, RuntimeError, ConverterError) as error:
        raise UnsupportedModelError(f"TFLite cannot express it: {str(error)[:300]}", where=f"tflite {kind}") from None


def _one_by_one(model: Any, calibration: NDArray[np.float64]) -> Iterator[Any]:
    """Each sample by the names of the model's inputs; of the only one, in a list."""
    names = list(model.input_names)
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in zip(names, model.inputs, strict=True)}
    given = unpack(calibration.astype(np.float32), shapes)
    for place in range(len(calibration)):
        sample = {name: values[place : place + 1] for name, values in given.items()}
        yield sample if len(names) > 1 else list(sample.values())
