"""Units, heads and residual branches by every criterion of ``[prune]``, on plans and through the whole stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prune_cases import write_data

from toolchain.data.samples import load as load_samples
from toolchain.errors import ProjectError
from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras, call_model, graph_of, load_graph
from toolchain.model.stage import _train_graph
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import PruneSection, TrainSection
from toolchain.prune import surgery
from toolchain.prune.criteria import activation, redundancy, taylor
from toolchain.prune.stage import prune
from toolchain.prune.structured import plan_for
from toolchain.prune.unit_scores import Evidence, unit_scores
from toolchain.results import DataResult, Job, ModelResult, Part


@pytest.fixture(scope="module")
def keras() -> Any:
    return load_tensorflow().keras


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataResult:
    return write_data(tmp_path_factory.mktemp("data"), count=64)


def evidence_of(graph: Graph, data: DataResult) -> Evidence:
    return Evidence(load_samples(data).train, "mse", graph)


def chain(keras: Any) -> Graph:
    layers = keras.layers
    net = [layers.Conv1D(4, 2, name="conv"), layers.ReLU(), layers.Flatten(), layers.Dense(10, name="dense"),
           layers.ReLU(), layers.Dense(1, name="out")]  # fmt: skip
    keras.utils.set_random_seed(1)
    return graph_of(keras.Sequential([keras.Input((6, 2)), *net]))


def values_of(graph: Graph, layers: tuple[str, ...], x: np.ndarray) -> tuple[Any, list[Any]]:
    """A Keras model of the graph, and the activations behind these layers' ReLUs as tensors that gradients reach."""
    model = build_keras(graph)
    names = [layer.name for layer in model.layers]
    return model, [model.layers[names.index(name) + 1].output for name in layers]


def test_scores_of_units_are_those_of_their_activations(keras: Any, data: DataResult) -> None:
    tf, graph = load_tensorflow(), chain(keras)
    evidence, tracing = evidence_of(graph, data), surgery.trace(graph)
    x = tf.constant(evidence.train.x, tf.float32)
    model, ends = values_of(graph, ("conv", "dense"), evidence.train.x)
    probe = keras.Model(model.inputs, [*ends, model.outputs[0]])
    found = {name: unit_scores(tracing, PruneSection(criterion=name), evidence, {"conv", "dense"})
             for name in ("activation", "redundancy", "taylor", "l1", "l2", "hardware")}  # fmt: skip
    *given, _ = (value.numpy() for value in probe(x))
    for place, layer in enumerate(("conv", "dense")):
        assert np.allclose(found["activation"][layer], activation.importance(given[place]), rtol=1e-5)
        assert np.allclose(found["redundancy"][layer], redundancy.importance(given[place]), rtol=1e-3, atol=1e-5)
        # a.dL/da of a ReLU unit is the sum of w.dL/dw over its weights and bias
        tail = keras.Model(ends[place], model.outputs[0])
        with tf.GradientTape() as tape:
            a = tf.constant(given[place])
            tape.watch(a)
            loss = tf.reduce_sum(tf.square(tf.constant(evidence.train.y, tf.float32) - tail(a)))
        expected = taylor.unit_importance(given[place], tape.gradient(loss, a).numpy())
        assert np.allclose(found["taylor"][layer], expected, rtol=1e-3, atol=1e-6)
    kernel = graph.layers["dense"].weights["kernel"]
    assert np.allclose(found["l1"]["dense"], np.abs(kernel).sum(axis=0))
    assert np.allclose(found["l2"]["dense"], np.sqrt((kernel**2).sum(axis=0)))
    dear = graph.with_layers(graph.layers["out"].with_weights(kernel=graph.layers["out"].weights["kernel"] * 0 + 1.0))
    costs = found["taylor"]["dense"] / found["hardware"]["dense"]
    assert (costs > 10).all()
    assert len(set(np.round(costs))) > 1
    assert unit_scores(surgery.trace(dear), PruneSection(criterion="hardware"), evidence, {"dense"})["dense"].all()


