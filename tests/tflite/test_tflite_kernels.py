"""TFLite's rounding as measured, and the network's rounding modes expressed in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, Words
from toolchain.network.nodes import Convolution, Dense
from toolchain.tflite.flatbuffer import to_bytes
from toolchain.tflite.grids import Grid
from toolchain.tflite.kernels import (
    Habit,
    Sum,
    express,
    scale_down_once,
    scale_down_to_even,
    scale_down_twice,
    scale_down_up,
)
from toolchain.tflite.operators import IntegerModel, LinearOperator, ModelPort, Operator, Tensor
from toolchain.tflite.runtime import Kernels, run_file

WHOLE = FixedPoint(True, 40, 0)


def single(source: Tensor, output: Tensor, operators: tuple[Operator, ...]) -> IntegerModel:
    ports = (ModelPort(tensor.name, tensor, Rounding.RND) for tensor in (source, output))
    first, last = ports
    return IntegerModel("m", (first,), (last,), operators)


def run_sums(kind: Literal["dense", "convolution"], sums: Words, shift: int, path: Path, kernels: Kernels) -> Words:
    """What a kernel makes of given int32 sums: each is the bias of a channel whose input is zero."""
    count = len(sums)
    shape = (2,) if kind == "dense" else (1, 2)
    kernel = np.zeros((*(() if kind == "dense" else (1,)), 2, count), dtype=np.int64)
    common = {
        "name": "d", "inputs": ("x",), "shape": (*shape[:-1], count), "result": WHOLE, "layer": "d", "kernel": kernel,
        "kernel_format": WHOLE, "bias": None, "bias_format": None, "accumulator": WHOLE,
    }  # fmt: skip
    node = Dense(**common) if kind == "dense" else Convolution(**common, strides=(1,), dilation=(1,), padding=((0, 0),))
    source, output = Tensor("x", shape, Grid(0, 0)), Tensor("d", node.shape, Grid(-shift, 0))
    operator = LinearOperator(
        inputs=(source,), output=output, nodes=("d",), layer="d", node=node, kernel=kernel.astype(np.int8),
        bias=sums, kernel_bits=(0,) * count, shift=(shift,) * count, tie_exact=(True,) * count,
        tie_everywhere=(True,) * count, relu=False, rounding=Rounding.RND,
    )  # fmt: skip
    path.write_bytes(to_bytes(single(source, output, (operator,))))
    return run_file(path, np.zeros((3, *shape), dtype=np.int8), kernels)[1].reshape(-1).astype(np.int64)


@pytest.mark.parametrize("shift", [-2, 0, 1, 2, 5, 9])
@pytest.mark.parametrize(
    ("kind", "kernels", "rule"),
    [
        ("dense", "reference", scale_down_once),
        ("convolution", "reference", scale_down_twice),
        ("dense", "default", scale_down_to_even),
        ("convolution", "default", scale_down_to_even),
    ],
)
def test_the_installed_kernels_round_as_described(
    kind: Literal["dense", "convolution"],
    kernels: Kernels,
    rule: Callable[[Words, int], Words],
    shift: int,
    tmp_path: Path,
) -> None:
    reach = int(120 * 2.0**shift)
    sums = np.arange(-reach, reach + 1, max(1, reach // 1500))
    near_ties = np.array([n * 2 ** max(shift - 1, 0) + d for n in range(-41, 42, 2) for d in (-1, 0, 1)])
    sums = np.concatenate([sums, near_ties[np.abs(near_ties) <= max(reach, 1)]])
    assert run_sums(kind, sums, shift, tmp_path / "m.tflite", kernels).tolist() == rule(sums, shift).tolist()


@given(
    rounding=st.sampled_from(Rounding),
    shift=st.integers(-2, 9),
    spare_bits=st.integers(0, 4),
    non_negative=st.booleans(),
    habit=st.sampled_from(["away", "up", "twice"]),
)
def test_a_rounding_mode_is_expressed_exactly_where_it_says_so_and_within_a_word_elsewhere(
    rounding: Rounding, shift: int, spare_bits: int, non_negative: bool, habit: Habit
) -> None:
    tie = express(rounding, shift, Sum(spare_bits, non_negative, habit))
    sums = np.arange(-2048, 2049) << spare_bits
    wanted = FixedPoint(True, 60, -shift, rounding, Overflow.WRAP).requantize(sums, 0)
    rules = {
        "away": scale_down_once(sums + tie.offset, shift),
        "twice": scale_down_twice(sums + tie.offset, shift),
        "up": scale_down_up(sums + tie.offset, shift),
        "even": scale_down_to_even(sums + tie.offset, shift),
    }
    if non_negative:
        wanted, rules = np.maximum(wanted, 0), {name: np.maximum(found, 0) for name, found in rules.items()}
    for found in rules.values():
        assert np.abs(found - wanted).max() <= 1
        assert not tie.everywhere or (found == wanted).all()
    assert not tie.exact or (rules[habit] == wanted).all()
    assert tie.exact or not tie.everywhere


def test_qkeras_rounding_is_what_the_default_kernels_do() -> None:
    sums = np.arange(-5000, 5001)
    even = FixedPoint(True, 60, -4, Rounding.RND_CONV).requantize(sums, 0)
    assert (scale_down_to_even(sums, 4) == even).all()


@pytest.mark.parametrize("rounding", [Rounding.RND, Rounding.TRN, Rounding.RND_MIN_INF])
def test_two_spare_bits_make_a_mode_exact_in_every_kernel(rounding: Rounding) -> None:
    assert express(rounding, 5, Sum(2, False, "twice")).everywhere
    assert not express(rounding, 5, Sum(1, False, "twice")).everywhere
