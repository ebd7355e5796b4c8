"""Files by TensorFlow's converter: of a QKeras model, too, which has quantizers within."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolchain.model.keras_graph import qkeras_objects
from toolchain.model.tensorflow import load_tensorflow
from toolchain.results import Part, Samples
from toolchain.tflite.converted import write_converted
from toolchain.tflite.reader import read_summary


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_the_float_file_of_a_qkeras_model_computes_what_it_computes(tmp_path: Path, suffix: str) -> None:
    keras = load_tensorflow().keras
    qkeras_objects()
    from qkeras import QActivation, QDense, quantized_bits, quantized_relu

    keras.utils.set_random_seed(0)
    bits = {"kernel_quantizer": quantized_bits(5, 0, alpha=1), "bias_quantizer": quantized_bits(5, 0, alpha=1)}
    model = keras.Sequential([
        keras.Input((6,)), QActivation(quantized_bits(8, 2, alpha=1)),
        QDense(5, activation=quantized_relu(5, 2), **bits), QDense(1, **bits),
    ])  # fmt: skip
    model.save(tmp_path / f"made{suffix}")
    with keras.utils.custom_object_scope(qkeras_objects()):
        model = keras.models.load_model(tmp_path / f"made{suffix}", compile=False)
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)
    outputs = np.asarray(model(x), dtype=np.float64)
    np.save(tmp_path / "predictions.npy", outputs)
    part = Part(x.astype(np.float64), outputs, np.zeros(0), np.arange(60))
    found, checked = write_converted("float32", tmp_path, Samples(part, part, part), tmp_path / "model.float32.tflite")
    assert "ROUND" in read_summary(tmp_path / "model.float32.tflite").operators  # what its quantizers are made of
    assert np.array_equal(found, outputs)
    assert checked.endswith("largest difference 0 (default kernels)")


@pytest.mark.parametrize("activation", ["elu", "selu", "gelu", "softplus", "swish", "exponential", "softsign", "tanh"])
def test_activations_that_have_no_reference_kernel_are_run_by_the_default_ones(tmp_path: Path, activation: str) -> None:
    keras = load_tensorflow().keras
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation=activation), keras.layers.Dense(1)])
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    np.save(tmp_path / "predictions.npy", np.asarray(model(x), dtype=np.float64))
    part = Part(x.astype(np.float64), np.zeros((20, 1)), np.zeros(0), np.arange(20))
    found, _ = write_converted("float32", tmp_path, Samples(part, part, part), tmp_path / "model.float32.tflite")
    assert found.shape == (20, 1)
