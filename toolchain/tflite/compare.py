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
from toolchain.tflite.lowering import lower
from toolchain.tflite.operators import NotExpressibleError
from toolchain.tflite.ports import choose_ports

_CALIBRATION_SAMPLES = 500


@dataclass(frozen=True, slots=True)
class ErrorComparison:
    """Largest differences of the outputs from the network's, in its output units, on the same real inputs."""

    exact_error: float
    post_training_error: float
    output_lsb: float  # of the exact file

    @property
    def ratio(self) -> float:
        """How many times smaller the exact export's error is."""
        return self.post_training_error / self.exact_error if self.exact_error else float("inf")


def compare_with_post_training(
    network: FixedPointNetwork, train: FloatArray, test: FloatArray, folder: Path
) -> ErrorComparison:
    """Write both int8 files into ``folder``, run them on ``test (samples, *shape)`` with the reference kernels and
    compare with the network. The other file is made from a float model with the network's own weights and biases,
    calibrated on ``train``.

    Raises NotExpressibleError when the network has no int8 form.
    """
    port = network.inputs[0]
    words = quantize_inputs(network, {port.name: train})[port.name]
    model = lower(network, choose_ports(network, words, extrapolates=False))
    exact = folder / "exact.int8.tflite"
    exact.write_bytes(to_bytes(model))
    plain = folder / "post_training.int8.tflite"
    plain.write_bytes(convert_keras(float_model(network), train[:_CALIBRATION_SAMPLES]))
    expected = _network_outputs(network, quantize_inputs(network, {port.name: test})[port.name])
    errors = [float(np.abs(run_on_values(path, test) - expected).max()) for path in (exact, plain)]
    return ErrorComparison(errors[0], errors[1], model.output.grid.scale)


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