def test_the_smallest_scale_goes_and_where_there_is_none_it_says_so(keras: Any, data: DataResult) -> None:
    layers = keras.layers
    net = [layers.Flatten(), layers.Dense(3, name="d"), layers.BatchNormalization(name="n"), layers.Dense(1, name="o")]
    graph = graph_of(keras.Sequential([keras.Input((6, 2)), *net]))
    graph = graph.with_layers(graph.layers["n"].with_weights(gamma=np.array([2.0, -0.1, -3.0])))
    section = PruneSection(criterion="batch_norm", structured_sparsity=0.4)
    assert plan_for(graph, section, evidence_of(graph, data)).units == {"d": (1,)}
    plain = chain(keras)
    with pytest.raises(ProjectError, match="no score by 'batch_norm'") as caught:
        plan_for(plain, section, evidence_of(plain, data))
    assert caught.value.hint.endswith("skip = ['conv']")


def mixed(keras: Any) -> Any:
    """Attention, two residual branches (the second adds almost nothing), a filter and neurons."""
    layers = keras.layers
    keras.utils.set_random_seed(2)
    x = keras.Input((6, 2), name="x")
    y = layers.Conv1D(4, 1, name="filters")(x)
    y = layers.Add(name="first")([y, layers.MultiHeadAttention(4, 3, name="attention")(y, y)])
    small = keras.initializers.RandomNormal(stddev=1e-4)
    inner = layers.Dense(5, "relu", name="wide")(y)
    y = layers.Add(name="second")([y, layers.Dense(4, name="narrow", kernel_initializer=small)(inner)])
    return keras.Model(x, layers.Dense(1, name="out")(layers.Flatten()(y)))


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({"granularity": "head"}, {"attention/heads": 2}),
        ({"granularity": "head", "criterion": "taylor"}, {"attention/heads": 2}),
        ({"granularity": "head", "criterion": "hardware"}, {"attention/heads": 2}),
        ({"granularity": "neuron", "skip": ("narrow",)}, {"wide": 2}),
        ({"granularity": "filter"}, {"filters": 2, "attention": 2, "narrow": 2}),
        ({}, {"filters": 2, "attention": 2, "narrow": 2, "wide": 2, "attention/heads": 2}),
    ],
)
def test_a_granularity_cuts_its_own_and_what_is_coupled(
    keras: Any, data: DataResult, options: dict[str, Any], gone: dict[str, int]
) -> None:
    graph = graph_of(mixed(keras))
    plan = plan_for(graph, PruneSection(structured_sparsity=0.5, **options), evidence_of(graph, data))
    assert {space: len(units) for space, units in plan.units.items()} == gone
    cut = surgery.apply(graph, plan)
    x = [load_samples(data).test.x]
    (left,), (right,) = (call_model(build_keras(item, "float64"), x) for item in (cut, surgery.masked(graph, plan)))
    assert np.abs(left - right).max() <= 1e-12 * np.abs(right).max()


def test_the_head_that_does_nothing_goes_first(keras: Any, data: DataResult) -> None:
    graph = graph_of(mixed(keras))
    for criterion, key in (("taylor", "attention_output/kernel"), ("l2", "value/kernel")):
        weights = {name: value.copy() for name, value in graph.layers["attention"].weights.items()}
        for name in (key, "value/bias"):
            weights[name][(2,) if name != "value/kernel" else (slice(None), 2)] = 0
        if criterion == "l2":
            weights["query/kernel"][:, 2] = weights["key/kernel"][:, 2] = 0
        dead = graph.with_layers(graph.layers["attention"].with_weights(**weights))
        section = PruneSection(structured_sparsity=0.25, granularity="head", criterion=criterion)
        assert plan_for(dead, section, evidence_of(dead, data)).units == {"attention/heads": (2,)}
    with pytest.raises(ProjectError, match="'attention/heads' have no score by 'activation'"):
        plan_for(graph, PruneSection(structured_sparsity=0.5, criterion="activation"), evidence_of(graph, data))


