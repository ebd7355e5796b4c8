"""Random QKeras models: the network's words are QKeras' in every layer, and the C-simulation's are the network's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolchain.network.nodes import Linear
from toolchain.selftest import qkeras_models
from toolchain.selftest.candidate import draw_candidate
from toolchain.selftest.models import run_models


def test_random_qkeras_models_are_exact_or_refused() -> None:
    found = run_models(range(4), seed=5, samples=400, jobs=1, front="qkeras")
    assert found.front == "qkeras"
    assert found.failures == ()
    assert found.exact >= 3, found.refusals


@pytest.mark.slow
def test_many_random_qkeras_models_are_exact_or_refused() -> None:
    found = run_models(range(100, 140), seed=5, samples=1000, jobs=2, front="qkeras")
    assert found.failures == ()
    assert found.refused <= 4, found.refusals
    assert len(found.operators) >= 15


def test_a_weight_that_is_not_the_models_is_found(tmp_path: Path) -> None:
    candidate = draw_candidate(5, 3, 200, tmp_path, "qkeras")
    assert candidate.different_node() == ""
    node = next(node for node in candidate.network.nodes if isinstance(node, Linear) and node.kernel.any())
    kernel = np.array(node.kernel)
    kernel.flat[int(np.argmax(np.abs(kernel)))] = 0
    nodes = tuple(replace(node, kernel=kernel) if one is node else one for one in candidate.network.nodes)
    assert candidate.reading is not None
    wrong = replace(candidate.reading, network=replace(candidate.network, nodes=nodes))
    assert qkeras_models.different_node(wrong, candidate.inputs) == node.name


def test_a_seed_draws_the_same_qkeras_model(tmp_path: Path) -> None:
    one, again = (draw_candidate(5, 1, 60, tmp_path, "qkeras") for _ in range(2))
    assert [node.result for node in one.network.nodes] == [node.result for node in again.network.nodes]
    assert all((one.inputs[name] == again.inputs[name]).all() for name in one.inputs)
