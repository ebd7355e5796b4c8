"""A cut graph computes what the masked one computes; groups go whole; what cannot be cut is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st
from surgery_cases import Builder, graphs

from toolchain.errors import UnsupportedModelError
from toolchain.model.graph import Graph, Tensor
from toolchain.model.keras_graph import build_keras, call_model, graph_of, random_inputs
from toolchain.model.tensorflow import load_tensorflow
from toolchain.prune import surgery
from toolchain.prune.surgery.constants import constants

#: Largest difference between a cut and a masked network, relative to the largest output.
LARGEST = {"float32": 1e-5, "float64": 1e-12}
SLOW_TO_BUILD = ("recurrent", "bidirectional", "attention", "time_distributed")
CALM = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def outputs(graph: Graph, dtype: str, x: list[Any]) -> list[np.ndarray]:
    return call_model(build_keras(graph, dtype), x)


def assert_same(one: Graph, other: Graph, *dtypes: str) -> None:
    load_tensorflow().keras.backend.clear_session()
    x = random_inputs(one, samples=8)
    for dtype in dtypes or tuple(LARGEST):
        for left, right in zip(outputs(one, dtype, x), outputs(other, dtype, x), strict=True):
            largest = max(np.abs(right).max(), 1e-30)
            assert left.shape == right.shape
            assert np.abs(left - right).max() <= LARGEST[dtype] * largest, dtype


def check_cut(graph: Graph, plan: surgery.Plan, tracing: surgery.Tracing) -> Graph:
    """All that must hold of any plan."""
    before = {name: {key: value.copy() for key, value in layer.weights.items()} for name, layer in graph.layers.items()}
    cut = surgery.apply(graph, plan)
    for name, weights in before.items():
        assert all(np.array_equal(graph.layers[name].weights[key], value) for key, value in weights.items())
    assert cut.parameters == plan.parameters[1] < plan.parameters[0] == graph.parameters
    assert plan.macs[1] <= plan.macs[0]
    after = surgery.trace(cut)
    for space, labels in tracing.spaces.items():
        assert len(after.spaces[space]) == len(labels) - len(plan.units.get(space, ())) >= 1
    gone = {(space, unit) for space, units in plan.units.items() for unit in units}
    for group in tracing.groups:
        members = {(space, unit) for space, units in group.units.items() for unit in units}
        assert members <= gone or not members & gone
    return cut


def cut_at_random(graph: Graph, data: st.DataObject) -> None:
    tracing = surgery.trace(graph)
    assume(tracing.groups)
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    if data.draw(st.booleans()):
        importance = {space: random.random(len(labels)) for space, labels in tracing.spaces.items()}
        plan = surgery.plan_sparsity(graph, data.draw(st.floats(0.2, 0.95)), importance, tracing=tracing)
    else:
        group = tracing.groups[data.draw(st.integers(0, len(tracing.groups) - 1))]
        space = data.draw(st.sampled_from(sorted(group.units)))
        plan = surgery.plan_units(graph, {space: group.units[space][:1]}, tracing=tracing)
        assert plan.units == dict(group.units)
    assume(not plan.is_empty)
    assert_same(check_cut(graph, plan, tracing), surgery.masked(graph, plan))


@settings(max_examples=40, suppress_health_check=CALM)
@given(graphs(most=16, without=SLOW_TO_BUILD), st.data())
def test_a_cut_graph_is_the_masked_graph(graph: Graph, data: st.DataObject) -> None:
    cut_at_random(graph, data)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_a_cut_graph_is_the_masked_graph_for_hundreds(part: int) -> None:
    """320 graphs, in parts that several processes share."""
    seed(part)(settings(max_examples=40, suppress_health_check=CALM)(given(graphs(), st.data())(cut_at_random)))()


@pytest.fixture(scope="module")
def keras() -> Any:
    return load_tensorflow().keras


def test_a_subclassed_model_is_refused(keras: Any) -> None:
    class Own(keras.Model):  # type: ignore[misc, name-defined]
        pass

    with pytest.raises(UnsupportedModelError, match="functional API"):
        surgery.trace(graph_of(Own()))


def test_every_family_of_layers_is_cut_in_one_model_from_keras(keras: Any) -> None:
    layers = keras.layers
    x = keras.Input((6, 3), name="x")
    y = layers.TimeDistributed(layers.Dense(4, name="inner"), name="each")(x)
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both")(y)
    y, state = layers.GRU(4, return_sequences=True, return_state=True, name="gru")(y)
    y = layers.MultiHeadAttention(3, 2, name="attention")(y, y)
    y = layers.Conv1DTranspose(5, 2, name="wide")(layers.PReLU(shared_axes=[1])(y))
    y = layers.SimpleRNN(4, name="rnn")(layers.SeparableConv1D(4, 2, depth_multiplier=2, name="separable")(y))
    index = keras.Input((6,), name="index", dtype="int32")
    words = layers.GlobalMaxPooling1D()(
        layers.LSTM(4, return_sequences=True)(layers.Embedding(9, 5, name="words")(index))
    )
    y = layers.Add()([y, state, words])
    graph = graph_of(keras.Model([x, index], layers.Dense(2, name="out")(y)))
    tracing = surgery.trace(graph)
    assert set(tracing.left_whole) == {"out"}
    plan = surgery.plan_sparsity(graph, 0.5)
    assert set(plan.units) == set(tracing.spaces) - {"out"}
    assert_same(check_cut(graph, plan, tracing), surgery.masked(graph, plan), "float64")


def test_a_quantized_model_is_cut_where_its_quantizers_look_at_one_weight(keras: Any) -> None:
    from qkeras import QActivation, QBatchNormalization, QConv2D, QDense, QDepthwiseConv2D, quantized_bits

    bits, auto = quantized_bits(6, 0, alpha=1), quantized_bits(6, 0, alpha="auto")
    x = keras.Input((6, 6, 2), name="x")
    y = QConv2D(4, 3, kernel_quantizer=bits, bias_quantizer=bits, padding="same", name="conv")(x)
    y = QActivation("quantized_relu(6,2)", name="relu")(QBatchNormalization(name="norm")(y))
    y = QDepthwiseConv2D(3, depthwise_quantizer=bits, bias_quantizer=bits, name="depthwise")(y)
    y = QDense(6, kernel_quantizer=bits, bias_quantizer=bits, activation="quantized_relu(6,2)", name="dense")(
        keras.layers.Flatten()(y)
    )
    y = QDense(5, kernel_quantizer=bits, bias_quantizer=bits, name="before")(y)
    y = QDense(4, kernel_quantizer=auto, bias_quantizer=bits, name="auto")(y)
    graph = graph_of(keras.Model(x, QDense(2, kernel_quantizer=bits, bias_quantizer=bits, name="out")(y)))
    tracing = surgery.trace(graph)
    assert set(tracing.left_whole) == {"before", "auto", "out"}
    assert "computed from all weights" in tracing.left_whole["before"]
    plan = surgery.plan_sparsity(graph, 0.5)
    assert set(plan.units) == {"conv", "dense"}
    cut = check_cut(graph, plan, tracing)
    samples = random_inputs(graph)
    np.testing.assert_array_equal(
        *(outputs(item, "float32", samples)[0] for item in (cut, surgery.masked(graph, plan)))
    )


def residual(seed: int = 3) -> Graph:
    build = Builder(seed)
    x = build.dense(build.input((4,)), 3, "relu")
    for _ in range(2):
        branch = build.dense(build.normalization(build.dense(x, 6, "tanh")), 3, "linear")
        x = build.add("Add", ([x, branch],), (3,))
    return build.graph((build.dense(x, 2, "linear"),))


def test_a_residual_branch_goes_with_all_its_layers() -> None:
    graph = residual()
    branches = surgery.branches_of(graph)
    assert set(branches) == {"add_5", "add_9"}
    assert branches["add_9"].layers == ("dense_6", "batchnormalization_7", "dense_8", "add_9")
    changes = surgery.branch_changes(graph, random_inputs(graph))
    ends = replace(graph, outputs=(Tensor("dense_1"), Tensor("add_5")))
    before, after = outputs(ends, "float32", random_inputs(graph))
    assert changes["add_5"] == pytest.approx(np.linalg.norm(after - before, axis=1).mean(), rel=1e-5)
    for names in (["add_5"], ["add_9"], ["add_9", "add_5"]):
        plan = surgery.plan_branches(graph, names)
        cut = surgery.apply(graph, plan)
        assert cut.parameters == plan.parameters[1] == graph.parameters - 69 * len(names)
        assert "branch into" in plan.text()
        assert_same(cut, surgery.masked(graph, plan))


def with_dead_units(graph: Graph, seed: int) -> Graph:
    """Random columns and rows of every kernel zero; some of the units keep a bias."""
    random = np.random.default_rng(seed)
    changed = []
    for layer in graph.layers.values():
        if "kernel" in layer.weights:
            kernel = layer.weights["kernel"].copy()
            kernel[..., random.random(kernel.shape[-1]) < 0.3] = 0
            kernel[..., random.random(kernel.shape[-2]) < 0.3, :] = 0
            bias = layer.weights["bias"] * (random.random(layer.weights["bias"].shape) < 0.6)
            changed.append(layer.with_weights(kernel=kernel, bias=bias))
    return graph.with_layers(*changed)


def remove_dead_units(graph: Graph, seed: int) -> None:
    graph = with_dead_units(graph, seed)
    plan = surgery.plan_dead(graph)
    assume(not plan.is_empty)
    cut = surgery.remove_dead(graph)
    assert cut.parameters < graph.parameters
    assert surgery.plan_dead(cut).is_empty
    assert_same(cut, graph)


@settings(max_examples=15, suppress_health_check=CALM)
@given(graphs(most=12, without=SLOW_TO_BUILD), st.integers(0, 999))
def test_removing_dead_units_changes_nothing(graph: Graph, seed: int) -> None:
    remove_dead_units(graph, seed)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_removing_dead_units_changes_nothing_for_hundreds(part: int) -> None:
    strategies = (graphs(), st.integers(0, 999))
    seed(part)(settings(max_examples=30, suppress_health_check=CALM)(given(*strategies)(remove_dead_units)))()


def test_a_constant_goes_into_the_next_bias_but_not_over_padding() -> None:
    for padding, left in (("valid", 2), ("same", 3)):
        build = Builder(1)
        x = build.conv(build.input((6, 6, 2)), 3, 2, 1, "valid", "sigmoid")
        x = build.conv(build.normalization(x), 3, 2, 1, padding, "relu")
        graph = build.graph((build.dense(build.add("GlobalMaxPooling2D", x, (3,)), 2, "linear"),))
        kernel = graph.layers["conv2d_1"].weights["kernel"].copy()
        kernel[..., 1] = 0
        graph = graph.with_layers(graph.layers["conv2d_1"].with_weights(kernel=kernel))
        cut = surgery.remove_dead(graph)
        assert cut.layers["conv2d_1"].weights["kernel"].shape[-1] == left
        assert surgery.remove_dead(graph, ["conv2d_1"]).layers["conv2d_1"].weights["kernel"].shape[-1] == 3
        assert_same(cut, graph)


def test_constants_of_another_axis_are_not_taken_for_those_of_the_channels() -> None:
    build = Builder(2)
    x = build.dense(build.input((3, 2)), 3, "sigmoid")
    graph_in = build.add("Permute", x, (3, 3), {"dims": (2, 1)})
    made = build.normalization(graph_in)
    flat = build.add("Flatten", build.dense(made, 2, "relu"), (6,))
    graph = build.graph((build.dense(flat, 2, "linear"),))
    kernel = graph.layers["dense_1"].weights["kernel"].copy()
    kernel[:, 1] = 0
    graph = graph.with_layers(graph.layers["dense_1"].with_weights(kernel=kernel))
    assert_same(surgery.remove_dead(graph), graph, "float64")
    assert all(np.isnan(constants(surgery.trace(graph))[Tensor(made.layer)]))
