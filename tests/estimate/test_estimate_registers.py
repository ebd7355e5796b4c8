"""Flip-flops by what is alive: where sums are cut, where words wait for one another, between the layers of a design."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from toolchain.estimate.amounts import constant_amounts, kernel_counts
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.prices import price


def dense(n_in: int, n_out: int, data: int = 16, **changes: object) -> DesignLayer:
    weights = np.random.default_rng(n_in * n_out).integers(-128, 128, (n_in, n_out))
    layer = DesignLayer("d", "dense", data, 16, n_out, 1, weights, 8, 16, "latency", 1, biases=n_out)
    return replace(layer, **changes)


def relu(words: int, width: int) -> DesignLayer:
    return DesignLayer("r", "activation", 16, width, words, function="relu")


def registers(
    layer: DesignLayer, tool: str, family: str = "7series", clock: float = 5.0, version: str = ""
) -> dict[str, float]:
    design = Design((layer,), tool, "io_parallel", family, clock, version)
    return dict(constant_amounts(layer, kernel_counts(layer), design)["ff"].terms)


@pytest.mark.parametrize(
    ("tool", "family", "sizes", "input_width", "output_width", "bits"),
    [
        # two published designs; their reports have 3,808 to 3,851 and 2,398 flip-flops outside the layers
        ("vitis", "7series", (196, 56, 64, 32, 10), 8, 8, 3808),
        ("vivado", "ultrascale_plus", (16, 64, 32, 32, 5), 16, 16, 2384),
    ],
)
def test_what_layers_hand_to_one_another(
    tool: str, family: str, sizes: tuple[int, ...], input_width: int, output_width: int, bits: int
) -> None:
    layers: list[DesignLayer] = []
    for number, (n_in, n_out) in enumerate(pairwise(sizes)):
        layers.append(dense(n_in, n_out, output_width if number else input_width))
        layers.append(relu(n_out, output_width))
    layers[-1] = DesignLayer("s", "softmax", 16, 16, sizes[-1], function="softmax", table_size=1024)
    design = Design(tuple(layers), tool, "io_parallel", family, 5.0)
    lines = " ".join(line for layer in layers for line in price(layer, design).explanation)
    assert sum(int(found) for found in re.findall(r"(\d+) flip-flops hand", lines)) == bits


def test_words_that_take_turns_wait_for_one_another() -> None:
    """Where a cycle holds one level of adders every word is kept; where it holds many, the earlier of two."""
    layer = dense(32, 32, reuse_factor=128)
    levels = kernel_counts(layer).level_bits[:-1]
    assert registers(layer, "vitis")["cut_bits"] == sum(levels)
    assert registers(layer, "vivado", "ultrascale_plus")["cut_bits"] == pytest.approx(sum(levels) * (0.5 + 1 / 32))


def test_long_chains_of_sums_keep_products_in_shift_registers() -> None:
    """Sums of more than 4,096 products by Vitis: one published layer of 196 x 56 needs 24,000 look-up tables more at
    reuse factor 1 than at 100, its products have 24,400 bits."""
    layer = dense(80, 60, data=8)
    products = kernel_counts(layer).bits_at(0)
    at_once, turns = (registers(replace(layer, reuse_factor=factor), "vitis", version="2021.1") for factor in (1, 100))
    assert at_once["shift_bits"] == products
    assert turns["shift_bits"] == products / 100
    assert at_once["cut_bits"] == turns["cut_bits"] == 0
    for balanced in (
        registers(dense(64, 64), "vitis", version="2021.1"), registers(layer, "vitis", version="2023.1"),
        registers(layer, "vitis"),  # a version that is not known is taken as a recent one
    ):  # fmt: skip
        assert balanced["shift_bits"] == 0
        assert balanced["cut_bits"] > 0
    logic = [
        constant_amounts(one, kernel_counts(one), Design((one,), "vitis", "io_parallel", "7series", 5.0, "2021.1"))
        for one in (replace(layer, binding="dsp", reuse_factor=factor) for factor in (1, 100))
    ]
    ports = 13 * 60  # where a sample begins each cycle, results are held
    assert logic[0]["lut"].fixed - logic[1]["lut"].fixed == pytest.approx(products - products / 100 + ports)


def test_ports_of_a_design_of_one_layer() -> None:
    """Vivado: its input; where a sample begins each cycle its output, too."""
    layer = dense(32, 64)
    assert registers(layer, "vivado", "ultrascale_plus")["port_bits"] == 16 * 32 + 16 * 64
    assert registers(replace(layer, reuse_factor=64), "vivado", "ultrascale_plus")["port_bits"] == 16 * 32
    assert registers(layer, "vitis")["port_bits"] == 0


def test_global_pooling_in_a_stream_needs_no_window() -> None:
    layer = DesignLayer("p", "pooling", 16, 16, 16, function="global_max", input_shape=(128, 16), window=(128,))
    design = Design((dense(4, 4), layer), "vitis", "io_stream", "ultrascale_plus", 5.0)
    whole, windowed = price(layer, design), price(replace(layer, function="max"), design)
    assert whole.latency_cycles == 131  # the one published report
    assert whole.ff < windowed.ff
    assert whole.lut < windowed.lut
