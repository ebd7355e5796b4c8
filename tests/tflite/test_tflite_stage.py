"""The stage as the pipeline calls it, and the comparison with post-training quantization."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import pytest
from tflite_networks import convolution_network, dense_network

from toolchain.data import samples as data_samples
from toolchain.errors import BitMismatchError, UnsupportedModelError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.model.tensorflow import load_tensorflow
from toolchain.network import storage
from toolchain.network.interpreter import quantize_inputs, run
from toolchain.network.nodes import FixedPointNetwork
from toolchain.project import TfliteKind, TfliteSection
from toolchain.results import DataResult, Job, Part, PruneResult, QuantizeResult, Samples, TfliteResult
from toolchain.tflite.compare import compare_with_post_training, float_model
from toolchain.tflite.grids import Grid
from toolchain.tflite.reader import read_summary
from toolchain.tflite.stage import _saturated, export


class Inputs(NamedTuple):
    data: DataResult
    pruned: PruneResult
    quantized: QuantizeResult
    test: Part


def part(rng: np.random.Generator, shape: tuple[int, ...], count: int, outputs: int) -> Part:
    empty = np.zeros(0)
    return Part(rng.normal(size=(count, *shape)), rng.normal(size=(count, outputs)), empty, np.arange(count))


def stage_inputs(
    folder: Path, network: FixedPointNetwork, task: Literal["regression", "multiclass"] = "multiclass"
) -> Inputs:
    """What the stages before would have left: samples, a float model of the network's weights, the network."""
    rng = np.random.default_rng(0)
    shape, outputs = network.inputs[0].shape, network.nodes[-1].shape[-1]
    for name in ("data", "prune", "quantize"):
        (folder / name).mkdir()
    parts = Samples(*(part(rng, shape, count, outputs) for count in (80, 20, 50)))
    digest = data_samples.save(parts, folder / "data")
    data = DataResult(
        source="random", task=task, metric="accuracy", unit="", input_shape=shape, outputs=outputs,
        feature_names=(), y_scale=1.0, y_offset=0.0, counts={}, first_test_time="", last_test_time="", sha256=digest,
    )  # fmt: skip
    common = {
        "layers": (), "parameters": 1, "learning_rate": 0.1, "batch_size": 1, "epochs": 1, "loss": "mse",
        "validation_loss": 0.0,
    }  # fmt: skip
    model = float_model(network)
    model.save(folder / "prune" / "model.keras")
    np.save(folder / "prune" / "predictions.npy", model.predict(parts.test.x, verbose=0).astype(np.float64))
    pruned = PruneResult(sparsity=0.5, remaining_sparsity=0.5, parameters_before=1, removed=(), **common)
    storage.save(network, folder / "quantize" / "network.fpn")
    # model_construct: the other fields of this result are of no concern here, whatever is added to them
    quantized = QuantizeResult.model_construct(network_sha256=storage.digest(network), **common)
    data.at(folder / "data")
    pruned.at(folder / "prune")
    quantized.at(folder / "quantize")
    return Inputs(data, pruned, quantized, parts.test)


def run_stage(inputs: Inputs, folder: Path, *kinds: Literal["float32", "int8"]) -> TfliteResult:
    folder.mkdir()
    section = TfliteSection(kinds=kinds) if kinds else TfliteSection()
    return export(inputs.data, inputs.pruned, inputs.quantized, section, Job(folder, folder))


def test_both_files_their_predictions_and_their_figures(tmp_path: Path) -> None:
    network = convolution_network(bits=6)
    inputs = stage_inputs(tmp_path, network)
    result = run_stage(inputs, tmp_path / "tflite")
    folder = tmp_path / "tflite"
    assert [file.path for file in result.files] == ["model.float32.tflite", "model.int8.tflite"]
    for file in result.files:
        content = (folder / file.path).read_bytes()
        assert file.size_bytes == len(content)
        assert file.sha256 == hashlib.sha256(content).hexdigest()
        assert file.checked
    assert result.skipped == {}
    assert result.equal_words_share is not None
    assert 0.5 < result.equal_words_share <= 1.0
    with np.load(folder / "predictions.npz", allow_pickle=False) as predictions:
        assert predictions["float32"].shape == predictions["int8"].shape == (50, 3)
        words = run(network, quantize_inputs(network, {"x": inputs.test.x}))["out"]
        exact = network["out"].result.values_of(words)
        description = json.loads((folder / "model.int8.json").read_text())
        assert np.abs(predictions["int8"] - exact).max() <= 2 * description["output"]["scale"]
    assert description["network_sha256"] == storage.digest(network)
    assert [bound["node"] for bound in description["bounds"]] == ["conv_relu", "flatten", "hidden_relu", "out"]


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path) -> None:
    inputs = stage_inputs(tmp_path, convolution_network())
    first, second = (run_stage(inputs, tmp_path / name) for name in ("first", "second"))
    assert [file.sha256 for file in first.files] == [file.sha256 for file in second.files]
    assert first == second


