"""A foreign Keras 3 model of two outputs, from the user's arrays to the words at every port of the hardware."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from output_cases import SAMPLES, TRAIN, classes, inputs, model, project, save, targets
from port_cases import WAYS_OF_PRUNING, found, run

from toolchain import pipeline
from toolchain.data.samples import load
from toolchain.model.tensorflow import load_tensorflow
from toolchain.network import interpreter, storage
from toolchain.network.words import read_formats, read_words
from toolchain.results import (
    CsimResult,
    DataResult,
    ModelResult,
    PruneResult,
    QuantizeResult,
    TfliteResult,
    VerifyResult,
)
from toolchain.study.outputs import integer_outputs
from toolchain.sweep.design import bit_true


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pipeline.Outcome]:
    folder = tmp_path_factory.mktemp("two")
    made = model()
    stale = folder / "build" / "alveo_u250" / "runners"  # of an earlier model of one output
    stale.mkdir(parents=True)
    (stale / "runner_cortex_a.cpp").write_text("old")
    return made, run(project(folder, made), folder)


def test_the_verdict_is_bit_exact_over_both_ports(built: tuple[Any, pipeline.Outcome]) -> None:
    outcome = built[1]
    assert not outcome.problems
    verdict, quantized = found(outcome, "verify", VerifyResult), found(outcome, "quantize", QuantizeResult)
    assert (verdict.hardware.verdict, verdict.model.verdict) == ("bit_exact", "bit_exact")
    network = storage.load(quantized.folder / "network.fpn")
    assert list(quantized.output_ports) == ["depth", "price"]
    assert tuple(quantized.output_ports.values()) == network.outputs
    for port, node in zip(("result_0", "result_1"), network.outputs, strict=True):
        assert verdict.hardware.layer_words[port] == verdict.hardware.samples * network[node].size
        assert verdict.model.layer_words[node] == verdict.model.samples * network[node].size


def test_pretrained_weights_are_kept_and_each_output_stands_in_its_own_columns(
    built: tuple[Any, pipeline.Outcome],
) -> None:
    made, outcome = built
    price, depth = (np.asarray(one, dtype=np.float64) for one in made(inputs()[TRAIN:].astype(np.float32)))
    predicted = np.load(found(outcome, "train", ModelResult).folder / "predictions.npy")
    expected = np.concatenate([depth, price], axis=1)
    assert np.abs(predicted - expected).max() <= 1e-6 * max(1.0, np.abs(expected).max())
    y = load(found(outcome, "data", DataResult)).test.y
    assert np.array_equal(y, np.concatenate([targets()["depth"][TRAIN:, None], targets()["price"][TRAIN:]], axis=1))


def test_the_hardware_gives_each_outputs_words_at_its_own_port(built: tuple[Any, pipeline.Outcome]) -> None:
    """From the user's file to the C-simulation's outputs, by no code of the stages between."""
    outcome = built[1]
    quantized = found(outcome, "quantize", QuantizeResult)
    network = storage.load(quantized.folder / "network.fpn")
    port = network.inputs[0]
    expected = interpreter.run(network, {port.name: port.result.words_of(inputs()[TRAIN:])})
    folder = outcome.request.output_folder / "csim"
    samples = found(outcome, "csim", CsimResult).samples
    values = []
    for file, node in zip(("result_0", "result_1"), network.outputs, strict=True):
        words = read_words(folder, file, samples, network[node].shape)[: SAMPLES - TRAIN]
        assert np.array_equal(words, expected[node])
        assert read_formats(folder)[file] == network[node].result
        values.append(network[node].result.values_of(words))
    whole = np.concatenate(values, axis=1)
    assert np.array_equal(np.load(quantized.folder / "predictions.npy"), whole)
    assert np.array_equal(integer_outputs(quantized, load(found(outcome, "data", DataResult)).test), whole)


def test_the_report_has_a_metric_of_each_output_and_one_of_all(built: tuple[Any, pipeline.Outcome]) -> None:
    outcome = built[1]
    assert outcome.report is not None
    accuracy = outcome.report.accuracy
    assert list(accuracy.outputs) == ["depth", "price"]
    assert {name: own.words for name, own in accuracy.outputs.items()} == {"depth": "result_0", "price": "result_1"}
    top = (outcome.request.output_folder / "hls" / "firmware" / "network.h").read_text()
    for own in accuracy.outputs.values():  # as wide as the output, in the interface that is synthesized
        assert re.search(rf"\b{own.port}\[", top), top
    hardware = np.load(found(outcome, "quantize", QuantizeResult).folder / "predictions.npy")  # equal words, as tested
    for name, columns in (("depth", slice(0, 1)), ("price", slice(1, 3))):
        error = hardware[:, columns] - targets()[name][TRAIN:].reshape(SAMPLES - TRAIN, -1)
        assert accuracy.outputs[name].stages["hls"].value == pytest.approx(np.sqrt((error**2).mean()))
        assert set(accuracy.outputs[name].stages) == {
            "float", "pruned", "quantized", "hls", "tflite_float32", "tflite_int8",
        }  # fmt: skip
    assert accuracy.hls is not None
    one, two = (accuracy.outputs[name].stages["hls"].value for name in ("depth", "price"))
    assert accuracy.hls.value == pytest.approx(np.sqrt((one**2 + 2 * two**2) / 3))
    sweeps = bit_true(found(outcome, "data", DataResult), found(outcome, "quantize", QuantizeResult))
    assert sweeps["test_accuracy"] == accuracy.hls.value
    page = (outcome.request.output_folder / "report.html").read_text()
    assert "Each output alone" in page
    assert "Predictions of depth" in page
    assert "Predictions of price" in page
    assert "ARM code is run with files of one output" in outcome.report.arm_not_run


def test_the_artefacts_have_both_outputs(built: tuple[Any, pipeline.Outcome]) -> None:
    outcome = built[1]
    written, pruned = found(outcome, "tflite", TfliteResult), found(outcome, "prune", PruneResult)
    assert [file.kind for file in written.files] == ["float32", "int8"]
    assert written.skipped == {"test vectors and runners": "they feed and read files of one output"}
    stored = np.load(written.folder / "predictions.npz")
    expected = np.load(pruned.folder / "predictions.npy")
    assert np.abs(stored["float32"] - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())
    description = json.loads((written.folder / "model.int8.json").read_text())
    assert [(port["output"], port["shape"]) for port in description["outputs"]] == [("depth", [1]), ("price", [2])]
    exact = np.load(found(outcome, "quantize", QuantizeResult).folder / "predictions.npy")
    steps = np.array([description["outputs"][place]["scale"] for place in (0, 1, 1)])
    assert (np.abs(stored["int8"] - exact) <= 4 * steps).all()
    header = (written.folder / "plain_c" / "model.h").read_text()
    assert "MODEL_OUTPUT_SIZE 1" in header
    assert "MODEL_OUTPUT_1_SIZE 2" in header
    for name in ("test_vectors.npz", "runners"):
        assert not (written.folder / name).exists()
        assert not (outcome.request.output_folder / name).exists()


def test_a_broken_word_of_the_second_output_is_caught_and_its_port_named(built: tuple[Any, pipeline.Outcome]) -> None:
    outcome = built[1]
    file = outcome.request.output_folder / "csim" / "result_1.txt"
    whole = file.read_text()
    rows = whole.splitlines()
    first, second = rows[7].split()
    rows[7] = f"{first} {int(second) ^ 1}"
    try:
        file.write_text("\n".join(rows) + "\n")
        broken = pipeline.run(replace(outcome.request, until="verify"))
    finally:
        file.write_text(whole)
    verdict = found(broken, "verify", VerifyResult).hardware
    assert (verdict.verdict, verdict.mismatched_words) == ("mismatch", 1)
    assert {name for name, count in verdict.layers.items() if count} == {"result_1"}
    assert verdict.first_mismatch is not None
    assert (verdict.first_mismatch.sample, verdict.first_mismatch.element) == (7, (1,))
    assert verdict.first_mismatch.port == "'price' (result_1)"
    assert "output port 'price' (result_1)" in broken.problems[0].text()
    assert broken.problems[0].exit_code == 5


@pytest.mark.slow
@pytest.mark.parametrize("prune", WAYS_OF_PRUNING)
def test_every_way_of_pruning_classifies_at_both_outputs(tmp_path: Path, prune: dict[str, Any]) -> None:
    """A softmax of three classes and a sigmoid, both left out: each output has its own loss, metric and classes."""
    table = project(
        tmp_path, model(3, softmax=True), prune=prune, train={"epochs": 3}, hls={"io_type": "io_stream"},
        data={"source": "npz", "path": "data.npz", "task": "classification"},
    )  # fmt: skip
    save(tmp_path, classes())
    outcome = run(table, tmp_path)
    assert not outcome.problems
    verdict, trained = found(outcome, "verify", VerifyResult), found(outcome, "train", ModelResult)
    assert (verdict.hardware.verdict, verdict.model.verdict) == ("bit_exact", "bit_exact")
    assert [(part.kind, part.outputs) for part in trained.loss] == [
        ("binary_crossentropy", 1), ("categorical_crossentropy", 3),
    ]  # fmt: skip
    assert sorted(trained.left_out) == ["sigmoid of 'depth'", "softmax of 'price'"]
    assert outcome.report is not None
    accuracy = outcome.report.accuracy
    hardware = np.load(found(outcome, "quantize", QuantizeResult).folder / "predictions.npy")
    right = {
        "depth": (hardware[:, 0] > 0) == classes()["depth"][TRAIN:],
        "price": hardware[:, 1:].argmax(axis=1) == classes()["price"][TRAIN:],
    }
    for name, own in right.items():
        assert accuracy.outputs[name].stages["hls"].value == own.mean()
        assert set(accuracy.outputs[name].baselines) == {"majority class"}
    assert accuracy.hls is not None
    assert accuracy.hls.value == pytest.approx(np.mean([own.mean() for own in right.values()]))
    assert outcome.report.agreement[0].equal_decisions_share == 1.0


@pytest.mark.slow
def test_an_output_that_another_layer_reads_is_a_port_of_its_own(tmp_path: Path) -> None:
    load_tensorflow()
    import keras

    x = keras.Input((6, 2), name="window")
    trunk = keras.layers.Dense(4, activation="relu", name="trunk")(keras.layers.Flatten(name="flat")(x))
    depth = keras.layers.Dense(1, name="depth")(trunk)
    price = keras.layers.Dense(2, name="price")(keras.layers.Concatenate(name="both")([trunk, depth]))
    outcome = run(project(tmp_path, keras.Model(x, [price, depth])), tmp_path, "verify")
    verdict = found(outcome, "verify", VerifyResult)
    assert (verdict.hardware.verdict, verdict.model.verdict) == ("bit_exact", "bit_exact")
    assert {"result_0", "result_1"} <= set(verdict.hardware.layer_words)
