"""Graphs from Keras 2, Keras 3 and QKeras models, rebuilt with the same predictions; folding for inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toolchain.errors import UnsupportedModelError
from toolchain.model.folding import inference_graph
from toolchain.model.graph import Graph, Tensor
from toolchain.model.keras_graph import build_keras, call_model, graph_of, load_graph, output_shapes, random_inputs
from toolchain.model.tensorflow import load_tensorflow


def both() -> list[Any]:
    legacy = load_tensorflow().keras  # first: it chooses tf_keras
    import keras

    return [legacy, keras]


def branched(keras: Any) -> Any:
    """Two inputs, two outputs, a shared layer, a nested model, a skip connection, recurrence and attention."""
    layers = keras.layers
    image, vector = keras.Input((8, 8, 3), name="image"), keras.Input((6,), name="vector")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    y = layers.SeparableConv2D(4, 3, padding="same", name="separable")(x)
    x = layers.DepthwiseConv2D(3, strides=2, name="depthwise")(layers.Add(name="skip")([x, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    inner = keras.Sequential([layers.Dense(6, activation="relu", name="first"), layers.Dense(4, name="second")])
    shared = layers.Dense(4, name="shared")
    both = layers.Concatenate(name="both")([shared(x), shared(inner(vector))])
    steps = layers.LSTM(5, return_sequences=True, name="lstm")(layers.Reshape((2, 4), name="steps")(both))
    mixed = layers.MultiHeadAttention(2, 3, name="attention")(steps, steps)
    last = layers.GRU(3, name="gru")(layers.LayerNormalization(name="layer_norm")(mixed))
    outputs = [layers.Dense(1, activation="sigmoid", name="up")(last), layers.Dense(2, name="size")(both)]
    return keras.Model([image, vector], outputs)


def test_a_branched_model_of_either_keras_is_the_same_graph() -> None:
    graphs = [graph_of(branched(keras)) for keras in both()]
    for graph in graphs:
        assert graph.inputs == ("image", "vector")
        assert [out.layer for out in graph.outputs] == ["up", "size"]
        assert graph.uses("shared") == 2
        assert set(graph.layers["lstm"].weights) == {"lstm_cell/kernel", "lstm_cell/recurrent_kernel", "lstm_cell/bias"}
        assert output_shapes(graph)[Tensor("depthwise")] == (3, 3, 4)
    assert [call.layer for call in graphs[0].calls] == [call.layer for call in graphs[1].calls]
    assert graphs[0].parameters == graphs[1].parameters == 779


def test_a_rebuilt_graph_predicts_the_same_words() -> None:
    model = branched(both()[0])
    graph = graph_of(model)
    inputs = random_inputs(graph)
    for one, other in zip(call_model(model, inputs), call_model(build_keras(graph), inputs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_nested_functional_model_called_twice_is_unfolded() -> None:
    for keras in both():
        x = keras.Input((4,), name="x")
        inner = keras.Model(x, keras.layers.Dense(4, name="d")(x), name="inner")
        outer = keras.Input((4,), name="outer")
        graph = graph_of(keras.Model(outer, keras.layers.Add(name="sum")([inner(inner(outer)), outer])))
        assert [call.layer for call in graph.calls] == ["outer", "d", "d", "sum"]


def test_names_that_nesting_would_double_are_kept_apart() -> None:
    keras = both()[0]
    inner = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, name="d")], name=name) for name in ("a", "b")]
    graph = graph_of(keras.Sequential([keras.Input((3,), name="x"), *inner]))
    assert [call.layer for call in graph.calls] == ["x", "d", "b_d"]


def test_a_qkeras_model_keeps_its_quantizers(tmp_path: Any) -> None:
    keras = both()[0]
    from qkeras import QActivation, QDense, quantized_bits

    bits = quantized_bits(6, 0, alpha=1)
    model = keras.Sequential([
        keras.Input((6,), name="x"), QActivation(quantized_bits(8, 2, alpha=1), name="port"),
        QDense(4, kernel_quantizer=bits, bias_quantizer=bits, name="dense"), 
        QActivation("quantized_relu(6,2)", name="relu"),
    ])  # fmt: skip
    model.save(tmp_path / "q.keras")
    x = random_inputs(graph_of(model))
    for graph in (graph_of(model), load_graph(tmp_path / "q.keras")):
        np.testing.assert_array_equal(call_model(build_keras(graph), x)[0], call_model(model, x)[0])


def test_a_subclassed_model_is_refused() -> None:
    keras = both()[0]

    class Own(keras.Model):  # type: ignore[misc, name-defined]
        pass

    with pytest.raises(UnsupportedModelError, match="functional"):
        graph_of(Own())


def test_weights_that_are_not_finite_are_refused() -> None:
    keras = both()[0]
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="d")])
    model.get_layer("d").set_weights([np.array([[np.nan], [1.0]]), np.zeros(1)])
    with pytest.raises(UnsupportedModelError, match=r"'d'.*NaN"):
        graph_of(model)


def test_a_model_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = both()[0]
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="relu", name="d")])
    call = type(model).__call__
    monkeypatch.setattr(model.__class__, "__call__", lambda self, x, **k: call(self, x, **k) * 1.00001)
    with pytest.raises(UnsupportedModelError, match="something else"):
        graph_of(model)


def normalized(keras: Any) -> Any:
    layers = keras.layers
    x = keras.Input((6, 3), name="x")
    y = layers.BatchNormalization(name="n0")(x)
    y = layers.Conv1D(4, 2, name="c")(y)
    y = layers.Activation("relu", name="a")(layers.BatchNormalization(name="n1")(y))
    y = layers.Flatten(name="f")(layers.Dropout(0.2, name="drop")(layers.BatchNormalization(name="n2")(y)))
    left = layers.Dense(4, activation="tanh", name="left")(y)
    right = layers.BatchNormalization(name="n3")(left)
    out = layers.Dense(2, name="out")(layers.Add(name="sum")([left, right]))
    model = keras.Model(x, out)
    random = np.random.default_rng(1)
    for layer in model.layers:
        if "Normalization" in type(layer).__name__:
            layer.set_weights([random.uniform(0.5, 2, size=weight.shape) for weight in layer.get_weights()])
    return model


def test_folding_keeps_the_function_and_leaves_what_it_cannot_fold() -> None:
    graph = graph_of(normalized(both()[0]))
    folded = inference_graph(graph)
    assert [name for name, layer in folded.layers.items() if layer.kind == "BatchNormalization"] == ["n3"]
    assert "drop" not in folded.layers
    assert folded.layers["left_tanh"].config == {"activation": "tanh"}
    assert folded.layers["a"].kind == "ReLU"
    x = random_inputs(graph)
    one, other = (call_model(build_keras(item, "float64"), x)[0] for item in (graph, folded))
    np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)


def test_calls_are_taken_out_and_their_readers_rewired() -> None:
    graph = graph_of(normalized(both()[0]))
    smaller: Graph = graph.without_calls({Tensor("n3"): Tensor("left")})
    assert next(call for call in smaller.calls if call.layer == "sum").inputs == (Tensor("left"), Tensor("left"))
    assert "n3" not in smaller.layers
