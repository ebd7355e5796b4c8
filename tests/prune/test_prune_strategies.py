"""Every strategy ends with exactly the zeros that were asked for; masks hold; the same seed gives the same weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from prune_cases import write_data

from toolchain.data.samples import load as load_samples
from toolchain.errors import PreflightError
from toolchain.model.keras_graph import graph_of
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import PruneSection, parse_project
from toolchain.prune import schedules, scoring, sensitivity
from toolchain.prune.magnitude import for_layer
from toolchain.prune.masked_training import Growth, MaskedTraining, Run, Teacher
from toolchain.prune.masks import wanted_zeros
from toolchain.prune.schedules import iterative_sparsities
from toolchain.prune.strategies import STRATEGIES, Setting, choose_stop, initial_weights
from toolchain.results import LayerSensitivity


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> MaskedTraining:
    data = write_data(tmp_path_factory.mktemp("data"))
    keras = load_tensorflow().keras
    layers = keras.layers
    net = [layers.Conv1D(4, 2, name="conv"), layers.ReLU(), layers.Flatten(), layers.Dense(10, name="dense"),
           layers.ReLU(), layers.Dense(1, name="out")]  # fmt: skip
    graph = graph_of(keras.Sequential([keras.Input((6, 2)), *net]))
    found = MaskedTraining(graph, load_samples(data), "mse", 32)
    found.dense = found.train(initial_weights(graph, 0), {}, Run(10, 1e-2))
    return found


def setting(network: MaskedTraining, **options: Any) -> Setting:
    return Setting(network, PruneSection(**{"epochs": 4, "skip": ("out",), **options}), 1e-2)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_every_stop_is_exactly_as_sparse_as_asked(network: MaskedTraining, strategy: str) -> None:
    asked = setting(network, strategy=strategy, final_sparsity=0.7, pruned_share=0.4)
    stops = list(STRATEGIES[strategy](asked))
    assert stops[-1].sparsity == 0.7
    if strategy in ("iterative", "lottery_ticket"):
        assert [stop.sparsity for stop in stops] == list(iterative_sparsities(0.7, 0.4))
    before = {key: np.ones(mask.shape, dtype=bool) for key, mask in stops[0].masks.items()}
    for stop in stops:
        kernels = network.kernels(stop.weights)
        assert set(stop.masks) == {"conv", "dense"}
        for key, mask in stop.masks.items():
            assert int((kernels[key] == 0).sum()) == wanted_zeros(mask.size, stop.sparsity)
            assert not kernels[key][~mask].any()
            assert not (mask & ~before[key]).any(), "what is gone stays gone"
        assert kernels["out"].all()
        before = stop.masks
    again = list(STRATEGIES[strategy](asked))[-1].weights
    assert all(np.array_equal(a, b) for a, b in zip(stops[-1].weights, again, strict=True))


@pytest.mark.parametrize("criterion", ["magnitude", "taylor", "hessian", "movement", "hardware"])
@pytest.mark.parametrize("scope", ["layer", "network"])
def test_every_criterion_in_every_scope(network: MaskedTraining, criterion: str, scope: str) -> None:
    section = PruneSection(weight_criterion=criterion, scope=scope, epochs=2, strategy="one_shot", skip=("out",))
    masks = scoring.choose(network, network.dense, {}, section, 0.5, Run(2, 1e-3))
    sizes = {"conv": 16, "dense": 200}
    if scope == "layer":
        assert {key: int((~mask).sum()) for key, mask in masks.items()} == {key: n // 2 for key, n in sizes.items()}
    else:
        assert sum(int((~mask).sum()) for mask in masks.values()) == 108


def test_gradients_are_the_losses_slopes(network: MaskedTraining) -> None:
    mean = network.gradients(network.dense)["dense"]
    fisher = network.gradients(network.dense, one_by_one=True)["dense"]
    part = network.samples.train
    place = np.unravel_index(np.abs(mean).argmax(), mean.shape)
    index = next(i for i, value in enumerate(network.dense) if value.shape == mean.shape)
    values = []
    for step in (-1e-3, 1e-3):
        moved = [value.copy() for value in network.dense]
        moved[index][place] += step
        values.append(network.loss(moved, part))
    assert (values[1] - values[0]) / 2e-3 == pytest.approx(mean[place], rel=2e-2, abs=1e-6)
    assert (fisher >= mean**2 - 1e-9).all()


def test_a_ticket_starts_from_its_own_initialisation(network: MaskedTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: list[Any] = []
    epochs: list[int] = []
    train = network.train

    def watch(weights: Any, masks: Any, run: Run) -> Any:
        starts.append(weights)
        epochs.append(run.epochs)
        return train(weights, masks, run)

    monkeypatch.setattr(network, "train", watch)
    for epoch in (0, 2):
        starts.clear(), epochs.clear()
        options = {"strategy": "lottery_ticket", "final_sparsity": 0.5, "pruned_share": 0.3, "rewind_epoch": epoch}
        stops = list(STRATEGIES["lottery_ticket"](setting(network, **options)))
        assert epochs == [4, *[4 - epoch] * len(stops)]
        first = initial_weights(network.graph, 0)
        assert all(np.array_equal(a, b) for a, b in zip(starts[0], first, strict=True))
        assert all(start is starts[1] for start in starts[1:])
        same = all(np.array_equal(a, b) for a, b in zip(starts[1], first, strict=True))
        assert same == (epoch == 0)


@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy"])
def test_a_student_of_only_its_teacher_stays_with_it(network: MaskedTraining, loss: Any) -> None:
    outputs = network.outputs(network.dense, network.samples.train.x)
    taught = MaskedTraining(network.graph, network.samples, loss, 32)
    run = Run(3, 1e-3, keep_best=False, teacher=Teacher(outputs, 1.0))
    found = taught.outputs(taught.train(network.dense, {}, run), network.samples.train.x)
    alone = taught.outputs(taught.train(network.dense, {}, Run(3, 1e-3, keep_best=False)), network.samples.train.x)
    assert np.abs(found - outputs).max() < 0.05 * np.abs(alone - outputs).max() + 1e-3


def test_zeros_that_come_back_are_seen(network: MaskedTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = {"dense": np.zeros((20, 10), dtype=bool)}
    assert not network.kernels(network.train(network.dense, masks, Run(1, 1e-3)))["dense"].any()
    broken = MaskedTraining(network.graph, network.samples, "mse", 32)
    monkeypatch.setattr(broken, "_masks", {})  # nothing holds the zeros after a step
    with pytest.raises(AssertionError, match="came back"):
        broken.train(network.dense, masks, Run(1, 1e-2, keep_best=False))


def test_the_stop_rule_ends_before_the_bound(network: MaskedTraining) -> None:
    asked = setting(network, strategy="iterative", final_sparsity=0.9, pruned_share=0.3, accuracy_loss=0.1)
    losses = iter([0.0, 0.05, 0.2, 0.0, 0.0, 0.0, 0.0])
    assert choose_stop(asked, lambda weights: next(losses)).sparsity == pytest.approx(1 - 0.7**2)
    none = choose_stop(asked, lambda weights: 0.2)
    assert none.sparsity == 0
    assert none.weights is network.dense


def test_sensitivity_sets_targets() -> None:
    found = (
        LayerSensitivity(layer="a", sparsities=(0, 0.25, 0.5, 0.75), metric=(1.0, 0.99, 0.9, 0.99)),
        LayerSensitivity(layer="b", sparsities=(0, 0.25, 0.5, 0.75), metric=(1.0, 1.0, 1.0, 1.0)),
    )
    chosen = sensitivity.targets(found, lambda before, after: before - after, 0.05, 0.7)
    assert chosen == {"a": 0.25, "b": 0.7}


def test_sensitivity_prunes_one_layer_at_a_time(network: MaskedTraining) -> None:
    seen: list[tuple[int, int]] = []

    def metric(weights: Any) -> float:
        kernels = network.kernels(weights)
        seen.append((int((kernels["conv"] == 0).sum()), int((kernels["dense"] == 0).sum())))
        return 1.0

    found = sensitivity.analyse(setting(network), metric)
    assert [layer.layer for layer in found] == ["conv", "dense"]
    assert seen[:6] == [(wanted_zeros(16, s), 0) for s in sensitivity.TRIED]
    assert seen[6:] == [(0, wanted_zeros(200, s)) for s in sensitivity.TRIED]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"percentile": 35}, "percentile needs"),
        ({"percentile": 35, "strategy": "one_shot", "block": [2, 2]}, "no block"),
        ({"scope": "network", "sparsities": {"a": 0.5}}, "one threshold"),
        ({"accuracy_loss": 0.1, "percentile": 35, "strategy": "one_shot"}, "accuracy_loss tries other"),
        ({"sensitivity": True}, "by accuracy_loss"),
        ({"final_sparsity": 0.0, "sparsities": {"a": 0.5}}, "prunes nothing"),
        ({"rewind_epoch": 60}, "before the last"),
        ({"strategy": "random"}, "not allowed"),
        ({"granularity": "block"}, "not allowed"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(PreflightError, match=match):
        parse_project({"name": "p", "model": {"architecture": "btc_mlp"}, "prune": options}, "project.toml")


def test_the_percentile_rule_in_a_strategy(network: MaskedTraining) -> None:
    asked = setting(network, strategy="one_shot", percentile=35.0)
    (stop,) = STRATEGIES["one_shot"](asked)
    for key, kernel in network.kernels(network.dense).items():
        if key != "out":
            expected = np.abs(kernel) > np.percentile(np.abs(kernel), 35)
            assert np.array_equal(network.kernels(stop.weights)[key] != 0, expected)


@pytest.mark.parametrize(
    "options",
    [
        {"weight_criterion": "taylor"},
        {"scope": "network", "schedule": "exponential", "rate": 3.0},
        {"weight_criterion": "movement", "schedule": "linear", "initial_sparsity": 0.2},
        {"schedule": "constant", "begin_step": 5, "end_step": 14, "block": (1, 2)},
        {"begin_step": 4, "end_step": 24, "frequency": 4, "sparsities": {"conv": 0.25}, "weight_criterion": "hessian"},
    ],
)
def test_our_own_gradual_pruning_keeps_tfmots_steps(
    network: MaskedTraining, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    asked = setting(network, **{"final_sparsity": 0.6, "frequency": 3, **options})
    steps = schedules.steps_for(asked.section, len(network.samples.train.x), network.batch_size)
    assert steps.total == 4 * 6
    theirs = {}
    for key in ("conv", "dense"):
        schedule = schedules.tfmot_schedule(for_layer(asked.section, key), steps)
        theirs[key] = {
            t: float(schedule(np.int64(t))[1]) for t in range(steps.total + 1) if bool(schedule(np.int64(t))[0])
        }
    seen: dict[int, dict[str, float]] = {}
    choose = scoring.GrowingMasks.__call__

    def watch(self: Any, step: int, weights: Any, masks: Any) -> Any:
        found = choose(self, step, weights, masks)
        seen[step] = {key: float(1 - mask.mean()) for key, mask in found.items()}
        return found

    monkeypatch.setattr(scoring.GrowingMasks, "__call__", watch)
    epochs: list[int] = []
    asked = replace(asked, progress=lambda label, done, total: epochs.append(done))
    (stop,) = STRATEGIES["gradual"](asked)
    assert epochs == [1, 2, 3, 4]
    assert list(seen) == list(theirs["dense"])
    sizes = {"conv": 16, "dense": 200}
    for step, found in seen.items():
        if asked.section.scope == "network":
            gone = sum(found[key] * size for key, size in sizes.items())
            assert gone == pytest.approx(np.ceil(theirs["dense"][step] * 216 - 1e-3))
        else:
            for key, size in sizes.items():
                blocks = size // (asked.section.block[0] * asked.section.block[1])
                assert found[key] == pytest.approx(np.ceil(theirs[key][step] * blocks - 1e-3) / blocks)
    kernels = network.kernels(stop.weights)
    assert {key: float((kernels[key] == 0).mean()) for key in sizes} == pytest.approx(seen[max(seen)])


def test_training_in_pieces_is_training_at_once(network: MaskedTraining) -> None:
    run = Run(3, 1e-2, seed=5, keep_best=False)
    masks = {"dense": np.arange(200).reshape(20, 10) % 3 > 0}
    at_once = network.train(network.dense, masks, run)
    pieces, _ = network.train_growing(
        network.dense, masks, run, Growth(range(0, 18, 4), lambda step, weights, old: masks)
    )
    assert all(np.array_equal(a, b) for a, b in zip(at_once, pieces, strict=True))
    last = {"dense": np.arange(200).reshape(20, 10) % 4 > 1}
    end, found = network.train_growing(network.dense, {}, run, Growth(range(18, 19), lambda step, weights, old: last))
    assert np.array_equal(network.kernels(end)["dense"] != 0, last["dense"])
    assert found is last
