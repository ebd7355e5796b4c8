"""What surgery refuses, with the reason, the model untouched; and what it names and leaves whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from surgery_cases import Builder

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.model.graph import Graph
from toolchain.prune import surgery


def chain(units: int = 4, **options: Any) -> Graph:
    """x (3) -> hidden_1 -> dense_2, and its names."""
    build = Builder(1)
    hidden = build.dense(build.input((3,)), units, "relu")
    graph = build.graph((build.dense(hidden, 2, "linear"),))
    return graph.with_layers(graph.layers["dense_1"].with_config(**options))


def weights_of(graph: Graph) -> dict[tuple[str, str], bytes]:
    return {
        (name, key): value.tobytes() for name, layer in graph.layers.items() for key, value in layer.weights.items()
    }


def refused(graph: Graph, kind: type[Exception], pattern: str, plan: Any) -> None:
    before, layers = weights_of(graph), dict(graph.layers)
    with pytest.raises(kind, match=pattern):
        plan(graph)
    assert weights_of(graph) == before
    assert dict(graph.layers) == layers


def test_a_sparsity_that_would_empty_a_layer() -> None:
    refused(chain(), ProjectError, r"(?s)leave nothing.*never emptied", lambda graph: surgery.plan_sparsity(graph, 1.0))
    refused(chain(), ProjectError, "dense_1.*leave nothing", lambda graph: surgery.plan_sparsity(graph, {"dense_1": 1}))
    refused(chain(), ProjectError, "sparsity is -0.1", lambda graph: surgery.plan_sparsity(graph, -0.1))


def test_all_units_of_a_layer() -> None:
    refused(
        chain(), ProjectError, "dense_1.*no unit left", lambda graph: surgery.plan_units(graph, {"dense_1": range(4)})
    )


def test_a_layer_that_does_not_exist_with_the_nearest() -> None:
    for plan in (
        lambda graph: surgery.plan_units(graph, {"dens_1": [0]}),
        lambda graph: surgery.plan_sparsity(graph, {"dens_1": 0.5}),
        lambda graph: surgery.plan_sparsity(graph, 0.5, skip=["dens_1"]),
        lambda graph: surgery.plan_dead(graph, ["dens_1"]),
    ):
        refused(chain(), ProjectError, "(?s)no layer 'dens_1'.*perhaps you meant 'dense_1'", plan)
    refused(chain(), ProjectError, "no units of its own", lambda graph: surgery.plan_units(graph, {"x0": [0]}))
    refused(chain(), ProjectError, "(?s)no unit 4.*0 to 3", lambda graph: surgery.plan_units(graph, {"dense_1": [4]}))


def test_the_models_output_and_a_layer_that_is_not_trainable() -> None:
    refused(chain(), ProjectError, "the model's output", lambda graph: surgery.plan_units(graph, {"dense_2": [0]}))
    frozen = chain(trainable=False)
    refused(frozen, ProjectError, "not trainable", lambda graph: surgery.plan_units(graph, {"dense_1": [0]}))
    refused(frozen, ProjectError, "not trainable", lambda graph: surgery.plan_sparsity(graph, {"dense_1": 0.5}))
    plan = surgery.plan_sparsity(frozen, 0.5)
    assert plan.is_empty
    assert plan.left_whole == {
        "dense_1": "layer 'dense_1' is not trainable", "dense_2": "they are the model's output 'dense_2'"
    }  # fmt: skip


def test_weights_that_are_not_finite() -> None:
    graph = chain()
    kernel = graph.layers["dense_1"].weights["kernel"].copy()
    kernel[0, 0] = np.nan
    broken = graph.with_layers(graph.layers["dense_1"].with_weights(kernel=kernel))
    refused(broken, UnsupportedModelError, "'dense_1'.*NaN", lambda graph: surgery.plan_sparsity(graph, 0.5))


def test_importance_that_does_not_fit() -> None:
    for values, pattern in ((np.zeros(3), "4 finite"), (np.full(4, np.nan), "finite")):
        given = {"dense_1": values}
        refused(chain(), ProjectError, pattern, lambda graph, g=given: surgery.plan_sparsity(graph, 0.5, g))
    refused(chain(), ProjectError, "no importance for dense_1", lambda graph: surgery.plan_sparsity(graph, 0.5, {}))


def test_a_branch_that_is_none() -> None:
    refused(chain(), ProjectError, "adds no residual branch", lambda graph: surgery.plan_branches(graph, ["dense_1"]))


def test_a_plan_for_another_model_or_of_half_a_group() -> None:
    build = Builder(1)
    x = build.input((3,))
    one, other = build.dense(x, 3, "relu"), build.dense(x, 3, "tanh")
    graph = build.graph((build.dense(build.add("Add", ([one, other],), (3,)), 2, "linear"),))
    plan = surgery.plan_units(graph, {"dense_1": [1]})
    assert plan.units == {"dense_1": (1,), "dense_2": (1,)}
    refused(chain(), ProjectError, "parameters", lambda graph: surgery.apply(graph, plan))
    half = replace(plan, families=(replace(plan.families[0], units={"dense_1": (1,)}, of={"dense_1": 3}),))
    refused(graph, ProjectError, "coupled", lambda graph: surgery.apply(graph, half))
    refused(graph, ProjectError, "coupled", lambda graph: surgery.masked(graph, half))
    output = replace(plan.families[0], units={"dense_4": (1,)}, of={"dense_4": 2})
    refused(
        graph, ProjectError, "model's output", lambda graph: surgery.apply(graph, replace(plan, families=(output,)))
    )


def test_what_mixes_channels_is_named_and_left_whole() -> None:
    build = Builder(1)
    x = build.input((4, 3))
    made = build.normalization(build.dense(x, 4, "relu"), "LayerNormalization")
    made = build.dense(made, 5, "softmax")
    made = build.add("Softmax", build.dense(made, 3, "linear"), (4, 3), {"axis": -1})
    made = build.add("Masking", build.dense(made, 3, "linear"), (4, 3), {"mask_value": 7.0})
    graph = build.graph((build.dense(made, 2, "linear"),))
    plan = surgery.plan_sparsity(graph, 0.5)
    assert plan.is_empty
    reasons = list(plan.left_whole.items())
    for name, pattern in (
        ("dense_1", "mean and variance"), ("dense_3", "softmax runs over all its units"),
        ("dense_4", "softmax runs over the channels"), ("dense_6", "Masking has no rule"),
    ):  # fmt: skip
        assert pattern in plan.left_whole[name], reasons
    assert "left whole: layernormalization_2" in plan.text()
    assert surgery.apply(graph, plan) is graph


def test_a_plan_is_saved_and_printed(tmp_path: Path) -> None:
    graph = chain(8)
    plan = surgery.plan_sparsity(graph, 0.5, {"dense_1": np.array([5.0, 0, 1, 6, 2, 7, 8, 3]), "dense_2": np.ones(2)})
    plan.save(tmp_path / "plan.json")
    assert surgery.load_plan(tmp_path / "plan.json") == plan
    assert plan.units == {"dense_1": (1, 2, 4, 7)}
    assert plan.parameters == (3 * 8 + 8 + 8 * 2 + 2, 3 * 4 + 4 + 4 * 2 + 2)
    assert plan.macs == (3 * 8 + 8 * 2, 3 * 4 + 4 * 2)
    assert "dense_1: 4 of 8 groups go\n    dense_1: 1-2, 4, 7 of 8" in plan.text()
    for text in ("{}", "[", '{"version": 9}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ProjectError, match="not a plan"):
            surgery.load_plan(tmp_path / "bad.json")
