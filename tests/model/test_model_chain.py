"""The numpy chain computes what tf_keras computes, and folding does not change it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cases import chains

from toolchain.errors import UnsupportedModelError
from toolchain.model.chain import Chain, Link, Normalization, forward, inference_chain
from toolchain.model.keras_chain import build_keras


@settings(max_examples=150, deadline=None)
@given(chains(), st.integers(0, 1000))
def test_folding_is_exact_but_for_float_rounding(chain: Chain, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(7, *chain.input_shape))
    expected, folded = forward(chain, x), inference_chain(chain)
    assert not {link.kind for link in folded.links} & {"batch_normalization", "dropout"}
    assert np.abs(forward(folded, x) - expected).max() <= 1e-12 * max(np.abs(expected).max(), 1e3)
    assert folded.shapes()[-1] == chain.shapes()[-1]


@settings(max_examples=8, deadline=None)
@given(chains())
def test_the_chain_computes_what_keras_computes(chain: Chain) -> None:
    x = np.random.default_rng(1).normal(size=(9, *chain.input_shape)).astype(np.float32)
    expected = np.asarray(build_keras(chain)(x, training=False), dtype=np.float64)
    found = forward(chain, x.astype(float))
    assert np.abs(found - expected).max() <= 2e-5 * max(1.0, np.abs(found).max())


def _norm(size: int) -> Link:
    ones = np.ones(size)
    return Link("batch_normalization", "norm", normalization=Normalization(ones, ones, ones, ones, 0.0))


@pytest.mark.parametrize("padding", ["same", "causal"])
def test_a_shift_is_never_folded_into_a_padded_convolution(padding: str) -> None:
    kernel = np.ones((2, 1, 1))
    chain = Chain("x", (4, 1), (_norm(1), Link("conv1d", "conv", kernel, padding=padding)))  # type: ignore[arg-type]
    with pytest.raises(UnsupportedModelError, match="layer 'norm'"):
        inference_chain(chain)
    fits = inference_chain(replace(chain, links=(_norm(1), Link("conv1d", "conv", kernel))))
    assert len(fits.links) == 1


def test_a_normalization_behind_a_relu_at_the_end_is_refused() -> None:
    links = (Link("dense", "d", np.ones((2, 2))), Link("relu", "r"), _norm(2))
    with pytest.raises(UnsupportedModelError, match="layer 'norm'"):
        inference_chain(Chain("x", (2,), links))
