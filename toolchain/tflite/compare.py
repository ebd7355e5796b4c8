"""Exact int8 export against the converter's own post-training int8 quantization of the same network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.fixed_point import Words
from toolchain.model.tensorflow import load_tensorflow
from toolchain.network.interpreter import quantize_inputs, run
from toolchain.network.nodes import Convolution, Dense, FixedPointNetwork, Linear, Relu, Reshape
from toolchain.results import FloatArray
from toolchain.tflite.converted import convert_keras, run_on_values
from toolchain.tflite.flatbuffer import to_bytes
from toolchain.tflite.grids import INT8, INT8_WIDE_RESULT, INT16X8
from toolchain.tflite.operators import NotExpressibleError
from toolchain.tflite.runtime import Kernels
from toolchain.tflite.settling import settle

_CALIBRATION_SAMPLES = 500
_WIDTHS = {"int8": INT8, "int16x8": INT16X8, "wide_result": INT8_WIDE_RESULT}


@dataclass(frozen=True, slots=True)
class ErrorComparison:
    """Largest differences of the outputs from the network's, in its output units, on the same real inputs.

    ``exact_error``: the int8 file with the reference kernels; ``default_error``: with the default ones (XNNPACK);
    ``wide_error``: the int16x8 file, ``wide_result_error``: int8 with an int16 result, both with the default kernels;
    ``post_training_error``: with the kernels that give the smaller one.
    """

    exact_error: float
    default_error: float
    wide_error: float
    wide_result_error: float
    post_training_error: float
    output_lsb: float  # of the int8 file

    @property
    def ratio(self) -> float:
        """How many times smaller the int8 file's error is, with the reference kernels."""
        return self.times(self.exact_error)

    def times(self, error: float) -> float:
        """How many times smaller ``error`` is than post-training quantization's."""
        return self.post_training_error / error if error else float("inf")


def compare_with_post_training(
    network: FixedPointNetwork, train: FloatArray, test: FloatArray, folder: Path
) -> ErrorComparison:
    """Write the files into ``folder``, run them on ``test (samples, *shape)`` and compare with the network. The
    post-training file is made from a float model with the network's own weights and biases, calibrated on ``train``.

    Raises NotExpressibleError when the network has no int8 form.
    """
    port = network.inputs[0]
    words = quantize_inputs(network, {port.name: train})
    models = {name: settle(network, words, extrapolates=False, widths=widths) for name, widths in _WIDTHS.items()}
    files = {name: folder / f"exact.{name}.tflite" for name in models}
    for name, model in models.items():
        files[name].write_bytes(to_bytes(model))
    plain = folder / "post_training.int8.tflite"
    plain.write_bytes(convert_keras(float_model(network), train[:_CALIBRATION_SAMPLES]))
    expected = _network_outputs(network, quantize_inputs(network, {port.name: test})[port.name])

    def error(path: Path, kernels: Kernels) -> float:
        return float(np.abs(run_on_values(path, test, kernels) - expected).max())

    return ErrorComparison(
        exact_error=error(files["int8"], "reference"), default_error=error(files["int8"], "default"),
        wide_error=error(files["int16x8"], "default"), wide_result_error=error(files["wide_result"], "default"),
        post_training_error=min(error(plain, "reference"), error(plain, "default")),
        output_lsb=models["int8"].output.grid.scale,
    )  # fmt: skip


def float_model(network: FixedPointNetwork) -> Any:
    """A tf_keras model with the values of the network's weights and biases, and no quantization of activations."""
    keras = load_tensorflow().keras
    model = keras.Sequential([keras.Input(network.inputs[0].shape)])
    for node in network.nodes[1:]:
        if isinstance(node, Dense):
            model.add(keras.layers.Dense(node.kernel.shape[-1], name=node.name))
        elif isinstance(node, Convolution) and len(node.strides) == 1:
            (before, after), stride, spread = node.padding[0], node.strides[0], node.dilation[0]
            model.add(keras.layers.ZeroPadding1D((before, after)))
            filters, window = node.kernel.shape[-1], node.kernel.shape[0]
            model.add(keras.layers.Conv1D(filters, window, stride, dilation_rate=spread, name=node.name))
        elif isinstance(node, Relu):
            model.add(keras.layers.ReLU())
        elif isinstance(node, Reshape):
            model.add(keras.layers.Reshape(node.shape))
        else:
            raise NotExpressibleError(f"layer '{node.layer}': {type(node).__name__} has no float model here")
        if isinstance(node, Linear):
            model.get_layer(node.name).set_weights(_values(node))
    return model


def _values(node: Linear) -> list[FloatArray]:
    bias = np.zeros(node.kernel.shape[-1])
    if node.bias is not None and node.bias_format is not None:
        bias = node.bias_format.values_of(node.bias)
    return [node.kernel_format.values_of(node.kernel), bias]


def _network_outputs(network: FixedPointNetwork, words: Words) -> FloatArray:
    name = network.outputs[0]
    return network[name].result.values_of(run(network, {network.inputs[0].name: words})[name])
