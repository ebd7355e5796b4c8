"""Models that other people saved: built to a bit-exact verdict, or refused with the layer's name before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolchain import pipeline
from toolchain.errors import PreflightError
from toolchain.model.keras_graph import build_keras, load_graph, qkeras_objects
from toolchain.model.loading import load_model_file
from toolchain.model.rewriting import without_final_activation
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import parse_project
from toolchain.report.statements import model_statement
from toolchain.results import ModelResult, TfliteResult, VerifyResult
from toolchain.target import load_target


def keras_of(version: int) -> Any:
    legacy = load_tensorflow().keras
    import keras

    return legacy if version == 2 else keras


def classifier(k: Any) -> Any:
    layers = k.layers
    return k.Sequential([k.Input((6,)), layers.Dense(8, "relu"), layers.Dropout(0.2), layers.Dense(3, "softmax")])


def residual(k: Any) -> Any:
    layers, x = k.layers, k.Input((6,), name="x")
    y = layers.Dense(6, name="first")(x)
    y = layers.Activation("relu")(layers.BatchNormalization(name="norm")(y))
    return k.Model(x, layers.Dense(1, name="out")(layers.Add()([y, layers.Dense(6)(x)])))


def image(k: Any) -> Any:
    layers = k.layers
    return k.Sequential([
        k.Input((6, 6, 1)), layers.Conv2D(3, 3, activation="relu", padding="same"), layers.MaxPooling2D(),
        layers.BatchNormalization(), layers.Flatten(), layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip


def sequence(k: Any) -> Any:
    layers = k.layers
    return k.Sequential([
        k.Input((8, 2)), layers.Conv1D(4, 3, padding="causal", activation="tanh"), layers.GlobalAveragePooling1D(),
        layers.Dense(1),
    ])  # fmt: skip


def recurrent(k: Any) -> Any:
    return k.Sequential([k.Input((4, 2)), k.layers.LSTM(3), k.layers.Dense(1)])


def branches(k: Any) -> Any:
    layers, x = k.layers, k.Input((6,), name="x")
    left, right = layers.Dense(3, "relu", name="left")(x), layers.Dense(3, "elu", name="right")(x)
    return k.Model(x, layers.Dense(2, name="out")(layers.Concatenate()([left, right])))


def separable(k: Any) -> Any:
    layers = k.layers
    return k.Sequential([
        k.Input((6, 6, 2)), layers.SeparableConv2D(3, 3), layers.LeakyReLU(), layers.AveragePooling2D(2),
        layers.Flatten(), layers.Dense(1),
    ])  # fmt: skip


def nested(k: Any) -> Any:
    layers, x = k.layers, k.Input((6,), name="x")
    inner = k.Sequential([k.Input((6,)), layers.Dense(4, "relu"), layers.Dense(6)], name="inner")
    return k.Model(x, layers.Dense(1, name="out")(layers.Subtract()([inner(x), x])))


def two_inputs(k: Any) -> Any:
    a, b = k.Input((6,), name="a"), k.Input((6,), name="b")
    return k.Model([a, b], k.layers.Dense(1, name="out")(k.layers.Add()([a, b])))


def attention(k: Any) -> Any:
    layers, x = k.layers, k.Input((4, 2), name="x")
    return k.Model(x, layers.Dense(1)(layers.Flatten()(layers.MultiHeadAttention(2, 2, name="attention")(x, x))))


def attentive(k: Any) -> Any:
    layers, x = k.layers, k.Input((4, 3), name="x")
    y = layers.LayerNormalization(name="norm")(layers.Dense(4, name="first")(x))
    y = layers.Multiply()([layers.Softmax(name="scores")(layers.Dense(4, name="keys")(x)), y])
    return k.Model(x, layers.Dense(3, "softmax", name="out")(layers.Flatten()(y)))


def quantized(k: Any) -> Any:
    from qkeras import QActivation, QDense, quantized_bits, quantized_relu

    bits = {"kernel_quantizer": quantized_bits(5, 0, alpha=1), "bias_quantizer": quantized_bits(5, 0, alpha=1)}
    return k.Sequential([
        k.Input((6,)), QActivation(quantized_bits(8, 2, alpha=1), name="port"),
        QDense(5, activation=quantized_relu(5, 2), name="hidden", **bits), QDense(1, name="out", **bits),
    ])  # fmt: skip


def quantized_recurrent(k: Any) -> Any:
    """QKeras' defaults, which are hard functions, and every quantizer that it needs."""
    qkeras_objects()
    from qkeras import QLSTM, QActivation, QDense, quantized_bits

    bits = {f"{part}_quantizer": quantized_bits(5, 0, alpha=1) for part in ("kernel", "bias")}
    more = {f"{part}_quantizer": quantized_bits(6, 0, alpha=1) for part in ("recurrent", "state")}
    return k.Sequential([
        k.Input((4, 2)), QActivation(quantized_bits(8, 2, alpha=1), name="port"), QLSTM(3, name="cell", **bits, **more),
        QDense(1, name="out", **bits),
    ])  # fmt: skip


