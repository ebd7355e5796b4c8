"""QKeras models as integer networks: the same values in every layer, zeros that stay, one seed one result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolchain.data.samples import save as save_samples
from toolchain.errors import UnsupportedModelError
from toolchain.model import artefact, training
from toolchain.model.keras_graph import graph_of
from toolchain.model.tensorflow import load_tensorflow
from toolchain.network import interpreter, storage
from toolchain.network.nodes import Linear
from toolchain.project import QuantizeSection
from toolchain.quantize import witness
from toolchain.quantize.formats import weight_format
from toolchain.quantize.from_qkeras import network_from_qkeras, read_qkeras
from toolchain.quantize.stage import quantize
from toolchain.results import DataResult, Job, Part, PruneResult, QuantizeResult, Samples


def qkeras_model(seed: int, bits: int = 6, activation_bits: int = 6, input_bits: int = 8):
    """A small random QKeras model: Conv1D or Dense first, three kernels."""
    keras = load_tensorflow().keras
    from qkeras import QActivation, QConv1D, QDense, quantized_bits, quantized_relu

    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    weight = {"kernel_quantizer": quantized_bits(bits, 0, alpha=1), "bias_quantizer": quantized_bits(bits, 1, alpha=1)}
    shape = (6, 2) if seed % 2 else (7,)
    layers = [keras.Input(shape), QActivation(quantized_bits(input_bits, 2, alpha=1), name="port")]
    if seed % 2:
        padding = ["valid", "same", "causal"][seed % 3]
        layers += [QConv1D(3, 3, strides=1 + seed % 4 // 2, padding=padding, name="conv", **weight)]
        layers += [QActivation(quantized_relu(activation_bits, 1), name="conv_relu"), keras.layers.Flatten(name="flat")]
    layers += [QDense(5, name="one", **weight), QActivation(quantized_relu(activation_bits, 2), name="one_relu")]
    layers += [QDense(4, name="two", **weight), QActivation(quantized_bits(activation_bits, 2, alpha=1), name="two_q")]
    layers += [QDense(2, name="three", use_bias=bool(seed % 5), **weight)]
    model = keras.Sequential(layers)
    for layer in model.layers:
        layer.set_weights([rng.normal(0, 0.6, w.shape) for w in layer.get_weights()])
    return model


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_network_and_qkeras_agree_in_every_word(seed: int, bits: int) -> None:
    model = qkeras_model(seed, bits, activation_bits=max(bits, 3), input_bits=max(bits, 4))
    reading = read_qkeras(model, "n")
    network = reading.network
    port = network.inputs[0]
    words = witness.corner_words(port.result, port.shape)
    outputs, doubled = witness.layer_outputs(reading, {port.name: words})
    found = interpreter.run(network, {port.name: words})
    for node in network.nodes:
        assert np.array_equal(node.result.values_of(found[node.name]), outputs[node.name]), node.name
    assert bits == 16 or not doubled


def test_float32_rounds_where_the_proof_says_it_may() -> None:
    """A case in which QKeras' own float32 output is not the exact one: the witness is then float64, and says so."""
    keras = load_tensorflow().keras
    from qkeras import QActivation, QDense, quantized_bits

    model = keras.Sequential(
        [
            keras.Input((64,)), QActivation(quantized_bits(16, 0, alpha=1), name="port"),
            QDense(1, name="sum", kernel_quantizer=quantized_bits(16, 0, alpha=1), use_bias=False),
        ]
    )  # fmt: skip
    rng = np.random.default_rng(1)
    model.get_layer("sum").set_weights([rng.uniform(-0.9, 0.9, (64, 1))])
    reading = read_qkeras(model, "n")
    network = reading.network
    port = network.inputs[0]
    words = rng.integers(port.result.min_word, port.result.max_word, size=(200, 64))
    assert not witness.float32_is_exact(network)["sum"]
    outputs, doubled = witness.layer_outputs(reading, {network.inputs[0].name: words})
    assert doubled == ("sum",)
    exact = network["sum"].result.values_of(interpreter.run(network, {"port": words})["sum"])
    assert np.array_equal(outputs["sum"], exact)
    in_float32 = np.asarray(model(port.result.values_of(words).astype(np.float32)), dtype=np.float64)
    assert not np.array_equal(in_float32, exact)


