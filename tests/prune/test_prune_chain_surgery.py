"""Cutting units out computes the same as silencing them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from prune_cases import chains

from toolchain.model.chain import Chain, Link, forward
from toolchain.model.keras_chain import build_keras
from toolchain.project import PruneSection
from toolchain.prune import chain_surgery as surgery


def silence(chain: Chain, name: str, keep: np.ndarray) -> Chain:
    """The chain with the other units' weights and biases zero: they give zero, through ReLU too."""
    links = []
    for link in chain.links:
        if link.name == name and link.kernel is not None:
            mask = np.isin(np.arange(link.kernel.shape[-1]), keep)
            link = replace(link, kernel=link.kernel * mask, bias=None if link.bias is None else link.bias * mask)
        links.append(link)
    return replace(chain, links=tuple(links))


def inputs(chain: Chain, count: int = 11) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(count, *chain.input_shape))


@settings(max_examples=200, deadline=None)
@given(chains(), st.data())
def test_a_cut_network_is_the_silenced_network(chain: Chain, data: st.DataObject) -> None:
    hidden = chain.kernels()[:-1]
    assume(hidden)
    masked = cut = chain
    for link in hidden:
        assert link.kernel is not None
        units = link.kernel.shape[-1]
        keep = np.array(sorted(data.draw(st.sets(st.integers(0, units - 1), min_size=1))))
        masked, cut = silence(masked, link.name, keep), surgery.keep_units(cut, link.name, keep)
        assert next(found for found in cut.links if found.name == link.name).kernel.shape[-1] == len(keep)  # type: ignore[union-attr]
    x = inputs(chain)
    expected = forward(masked, x)
    assert np.abs(forward(cut, x) - expected).max() <= 1e-12 * max(1.0, np.abs(expected).max())


@settings(max_examples=6, deadline=None)
@given(chains())
def test_the_same_holds_in_keras_float32(chain: Chain) -> None:
    assume(len(chain.kernels()) > 1)
    name = chain.kernels()[0].name
    keep = np.array([0])
    x = inputs(chain).astype(np.float32)
    expected = np.asarray(build_keras(silence(chain, name, keep))(x))
    found = np.asarray(build_keras(surgery.keep_units(chain, name, keep))(x))
    assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def test_a_wrong_row_is_seen_by_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    conv = Link("conv1d", "conv", rng.normal(size=(1, 1, 3)))
    chain = Chain("x", (4, 1), (conv, Link("flatten", "f"), Link("dense", "out", rng.normal(size=(12, 1)))))
    keep = np.array([1])
    expected = forward(silence(chain, "conv", keep), inputs(chain))
    assert np.allclose(forward(surgery.keep_units(chain, "conv", keep), inputs(chain)), expected, rtol=1e-12)
    monkeypatch.setattr(surgery, "_rows_by_unit", lambda chain, name: [np.arange(4) + 4 * u for u in range(3)])
    assert not np.allclose(forward(surgery.keep_units(chain, "conv", keep), inputs(chain)), expected, rtol=1e-3)


@settings(max_examples=200, deadline=None)
@given(chains(sparsity=0.8))
def test_removing_dead_units_changes_nothing(chain: Chain) -> None:
    smaller = surgery.remove_dead(chain)
    x = inputs(chain)
    expected = forward(chain, x)
    assert np.abs(forward(smaller, x) - expected).max() <= 1e-12 * max(1.0, np.abs(expected).max())
    for old, new in zip(chain.kernels(), smaller.kernels(), strict=True):
        assert old.kernel is not None
        assert new.kernel is not None
        assert 1 <= new.kernel.shape[-1] <= old.kernel.shape[-1]
    assert smaller.shapes()[-1] == chain.shapes()[-1]
    again = surgery.remove_dead(smaller)
    assert [link.kernel.shape for link in again.kernels() if link.kernel is not None] == [
        link.kernel.shape for link in smaller.kernels() if link.kernel is not None
    ]


def test_a_skipped_layer_keeps_its_dead_units() -> None:
    links = (Link("dense", "d", np.array([[1.0, 0.0]])), Link("dense", "out", np.ones((2, 1))))
    chain = Chain("x", (1,), links)
    assert surgery.remove_dead(chain).links[0].kernel.shape == (1, 1)  # type: ignore[union-attr]
    assert surgery.remove_dead(chain, ("d",)).links[0].kernel.shape == (1, 2)  # type: ignore[union-attr]


def test_a_constant_unit_before_padding_stays() -> None:
    conv = Link("conv1d", "a", np.array([[[1.0, 0.0]]]), np.array([0.0, 2.0]))
    padded = Link("conv1d", "b", np.ones((3, 2, 1)), None, 1, 1, "same")
    chain = Chain("x", (4, 1), (conv, padded, Link("flatten", "f"), Link("dense", "out", np.ones((4, 1)))))
    assert surgery.remove_dead(chain).links[0].kernel.shape == (1, 1, 2)  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(chains(), st.floats(0, 0.99), st.sampled_from(["l1", "l2"]))
def test_the_asked_for_share_of_least_units_goes_and_outputs_stay(chain: Chain, share: float, criterion: str) -> None:
    section = PruneSection(structured_sparsity=share, criterion=criterion, skip=("each_step",))
    cut = surgery.remove_least(chain, section)
    for old, new in zip(chain.kernels()[:-1], cut.kernels()[:-1], strict=True):
        assert old.kernel is not None
        assert new.kernel is not None
        units = old.kernel.shape[-1]
        gone = 0 if old.name in section.skip else min(int(share * units + 1e-9), units - 1)
        assert new.kernel.shape[-1] == units - gone
    assert cut.shapes()[-1] == chain.shapes()[-1]


def test_the_least_important_goes() -> None:
    kernel = np.array([[3.0, 0.1, 2.0, 1.0]])
    chain = Chain("x", (1,), (Link("dense", "d", kernel), Link("dense", "out", np.ones((4, 1)))))
    cut = surgery.remove_least(chain, PruneSection(structured_sparsity=0.5))
    assert cut.links[0].kernel is not None
    assert cut.links[0].kernel.tolist() == [[3.0, 2.0]]
