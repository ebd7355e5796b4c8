"""The comparison with the masked network sees a tracer or a cut that is wrong in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from surgery_cases import Builder

from toolchain.model.graph import Graph
from toolchain.model.keras_graph import build_keras, call_model, random_inputs
from toolchain.prune import surgery
from toolchain.prune.surgery.channels import Channels, Units
from toolchain.prune.surgery.rules import Site
from toolchain.prune.surgery.tracing import trace


def flattened() -> Graph:
    build = Builder(1)
    rows = build.add("Flatten", build.conv(build.input((4, 3)), 4, 2, 1, "same", "relu"), (16,))
    return build.graph((build.dense(rows, 2, "linear"),))


def added() -> Graph:
    build = Builder(1)
    x = build.input((3,))
    both = [build.dense(x, 4, "relu"), build.dense(x, 4, "tanh")]
    return build.graph((build.dense(build.add("Add", (both,), (4,)), 2, "linear"),))


def normalized() -> Graph:
    build = Builder(1)
    made = build.normalization(build.dense(build.input((3,)), 4, "relu"))
    return build.graph((build.dense(made, 2, "linear"),))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    trace.cache_clear()
    yield
    trace.cache_clear()


def is_exact(graph: Graph) -> bool:
    """Whether unit 0 of the first layer can be cut and the result is the masked network's."""
    first = list(graph.layers)[1]
    plan = surgery.plan_units(graph, {first: [0]})
    cut, masked = surgery.apply(graph, plan), surgery.masked(graph, plan)
    x = random_inputs(graph, 8)
    one, other = (call_model(build_keras(item, "float64"), x)[0] for item in (cut, masked))
    return bool(np.abs(one - other).max() <= 1e-12 * np.abs(other).max())


def swapped(labels: Any) -> Any:
    return np.asarray(labels)[..., ::-1]


@pytest.mark.parametrize("make", [flattened, added, normalized])
def test_nothing_is_wrong_without_a_mutation(make: Callable[[], Graph]) -> None:
    assert is_exact(make())


def test_flatten_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Channels.everywhere
    monkeypatch.setattr(Channels, "everywhere", lambda self: np.sort(right(self), axis=None).reshape(self.shape))
    assert not is_exact(flattened())


def test_an_addition_that_ties_the_wrong_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Units.tie
    monkeypatch.setattr(Units, "tie", lambda self, one, other: right(self, one, swapped(other)))
    assert not is_exact(added())


def test_statistics_of_the_wrong_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Site.bind

    def bind(self: Site, role: Any, weight: str, axis: int, labels: Any) -> None:
        right(self, role, weight, axis, swapped(labels) if weight == "gamma" else labels)

    monkeypatch.setattr(Site, "bind", bind)
    assert not is_exact(normalized())


def test_a_kernel_row_of_the_wrong_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Site.bind

    def bind(self: Site, role: Any, weight: str, axis: int, labels: Any) -> None:
        right(self, role, weight, axis, swapped(labels) if role == "reads" else labels)

    monkeypatch.setattr(Site, "bind", bind)
    assert not is_exact(normalized())