def test_the_branch_that_changes_least_goes(keras: Any, data: DataResult) -> None:
    graph = graph_of(mixed(keras))
    section = PruneSection(structured_sparsity=0.5, granularity="layer")
    evidence = evidence_of(graph, data)
    assert plan_for(graph, section, evidence).blocks == ("second",)
    kept = section.model_copy(update={"skip": ("wide",), "structured_sparsity": 0.99})
    assert plan_for(graph, kept, evidence).is_empty  # floor(0.99 x 1)
    plain = chain(keras)
    for granularity, text in (("layer", "no residual branch"), ("head", "no head that can be cut")):
        asked = section.model_copy(update={"granularity": granularity})
        with pytest.raises(ProjectError, match=text):
            plan_for(plain, asked, evidence_of(plain, data))


def test_a_branch_within_a_branch_goes_once(keras: Any, data: DataResult) -> None:
    layers = keras.layers
    x = keras.Input((6, 2))
    y = layers.Dense(3, name="stem")(x)
    inner = layers.Dense(3, name="a")(y)
    inner = layers.Add(name="inner")([inner, layers.Dense(3, name="b")(inner)])
    y = layers.Add(name="outer")([y, inner])
    graph = graph_of(keras.Model(x, layers.Dense(1, name="out")(layers.Flatten()(y))))
    section = PruneSection(structured_sparsity=0.99, granularity="layer")
    plan = plan_for(graph, section, Evidence(Part(*[load_samples(data).train.x] * 4), "mse", graph))
    assert len(plan.blocks) == 1
    assert surgery.apply(graph, plan).parameters == plan.parameters[1] < graph.parameters


@pytest.fixture(scope="module")
def trained(
    keras: Any, data: DataResult, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[DataResult, ModelResult]]:
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, model in (("chain", build_keras(chain(keras))), ("mixed", mixed(keras))):
        (folder / name).mkdir()
        # not from_model: a project's model may have no attention, which has no exact form in hardware
        result = _train_graph(graph_of(model), name, data, TrainSection(epochs=1), Job(folder / name, folder))
        result.at(folder / name)
        found[name] = (data, result)
    return found


@pytest.mark.parametrize(
    ("name", "options", "gone"),
    [
        ("chain", {"criterion": "l1"}, {"conv": (4, 2), "dense": (10, 5)}),
        ("chain", {"criterion": "activation", "distillation": 0.5}, {"conv": (4, 2), "dense": (10, 5)}),
        ("chain", {"criterion": "redundancy"}, {"conv": (4, 2), "dense": (10, 5)}),
        ("chain", {"criterion": "taylor"}, {"conv": (4, 2), "dense": (10, 5)}),
        ("chain", {"criterion": "hardware", "strategy": "one_shot"}, {"conv": (4, 2), "dense": (10, 5)}),
        ("mixed", {"granularity": "head"}, {"attention/heads": (4, 2)}),
        ("mixed", {"granularity": "layer"}, {"wide": (5, 0), "narrow": (4, 0)}),
    ],
)
def test_the_stage_cuts_what_the_project_asks_for(
    trained: dict[str, tuple[DataResult, ModelResult]],
    tmp_path: Path,
    name: str,
    options: dict[str, Any],
    gone: dict[str, tuple[int, int]],
) -> None:
    section = PruneSection(**{"epochs": 2, "final_sparsity": 0.0, "structured_sparsity": 0.5, **options})
    result = prune(*trained[name], section, Job(tmp_path, tmp_path))
    assert {group.layer: (group.before, group.after) for group in result.removed} == gone
    assert result.parameters < result.parameters_before
    layers = load_graph(tmp_path / "model.keras").layers
    assert all(layer in layers for layer in ("out", "conv" if name == "chain" else "attention"))
