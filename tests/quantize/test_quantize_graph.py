"""Branched models: quantized, read as integers, and the same words as QKeras in every node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.model.folding import inference_graph
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras, graph_of, random_inputs
from toolchain.model.rewriting import plain_graph
from toolchain.model.tensorflow import load_tensorflow
from toolchain.network import interpreter
from toolchain.network.nodes import Concatenate, DepthwiseConvolution, Embedding, Multiply, Table
from toolchain.project import QuantizeSection
from toolchain.quantize import witness
from toolchain.quantize.formats import choose_formats
from toolchain.quantize.from_qkeras import Reading, read_qkeras
from toolchain.quantize.to_qkeras import quantized_graph, set_to_quantized


def quantized(graph: Graph, section: QuantizeSection | None = None) -> Any:
    plain = plain_graph(inference_graph(graph))
    inputs = dict(zip(graph.inputs, (np.asarray(x, float) for x in random_inputs(graph, 200)), strict=True))
    model = build_keras(quantized_graph(plain, choose_formats(plain, inputs, section or QuantizeSection())))
    set_to_quantized(model)
    return model


def assert_same_words(reading: Reading, samples: int = 60) -> None:
    rng = np.random.default_rng(0)
    words = {}
    for port in reading.network.inputs:
        form = port.result
        largest = reading.largest.get(port.name, form.max_word)
        words[port.name] = rng.integers(form.min_word, largest + 1, size=(samples, *port.shape))
    outputs, _ = witness.layer_outputs(reading, words)
    found = interpreter.run(reading.network, words)
    for node in reading.network.nodes:
        assert np.array_equal(node.result.values_of(found[node.name]), outputs[node.name]), node.name


def image_model(keras: Any) -> Any:
    layers = keras.layers
    x = keras.Input((9, 9, 2), name="image")
    y = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="conv")(layers.ZeroPadding2D(1)(x))
    z = layers.SeparableConv2D(4, 3, padding="same", activation="tanh", name="separable")(y)
    z = layers.BatchNormalization(name="norm")(layers.Add(name="skip")([y, z]))
    z = layers.MaxPooling2D(2, name="pool")(layers.LeakyReLU(0.3, name="leaky")(z))
    mean, largest = layers.GlobalAveragePooling2D(name="mean")(z), layers.GlobalMaxPooling2D(name="largest")(z)
    z = layers.Concatenate(name="both")([mean, largest])
    gate = layers.Dense(8, activation="sigmoid", name="gate")(z)
    z = layers.Multiply(name="gated")([layers.Dense(8, name="value")(z), gate])
    shared = layers.Dense(3, name="shared")
    left = shared(layers.Subtract(name="less")([z, gate]))
    right = shared(layers.ReLU(6.0, name="relu6")(z))
    return keras.Model(x, [layers.Average(name="average")([left, right]), layers.Maximum(name="most")([left, right])])


def sequence_model(keras: Any) -> Any:
    layers = keras.layers
    x, code = keras.Input((8, 3), name="ticks"), keras.Input((4,), dtype="int32", name="code")
    y = layers.Conv1D(4, 3, dilation_rate=2, padding="causal", activation="elu", name="causal")(x)
    y = layers.BatchNormalization(name="norm")(layers.AveragePooling1D(2, name="mean")(y))
    e = layers.Conv1D(4, 1, name="mix")(
        layers.Permute((2, 1), name="turned")(layers.Embedding(11, 4, name="embed")(code))
    )
    y = layers.Minimum(name="least")([layers.Cropping1D((0, 0), name="crop")(y), e])
    return keras.Model([x, code], layers.Dense(1, name="out")(layers.Flatten(name="flat")(y)))


@pytest.mark.parametrize("make", [image_model, sequence_model])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_float_graph_becomes_integers_that_qkeras_computes(make: Any, bits: int) -> None:
    keras = load_tensorflow().keras
    keras.utils.set_random_seed(bits)
    section = QuantizeSection(weight_bits=bits, activation_bits=bits, input_bits=bits + 2)
    reading = read_qkeras(quantized(graph_of(make(keras)), section), "n")
    kinds = {type(node) for node in reading.network.nodes}
    wanted = {Table, Concatenate, Multiply, DepthwiseConvolution} if make is image_model else {Embedding, Table}
    assert wanted <= kinds
    assert_same_words(reading)


def test_widths_of_one_layer_are_its_own() -> None:
    keras = load_tensorflow().keras
    section = QuantizeSection.model_validate(
        {"weight_bits": 8, "layers": {"shared": {"weight_bits": 3}, "conv_relu": {"activation_bits": 5}}}
    )
    network = read_qkeras(quantized(graph_of(image_model(keras)), section), "n").network
    assert network["shared"].kernel_format.width == 3
    assert network["value"].kernel_format.width == 8
    assert network["conv_relu"].result.width == 5


def test_widths_of_a_layer_that_does_not_exist_are_refused() -> None:
    keras = load_tensorflow().keras
    section = QuantizeSection.model_validate({"layers": {"sharedd": {"weight_bits": 3}}})
    with pytest.raises(ProjectError, match="sharedd") as caught:
        quantized(graph_of(image_model(keras)), section)
    assert "'shared'" in caught.value.hint


def own_qkeras(keras: Any, kernel: Any, activation: Any) -> Any:
    from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D, quantized_bits

    bias = quantized_bits(6, 1, alpha=1)
    x = keras.Input((5, 5, 2), name="x")
    y = QActivation(quantized_bits(6, 1, alpha=1), name="port")(x)
    y = QConv2D(3, 2, kernel_quantizer=kernel, bias_quantizer=bias, activation=activation, name="conv")(y)
    y = QDepthwiseConv2D(2, depthwise_quantizer=kernel, bias_quantizer=bias, name="depthwise")(y)
    y = QActivation(quantized_bits(6, 2, alpha=1), name="narrow")(y)
    y = keras.layers.Dropout(0.1)(keras.layers.Flatten(name="flat")(y))
    return keras.Model(x, QDense(2, kernel_quantizer=kernel, bias_quantizer=bias, name="out")(y))


def test_a_users_qkeras_model_is_taken_as_it_is() -> None:
    keras = load_tensorflow().keras
    from qkeras import binary, quantized_bits, quantized_po2, quantized_relu, quantized_sigmoid, quantized_tanh, ternary

    keras.utils.set_random_seed(1)
    plain = quantized_bits(5, 0, alpha=1)
    kernels = [
        plain, quantized_bits(4, 0, alpha="auto_po2"), quantized_bits(4, 0, keep_negative=False, alpha=1),
        binary(alpha=1), binary(use_01=True, alpha=1), ternary(alpha=1), ternary(alpha=1, threshold=0.1),
        quantized_bits(1, 0, alpha=1), quantized_po2(4),
    ]  # fmt: skip
    for kernel in kernels:
        assert_same_words(read_qkeras(own_qkeras(keras, kernel, quantized_relu(5, 2)), "n"))
    activations = [
        quantized_relu(5, 2, negative_slope=0.25), quantized_tanh(5), quantized_sigmoid(5), binary(alpha=1),
        ternary(alpha=1), quantized_relu(5, 2, relu_upper_bound=3.0),
    ]  # fmt: skip
    for activation in activations:
        narrow = own_qkeras(keras, quantized_bits(3, 0, alpha=1), activation)
        assert_same_words(read_qkeras(narrow, "n"))


def test_what_lies_on_no_grid_is_refused() -> None:
    keras = load_tensorflow().keras
    from qkeras import quantized_bits, quantized_relu, stochastic_binary

    wrong = [
        quantized_bits(4, 0, alpha="auto"), quantized_bits(4, 0, alpha=0.3), stochastic_binary(),
        quantized_bits(4, 0, alpha=1, use_stochastic_rounding=True),
    ]  # fmt: skip
    for kernel in wrong:
        with pytest.raises(UnsupportedModelError, match="layer 'conv'"):
            read_qkeras(own_qkeras(keras, kernel, quantized_relu(5, 2)), "n")


def test_a_function_without_a_quantizer_behind_it_is_refused() -> None:
    keras = load_tensorflow().keras
    from qkeras import QActivation, QDense, quantized_bits

    bits = quantized_bits(4, 0, alpha=1)
    layers = [QActivation(quantized_bits(8, 0, alpha=1), name="port"), keras.layers.Activation("tanh", name="tanh")]
    made = QDense(2, kernel_quantizer=bits, bias_quantizer=bits, name="d")
    with pytest.raises(UnsupportedModelError, match="'tanh'"):
        read_qkeras(keras.Sequential([keras.Input((3,)), *layers, made]), "n")
    with pytest.raises(UnsupportedModelError, match="'tanh'"):
        read_qkeras(keras.Sequential([keras.Input((3,)), *layers]), "n")


def test_a_table_of_too_many_words_is_refused() -> None:
    keras = load_tensorflow().keras
    from qkeras import QActivation, quantized_bits, quantized_tanh

    wide, real = QActivation(quantized_bits(13, 0, alpha=1), name="port"), quantized_tanh(5, use_real_tanh=True)
    with pytest.raises(UnsupportedModelError, match="8,192 words"):
        read_qkeras(keras.Sequential([keras.Input((3,)), wide, QActivation(real, name="t")]), "n")


@pytest.mark.parametrize("kind", ["SimpleRNN", "LSTM", "GRU"])
def test_a_recurrent_layer_becomes_integers_that_qkeras_computes(kind: str) -> None:
    keras = load_tensorflow().keras
    keras.utils.set_random_seed(2)
    cell = getattr(keras.layers, kind)(3, name="cell")
    model = keras.Sequential([keras.Input((4, 2), name="x"), cell, keras.layers.Dense(1, name="out")])
    assert_same_words(read_qkeras(quantized(graph_of(model)), "n"))
