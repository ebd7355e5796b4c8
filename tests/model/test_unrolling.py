"""Recurrent layers unrolled over their window compute what Keras computes, and become exact integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toolchain.errors import UnsupportedModelError
from toolchain.model.folding import inference_graph
from toolchain.model.keras_graph import build_keras, call_model, graph_of, random_inputs
from toolchain.model.rewriting import plain_graph
from toolchain.model.tensorflow import load_tensorflow


def recurrent(kind: str, **options: Any) -> Any:
    keras = load_tensorflow().keras
    layers = keras.layers
    x = keras.Input((4, 3), name="x")
    y = getattr(layers, kind)(2, name="cell", **options)(x)
    y = layers.Flatten(name="flat")(y) if options.get("return_sequences") else y
    model = keras.Model(x, layers.Dense(1, name="out")(y))
    random = np.random.default_rng(0)
    model.set_weights([random.normal(0, 0.6, size=weight.shape) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("SimpleRNN", {}),
        ("SimpleRNN", {"activation": "relu", "return_sequences": True, "go_backwards": True}),
        ("LSTM", {}),
        ("LSTM", {"return_sequences": True, "use_bias": False}),
        ("LSTM", {"activation": "relu", "recurrent_activation": "hard_sigmoid", "go_backwards": True}),
        ("GRU", {}),
        ("GRU", {"reset_after": False, "return_sequences": True}),
        ("GRU", {"use_bias": False}),
    ],
)
def test_the_function_stays(kind: str, options: dict[str, Any]) -> None:
    graph = graph_of(recurrent(kind, **options))
    plain = plain_graph(inference_graph(graph))
    assert not any(layer.kind in ("SimpleRNN", "LSTM", "GRU") for layer in plain.layers.values())
    x = random_inputs(graph)
    one, other = (call_model(build_keras(item, "float64"), x)[0] for item in (graph, plain))
    np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)


def test_a_state_that_is_kept_is_refused() -> None:
    graph = graph_of(recurrent("GRU"))
    kept = graph.with_layers(graph.layers["cell"].with_config(return_state=True))
    with pytest.raises(UnsupportedModelError, match="return_state"):
        plain_graph(kept)
