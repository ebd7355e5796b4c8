"""Keras 2 and Keras 3 files and models become chains that compute the same, or are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_cases import functional, randomize, sequential

from toolchain.errors import UnsupportedModelError
from toolchain.model import keras_chain
from toolchain.model.chain import forward, inference_chain
from toolchain.model.keras_chain import build_keras, chain_of, load_chain
from toolchain.model.tensorflow import load_tensorflow


def keras_of(version: int) -> Any:
    tf = load_tensorflow()
    if version == 2:
        return tf.keras
    import keras

    return keras


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("make", [sequential, functional])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_model_predicts_the_same_after_loading(tmp_path: Path, version: int, make: Any, suffix: str) -> None:
    model = make(keras_of(version))
    model.compile("adam", "mse")
    model.save(tmp_path / f"model{suffix}")
    chain = load_chain(tmp_path / f"model{suffix}")
    x = np.random.default_rng(5).normal(size=(50, *chain.input_shape)).astype(np.float32)
    expected = np.asarray(model(x, training=False), dtype=np.float64)
    scale = np.abs(expected).max()
    for found in (forward(chain, x.astype(float)), np.asarray(build_keras(chain)(x, training=False))):
        assert np.abs(found - expected).max() <= 1e-6 * scale
    folded = forward(inference_chain(chain), x.astype(float))
    assert np.abs(folded - forward(chain, x.astype(float))).max() <= 1e-12 * scale


def test_weights_names_and_training_only_layers_are_kept() -> None:
    model = sequential(keras_of(3))
    chain = chain_of(model)
    assert [(link.kind, link.name) for link in chain.links] == [
        ("conv1d", "conv"), ("batch_normalization", "norm1"), ("relu", "relu"), ("batch_normalization", "norm2"),
        ("dropout", "drop"), ("flatten", "flat"), ("dense", "hidden"), ("relu", "hidden_relu"), ("dense", "out"),
    ]  # fmt: skip
    rebuilt = build_keras(chain)
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
    assert [link.name for link in chain_of(model).links] == ["d", "d_relu2", "d_relu"]


@pytest.mark.parametrize("version", [2, 3])
def test_a_layer_that_only_bears_a_known_name_is_caught_by_its_predictions(version: int) -> None:
    keras = keras_of(version)

    class Dense(keras.layers.Dense):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return super().call(inputs) * 1.00001

    model = keras.Sequential([keras.Input((3,)), Dense(2, name="d")])
    randomize(model)
    with pytest.raises(UnsupportedModelError, match="something else than its layers say"):
        chain_of(model)


def test_the_check_of_predictions_is_what_catches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_chain, "LARGEST_DIFFERENCE", 1e-3)
    test_check = test_a_layer_that_only_bears_a_known_name_is_caught_by_its_predictions
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_check(2)


def test_wide_layers_are_not_refused_for_float_rounding() -> None:
    keras = keras_of(2)
    model = keras.Sequential([keras.Input((700,)), keras.layers.Dense(500, "relu"), keras.layers.Dense(300, "relu"),
                              keras.layers.Dense(5)])  # fmt: skip
    assert len(chain_of(model).links) == 5


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda k: [k.Input((None, 2)), k.layers.Conv1D(2, 1)], "sizes fixed"),
        (lambda k: [k.Input((4, 4, 1)), k.layers.Flatten(), k.layers.Dense(1)], "(steps, channels)"),
        (lambda k: [k.layers.Dense(1)], "has no input shape"),
        (lambda k: [k.Input((4, 4)), k.layers.BatchNormalization(axis=1, name="n"), k.layers.Dense(1)], "axis"),
        (lambda k: [k.Input((4,)), k.layers.Dense(1, "sigmoid")], "sigmoid"),
        (lambda k: [k.Input((4,)), k.layers.Dense(1, name="operator")], "operator"),
        (lambda k: [k.Input((4,)), k.layers.ReLU()], "no Dense or Conv1D"),
        (lambda k: [k.Input((4,)), k.layers.Dense(1, dtype="float64")], "float64"),
    ],
)
@pytest.mark.parametrize("version", [2, 3])
def test_models_without_an_exact_meaning_are_refused(make: Any, word: str, version: int) -> None:
    keras = keras_of(version)
    with pytest.raises(UnsupportedModelError) as caught:
        chain_of(keras.Sequential(make(keras)))
    assert word in caught.value.text()


@pytest.mark.parametrize("version", [2, 3])
def test_functional_models_that_are_no_chain_are_refused(version: int) -> None:
    keras = keras_of(version)
    port = keras.Input((3,))
    dense = keras.layers.Dense(3)
    twice = keras.Model(port, dense(dense(port)))
    outputs = keras.Model(port, [keras.layers.Dense(1)(port), keras.layers.Dense(2)(port)])
    for model in (twice, outputs):
        randomize(model)
        with pytest.raises(UnsupportedModelError):
            chain_of(model)


def test_weights_that_are_not_numbers_are_refused() -> None:
    model = functional(keras_of(2))
    weights = model.get_weights()
    weights[0][0, 0] = np.nan
    model.set_weights(weights)
    with pytest.raises(UnsupportedModelError, match="NaN"):
        chain_of(model)


def test_a_file_whose_weights_are_missing_is_refused(tmp_path: Path) -> None:
    from model_cases import config_of, layer, write_zip

    path = write_zip(tmp_path / "m.keras", config_of(layer("Dense", units=2)))
    with pytest.raises(UnsupportedModelError, match="cannot be loaded"):
        load_chain(path)


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
