"""Softmax and LayerNormalization: within their proven bounds for any format, and the bounds are worth something."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network import interpreter
from toolchain.network.builder import NetworkBuilder
from toolchain.network.normalization import Affine, layer_normalization, softmax
from toolchain.network.normalization_formats import (
    LayerNorm,
    layer_norm_bound,
    layer_norm_formats,
    softmax_bound,
    softmax_formats,
)

SAT = (Rounding.RND_CONV, Overflow.SAT)
FORMS = st.builds(
    lambda signed, integer, width: FixedPoint(signed, integer, width - signed - integer, *SAT),
    st.booleans(), st.integers(0, 5), st.integers(2, 14),
)  # fmt: skip
RESULT = FixedPoint(True, 8, 20, *SAT)


def words_of(form: FixedPoint, n: int) -> np.ndarray:
    """Random words of the whole range and of small parts of it, and rows at the ends."""
    rng = np.random.default_rng(n)
    x = rng.integers(form.min_word, form.max_word + 1, (600, n)) >> rng.integers(0, form.width + 1, (600, 1))
    ends = rng.choice([form.min_word, form.max_word], (100, n))
    close = rng.integers(form.min_word, form.max_word + 1, (100, 1)) + rng.integers(0, 2, (100, n))
    return np.concatenate([x, ends, np.clip(close, form.min_word, form.max_word)])


def norm_of(x: np.ndarray, epsilon: float, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    centered = x - x.mean(axis=-1, keepdims=True)
    return gamma * centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + epsilon) + beta


@settings(max_examples=25)
@given(form=FORMS, n=st.integers(2, 40))
def test_softmax_lies_within_its_bound(form: FixedPoint, n: int) -> None:
    formats = softmax_formats(form, n, RESULT)
    b = NetworkBuilder("one")
    network = b.build((softmax(b, "y", b.input("x", (n,), form), formats),))
    words = words_of(form, n)
    y = RESULT.values_of(interpreter.run(network, {"x": words})["y"])
    x = form.values_of(words)
    real = np.exp(x - x.max(axis=-1, keepdims=True))
    real /= real.sum(axis=-1, keepdims=True)
    bound = softmax_bound(form, n, formats)
    assert np.abs(y - real).max() <= bound + RESULT.lsb / 2
    if form.fractional_bits <= 6:  # differences are not rounded
        assert bound < 2.0**-11 * n


@settings(max_examples=25)
@given(form=FORMS, n=st.integers(2, 20), epsilon=st.sampled_from([1e-3, 1e-5, 0.1]), seed=st.integers(0, 99))
def test_layer_normalization_lies_within_its_bound(form: FixedPoint, n: int, epsilon: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    gamma, beta = rng.normal(1, 0.5, n), rng.normal(0, 1, n)
    weight = FixedPoint(True, 3, 10, *SAT)
    affine = Affine(weight.words_of(gamma), weight, weight.words_of(beta), weight)
    layer = LayerNorm(form, n, epsilon)
    formats = layer_norm_formats(layer, RESULT)
    b = NetworkBuilder("one")
    bits = layer.reciprocal_bits
    last = layer_normalization(b, "y", b.input("x", (n,), form), affine, formats, epsilon=epsilon, reciprocal_bits=bits)
    words = words_of(form, n)
    y = RESULT.values_of(interpreter.run(b.build((last,)), {"x": words})["y"])
    bound = layer_norm_bound(layer, formats, affine, (gamma, beta))
    assert np.abs(y - norm_of(form.values_of(words), epsilon, gamma, beta)).max() <= bound + RESULT.lsb / 2


@pytest.mark.parametrize(("epsilon", "worst"), [(1e-3, 0.02), (1e-5, 0.1)])
def test_the_tables_for_small_variances_are_what_keeps_the_bound_small(epsilon: float, worst: float) -> None:
    layer, weight = LayerNorm(FixedPoint(True, 2, 5, *SAT), 8, epsilon), FixedPoint(True, 1, 10, *SAT)
    ones, zeros = np.ones(8), np.zeros(8)
    affine = Affine(weight.words_of(ones), weight, weight.words_of(zeros), weight)
    formats = layer_norm_formats(layer, RESULT)
    assert layer_norm_bound(layer, formats, affine, (ones, zeros)) < worst
    assert layer_norm_bound(layer, replace(formats, finer=()), affine, (ones, zeros)) > 10 * worst
