"""Softmax and LayerNormalization of a Keras model: within their bound, all else exact, refused where they are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.model.folding import inference_graph
from toolchain.model.keras_graph import build_keras, graph_of, random_inputs
from toolchain.model.rewriting import plain_graph
from toolchain.model.tensorflow import load_tensorflow
from toolchain.network import interpreter
from toolchain.project import QuantizeSection
from toolchain.quantize import witness
from toolchain.quantize.final_softmax import with_final_softmax
from toolchain.quantize.formats import choose_formats
from toolchain.quantize.from_qkeras import Reading, read_qkeras
from toolchain.quantize.to_qkeras import quantized_graph, set_to_quantized
from toolchain.verify.against_model import compare_model


def keras_model() -> Any:
    """A normalization and a softmax within, over steps and over features, and a Dense whose activation is one."""
    layers = load_tensorflow().keras.layers
    x = load_tensorflow().keras.Input((3, 4), name="x")
    y = layers.LayerNormalization(name="norm")(layers.Dense(6, name="first")(x))
    scores = layers.Softmax(name="scores")(layers.Dense(6, name="keys")(x))
    y = layers.Flatten(name="flat")(layers.Multiply(name="weighted")([scores, y]))
    y = layers.Dense(5, "softmax", name="gate")(y)
    return load_tensorflow().keras.Model(x, layers.Dense(2, name="out")(y))


def quantized(model: Any) -> Any:
    graph = graph_of(model)
    plain = plain_graph(inference_graph(graph))
    inputs = {"x": np.asarray(random_inputs(graph, 300)[0], float)}
    made = build_keras(quantized_graph(plain, choose_formats(plain, inputs, QuantizeSection())))
    set_to_quantized(made)
    return made


@pytest.fixture(scope="module")
def reading() -> Reading:
    keras = load_tensorflow().keras
    keras.utils.set_random_seed(1)
    model = keras_model()
    rng = np.random.default_rng(0)
    norm = model.get_layer("norm")
    norm.set_weights([rng.normal(1, 0.3, 6), rng.normal(0, 0.3, 6)])
    return read_qkeras(quantized(model), "n")


@pytest.fixture(scope="module")
def words(reading: Reading) -> dict[str, np.ndarray]:
    port = reading.network.inputs[0]
    drawn = np.random.default_rng(2).integers(port.result.min_word, port.result.max_word + 1, (300, *port.shape))
    return {port.name: np.concatenate([drawn, witness.corner_words(port.result, port.shape)])}


def compare(reading: Reading, words: dict[str, np.ndarray], folder: Path, **changed: np.ndarray) -> Any:
    outputs, _ = witness.layer_outputs(reading, words)
    stored: dict[str, Any] = outputs | changed
    np.savez(folder / "layers.npz", **stored)
    whole: dict[str, Any] = witness.whole_outputs(reading, words)
    np.savez(folder / "outputs.npz", **whole)
    found = interpreter.run(reading.network, words)
    return compare_model(reading.network, found, folder / "layers.npz", reading.approximate)


def test_they_keep_their_bounds_and_every_other_layer_is_exact(
    reading: Reading, words: dict[str, np.ndarray], tmp_path: Path
) -> None:  # fmt: skip
    found = compare(reading, words, tmp_path)
    assert found.verdict == "approximation"
    assert {one.keras_layer: one.kind for one in found.approximations} == {
        "norm": "layer_normalization", "scores": "softmax", "gate_softmax": "softmax",
    }  # fmt: skip
    for one in found.approximations:
        node = reading.network[one.layer]
        assert one.largest_deviation <= one.bound <= 3 * node.result.lsb, one
        assert one.different_words < one.words
    assert found.mismatched_words == 0
    inner = {name for one in reading.approximate for name in (*one.inner, one.node)}
    assert set(found.layers) == {node.name for node in reading.network.nodes} - inner
    assert 0 < found.output_deviation < 0.1


def test_a_word_beyond_the_bound_is_a_mismatch(
    reading: Reading, words: dict[str, np.ndarray], tmp_path: Path
) -> None:  # fmt: skip
    outputs, _ = witness.layer_outputs(reading, words)
    layer = reading.approximate[1]
    moved = outputs[layer.node].copy()
    moved[7, 0, 2] += 2 * layer.bound + 2 * reading.network[layer.node].result.lsb
    found = compare(reading, words, tmp_path, **{layer.node: moved})
    assert found.verdict == "mismatch"
    assert (found.first_mismatch.layer, found.first_mismatch.sample) == (layer.node, 7)
    assert "bound" in found.first_mismatch.cause or "proven" in found.first_mismatch.cause
    moved[7, 0, 2] = np.nan
    assert compare(reading, words, tmp_path, **{layer.node: moved}).verdict == "mismatch"


def test_a_layer_behind_an_approximate_one_is_still_compared_exactly(
    reading: Reading, words: dict[str, np.ndarray], tmp_path: Path
) -> None:  # fmt: skip
    outputs, _ = witness.layer_outputs(reading, words)
    moved = outputs["out"].copy()
    moved[3, 1] += reading.network["out"].result.lsb
    found = compare(reading, words, tmp_path, out=moved)
    assert (found.verdict, found.mismatched_words, found.first_mismatch.layer) == ("mismatch", 1, "out")


def test_a_final_softmax_is_put_back_behind_the_logits(tmp_path: Path) -> None:
    keras = load_tensorflow().keras
    keras.utils.set_random_seed(3)
    x = keras.Input((4,), name="x")
    model = quantized(keras.Model(x, keras.layers.Dense(3, name="softmax")(x)))
    with pytest.raises(ProjectError, match="does not end in a softmax"):
        with_final_softmax(model, ("sigmoid of 'out'",))
    reading = read_qkeras(with_final_softmax(model, ("softmax of 'out'",)), "n")
    port = reading.network.inputs[0]
    words = {port.name: witness.corner_words(port.result, port.shape)}
    found = compare(reading, words, tmp_path)
    assert (found.verdict, found.mismatched_words) == ("approximation", 0)
    probabilities = interpreter.run(reading.network, words)[reading.network.outputs[0]] / 2**15
    assert probabilities.min() >= 0
    assert np.abs(probabilities.sum(axis=-1) - 1).max() < 0.02
    assert found.output_deviation <= found.approximations[0].bound + 2.0**-15


def build(layers: list[Any]) -> Any:
    keras = load_tensorflow().keras
    from qkeras import QActivation, quantized_bits

    return keras.Sequential([keras.Input((6,)), QActivation(quantized_bits(8, 2, alpha=1), name="port"), *layers])


def test_what_has_no_bound_is_refused() -> None:
    layers = load_tensorflow().keras.layers
    from qkeras import QActivation, quantized_bits

    bits = quantized_bits(8, 2, alpha=1)
    cases = {
        "LayerNormalization has no quantizer behind it": [layers.LayerNormalization(name="n")],
        "Softmax has no quantizer behind it": [layers.Softmax(name="s"), layers.Flatten()],
        "axis": [layers.Reshape((3, 2)), layers.Softmax(axis=1, name="s"), QActivation(bits)],
        "epsilon": [layers.LayerNormalization(epsilon=1e-9, name="n"), QActivation(bits)],
        "over 1 values": [layers.Reshape((6, 1)), layers.Softmax(name="s"), QActivation(bits)],
    }
    for word, rest in cases.items():
        with pytest.raises(UnsupportedModelError) as caught:
            read_qkeras(build(rest), "n")
        assert word in caught.value.text()


def test_a_layer_may_be_called_like_a_part_of_one() -> None:
    layers = load_tensorflow().keras.layers
    from qkeras import QActivation, quantized_bits

    first, last = (QActivation(quantized_bits(8, 2, alpha=1), name=name) for name in ("q_exp", "q"))
    reading = read_qkeras(build([first, layers.Softmax(name="s"), last]), "n")
    assert [one.node for one in reading.approximate] == ["q_near"]


def test_up_sampling_is_exact() -> None:
    layers = load_tensorflow().keras.layers
    model = build([layers.Reshape((3, 2)), layers.UpSampling1D(2, name="up"), layers.Reshape((3, 2, 2)),
                   layers.UpSampling2D((1, 3), name="wide")])  # fmt: skip
    reading = read_qkeras(model, "n")
    words = {"port": np.random.default_rng(0).integers(-128, 128, (50, 6))}
    outputs, _ = witness.layer_outputs(reading, words)
    found = interpreter.run(reading.network, words)
    for node in reading.network.nodes:
        assert np.array_equal(node.result.values_of(found[node.name]), outputs[node.name]), node.name
    with pytest.raises(UnsupportedModelError, match="bilinear"):
        read_qkeras(build([layers.Reshape((3, 1, 2)), layers.UpSampling2D(2, interpolation="bilinear")]), "n")
