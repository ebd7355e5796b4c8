"""Operations and wrappers of Keras 3 become plain layers, and the model's function stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toolchain.errors import UnsupportedModelError
from toolchain.model.folding import inference_graph
from toolchain.model.keras_graph import check_predictions, graph_of
from toolchain.model.layer_rules import check_wiring, judge
from toolchain.model.rewriting import plain_graph, without_final_activation
from toolchain.model.tensorflow import load_tensorflow
from toolchain.model.wiring import read_wiring

NAMES = (
    "adapted", "given", "one mean", "before a convolution", "before padding", "every step", "both ways",
    "both ways, summed", "operators", "functions",
)  # fmt: skip


def models() -> dict[str, Any]:
    load_tensorflow()
    import keras
    from keras import layers, ops

    def flat(x: Any) -> Any:
        return layers.Dense(2)(layers.Flatten()(x))

    made = {}
    x = keras.Input((6, 4))
    adapted = layers.Normalization()
    adapted.adapt(np.random.default_rng(0).normal(1, 3, (40, 6, 4)))
    made["adapted"] = keras.Model(x, flat(adapted(x)))
    made["given"] = keras.Model(x, flat(layers.Normalization(mean=[0.1, 1, 2, 3], variance=[2.0, 1, 4, 0.5])(x)))
    made["one mean"] = keras.Model(x, flat(layers.Normalization(axis=None, mean=0.5, variance=2.0)(x)))
    made["before a convolution"] = keras.Model(x, flat(layers.Conv1D(3, 2)(layers.Rescaling(1 / 8, 0.5)(x))))
    made["before padding"] = keras.Model(
        x, flat(layers.Conv1D(3, 3, padding="same")(layers.Rescaling([0.5, 1, 2, 4], offset=-1)(x)))
    )
    made["every step"] = keras.Model(x, flat(layers.TimeDistributed(layers.Dense(3, activation="relu"))(x)))
    made["both ways"] = keras.Model(x, layers.Dense(2)(layers.Bidirectional(layers.LSTM(3))(x)))
    made["both ways, summed"] = keras.Model(
        x, layers.Dense(2)(layers.Bidirectional(layers.GRU(3), merge_mode="sum")(x))
    )
    made["operators"] = keras.Model(x, flat((layers.Dense(4)(x) + x) * 2.0 - x / 4 + (1.0 - x) - 0.5 + (-x)))
    made["functions"] = keras.Model(
        x, flat(ops.concatenate([ops.relu(x), ops.tanh(x), ops.maximum(x, layers.Dense(4)(x))], axis=-1))
    )
    return made


def _wiring(model: Any) -> Any:
    return read_wiring(type(model).__name__, model.get_config(), "model")


@pytest.mark.parametrize("name", NAMES)
def test_the_function_stays(name: str) -> None:
    model = models()[name]
    assert not check_wiring(_wiring(model), "model")
    graph = graph_of(model)
    plain = plain_graph(without_final_activation(inference_graph(graph))[0])
    assert not {"Normalization", "Rescaling", "TimeDistributed", "Bidirectional", "LSTM", "GRU"} & {
        layer.kind for layer in plain.layers.values()
    }
    check_predictions(model, plain, name)


def test_normalization_disappears_into_the_dense_layer_behind_it() -> None:
    plain = plain_graph(inference_graph(graph_of(models()["given"])))
    assert [layer.kind for layer in plain.layers.values()] == ["InputLayer", "Flatten", "Dense"]


def test_a_changed_scale_is_noticed() -> None:
    model = models()["before a convolution"]
    graph = graph_of(model)
    scale = next(layer for layer in graph.layers.values() if layer.kind == "Rescaling")
    changed = graph.with_layers(scale.with_config(scale=0.25))
    with pytest.raises(UnsupportedModelError, match="computes something else"):
        check_predictions(model, inference_graph(changed), "model")


def test_what_has_no_equivalent_is_refused_by_name() -> None:
    load_tensorflow()
    import keras
    from keras import layers, ops

    def problems(model: Any) -> str:
        return "\n".join(problem.text() for problem in check_wiring(_wiring(model), "model"))

    x = keras.Input((6, 4))
    assert "ops.Absolute is not supported" in problems(keras.Model(x, layers.Dense(1)(ops.abs(x))))
    assert "ops.GetItem is not supported" in problems(keras.Model(x, layers.Dense(1)(x[:, 1:])))
    assert "ops.Gelu is not supported" not in problems(keras.Model(x, layers.Dense(1)(ops.gelu(x, approximate=False))))
    sequences = layers.Bidirectional(layers.LSTM(3, return_sequences=True))
    assert "return_sequences turns a sequence round" in problems(keras.Model(x, layers.Dense(1)(sequences(x))))
    inner = layers.TimeDistributed(layers.LayerNormalization())
    assert "TimeDistributed of LayerNormalization" in problems(keras.Model(x, layers.Dense(1)(inner(x))))
    turned = layers.Normalization(mean=0.0, variance=1.0, axis=None, invert=True)
    assert "invert = True is not supported" in problems(keras.Model(x, layers.Dense(1)(turned(x))))


def test_an_open_length_is_refused() -> None:
    load_tensorflow()
    import keras
    from keras import layers

    x = keras.Input((None, 4))
    model = keras.Model(x, layers.Dense(1)(layers.GlobalAveragePooling1D()(x)))
    (problem,) = check_wiring(_wiring(model), "model")
    assert "takes samples of shape (None, 4)" in problem.text()


def test_only_specific_advice_stands_beside_a_refused_layer() -> None:
    load_tensorflow()
    import keras
    from keras import layers, ops

    x = keras.Input((6, 4))
    found = judge(_wiring(keras.Model(x, layers.Dense(1)(ops.abs(layers.GroupNormalization(2)(x))))), "model")
    advice = {item.kind: item.instead for item in found if item.status == "refused"}
    assert advice == {"GroupNormalization": "LayerNormalization or BatchNormalization", "ops.Absolute": ""}