def test_a_network_without_an_int8_form_is_named_with_the_reason(tmp_path: Path) -> None:
    form = FixedPoint(True, 0, 7, Rounding.RND_CONV, Overflow.SAT)
    network = dense_network(np.full((2, 3), 1001), None, form)
    result = run_stage(stage_inputs(tmp_path, network), tmp_path / "tflite", "int8")
    assert result.files == ()
    assert "'dense'" in result.skipped["int8"]
    assert "1001" in result.skipped["int8"]
    assert result.equal_words_share is None


def test_every_kind_is_written_run_and_described(tmp_path: Path) -> None:
    inputs = stage_inputs(tmp_path, convolution_network(bits=6))
    folder = tmp_path / "tflite"
    folder.mkdir()
    section = TfliteSection(kinds=get_args(TfliteKind))
    result = export(inputs.data, inputs.pruned, inputs.quantized, section, Job(folder, folder))
    sizes = {file.kind: file.size_bytes for file in result.files}
    assert tuple(sizes) == get_args(TfliteKind)
    assert "DEQUANTIZE" in read_summary(folder / "model.float16.tflite").operators
    assert all((folder / file.path).stat().st_size == file.size_bytes for file in result.files)
    assert "no bound holds" in next(file.checked for file in result.files if file.kind == "post_training_int8")
    assert read_summary(folder / "model.int16x8.tflite").inputs[0].kind == "int16"
    assert json.loads((folder / "model.int16x8.json").read_text())["input"]["scale"] == 2.0**-5


def test_a_wide_input_port_is_cut_to_eight_bits_and_says_so(tmp_path: Path) -> None:
    form = FixedPoint(True, 3, 12, Rounding.RND_CONV, Overflow.SAT)
    network = dense_network(np.array([[100], [-77]]), np.array([9]), form)
    result = run_stage(stage_inputs(tmp_path, network, "regression"), tmp_path / "tflite", "int8")
    assert "input port rounds 8 bits" in result.files[0].checked
    assert "from -8 to 7.9375; 0 test values lie beyond" in result.files[0].checked
    assert result.largest_word_difference == 0  # the weights have no room for ties' sake, and none occurs here


def test_values_beyond_the_input_port_are_counted() -> None:
    grid = Grid(4, 0)  # -8 to 7.9375
    assert _saturated(grid, np.array([-8.0, 7.9375, 7.96, -8.02])) == 0
    assert _saturated(grid, np.array([8.0, -9.0, 100.0, 1.0])) == 3


def test_float_outputs_that_are_not_the_keras_models_are_a_mismatch(tmp_path: Path) -> None:
    inputs = stage_inputs(tmp_path, convolution_network())
    path = inputs.pruned.folder / "predictions.npy"
    for wrong in (np.load(path) + 0.01, np.load(path) * np.nan):
        np.save(path, wrong)
        with pytest.raises(BitMismatchError, match="pruned Keras model"):
            run_stage(inputs, tmp_path / f"tflite{len(list(tmp_path.iterdir()))}", "float32")


def test_damaged_results_of_earlier_stages_are_refused(tmp_path: Path) -> None:
    inputs = stage_inputs(tmp_path, convolution_network())
    (inputs.quantized.folder / "network.fpn").write_bytes(b"PK nonsense")
    with pytest.raises(UnsupportedModelError, match=r"network\.fpn"):
        run_stage(inputs, tmp_path / "a", "int8")
    (inputs.pruned.folder / "model.keras").write_bytes(b"nonsense")
    with pytest.raises(UnsupportedModelError, match=r"model\.keras"):
        run_stage(inputs, tmp_path / "b", "float32")


def test_the_exact_export_is_nearer_to_the_network_than_post_training_quantization(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 10, 2))
    found = compare_with_post_training(convolution_network(bits=8, seed=2), x[:200], x[200:], tmp_path)
    assert found.exact_error <= 2 * found.output_lsb
    assert found.ratio > 1.0


def test_writing_needs_no_tensorflow() -> None:
    import subprocess
    import sys

    code = (
        "import sys; import toolchain.tflite.stage, toolchain.tflite.schema as s; s.load_schema(); "
        "print('tensorflow' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
    assert load_tensorflow().__name__ == "tensorflow"
