"""The prune stage end to end on small models: sparsity exact, zeros held, nothing else touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from prune_cases import write_data

from toolchain.data.evaluation import evaluate
from toolchain.data.samples import load as load_samples
from toolchain.errors import ProjectError
from toolchain.model import training
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras, graph_of, load_graph
from toolchain.model.kernels import kernels_of, with_kernels
from toolchain.model.stage import from_model, train
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import ModelSection, PruneSection, TrainSection
from toolchain.prune import magnitude, masks
from toolchain.prune.fine_tuning import fine_tune
from toolchain.prune.preflight import check
from toolchain.prune.retention import Judge
from toolchain.prune.stage import prune
from toolchain.results import DataResult, Job, ModelResult, PruneResult


def _job(folder: Path, seed: int = 0) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    return Job(folder, folder.parent, seed)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataResult, ModelResult]:
    folder = tmp_path_factory.mktemp("trained")
    data = write_data(folder / "data")
    section = TrainSection(epochs=6, batch_size=16, learning_rate=3e-3)
    model = train(data, ModelSection(architecture="spx_cnn"), section, _job(folder / "model"))
    model.at(folder / "model")
    return data, model


def _prune(trained: tuple[DataResult, ModelResult], folder: Path, seed: int = 0, **options: object) -> PruneResult:
    section = PruneSection(**{"epochs": 4, "frequency": 2, **options})
    result = prune(*trained, section, _job(folder, seed))
    result.at(folder)
    return result


def _masks(result: PruneResult) -> dict[str, np.ndarray]:
    with np.load(result.folder / "masks.npz") as stored:
        return {name: stored[name] for name in stored.files}


def test_every_kernel_is_as_sparse_as_asked(trained: tuple[DataResult, ModelResult], tmp_path: Path) -> None:
    samples = load_samples(trained[0])
    graph = load_graph(trained[1].folder / "model.keras")
    section = PruneSection(epochs=3, frequency=2, final_sparsity=0.75)
    plan = training.Training(epochs=3, batch_size=16, learning_rate=1e-3, loss="mse")
    pruned = magnitude.prune_weights(graph, samples, section, plan, _job(tmp_path / "m"))
    for name, kernel in kernels_of(pruned).items():
        assert int((kernel == 0).sum()) == masks.wanted_zeros(kernel.size, 0.75), name
        assert pruned.layers[name].weights["bias"].all()


@pytest.mark.parametrize("sparsity", [0.3, 0.75, 0.9])
def test_tfmot_alone_keeps_the_rounded_share(
    trained: tuple[DataResult, ModelResult], tmp_path: Path, sparsity: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(magnitude, "apply_masks", lambda graph, section: graph)
    samples = load_samples(trained[0])
    graph = load_graph(trained[1].folder / "model.keras")
    section = PruneSection(epochs=3, frequency=2, final_sparsity=sparsity)
    plan = training.Training(epochs=3, batch_size=16, learning_rate=1e-3, loss="mse")
    pruned = magnitude.prune_weights(graph, samples, section, plan, _job(tmp_path / "m"))
    for kernel in kernels_of(pruned).values():
        kept = max(int(np.round(np.float32(kernel.size) * (1 - np.float32(sparsity)))), 1)
        assert np.count_nonzero(kernel) == kept


def test_the_whole_stage(
    trained: tuple[DataResult, ModelResult], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    folder = tmp_path / "p"
    folder.mkdir()
    section = PruneSection(epochs=4, frequency=2, structured_sparsity=0.25, skip=("conv",))
    result = prune(*trained, section, Job(folder, tmp_path, 0, lambda label, done, total: said.append(label)))
    result.at(folder)
    assert capfd.readouterr() == ("", "")
    assert set(said) == {"prune", "fine-tune"}
    model = load_tensorflow().keras.models.load_model(folder / "model.keras", compile=False)
    by_name = kernels_of(load_graph(folder / "model.keras"))
    assert by_name["conv"].shape == (1, 2, 5)
    assert by_name["conv"].all()
    assert by_name["hidden"].shape[-1] <= 90
    assert by_name["forecast"].shape == (by_name["hidden"].shape[-1], 1)
    for name, mask in _masks(result).items():
        assert np.array_equal(mask, by_name[name] != 0)
    left = sum(int(np.count_nonzero(kernel)) for kernel in by_name.values())
    whole = 10 + 30 * 120 + 120
    assert result.sparsity == 1 - left / whole
    assert result.sparsity >= 0.75 * (whole - 10) / whole
    assert result.parameters_before == whole + 5 + 120 + 1
    assert result.parameters == sum(kernel.size + kernel.shape[-1] for kernel in by_name.values())
    assert [(group.layer, group.before) for group in result.removed] == [("hidden", 120)]
    x = load_samples(trained[0]).test.x
    assert np.array_equal(np.load(folder / "predictions.npy"), training.predict(model, x))


def test_the_same_seed_gives_the_same_weights(trained: tuple[DataResult, ModelResult], tmp_path: Path) -> None:
    results = [_prune(trained, tmp_path / name, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    a, b, c = (np.load(result.folder / "predictions.npy") for result in results)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_without_sparsity_nothing_changes(trained: tuple[DataResult, ModelResult], tmp_path: Path) -> None:
    result = _prune(trained, tmp_path / "p", final_sparsity=0.0)
    assert np.array_equal(np.load(result.folder / "predictions.npy"), np.load(trained[1].folder / "predictions.npy"))
    assert result.sparsity == 0


def test_structure_alone(trained: tuple[DataResult, ModelResult], tmp_path: Path) -> None:
    result = _prune(trained, tmp_path / "p", final_sparsity=0.0, structured_sparsity=0.5)
    assert [(group.layer, group.before, group.after) for group in result.removed] == [
        ("conv", 5, 3),
        ("hidden", 120, 60),
    ]
    assert result.remaining_sparsity == 0
    assert result.parameters < result.parameters_before


def test_constant_schedule(trained: tuple[DataResult, ModelResult], tmp_path: Path) -> None:
    result = _prune(trained, tmp_path / "p", schedule="constant", skip=("conv", "forecast"))
    assert _masks(result)["hidden"].mean() <= 0.25


def test_batch_normalization_and_dropout_are_gone_afterwards(tmp_path: Path) -> None:
    keras = load_tensorflow().keras
    layers = keras.layers
    net = [layers.Conv1D(4, 2, name="conv"), layers.BatchNormalization(name="n1"), layers.ReLU(name="r"),
           layers.Dropout(0.1, name="drop"), layers.BatchNormalization(name="n2"), layers.Flatten(name="f"),
           layers.Dense(1, name="out")]  # fmt: skip
    data = write_data(tmp_path / "data")
    given = keras.Sequential([keras.Input((6, 2)), *net])
    section = TrainSection(epochs=3, batch_size=16, learning_rate=1e-2)
    model = from_model(given, data, section, _job(tmp_path / "m"))
    model.at(tmp_path / "m")
    assert "n1" in load_graph(model.folder / "model.keras").layers
    untouched = _prune((data, model), tmp_path / "p", final_sparsity=0.0)
    layers = load_graph(untouched.folder / "model.keras").layers.values()
    assert [layer.kind for layer in layers] == ["InputLayer", "Conv1D", "ReLU", "Flatten", "Dense"]
    before, after = (np.load(tmp_path / name / "predictions.npy") for name in ("m", "p"))
    assert np.abs(before - after).max() <= 1e-5 * np.abs(before).max()


def test_a_dead_model_is_refused(
    trained: tuple[DataResult, ModelResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(graph: Graph, *_: object) -> Graph:
        return with_kernels(graph, {"forecast": kernels_of(graph)["forecast"] * 0})

    monkeypatch.setattr("toolchain.prune.weights.prune_weights", kill)
    monkeypatch.setattr("toolchain.prune.stage.fine_tune", lambda graph, *_: graph)
    with pytest.raises(ProjectError, match="same output for every training sample") as caught:
        _prune(trained, tmp_path / "p")
    assert "skip = ['conv']" in caught.value.hint


def test_an_unknown_layer_in_skip_is_refused_with_the_nearest(
    trained: tuple[DataResult, ModelResult], tmp_path: Path
) -> None:
    (problem,) = check(PruneSection(skip=("hiden", "conv")), ("conv", "hidden", "forecast"))
    assert problem.hint == "perhaps you meant 'hidden'"
    with pytest.raises(ProjectError, match="hiden"):
        _prune(trained, tmp_path / "p", skip=("hiden",))


def test_a_branched_model_is_pruned(tmp_path: Path) -> None:
    keras = load_tensorflow().keras
    keras.utils.set_random_seed(0)  # without it the weights depend on the tests that ran before
    layers = keras.layers
    x = keras.Input((6, 2), name="x")
    y = layers.SeparableConv1D(4, 3, padding="same", activation="relu", name="s")(x)
    y = layers.BatchNormalization(name="n")(layers.Add(name="sum")([y, layers.Dense(4, name="side")(x)]))
    model = keras.Model(x, layers.Dense(1, name="out")(layers.GlobalAveragePooling1D(name="mean")(layers.ReLU()(y))))
    data = write_data(tmp_path / "data")
    trained = from_model(model, data, TrainSection(epochs=1), _job(tmp_path / "m"))
    trained.at(tmp_path / "m")
    result = _prune((data, trained), tmp_path / "p", final_sparsity=0.5)
    kernels = kernels_of(load_graph(tmp_path / "p" / "model.keras"))
    assert set(kernels) == {"s_depthwise", "s", "side", "n", "out"}
    assert all((kernel == 0).sum() >= masks.wanted_zeros(kernel.size, 0.5) for kernel in kernels.values())
    assert set(_masks(result)) == set(kernels)
    cut = _prune((data, trained), tmp_path / "q", final_sparsity=0.0, structured_sparsity=0.5)
    assert {group.layer: (group.before, group.after) for group in cut.removed} == {"s": (4, 2), "side": (4, 2)}


@pytest.mark.parametrize("broken", [False, True])
def test_zeros_stay_zero_while_fine_tuning_and_the_guard_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(12, 6)) * (rng.random((12, 6)) < 0.3)
    layers = load_tensorflow().keras.layers
    net = [layers.Flatten(name="f"), layers.Dense(6, "relu", name="a"), layers.Dense(1, name="b")]
    graph = graph_of(load_tensorflow().keras.Sequential([layers.Input((6, 2)), *net]))
    graph = with_kernels(graph, {"a": kernel})
    plan = training.Training(epochs=2, batch_size=16, learning_rate=1e-2, loss="mse")
    samples = load_samples(write_data(tmp_path / "data"))
    if broken:
        keras = load_tensorflow().keras
        monkeypatch.setattr(training, "keep_zeros", lambda kept: keras.callbacks.Callback())
        with pytest.raises(AssertionError, match="came back"):
            fine_tune(graph, samples, plan, _job(tmp_path / "m"))
        return
    tuned = kernels_of(fine_tune(graph, samples, plan, _job(tmp_path / "m")))["a"]
    assert np.array_equal(tuned == 0, kernel == 0)
    assert not np.array_equal(tuned, kernel)


def test_each_kernel_says_what_its_own_zeros_cost(trained: tuple[DataResult, ModelResult], tmp_path: Path) -> None:
    data, model = trained
    graph, samples = load_graph(model.folder / "model.keras"), load_samples(data)
    part = samples.validation

    def rmse(found: Graph) -> float:
        return evaluate(data, part, training.predict(build_keras(found), part.x)).value

    random = np.random.default_rng(0)
    kernels = kernels_of(graph)
    zeros = {name: random.random(kernel.shape) < 0.3 for name, kernel in kernels.items()}
    found = Judge(data, samples).alone(graph, zeros)
    assert list(found) == ["conv", "hidden", "forecast"]
    for name, kernel in kernels.items():  # each by itself: the kernels before it are whole again
        alone = rmse(with_kernels(graph, {name: kernel * zeros[name]}))
        assert alone != rmse(graph)
        assert found[name] == pytest.approx(rmse(graph) / alone, rel=1e-5), name
    result = _prune(trained, tmp_path / "p", final_sparsity=0.9, skip=("conv",))
    assert result.measures is not None
    told = {layer.layer: layer.retention_alone for layer in result.measures.layers}
    assert told["conv"] == 1.0
    assert any(value != 1.0 for value in told.values())
