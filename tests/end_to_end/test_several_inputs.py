"""A model of two inputs that somebody else saved, from its named arrays to the verdict, the artefacts and the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import run_toolchain
from port_cases import WAYS_OF_PRUNING, initialised, project_table, run

from toolchain import pipeline
from toolchain.data.ports import by_port
from toolchain.data.samples import load
from toolchain.errors import PreflightError, UnsupportedModelError
from toolchain.model.tensorflow import load_tensorflow
from toolchain.network import interpreter, storage
from toolchain.network.words import read_formats, read_words
from toolchain.results import DataResult, ModelResult, PruneResult, QuantizeResult, TfliteResult, VerifyResult
from toolchain.sweep.design import bit_true
from toolchain.tflite.converted import run_on_values

SAMPLES, TRAIN = 200, 150
PARTS = {"train": slice(TRAIN), "test": slice(TRAIN, None)}


def model() -> Any:
    """Saved by Keras 3; its inputs are not in the order of their names, and have different ranges and shapes."""
    load_tensorflow()
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    window, book = keras.Input((6, 2), name="window"), keras.Input((5,), name="book")
    seen = layers.Flatten()(layers.Conv1D(3, 3, activation="relu", name="conv")(window))
    joined = layers.Concatenate(name="joined")([seen, layers.Dense(4, activation="relu", name="side")(book)])
    hidden = layers.Dense(5, activation="relu", name="hidden")(joined)
    out = layers.Dense(1, name="out")(hidden)
    return keras.Model([window, book], out)


def project(folder: Path, made: Any = None, **sections: Any) -> dict[str, Any]:
    made = made or model()
    made.save(folder / "model.keras")
    random = np.random.default_rng(0)
    x = {"window": random.normal(size=(SAMPLES, 6, 2)), "book": 4 * random.normal(size=(SAMPLES, 5))}
    y = x["window"][:, :, 0].sum(axis=1) + x["book"][:, 1]
    named = {f"x_{part}.{name}": values[rows] for name, values in x.items() for part, rows in PARTS.items()}
    np.savez(folder / "data.npz", y_train=y[:TRAIN], y_test=y[TRAIN:], **named)
    return project_table(**sections)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pipeline.Outcome]:
    folder = tmp_path_factory.mktemp("two")
    made = model()
    return made, run(project(folder, made), folder)


def test_the_verdict_is_bit_exact_over_both_ports(built: tuple[Any, pipeline.Outcome]) -> None:
    outcome = built[1]
    assert not outcome.problems
    verdict, quantized = outcome.get("verify", VerifyResult), outcome.get("quantize", QuantizeResult)
    assert verdict is not None
    assert quantized is not None
    assert (verdict.hardware.verdict, verdict.model.verdict) == ("bit_exact", "bit_exact")
    network = storage.load(quantized.folder / "network.fpn")
    assert set(quantized.input_ports) == {"window", "book"}
    assert {network[port].shape for port in quantized.input_ports.values()} == {(6, 2), (5,)}
    for port in quantized.input_ports.values():  # each port's words are compared, and they are many
        assert verdict.hardware.layer_words[port] == verdict.hardware.samples * network[port].size


def test_pretrained_weights_are_kept_and_each_input_gets_its_own_array(built: tuple[Any, pipeline.Outcome]) -> None:
    made, outcome = built
    trained = outcome.get("train", ModelResult)
    assert trained is not None
    arrays = np.load(outcome.request.project_folder / "data.npz")
    x = [arrays["x_test.window"].astype(np.float32), arrays["x_test.book"].astype(np.float32)]
    expected = np.asarray(made(x, training=False), dtype=np.float64)
    found = np.load(trained.folder / "predictions.npy")
    assert np.abs(found - expected).max() <= 1e-6 * max(1.0, np.abs(expected).max())


def test_the_hardware_computes_from_the_words_of_the_named_arrays(built: tuple[Any, pipeline.Outcome]) -> None:
    """From the user's file to the C-simulation's output, by no code of the stages between."""
    outcome = built[1]
    quantized = outcome.get("quantize", QuantizeResult)
    assert quantized is not None
    network = storage.load(quantized.folder / "network.fpn")
    arrays = np.load(outcome.request.project_folder / "data.npz")
    words = {
        port: network[port].result.words_of(arrays[f"x_test.{name}"]) for name, port in quantized.input_ports.items()
    }
    expected = interpreter.run(network, words)[network.outputs[0]]
    folder = outcome.request.output_folder / "csim"
    samples = len((folder / "result.txt").read_text().splitlines())
    found = read_words(folder, "result", samples, network[network.outputs[0]].shape)[: SAMPLES - TRAIN]
    assert np.array_equal(found, expected)
    assert read_formats(folder)["result"] == network[network.outputs[0]].result
    for name, port in quantized.input_ports.items():
        own = read_words(folder, port, samples, network[port].shape)
        assert np.array_equal(own[: SAMPLES - TRAIN], words[port]), name
        assert {int(own.min()), int(own.max())} == {network[port].result.min_word, network[port].result.max_word}


def test_the_artefacts_read_each_port_by_its_name(built: tuple[Any, pipeline.Outcome]) -> None:
    outcome = built[1]
    data, quantized = outcome.get("data", DataResult), outcome.get("quantize", QuantizeResult)
    written, pruned = outcome.get("tflite", TfliteResult), outcome.get("prune", PruneResult)
    assert data is not None
    assert quantized is not None
    assert written is not None
    assert pruned is not None
    assert not written.skipped
    assert [file.kind for file in written.files] == ["float32", "int8"]
    description = json.loads((written.folder / "model.int8.json").read_text())
    assert sorted(port["shape"] for port in description["inputs"]) == [[5], [6, 2]]
    assert description["data"]["features"][:2] == ["book.x0", "book.x1"]
    vectors = np.load(written.folder / "test_vectors.npz")
    assert vectors["inputs"].shape[1:] == (17,)
    test = load(data).test
    float_outputs = run_on_values(written.folder / "model.float32.tflite", test.x)
    expected = np.load(pruned.folder / "predictions.npy")
    assert np.abs(float_outputs - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())
    network = storage.load(quantized.folder / "network.fpn")
    assert set(by_port(test.x, network, quantized.input_ports)) == {node.name for node in network.inputs}


def test_the_page_the_sweep_and_the_estimate_know_both_inputs(built: tuple[Any, pipeline.Outcome]) -> None:
    outcome = built[1]
    data, quantized = outcome.get("data", DataResult), outcome.get("quantize", QuantizeResult)
    assert data is not None
    assert quantized is not None
    assert outcome.report is not None
    assert outcome.report.estimate is not None
    assert (outcome.request.output_folder / "report.html").stat().st_size > 10_000
    assert outcome.report.accuracy.hls is not None
    assert bit_true(data, quantized)["test_accuracy"] == outcome.report.accuracy.hls.value


@pytest.mark.slow
@pytest.mark.parametrize(
    "prune",
    [
        *WAYS_OF_PRUNING,
        {"frequency": 1, "structured_sparsity": 0.3, "criterion": "activation", "epochs": 4, "final_sparsity": 0.3},
    ],
)
def test_every_way_of_pruning_feeds_both_inputs(tmp_path: Path, prune: dict[str, Any]) -> None:
    outcome = run(
        project(tmp_path, prune=prune, train={"epochs": 2}, hls={"io_type": "io_stream"}),
        tmp_path,
        "verify",
    )
    verdict, pruned = outcome.get("verify", VerifyResult), outcome.get("prune", PruneResult)
    assert verdict is not None
    assert pruned is not None
    assert (verdict.hardware.verdict, verdict.model.verdict) == ("bit_exact", "bit_exact")
    assert pruned.sparsity >= 0.3


def rewritten(folder: Path, **changed: Any) -> None:
    with np.load(folder / "data.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    arrays |= changed
    np.savez(folder / "data.npz", **{name: value for name, value in arrays.items() if value is not None})


def test_names_that_differ_are_refused_before_any_work(tmp_path: Path) -> None:
    table = project(tmp_path)
    for changed, text, code in (
        ({"x_test.book": None}, "has no array 'x_test.book': input 'book' is missing", 7),
        ({"x_train.book": None}, "the data have nothing for input 'book'; they have window", 3),
    ):
        rewritten(tmp_path, **changed)
        with pytest.raises(PreflightError) as caught:
            run(table, tmp_path)
        assert text in caught.value.text()
        assert caught.value.exit_code == code
    assert not (tmp_path / "build" / ".stages").exists()


def test_a_wrong_shape_is_refused_before_training_naming_the_input(tmp_path: Path) -> None:
    table = project(tmp_path)
    random = np.random.default_rng(1)
    rewritten(tmp_path, **{"x_train.book": random.normal(size=(TRAIN, 4)), "x_test.book": random.normal(size=(50, 4))})
    with pytest.raises(UnsupportedModelError, match=r"input 'book': takes samples of shape \(5,\), the data give \(4,"):
        run(table, tmp_path)


def test_an_input_that_nothing_reads_is_refused_before_any_work(tmp_path: Path) -> None:
    load_tensorflow()
    import keras

    window, book = keras.Input((6, 2), name="window"), keras.Input((5,), name="book")
    table = project(tmp_path, keras.Model([window, book], keras.layers.Dense(1, name="out")(book)))
    with pytest.raises(PreflightError, match="nothing reads input 'window'") as caught:
        run(table, tmp_path)
    assert caught.value.exit_code == 3


def test_a_reference_architecture_has_one_input(tmp_path: Path) -> None:
    table = project(tmp_path) | {"model": {"architecture": "btc_mlp"}}
    with pytest.raises(PreflightError, match="architecture = 'btc_mlp': the model has no input 'book'; it has samples"):
        run(table, tmp_path)


def test_init_writes_the_project_of_named_arrays_and_of_a_tables_columns(tmp_path: Path) -> None:
    project(tmp_path)
    command = initialised(tmp_path)
    rows = "\n".join(",".join(str(place + column) for column in range(4)) for place in range(30))
    (tmp_path / "table.csv").write_text(f"a,b,c,y\n{rows}\n")
    columns = ["--data", str(tmp_path / "table.csv"), "--predict", "y"]
    done = run_toolchain(*command, "table", *columns, "--input", "window=a,b", "--input", "book=c")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "made" / "table" / "project.toml").read_text()
    assert '[data.inputs]\nwindow = ["a", "b"]\nbook = ["c"]\n' in text
    for more, code, found in (
        ([], 3, "the model has 2 inputs (book, window), the data have one"),
        (["--input", "window=a"], 3, "the data have nothing for input 'book'"),
        (["--input", "window"], 2, "NAME=COLUMN,COLUMN"),
        (["--input", "a window=a"], 2, "[data.inputs.a window]"),
    ):
        done = run_toolchain(*command, "refused", *columns, *more)
        assert done.returncode == code
        assert found in done.stderr
        assert not (tmp_path / "made" / "refused").exists()
