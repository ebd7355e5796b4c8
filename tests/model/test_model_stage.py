"""The train stage end to end on small models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_cases import sequential, write_data

from toolchain.data.samples import load as load_samples
from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.model import artefact, training
from toolchain.model.architectures import build
from toolchain.model.keras_graph import graph_of, load_graph
from toolchain.model.kernels import kernels_of
from toolchain.model.preflight import KERNELS, kernel_names
from toolchain.model.stage import from_model, train
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import ModelSection, TrainSection
from toolchain.results import Job, ModelResult

CNN = ModelSection(architecture="spx_cnn")


def _job(folder: Path, seed: int = 0) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    return Job(folder, folder.parent, seed)


def _weights(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "weights.npz") as stored:
        return {name: stored[name] for name in stored.files}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    section = TrainSection(epochs=3, batch_size=16)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(data, CNN, section, _job(tmp_path / name, seed))
    a, b, c = (_weights(tmp_path / name) for name in "abc")
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not any(np.array_equal(a[name], c[name]) for name in a)
    assert np.array_equal(np.load(tmp_path / "a/predictions.npy"), np.load(tmp_path / "b/predictions.npy"))


def test_the_result_tells_what_was_saved(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = write_data(tmp_path / "data")
    said: list[tuple[str, int, int]] = []
    folder = tmp_path / "m"
    folder.mkdir()
    job = Job(folder, tmp_path, 0, lambda label, done, total: said.append((label, done, total)))
    result = train(data, CNN, TrainSection(epochs=2), job)
    assert isinstance(result, ModelResult)
    assert said == [("train", 1, 2), ("train", 2, 2)]
    assert capfd.readouterr() == ("", "")
    model = load_tensorflow().keras.models.load_model(folder / "model.keras", compile=False)
    assert result.parameters == model.count_params() == sum(layer.parameters for layer in result.layers)
    assert [layer.name for layer in result.layers] == ["conv", "hidden", "forecast"]
    x = load_samples(data).test.x.astype(np.float32)
    predictions = np.load(folder / "predictions.npy")
    assert predictions.dtype == np.float64
    assert np.array_equal(predictions, model.predict(x, verbose=0, batch_size=4096).astype(np.float64))


@pytest.mark.parametrize("patience", [0, 1])
def test_the_best_epoch_is_kept_not_the_last(tmp_path: Path, patience: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_data(tmp_path / "data", task="noise")
    losses: list[float] = []

    def spy(label: str, epochs: int, progress: object) -> object:
        keras = load_tensorflow().keras
        return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["val_loss"]))

    monkeypatch.setattr(training, "progress_callback", spy)
    section = TrainSection(epochs=15, batch_size=8, learning_rate=0.01, patience=patience)
    result = train(data, CNN, section, _job(tmp_path / "m"))
    assert min(losses) < losses[-1]
    assert result.validation_loss == pytest.approx(min(losses), rel=1e-5)
    assert result.epochs == len(losses)
    assert (result.epochs == 15) is (patience == 0)


@pytest.mark.parametrize(("task", "loss"), [("regression", "mse"), ("binary", "binary_crossentropy")])
def test_the_loss_follows_the_task(tmp_path: Path, task: str, loss: str) -> None:
    data = write_data(tmp_path / "data", (4,), task)
    result = train(data, ModelSection(architecture="btc_mlp"), TrainSection(epochs=1), _job(tmp_path / "m"))
    assert result.loss == loss
    assert training.loss_for("multiclass") == "categorical_crossentropy"


def test_training_that_diverges_is_the_users_problem(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    with pytest.raises(ProjectError, match="diverged") as caught:
        train(data, CNN, TrainSection(epochs=3, learning_rate=1e30), _job(tmp_path / "m"))
    assert caught.value.where == "[train] learning_rate"


def test_a_model_from_a_file_keeps_its_weights_without_training(tmp_path: Path) -> None:
    import keras

    load_tensorflow()
    model = sequential(keras)
    model.save(tmp_path / "mine.keras")
    data = write_data(tmp_path / "data")
    result = train(data, ModelSection(file="mine.keras"), TrainSection(epochs=0), _job(tmp_path / "m"))
    kernels = kernels_of(load_graph(tmp_path / "m" / "model.keras"))
    assert set(kernels) == {"conv", "hidden", "out"}
    for name, kernel in kernels.items():
        assert np.array_equal(kernel, model.get_layer(name).get_weights()[0])
    assert result.epochs == 0


def test_training_goes_on_from_the_files_weights_and_statistics(tmp_path: Path) -> None:
    keras = load_tensorflow().keras
    model = sequential(keras)
    data = write_data(tmp_path / "data")
    before = [np.array(w) for w in model.get_weights()]
    from_model(model, data, TrainSection(epochs=1, learning_rate=1e-12), _job(tmp_path / "m"))
    after = artefact.load_model(tmp_path / "m")
    for name in ("conv", "hidden", "out"):
        for old, new in zip(model.get_layer(name).get_weights(), after.get_layer(name).get_weights(), strict=True):
            assert np.allclose(old, new, atol=1e-6)
    assert after.get_layer("norm1").momentum == model.get_layer("norm1").momentum
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("shape", [(5, 2), (12,)])
def test_a_model_that_does_not_fit_the_data_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    keras = load_tensorflow().keras
    data = write_data(tmp_path / "data", shape)
    with pytest.raises(UnsupportedModelError, match="takes samples of shape"):
        from_model(sequential(keras), data, TrainSection(epochs=0), _job(tmp_path / "m"))
    two = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(UnsupportedModelError, match="gives outputs of shape"):
        from_model(two, data, TrainSection(epochs=0), _job(tmp_path / "m"))


@pytest.mark.parametrize(("name", "shape"), [("spx_cnn", (12,)), ("btc_mlp", (6, 2))])
def test_an_architecture_refuses_samples_of_another_rank(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    data = write_data(tmp_path / "data", shape)
    with pytest.raises(ProjectError, match="samples"):
        build(ModelSection(architecture=name), data)


@pytest.mark.parametrize(("name", "shape"), [("spx_cnn", (14, 1)), ("btc_mlp", (32,))])
def test_preflight_knows_the_architectures_layers(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    section = ModelSection(architecture=name, final_relu=True)
    graph = graph_of(build(section, write_data(tmp_path / "data", shape)))
    assert tuple(kernels_of(graph)) == KERNELS[name] == kernel_names(section, tmp_path)
    assert graph.layers[graph.outputs[0].layer].kind == "ReLU"


def test_preflight_knows_a_files_layers(tmp_path: Path) -> None:
    sequential(load_tensorflow().keras).save(tmp_path / "m.keras")
    assert kernel_names(ModelSection(file="m.keras"), tmp_path) == ("conv", "hidden", "out")
    assert kernel_names(ModelSection(file="none.keras"), tmp_path) == ()
