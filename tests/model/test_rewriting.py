"""Rewritten graphs compute the same function."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toolchain.model.folding import inference_graph
from toolchain.model.keras_graph import build_keras, call_model, graph_of, random_inputs
from toolchain.model.rewriting import plain_graph, without_final_activation
from toolchain.model.tensorflow import load_tensorflow


def model(rank: int) -> Any:
    keras = load_tensorflow().keras
    layers = keras.layers
    x = keras.Input((4,) * rank + (3,), name="x")
    if rank == 2:
        y = layers.SeparableConv2D(4, 2, padding="same", strides=2, depth_multiplier=2, activation="relu", name="s")(x)
        y = layers.AveragePooling2D(2, name="a")(layers.BatchNormalization(name="n")(y))
        y = layers.GlobalAveragePooling2D(name="g")(y)
    elif rank == 1:
        y = layers.SeparableConv1D(4, 2, padding="same", strides=2, name="s")(x)
        y = layers.DepthwiseConv1D(2, padding="same", dilation_rate=2, depth_multiplier=2, name="w")(y)
        y = layers.AveragePooling1D(2, 1, name="a")(layers.BatchNormalization(name="n")(layers.ReLU(name="r")(y)))
        y = layers.GlobalAveragePooling1D(name="g")(layers.ReLU(name="r2")(y))
    else:
        y = layers.BatchNormalization(name="n")(layers.ReLU(name="r")(x))
    y = layers.Add(name="twice")([y, y])
    made = keras.Model(x, layers.Dense(2, activation="softmax", name="d")(y))
    random = np.random.default_rng(1)
    for layer in made.layers:
        if "Normalization" in type(layer).__name__:
            layer.set_weights([random.uniform(0.5, 2, size=weight.shape) for weight in layer.get_weights()])
    return made


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_the_function_stays(rank: int) -> None:
    graph = inference_graph(graph_of(model(rank)))
    plain = plain_graph(graph)
    kinds = {layer.kind for layer in plain.layers.values()}
    assert not kinds & {
        "SeparableConv1D",
        "SeparableConv2D",
        "BatchNormalization",
        "AveragePooling2D",
        "DepthwiseConv1D",
    }
    assert not any(kind.startswith("Global") for kind in kinds)
    x = random_inputs(graph)
    one, other = (call_model(build_keras(item, "float64"), x)[0] for item in (graph, plain))
    np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)


def test_a_final_softmax_is_left_out_and_named() -> None:
    graph = graph_of(model(0))
    logits, left_out = without_final_activation(graph)
    assert left_out == ("softmax of 'd'",)
    x = random_inputs(graph)
    one, other = (call_model(build_keras(item, "float64"), x)[0] for item in (graph, logits))
    assert np.array_equal(one.argmax(1), other.argmax(1))
    np.testing.assert_allclose(np.exp(other) / np.exp(other).sum(1, keepdims=True), one, rtol=1e-12)
