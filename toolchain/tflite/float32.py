"""Keras models through TensorFlow's converter: float32, and plain post-training int8 to compare with."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError
from toolchain.model.tensorflow import load_tensorflow, quiet_stderr


def convert_keras_file(path: Path) -> bytes:
    """The float32 flatbuffer of the tf_keras model in ``path``.

    Raises UnsupportedModelError when it cannot be loaded or has operators that TFLite has not.
    """
    tf = load_tensorflow()
    try:
        model = tf.keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UnsupportedModelError(f"cannot be loaded: {str(error)[:300]}", where=str(path)) from None
    return convert_keras(model)


def convert_keras(model: Any, calibration: NDArray[np.float64] | None = None) -> bytes:
    """The flatbuffer of a tf_keras model: float32, or with ``calibration (samples, *shape)`` full int8 as the
    converter's own post-training quantization makes it."""
    tf = load_tensorflow()
    from tensorflow.lite.python.convert import ConverterError

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample[None].astype(np.float32)] for sample in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about calibration statistics it then collects itself
            return bytes(converter.convert())
    except (ValueError, RuntimeError, ConverterError) as error:
        raise UnsupportedModelError(f"TFLite cannot express it: {str(error)[:300]}", where="tflite float32") from None