def test_float32_rounds_in_a_quantizer_on_a_finer_grid() -> None:
    """QKeras puts out x + (q(x) - x): with a large x and a fine q the difference needs more than 24 bits."""
    keras = load_tensorflow().keras
    from qkeras import QActivation, QDense, quantized_bits

    model = keras.Sequential(
        [
            keras.Input((64,)), QActivation(quantized_bits(8, 7, alpha=1), name="port"),
            QDense(1, name="sum", kernel_quantizer=quantized_bits(4, 3, alpha=1), use_bias=False),
            QActivation(quantized_bits(16, 0, alpha=1), name="fine"),
        ]
    )  # fmt: skip
    model.get_layer("sum").set_weights([np.random.default_rng(0).integers(-7, 7, (64, 1)).astype(float)])
    reading = read_qkeras(model, "n")
    network = reading.network
    words = witness.corner_words(network["port"].result, (64,))
    outputs, doubled = witness.layer_outputs(reading, {network.inputs[0].name: words})
    assert doubled == ("fine",)
    exact = network["fine"].result.values_of(interpreter.run(network, {"port": words})["fine"])
    assert np.array_equal(outputs["fine"], exact)
    assert not np.array_equal(np.asarray(model(words.astype(np.float32)), dtype=np.float64), exact)


def unquantized_chain(layers: int):
    """Dense layers of 16-bit weights on a 16-bit port, with no quantizer between them."""
    keras = load_tensorflow().keras
    from qkeras import QActivation, QDense, quantized_bits

    model = keras.Sequential([keras.Input((4,)), QActivation(quantized_bits(16, 0, alpha=1), name="port")])
    for place in range(layers):
        model.add(QDense(4, name=f"d{place}", kernel_quantizer=quantized_bits(16, 0, alpha=1), use_bias=False))
        kernel = np.random.default_rng(place).uniform(-0.9, 0.9, (4, 4))
        model.get_layer(f"d{place}").set_weights([kernel])
    return model


def test_sums_that_no_double_holds_are_refused() -> None:
    readings = [read_qkeras(unquantized_chain(n), "n") for n in (2, 3, 5)]
    two, _, five = (reading.network for reading in readings)
    words = witness.corner_words(two["port"].result, (4,))
    outputs, doubled = witness.layer_outputs(readings[0], {"port": words})
    assert doubled == ("d0", "d1")
    found = interpreter.run(two, {"port": words})
    assert np.array_equal(outputs["d1"], two["d1"].result.values_of(found["d1"]))
    with pytest.raises(UnsupportedModelError, match="'d2'"):
        witness.layer_outputs(readings[1], {"port": words})
    # The bound of the last of five layers is beyond 2**63: it must not wrap to a small one.
    assert not any(witness.float32_is_exact(five)[f"d{place}"] for place in range(5))


def test_a_wrong_witness_would_be_seen() -> None:
    model = qkeras_model(2)
    reading = read_qkeras(model, "n")
    network = reading.network
    kernel = reading.model.get_layer("two").kernel
    kernel.assign(kernel + 2.0**-5 * np.eye(5, 4))
    port = network.inputs[0]
    words = witness.corner_words(port.result, port.shape)
    outputs, _ = witness.layer_outputs(reading, {network.inputs[0].name: words})
    found = interpreter.run(network, {port.name: words})
    assert np.array_equal(network["one"].result.values_of(found["one"]), outputs["one"])
    assert not np.array_equal(network["two"].result.values_of(found["two"]), outputs["two"])


def test_what_is_not_exact_is_refused() -> None:
    keras = load_tensorflow().keras
    from qkeras import QActivation, QDense, quantized_bits

    with pytest.raises(UnsupportedModelError, match="input has no quantizer"):
        network_from_qkeras(keras.Sequential([keras.Input((3,)), QDense(2, name="d")]), "n")
    port = QActivation(quantized_bits(8, 0, alpha=1), name="port")
    with pytest.raises(UnsupportedModelError, match="'plain'"):
        network_from_qkeras(keras.Sequential([keras.Input((3,)), port, keras.layers.Dense(2, name="plain")]), "n")
    automatic = QDense(2, name="auto", kernel_quantizer=quantized_bits(8, 0, alpha="auto"))
    with pytest.raises(UnsupportedModelError, match="auto"):
        network_from_qkeras(keras.Sequential([keras.Input((3,)), port, automatic]), "n")


