"""Every criterion is its formula; every selection is exact."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import ProjectError
from toolchain.network.constant_products import Operands, lut_equivalents
from toolchain.prune.criteria import (
    activation,
    batch_norm,
    hardware,
    hessian,
    magnitude,
    movement,
    percentile,
    redundancy,
    taylor,
)
from toolchain.prune.schedules import iterative_sparsities
from toolchain.prune.selection import layer_masks, network_masks, pool

RNG = np.random.default_rng(5)
W, G = RNG.normal(size=(6, 5)), RNG.normal(size=(6, 5))
seeds = st.integers(0, 2**32 - 1)


def test_scores_of_weights_are_their_formulas() -> None:
    assert np.array_equal(magnitude.importance(W), abs(W))
    assert np.array_equal(taylor.importance(W, G), abs(W * G))
    assert np.array_equal(hessian.importance(W, G**2), 0.5 * G**2 * W**2)
    assert np.array_equal(movement.importance([(W, G), (W - G, G)]), -(W * G + (W - G) * G))
    assert np.array_equal(batch_norm.importance(np.array([-2.0, 1.0])), [2, 1])


def test_scores_of_units_are_their_formulas() -> None:
    a, g = RNG.normal(size=(7, 3, 4)), RNG.normal(size=(7, 3, 4))
    assert np.allclose(activation.importance(a), abs(a).mean(axis=(0, 1)), rtol=1e-14)
    assert np.allclose(taylor.unit_importance(a, g), abs((a * g).sum(axis=1)).mean(axis=0), rtol=1e-14)


def test_the_hessian_criterion_is_the_exact_loss_of_a_quadratic() -> None:
    fisher = RNG.random((6, 5))
    loss = 0.5 * (fisher * (W - W) ** 2).sum()
    for place in np.ndindex(W.shape):
        without = W.copy()
        without[place] = 0
        grown = 0.5 * (fisher * (without - W) ** 2).sum() - loss
        assert hessian.importance(W, fisher)[place] == pytest.approx(grown, rel=1e-12)


def test_of_equal_units_one_stays_and_a_constant_one_goes_first() -> None:
    a = RNG.normal(size=(500, 4))
    a = np.column_stack([a, 3 * a[:, 1] + 1, np.full(500, 2.0)])
    order = np.argsort(redundancy.importance(a), kind="stable")
    assert order[0] == 5
    assert order[1] in (1, 4)
    other = ({1, 4} - {int(order[1])}).pop()
    assert redundancy.importance(a)[other] > 0.5


def test_the_papers_dense_layer_goes_from_8400_to_5460() -> None:
    kernel = np.random.default_rng(0).normal(size=(70, 120))  # 14 days x 5 filters to 120 neurons
    assert np.count_nonzero(kernel) == 8400
    assert int(percentile.kept(kernel, 35).sum()) == 5460
    assert abs(kernel[percentile.kept(kernel, 35)]).min() > np.percentile(abs(kernel), 35)


@pytest.mark.parametrize("weights", [100, 8400, 12_345])
def test_ten_rounds_of_a_fifth_leave_10_7_percent(weights: int) -> None:
    sparsities = iterative_sparsities(1 - 0.8**10, 0.2)
    assert np.allclose(sparsities, [1 - 0.8**t for t in range(1, 11)], rtol=1e-12)
    scores = {"d": np.random.default_rng(1).random((weights, 1))}
    alive = {"d": np.ones((weights, 1), dtype=bool)}
    for sparsity in sparsities:
        alive = layer_masks(scores, alive, {"d": sparsity})
    assert abs(int((~alive["d"]).sum()) - (1 - 0.8**10) * weights) <= 1
    assert round(1 - alive["d"].mean(), 3) == pytest.approx(0.893, abs=1 / weights + 1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.05, 0.9))
def test_rounds_rise_to_the_target(final: float, share: float) -> None:
    found = iterative_sparsities(final, share)
    assert found[-1] == final
    assert all(a < b for a, b in pairwise(found))


@given(seeds, st.floats(0, 0.999), st.sampled_from([(1, 1), (2, 1), (3, 2), (4, 5)]))
def test_layers_lose_exactly_what_was_asked(seed: int, target: float, block: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    scores, alive = {"a": rng.random((7, 5))}, {"a": rng.random((7, 5)) < 0.9}
    alive["a"][0, 0] = True
    mask = layer_masks(scores, alive, {"a": target}, block)["a"]
    assert not (mask & ~alive["a"]).any()
    blocks = math.ceil(7 / block[0]) * math.ceil(5 / block[1])
    left = sum(
        mask[r : r + block[0], c : c + block[1]].any() for r in range(0, 7, block[0]) for c in range(0, 5, block[1])
    )
    empty = blocks - sum(
        alive["a"][r : r + block[0], c : c + block[1]].any()
        for r in range(0, 7, block[0]) for c in range(0, 5, block[1])
    )  # fmt: skip
    assert blocks - left == max(min(math.ceil(target * blocks - 1e-9), blocks - 1), empty)
    gone, kept = pool(scores["a"], block, "a"), alive["a"]
    if block == (1, 1) and (~mask & kept).any():
        assert gone[~mask & kept].max() <= gone[mask].min()


@given(seeds, st.floats(0, 0.999))
def test_one_threshold_over_the_network_empties_no_layer(seed: int, target: float) -> None:
    rng = np.random.default_rng(seed)
    scores = {"small": rng.random((2, 2)) * 0.01, "large": rng.random((3, 4, 5))}
    alive = {key: np.ones(value.shape, dtype=bool) for key, value in scores.items()}
    masks = network_masks(scores, alive, target)
    assert all(mask.any() for mask in masks.values())
    assert sum(int((~mask).sum()) for mask in masks.values()) == min(math.ceil(target * 64 - 1e-9), 62)


def test_a_block_larger_than_a_kernel_is_refused() -> None:
    with pytest.raises(ProjectError, match="8 x 1 is larger than the kernel of 'd', 4 x 3"):
        pool(np.ones((4, 3)), (8, 1), "d")


def test_hardware_prices_powers_of_two_low_and_shared_products_lower() -> None:
    operands = Operands(8, 16)
    kernel = np.array([[64.0, 107.0, 107.0, 91.0, 0.2]]) / 128
    assert hardware.words(kernel, 8).tolist() == [[64, 107, 107, 91, 0]]
    score = hardware.importance(kernel, np.ones_like(kernel), 8, operands)
    assert score[0, 0] > score[0, 1] == score[0, 2] > score[0, 3] > score[0, 4] == 0
    assert (1 / score[0, :4]).sum() == pytest.approx(lut_equivalents(hardware.words(kernel, 8), operands))
    assert not hardware.words(np.zeros((2, 2)), 8).any()
