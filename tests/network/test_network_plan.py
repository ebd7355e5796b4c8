"""The float instructions: exact up to the very bound, and wrong where the bound is moved."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_network_interpreter import random_network, random_words

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network import float_products, interpreter, plan
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork, Input, Linear
from toolchain.network.plan import Plan

FORMATS = st.builds(
    FixedPoint,
    st.booleans(),
    st.integers(-3, 30),
    st.integers(4, 24),
    st.sampled_from(Rounding),
    st.sampled_from(Overflow),
)


def by_integers(network: FixedPointNetwork, words: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = dict(words)
    for node in network.nodes:
        if not isinstance(node, Input):
            found[node.name] = interpreter.evaluate(node, network, [found[name] for name in node.inputs])
    return found


def check(network: FixedPointNetwork, words: dict[str, np.ndarray]) -> None:
    expected = by_integers(network, words)
    for name, found in interpreter.run(network, words).items():
        assert np.array_equal(found, expected[name]), name
    for wanted in (list(network.outputs), [node.name for node in network.nodes][::2]):  # others may be overwritten
        for name, found in interpreter.run(network, words, wanted).items():
            assert np.array_equal(found, expected[name]), (name, wanted)


def sum_network(kernel: np.ndarray, bias: int, result: FixedPoint | None, x_bits: int = 8) -> FixedPointNetwork:
    b = NetworkBuilder("sum")
    x = b.input("x", (len(kernel),), FixedPoint(True, x_bits - 1, 0))
    form = FixedPoint(True, 40, 0)
    return b.build((b.dense("d", x, kernel[:, None], form, np.array([bias]), form, result),))


def extremes(network: FixedPointNetwork) -> dict[str, np.ndarray]:
    """The input that makes the sum largest, all but one step away from it, and the opposite."""
    port, node = network.inputs[0], network["d"]
    assert isinstance(node, Linear)
    rows = []
    for last in (0, 1):
        for sign in (1, -1):
            row = np.where(sign * node.kernel[:, 0] > 0, port.result.max_word, port.result.min_word)
            row[-1] += -last if row[-1] > 0 else last
            rows.append(row)
    return {port.name: np.array(rows)}


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 2**46), st.integers(1, 2**46), st.integers(-(2**52), 2**52), st.one_of(st.none(), FORMATS))
def test_sums_are_exact_around_the_bounds_of_the_floats(a: int, c: int, bias: int, result: FixedPoint | None) -> None:
    network = sum_network(np.array([a, -c, 1]), bias, result)
    check(network, extremes(network))


@pytest.mark.parametrize("bits", [24, 53])
@pytest.mark.parametrize("beyond", [-1, 0, 1])
def test_the_last_integer_before_a_bound_is_exact(bits: int, beyond: int) -> None:
    weight = ((1 << bits) // 128 - 1) + beyond
    for rounding in (Rounding.RND, Rounding.RND_CONV, Rounding.TRN):
        network = sum_network(np.array([weight, 1]), 127 * beyond, FixedPoint(True, bits, -1, rounding, Overflow.SAT))
        check(network, extremes(network))


def test_a_bound_that_is_too_high_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "FLOATS", ((40, np.float32), (53, np.float64)))
    network = sum_network(np.array([(1 << 18) + 1, 1]), 1, None)
    expected = by_integers(network, extremes(network))
    found = Plan(network).run(extremes(network))
    assert not np.array_equal(found["d"], expected["d"])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_networks_are_the_same_in_floats_and_in_integers(seed: int, bands: bool) -> None:
    network = random_network(seed)
    with mock.patch.object(float_products.Bands, "worth", return_value=bands):
        check(network, random_words(network, 50, seed))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("filters", [1, 3, 8, 20])
def test_convolutions_by_bands_are_exact(stride: int, dilation: int, filters: int) -> None:
    rng = np.random.default_rng(filters)
    form = FixedPoint(True, 5, 0)
    b = NetworkBuilder("bands")
    x = b.input("x", (17, 3), form)
    kernel = rng.integers(-32, 32, (4, 3, filters))
    bias = rng.integers(-32, 32, filters)
    y = b.convolution("y", x, kernel, form, bias, form, strides=(stride,), dilation=(dilation,), padding=((2, 3),))
    network = b.build((y,))
    assert float_products.Bands(network["y"]).worth(2000)
    check(network, {"x": rng.integers(-32, 32, (2000, 17, 3))})


@settings(max_examples=200, deadline=None)
@given(FORMATS, FORMATS, st.integers(0, 2**32))
def test_rectified_words_are_exact_in_every_format(before: FixedPoint, after: FixedPoint, seed: int) -> None:
    b = NetworkBuilder("relu")
    network = b.build((b.relu("r", b.input("x", (40,), before), after),))
    words = np.random.default_rng(seed).integers(before.min_word, before.max_word + 1, (3, 40))
    words[0] >>= 3 + before.width // 2  # near zero, where roundings differ
    check(network, {"x": words})


def test_what_was_found_is_not_computed_in_again() -> None:
    network = random_network(3)
    first, second = random_words(network, 50, 1), random_words(network, 50, 2)
    given_before = {name: array.copy() for name, array in first.items()}
    found = interpreter.run(network, first, network.outputs)
    before = {name: array.copy() for name, array in found.items()}
    interpreter.run(network, second, network.outputs)
    assert all(np.array_equal(found[name], before[name]) for name in found)
    assert all(np.array_equal(first[name], given_before[name]) for name in first)
    assert len(interpreter._plan(network).scratches) == 1


@pytest.mark.parametrize(("samples", "widest"), [(0, 5), (1, 1 << 20), (10_000, 112), (10_000, 64), (7, 3)])
def test_batches_hold_all_samples_and_are_as_many_for_each_thread(samples: int, widest: int) -> None:
    size = interpreter._batch_size(samples, widest)
    batches = -(-samples // size)
    assert size >= 1
    assert batches < interpreter._WORTH_THREADS or batches % interpreter._THREADS == 0
    assert size == 1 or size * widest <= 2 * interpreter._BATCH_WORDS


def test_batches_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(12):
        network = random_network(seed, wide=seed % 3 == 0)
        words = random_words(network, 203, seed)
        whole = interpreter.run(network, words)
        monkeypatch.setattr(interpreter, "_BATCH_WORDS", 1 << 8)
        parts = interpreter.run(network, words)
        some = interpreter.run(network, words, network.outputs)
        monkeypatch.undo()
        assert {name: array.tolist() for name, array in whole.items()} == {
            name: array.tolist() for name, array in parts.items()
        }
        assert list(some) == list(network.outputs)
        assert all(some[name].tolist() == whole[name].tolist() for name in some)


def test_no_samples_are_no_words() -> None:
    network = sum_network(np.array([3, 4]), 1, None)
    assert interpreter.run(network, {"x": np.zeros((0, 2), dtype=np.int64)})["d"].shape == (0, 1)


def test_large_products_are_cut_into_parts() -> None:
    rng = np.random.default_rng(0)
    x, kernel = rng.integers(-9, 9, (5000, 16)).astype(np.float32), rng.integers(-9, 9, (16, 64)).astype(np.float32)
    assert np.array_equal(float_products.matmul(x, kernel), x @ kernel)
    assert np.array_equal(float_products.matmul(x.reshape(50, 100, 16), kernel), x.reshape(50, 100, 16) @ kernel)