def prepared(folder: Path, seed: int = 0) -> tuple[DataResult, PruneResult, Samples]:
    """A pruned model of 6 features and its samples, as the earlier stages leave them."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.4, 1.4, (300, 6))
    y = x @ rng.normal(size=(6, 1)) * 0.3
    times = np.arange(300)
    cuts = (slice(0, 200), slice(200, 240), slice(240, 300))
    samples = Samples(*(Part(x[s], y[s], np.zeros(0), times[s]) for s in cuts))
    for name in ("data", "prune"):
        (folder / name).mkdir(parents=True)
    data = DataResult(
        source="made up", task="regression", metric="rmse", unit="", input_shape=(6,), outputs=1, feature_names=(),
        y_scale=1, y_offset=0, counts={}, first_test_time="", last_test_time="",
        sha256=save_samples(samples, folder / "data"),
    )  # fmt: skip
    data.at(folder / "data")
    kernel = rng.normal(0, 0.4, (6, 5)) * (rng.random((6, 5)) < 0.5)
    layers = load_tensorflow().keras.layers
    model = load_tensorflow().keras.Sequential(
        [layers.Input((6,)), layers.Dense(5, name="one"), layers.ReLU(name="one_relu"), layers.Dense(1, name="two")]
    )
    model.get_layer("one").set_weights([kernel, rng.normal(0, 0.1, 5)])
    model.get_layer("two").set_weights([rng.normal(0, 0.4, (5, 1)), np.zeros(1)])
    artefact.save(model, graph_of(model), data, samples.test, folder / "prune")
    np.savez(folder / "prune" / "masks.npz", one=kernel != 0, two=np.ones((5, 1), dtype=bool))
    pruned = PruneResult(
        layers=(), parameters=0, learning_rate=1e-2, batch_size=32, epochs=1, loss="mse", validation_loss=0,
        sparsity=0.4, remaining_sparsity=0.4, parameters_before=0, removed=(),
    )  # fmt: skip
    pruned.at(folder / "prune")
    return data, pruned, samples


def run_stage(
    folder: Path, name: str, data: DataResult, pruned: PruneResult, section: QuantizeSection
) -> QuantizeResult:
    (folder / name).mkdir()
    result = quantize(data, pruned, section, Job(folder / name, folder, seed=3))
    result.at(folder / name)
    return result


SECTION = QuantizeSection(weight_bits=5, activation_bits=6, input_bits=8, epochs=3, learning_rate_factor=1.0)


def test_zeros_stay_zero_and_the_same_seed_gives_the_same_integers(tmp_path: Path) -> None:
    data, pruned, _ = prepared(tmp_path)
    first = run_stage(tmp_path, "first", data, pruned, SECTION)
    second = run_stage(tmp_path, "second", data, pruned, SECTION)
    assert first.network_sha256 == second.network_sha256
    network = storage.load(tmp_path / "first" / "network.fpn")
    node = network["one"]
    assert isinstance(node, Linear)
    kept = np.load(tmp_path / "prune" / "masks.npz")["one"]
    assert not node.kernel[~kept].any()
    assert node.kernel[kept].any()


def test_a_zero_that_comes_back_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, pruned, _ = prepared(tmp_path)
    monkeypatch.setattr(training, "keep_zeros", lambda kept: load_tensorflow().keras.callbacks.Callback())
    with pytest.raises(AssertionError, match="came back"):
        run_stage(tmp_path, "broken", data, pruned, SECTION)


def test_formats_see_the_training_part_only(tmp_path: Path) -> None:
    formats = []
    for name, factor in (("as is", 1.0), ("wild test part", 50.0)):
        folder = tmp_path / name
        data, pruned, samples = prepared(folder)
        test = samples.test
        changed = Samples(samples.train, samples.validation, Part(test.x * factor, test.y, test.reference, test.time))
        save_samples(changed, folder / "data")
        result = run_stage(folder, "q", data, pruned, SECTION)
        formats.append(result.input_format)
        assert result.saturated_inputs["train"] == 0
        assert (result.saturated_inputs["test"] > 0) == (factor > 1)
        assert result.test_samples == len(test.x)
    assert formats[0] == formats[1]


@pytest.mark.parametrize(("scale", "expected"), [(0.1, 0), (0.9, 0), (3.0, 2), (40.0, 6)])
def test_integer_bits_follow_the_weights(scale: float, expected: int) -> None:
    kernel = np.linspace(-scale, scale, 81).reshape(9, 9)
    assert weight_format(kernel, 8, None).integer_bits == expected
    assert weight_format(kernel, 8, 1).integer_bits == 1


def test_one_outlier_is_clipped_rather_than_costing_every_other_weight_a_bit() -> None:
    kernel = np.random.default_rng(0).normal(0, 0.3, (60, 60)).clip(-0.9, 0.9)
    kernel[0, 0] = 1.01
    assert weight_format(kernel, 4, None).integer_bits == 0