#: Who makes it, the Keras that saves it, the file's ending.
BUILT = [
    (residual, 3, ".keras"), (classifier, 3, ".keras"), (image, 3, ".keras"), (sequence, 3, ".keras"),
    (recurrent, 3, ".keras"), (branches, 2, ""), (separable, 2, ".keras"), (nested, 3, ".keras"),
    (classifier, 2, ".h5"), (quantized, 2, ".h5"), (image, 2, ".h5"),
    (quantized_recurrent, 2, ".h5"),
]  # fmt: skip


def write_project(folder: Path, make: Callable[[Any], Any], version: int, suffix: str) -> tuple[Any, dict[str, Any]]:
    keras = keras_of(version)
    keras.utils.set_random_seed(5)
    model = make(keras)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if "Normalization" in type(layer).__name__:
            layer.set_weights([random.uniform(0.5, 1.5, size=weight.shape) for weight in layer.get_weights()])
    options = {"save_format": "tf"} if not suffix else {}
    model.save(folder / f"model{suffix}", **options)
    shape, outputs = model.inputs[0].shape[1:], model.outputs[0].shape[-1]
    x = random.normal(size=(160, *shape))
    sums = x.reshape(160, -1)[:, :3].sum(axis=1)
    task = {1: "regression", 2: "regression", 3: "classification"}[outputs]
    y = np.digitize(sums, [-1, 1]) if outputs == 3 else np.stack([sums, -sums], axis=1)[:, :outputs]
    np.savez(folder / "data.npz", x_train=x[:120], y_train=y[:120], x_test=x[120:], y_test=y[120:])
    return model, {
        "name": "foreign", "data": {"source": "npz", "path": "data.npz", "task": task}, "train": {"epochs": 0},
        "model": {"file": f"model{suffix}"}, "prune": {"epochs": 2, "frequency": 1, "final_sparsity": 0.3},
        "quantize": {"epochs": 1},
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "version", "suffix"),
    [case if place == 0 else pytest.param(*case, marks=pytest.mark.slow) for place, case in enumerate(BUILT)],
    ids=[f"{make.__name__}{version}{suffix}" for make, version, suffix in BUILT],
)
def test_a_foreign_model_is_built_to_its_verdict(tmp_path: Path, make: Any, version: int, suffix: str) -> None:
    model, table = write_project(tmp_path, make, version, suffix)
    x = np.load(tmp_path / "data.npz")["x_test"].astype(np.float32)
    expected = np.asarray(model(x, training=False), dtype=np.float64)
    graph = load_model_file(tmp_path / table["model"]["file"])
    found = np.asarray(build_keras(graph)(x, training=False), dtype=np.float64)
    assert np.abs(found - expected).max() <= 1e-6 * max(1.0, np.abs(expected).max())
    request = pipeline.Request(parse_project(table, "here"), tmp_path, load_target("alveo_u250"))
    outcome = pipeline.run(request)
    result, trained = outcome.get("verify", VerifyResult), outcome.get("train", ModelResult)
    assert result is not None
    assert trained is not None
    assert result.hardware.verdict == "bit_exact"
    assert result.model.verdict == "bit_exact"
    artefacts = outcome.get("tflite", TfliteResult)
    assert artefacts is not None
    assert "float32" in {file.kind for file in artefacts.files}
    assert not outcome.problems
    logits, left_out = without_final_activation(graph)
    assert trained.left_out == left_out
    kept = build_keras(load_graph(trained.folder / "model.keras"))
    assert np.array_equal(np.asarray(kept(x)), np.asarray(build_keras(logits)(x)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_softmax_and_layer_normalization_in_hardware(tmp_path: Path, io_type: str) -> None:
    """Within a model and, when asked for, at its end: hardware word for word, the model within proven bounds."""
    _, table = write_project(tmp_path, attentive, 3, ".keras")
    table |= {"quantize": {"epochs": 1, "final_softmax": True}, "hls": {"io_type": io_type}}
    request = pipeline.Request(parse_project(table, "here"), tmp_path, load_target("alveo_u250"))
    outcome = pipeline.run(request)
    result = outcome.get("verify", VerifyResult)
    assert result is not None
    assert result.hardware.verdict == "bit_exact"
    assert result.model.verdict == "approximation"
    assert result.model.mismatched_words == 0
    found = {one.keras_layer: one for one in result.model.approximations}
    assert set(found) == {"norm", "scores", "softmax"}
    assert all(one.largest_deviation <= one.bound < 0.1 for one in found.values())
    assert outcome.report is not None
    assert "approximation (softmax)" in model_statement(outcome.report)
    assert not outcome.problems


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_recurrent_layer_as_a_step_in_hardware(tmp_path: Path) -> None:
    """The cell's hardware word for word, the cell over the window the unrolled network: pruned, quantized, reported."""
    _, table = write_project(tmp_path, recurrent, 3, ".keras")
    table["model"]["recurrent"] = "step"
    outcome = pipeline.run(pipeline.Request(parse_project(table, "here"), tmp_path, load_target("alveo_u250")))
    result = outcome.get("verify", VerifyResult)
    assert result is not None
    assert result.window is not None
    assert result.hardware.verdict == result.model.verdict == result.window.verdict == "bit_exact"
    assert outcome.report is not None
    assert outcome.report.accuracy.hls == outcome.report.accuracy.quantized
    assert "The step over the window equals" in model_statement(outcome.report)
    assert not outcome.problems


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_qkeras_recurrent_layer_as_a_step_in_hardware(tmp_path: Path) -> None:
    _, table = write_project(tmp_path, quantized_recurrent, 2, ".keras")
    table["model"]["recurrent"] = "step"
    request = pipeline.Request(parse_project(table, "here"), tmp_path, load_target("alveo_u250"))
    result = pipeline.run(request).get("verify", VerifyResult)
    assert result is not None
    assert result.window is not None
    assert result.hardware.verdict == result.model.verdict == result.window.verdict == "bit_exact"


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_a_step_is_refused_before_any_work(tmp_path: Path) -> None:
    _, table = write_project(tmp_path, sequence, 3, ".keras")
    table["model"]["recurrent"] = "step"
    with pytest.raises(PreflightError, match="recurrent layers: none"):
        pipeline.run(pipeline.Request(parse_project(table, "here"), tmp_path, load_target("alveo_u250")))


@pytest.mark.filterwarnings("ignore")
def test_a_final_softmax_that_is_not_there_is_refused(tmp_path: Path) -> None:
    _, table = write_project(tmp_path, residual, 3, ".keras")
    table["quantize"] = {"final_softmax": True}
    with pytest.raises(PreflightError, match="does not end in a softmax"):
        pipeline.run(pipeline.Request(parse_project(table, "here"), tmp_path, load_target("alveo_u250")))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "word"), [(two_inputs, "2 inputs"), (attention, "layer 'attention'")])
def test_what_cannot_be_built_is_refused_before_any_work(tmp_path: Path, make: Any, word: str) -> None:
    _, table = write_project(tmp_path, make, 3, ".keras")
    request = pipeline.Request(parse_project(table, "here"), tmp_path, load_target("alveo_u250"), until="verify")
    with pytest.raises(PreflightError) as caught:
        pipeline.run(request)
    assert caught.value.exit_code == 3
    assert word in caught.value.text()
    assert not (tmp_path / "build" / ".stages").exists()
