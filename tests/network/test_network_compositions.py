"""Compositions: the exact ones against their formula in fractions, the others against real arithmetic within bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from naive import run as run_naively

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network import functions, interpreter
from toolchain.network.builder import NetworkBuilder
from toolchain.network.compositions import (
    Pooling,
    average_pool,
    clipped_relu,
    function,
    global_average_pool,
    global_max_pool,
    leaky_relu,
    reciprocal_words,
    up_sampling,
)
from toolchain.network.normalization import Affine, LayerNormFormats, SoftmaxFormats, layer_normalization, softmax
from toolchain.network.recurrent import (
    RecurrentFormats,
    RecurrentWeights,
    gru_step,
    lstm_step,
    simple_rnn_step,
    unrolled,
)

X = FixedPoint(True, 2, 5)
SAT = (Rounding.RND_CONV, Overflow.SAT)
Compose = Callable[[NetworkBuilder, str], str]


def values_of(shape: tuple[int, ...], compose: Compose, form: FixedPoint = X) -> tuple[np.ndarray, np.ndarray]:
    """Random inputs and what ``compose`` makes of them, as real numbers; both interpreters agree on every word."""
    b = NetworkBuilder("one")
    last = compose(b, b.input("x", shape, form))
    network = b.build((last,))
    x = np.random.default_rng(0).integers(form.min_word, form.max_word + 1, (300, *shape))
    found = interpreter.run(network, {"x": x})
    for name, words in run_naively(network, {"x": x[:3]}).items():
        assert found[name][:3].tolist() == words.tolist()
    return form.values_of(x), network[last].result.values_of(found[last])


def test_sloped_and_clipped_relus_are_exact() -> None:
    slopes = np.array([8, 0, -3])
    x, y = values_of((4, 3), lambda b, x: leaky_relu(b, "y", x, slopes, FixedPoint(True, 0, 5)))
    assert np.array_equal(y, np.where(x > 0, x, x * slopes / 32))
    x, y = values_of((3,), lambda b, x: clipped_relu(b, "y", x, 6, FixedPoint(False, 2, 2)))
    assert np.array_equal(y, np.clip(x, 0, 1.5))


def test_averages_are_exact_where_the_count_is_a_power_of_two() -> None:
    pooling = Pooling((2, 2), (2, 1), ((0, 0), (0, 1)))
    x, y = values_of((4, 3, 2), lambda b, x: average_pool(b, "y", x, pooling))
    for row, column in np.ndindex(2, 3):
        window = x[:, 2 * row : 2 * row + 2, column : column + 2]
        assert np.array_equal(y[:, row, column], window.mean(axis=(1, 2)))
    x, y = values_of((8, 2), lambda b, x: global_average_pool(b, "y", x))
    assert np.array_equal(y, x.mean(axis=1))
    x, y = values_of((3, 2, 2), lambda b, x: global_max_pool(b, "y", x))
    assert np.array_equal(y, x.max(axis=(1, 2)))


def test_up_sampling_repeats() -> None:
    x, y = values_of((3, 2), lambda b, x: up_sampling(b, "y", x, (3,)))
    assert np.array_equal(y, x.repeat(3, axis=1))
    x, y = values_of((3, 2, 2), lambda b, x: up_sampling(b, "y", x, (2, 3)))
    assert np.array_equal(y, x.repeat(2, axis=1).repeat(3, axis=2))


def test_other_averages_differ_by_the_rounding_of_one_constant() -> None:
    x, y = values_of((5, 2), lambda b, x: global_average_pool(b, "y", x, reciprocal_bits=12))
    word = round(2**12 / 5)
    assert np.array_equal(y, x.sum(axis=1) * word / 2**12)
    assert np.abs(y - x.mean(axis=1)).max() < 4 * 5 * 2.0**-13


@pytest.mark.parametrize(("counts", "bits"), [([4, 2, 1], 2), ([8], 3), ([3], 16), ([1, 3], 16)])
def test_reciprocals_are_the_nearest_words(counts: list[int], bits: int) -> None:
    words, form = reciprocal_words(np.array(counts), 16)
    assert form.fractional_bits == bits
    assert words.tolist() == [round(2**bits / n) for n in counts]
    assert words.max() <= form.max_word


@pytest.mark.parametrize("name", functions.BY_NAME)
def test_tables_hold_the_function_of_every_word(name: str) -> None:
    form = FixedPoint(True, 3, 9, *SAT)
    of = functions.BY_NAME[name]
    x, y = values_of((4,), lambda b, x: function(b, "y", x, of, form))
    expected = np.clip(of(x), -8, 8 - 2.0**-9)
    assert np.abs(y - expected).max() <= 2.0**-10


def test_a_table_of_a_reciprocal_is_largest_at_zero() -> None:
    form = FixedPoint(False, 1, 3, *SAT)
    words = functions.table_words(functions.reciprocal, FixedPoint(False, 2, 0), form)
    assert words.tolist() == [15, 8, 4, 3]
    assert functions.table_words(functions.reciprocal_root(0.25), FixedPoint(False, 1, 0), form).tolist() == [15, 7]


@pytest.mark.parametrize("shape", [(4,), (3, 4)])
@pytest.mark.parametrize("subtract_max", [True, False])
def test_softmax_is_near_the_real_one(shape: tuple[int, ...], subtract_max: bool) -> None:
    formats = SoftmaxFormats(
        FixedPoint(True, 4, 8, *SAT), FixedPoint(False, 1 if subtract_max else 6, 14, *SAT),
        FixedPoint(False, 3 if subtract_max else 8, 8, *SAT), FixedPoint(False, 1 if subtract_max else 5, 12, *SAT),
        FixedPoint(False, 0, 10, *SAT),
    )  # fmt: skip
    x, y = values_of(shape, lambda b, x: softmax(b, "y", x, formats, subtract_max))
    expected = np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)
    assert np.abs(y - expected).max() < (0.004 if subtract_max else 0.02)


@pytest.mark.parametrize("shape", [(4,), (3, 4), (5,)])
def test_layer_normalization_is_near_the_real_one(shape: tuple[int, ...]) -> None:
    wide = FixedPoint(True, 3, 10, *SAT)
    formats = LayerNormFormats(wide, FixedPoint(False, 4, 8, *SAT), FixedPoint(False, 5, 10, *SAT), wide, wide)
    gamma, beta = np.arange(1, shape[-1] + 1) * 8, np.arange(shape[-1]) - 2
    affine = Affine(gamma, FixedPoint(True, 1, 5), beta, FixedPoint(True, 1, 2))
    x, y = values_of(shape, lambda b, x: layer_normalization(b, "y", x, affine, formats, epsilon=0.01))
    centered = x - x.mean(axis=-1, keepdims=True)
    expected = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + 0.01) * gamma / 32 + beta / 4
    assert np.abs(y - expected).max() < 0.03


W, U = FixedPoint(True, 0, 6), 3
FINE = FixedPoint(True, 4, 9, *SAT)
SHARE = FixedPoint(True, 0, 12, *SAT)
FORMATS = RecurrentFormats(FINE, SHARE, SHARE, SHARE, FINE)


def recurrent_weights(gates: int, reset_after: bool = False) -> RecurrentWeights:
    rng = np.random.default_rng(3)
    kernel, recurrent = rng.integers(-64, 64, (2, gates * U)), rng.integers(-64, 64, (U, gates * U))
    bias, later = rng.integers(-64, 64, gates * U), rng.integers(-64, 64, gates * U)
    return RecurrentWeights(kernel, recurrent, bias, W, W, later if reset_after else None)


def real_lstm(x: np.ndarray, w: RecurrentWeights) -> np.ndarray:
    h, c = np.zeros((len(x), U)), np.zeros((len(x), U))
    for t in range(x.shape[1]):
        i, f, g, o = np.split((x[:, t] @ w.kernel + h @ w.recurrent + w.bias) / 64, 4, axis=1)
        c = functions.sigmoid(f) * c + functions.sigmoid(i) * np.tanh(g)
        h = functions.sigmoid(o) * np.tanh(c)
    return h


def real_gru(x: np.ndarray, w: RecurrentWeights) -> np.ndarray:
    h = np.zeros((len(x), U))
    after = w.recurrent_bias is not None
    later = w.recurrent_bias if w.recurrent_bias is not None else np.zeros(3 * U)
    for t in range(x.shape[1]):
        own, past = (x[:, t] @ w.kernel + w.bias) / 64, (h @ w.recurrent + later) / 64
        z, r = (functions.sigmoid(own[:, k * U : (k + 1) * U] + past[:, k * U : (k + 1) * U]) for k in range(2))
        held = r * past[:, 2 * U :] if after else (r * h) @ w.recurrent[:, 2 * U :] / 64
        h = z * h + (1 - z) * np.tanh(own[:, 2 * U :] + held)
    return h


def real_rnn(x: np.ndarray, w: RecurrentWeights) -> np.ndarray:
    h = np.zeros((len(x), U))
    for t in range(x.shape[1]):
        h = np.tanh((x[:, t] @ w.kernel + h @ w.recurrent + w.bias) / 64)
    return h


@pytest.mark.parametrize(
    ("step", "gates", "after", "real"),
    [
        (lstm_step, 4, False, real_lstm), (gru_step, 3, True, real_gru), (gru_step, 3, False, real_gru),
        (simple_rnn_step, 1, False, real_rnn),
    ],
)  # fmt: skip
def test_recurrent_layers_are_near_the_real_ones(step, gates, after, real) -> None:  # type: ignore[no-untyped-def]
    weights = recurrent_weights(gates, after)
    x, y = values_of((4, 2), lambda b, x: unrolled(b, "y", x, step, weights, FORMATS)[-1][0])
    assert np.abs(y - real(x, weights)).max() < 0.01


def test_a_step_with_its_own_state_is_the_unrolled_window() -> None:
    weights = recurrent_weights(4)
    b = NetworkBuilder("step")
    x, h, c = b.input("x", (2,), X), b.input("h", (U,), SHARE), b.input("c", (U,), FINE)
    tick = b.build(lstm_step(b, "lstm", x, (h, c), weights, FORMATS))
    b = NetworkBuilder("window")
    window = b.build((unrolled(b, "lstm", b.input("x", (5, 2), X), lstm_step, weights, FORMATS)[-1][0],))
    words = np.random.default_rng(1).integers(X.min_word, X.max_word + 1, (50, 5, 2))
    state = [np.zeros((50, U), dtype=np.int64)] * 2
    for number in range(5):
        found = interpreter.run(tick, {"x": words[:, number], "h": state[0], "c": state[1]})
        state = [found[name] for name in tick.outputs]
    assert np.array_equal(state[0], interpreter.run(window, {"x": words})["lstm"])
