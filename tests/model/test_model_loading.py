"""Keras 2 and Keras 3 files and models become graphs that compute the same, or are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_cases import functional, randomize, sequential

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.model import keras_graph
from toolchain.model.folding import inference_graph
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras, graph_of, random_inputs
from toolchain.model.loading import checked_graph, load_model_file
from toolchain.model.tensorflow import load_tensorflow


def keras_of(version: int) -> Any:
    tf = load_tensorflow()
    if version == 2:
        return tf.keras
    import keras

    return keras


def graph_in(path: Path) -> Graph:
    return load_model_file(path)


def call(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model(x, training=False), dtype=np.float64)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("make", [sequential, functional])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_model_predicts_the_same_after_loading(tmp_path: Path, version: int, make: Any, suffix: str) -> None:
    model = make(keras_of(version))
    model.compile("adam", "mse")
    model.save(tmp_path / f"model{suffix}")
    graph = graph_in(tmp_path / f"model{suffix}")
    x = random_inputs(graph)[0]
    expected = call(model, x)
    scale = np.abs(expected).max()
    assert np.abs(call(build_keras(graph), x) - expected).max() <= 1e-6 * scale
    exact, folded = (call(build_keras(item, "float64"), x) for item in (graph, inference_graph(graph)))
    assert np.abs(folded - exact).max() <= 1e-12 * scale


@pytest.mark.filterwarnings("ignore")
def test_a_saved_model_folder_and_weights_beside_json_are_loaded(tmp_path: Path) -> None:
    legacy = functional(keras_of(2))
    legacy.save(tmp_path / "saved", save_format="tf")
    (tmp_path / "two.json").write_text(legacy.to_json())
    legacy.save_weights(tmp_path / "two.weights.h5")
    new = functional(keras_of(3))
    (tmp_path / "three.json").write_text(new.to_json())
    new.save_weights(tmp_path / "three.weights.h5")
    x = random_inputs(graph_of(legacy))[0]
    for model, graph in (
        (legacy, graph_in(tmp_path / "saved")),
        (legacy, load_model_file(tmp_path / "two.json", tmp_path / "two.weights.h5")),
        (new, load_model_file(tmp_path / "three.json", tmp_path / "three.weights.h5")),
    ):
        expected = call(model, x)
        assert np.abs(call(build_keras(graph), x) - expected).max() <= 1e-6 * np.abs(expected).max()
    with pytest.raises(ProjectError, match="weights beside it"):
        graph_in(tmp_path / "two.json")
    with pytest.raises(ProjectError, match="goes with"):
        load_model_file(tmp_path / "saved", tmp_path / "two.weights.h5")


@pytest.mark.filterwarnings("ignore")
def test_an_exported_folder_has_no_layers(tmp_path: Path) -> None:
    functional(keras_of(3)).export(tmp_path / "exported", verbose=False)
    with pytest.raises(UnsupportedModelError, match=r"model\.save"):
        graph_in(tmp_path / "exported")


def test_weights_names_and_training_only_layers_are_kept() -> None:
    model = sequential(keras_of(3))
    graph = graph_of(model)
    assert [(layer.kind, name) for name, layer in graph.layers.items()][1:] == [
        ("Conv1D", "conv"), ("BatchNormalization", "norm1"), ("ReLU", "relu"), ("BatchNormalization", "norm2"),
        ("Dropout", "drop"), ("Flatten", "flat"), ("Dense", "hidden"), ("Dense", "out"),
    ]  # fmt: skip
    rebuilt = build_keras(graph)
    for name in ("conv", "hidden", "out"):
        for old, new in zip(model.get_layer(name).get_weights(), rebuilt.get_layer(name).get_weights(), strict=True):
            assert np.array_equal(old, new)
    assert rebuilt.get_layer("drop").rate == 0.2
    assert rebuilt.get_layer("norm1").epsilon == model.get_layer("norm1").epsilon


def test_a_made_up_activation_name_never_collides() -> None:
    keras = keras_of(2)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, "relu", name="d"), keras.layers.Dense(1, name="d_relu")]
    )
    assert list(inference_graph(graph_of(model)).layers)[1:] == ["d", "d_relu", "d_relu2"]


@pytest.mark.parametrize("version", [2, 3])
def test_a_layer_that_only_bears_a_known_name_is_caught_by_its_predictions(version: int) -> None:
    keras = keras_of(version)

    class Dense(keras.layers.Dense):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return super().call(inputs) * 1.00001

    model = keras.Sequential([keras.Input((3,)), Dense(2, name="d")])
    randomize(model)
    with pytest.raises(UnsupportedModelError, match="something else than its layers say"):
        graph_of(model)


def test_the_check_of_predictions_is_what_catches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_graph, "LARGEST_DIFFERENCE", 1e-3)
    test_check = test_a_layer_that_only_bears_a_known_name_is_caught_by_its_predictions
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_check(2)


def test_wide_layers_are_not_refused_for_float_rounding() -> None:
    keras = keras_of(2)
    model = keras.Sequential([keras.Input((700,)), keras.layers.Dense(500, "relu"), keras.layers.Dense(300, "relu"),
                              keras.layers.Dense(5)])  # fmt: skip
    assert len(graph_of(model).layers) == 4


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda k: [k.layers.Dense(1)], "has no input shape"),
        (lambda k: [k.Input((4, 4)), k.layers.BatchNormalization(axis=1, name="n"), k.layers.Dense(1)], "axis"),
        (lambda k: [k.Input((4, 4)), k.layers.LayerNormalization(axis=1, name="n"), k.layers.Dense(1)], "axis"),
        (lambda k: [k.Input((4, 4, 2)), k.layers.Softmax(name="s"), k.layers.Dense(1)], "(steps, values)"),
        (lambda k: [k.Input((4,)), k.layers.Dense(1, name="operator")], "operator"),
        (lambda k: [k.Input((4,)), k.layers.ReLU()], "no Dense or convolution"),
        (lambda k: [k.Input((4,)), k.layers.Dense(1, dtype="float64")], "float64"),
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_models_without_an_exact_meaning_are_refused(make: Any, word: str, version: int) -> None:
    keras = keras_of(version)
    with pytest.raises(UnsupportedModelError) as caught:
        inference_graph(checked_graph(keras.Sequential(make(keras))))
    assert word in caught.value.text()


def test_weights_that_are_not_numbers_are_refused() -> None:
    model = functional(keras_of(2))
    weights = model.get_weights()
    weights[0][0, 0] = np.nan
    model.set_weights(weights)
    with pytest.raises(UnsupportedModelError, match="NaN"):
        graph_of(model)


def test_a_file_whose_weights_are_missing_is_refused(tmp_path: Path) -> None:
    from model_cases import config_of, layer, write_zip

    path = write_zip(tmp_path / "m.keras", config_of(layer("Dense", units=2)))
    with pytest.raises(UnsupportedModelError, match="cannot be loaded"):
        graph_in(path)


def test_keras_3_as_tf_keras_is_refused_with_the_remedy() -> None:
    code = (
        "import os; os.environ['TF_USE_LEGACY_KERAS'] = '0'; import tensorflow as tf; tf.keras.Model\n"
        "from toolchain.model.tensorflow import load_tensorflow\n"
        "from toolchain.errors import ExternalToolError\n"
        "try: load_tensorflow()\n"
        "except ExternalToolError as error: print(error.hint)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "TF_USE_LEGACY_KERAS=1" in out.stdout


def test_importing_tensorflow_says_nothing() -> None:
    code = (
        "from toolchain.model.tensorflow import load_tensorflow; tf = load_tensorflow(); "
        "assert tf.keras.Model.__module__.startswith('tf_keras')"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (out.stdout, out.stderr) == ("", "")
