"""Cycles and intervals that published reports print, for layers of the same shape, widths and counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from toolchain.estimate.amounts import kernel_counts
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.prices import price
from toolchain.estimate.schedule import schedule

#: Twenty-five products of three digits or more, on five inputs; the other five have two digits.
SHARED = np.array([[11, 13, 19, 21, 25]] * 5 + [[3, 5, 6, 7, 9]] * 5)


@pytest.mark.parametrize(
    ("binding", "reuse_factor", "clock", "cycles", "interval"),
    [
        ("dsp", 100, 5.0, 30, 31),  # one product at once, in a DSP block: it takes five cycles
        ("lut", 100, 5.0, 26, 27),
        ("dsp", 2, 5.0, 3, 2),  # nothing waits
    ],
)
def test_products_that_take_turns(
    binding: Literal["dsp", "lut"], reuse_factor: int, clock: float, cycles: int, interval: int
) -> None:
    """10 x 5 weights of 8 bits by Vitis HLS 2021.1 on a 7-series part."""
    layer = DesignLayer("d", "dense", 8, 16, 5, 1, SHARED, 8, 16, "latency", reuse_factor, biases=5, binding=binding)
    found = price(layer, Design((layer,), "vitis", "io_parallel", "7series", clock))
    assert (found.latency_cycles, found.initiation_interval) == (cycles, interval)


@pytest.mark.parametrize(("fan_in", "tail"), [(6, 0), (10, 1), (21, 1), (27, 2), (57, 2), (222, 3)])
def test_sums_that_wait_for_the_last_product(fan_in: int, tail: int) -> None:
    """One product at once, in fabric: its own cycle for the last, and as many more as the sums need."""
    weights = np.zeros((fan_in, 2), dtype=np.int64)
    weights[:, 0] = 11
    layer = DesignLayer("d", "dense", 8, 16, 2, 1, weights, 8, 16, "latency", fan_in, biases=2, binding="lut")
    found = price(layer, Design((layer,), "vitis", "io_parallel", "7series", 3.33))
    assert found.latency_cycles == fan_in - 1 + 1 + tail


def convolution(strategy: str, reuse_factor: int, channels: int, filters: int) -> DesignLayer:
    weights = np.random.default_rng(0).integers(-128, 128, (5 * channels, filters))
    return DesignLayer(
        "c", "conv1d", 16, 24, 64 * filters, 64, weights, 8, 24, strategy, reuse_factor, input_shape=(68, channels),
        window=(5,), accumulator_rounds=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reuse_factor", "channels", "least", "most"), [(2, 8, 544, 884), (1, 1, 408, 476), (3, 1, 408, 816)]
)
def test_a_convolution_of_the_resource_strategy_in_a_stream(
    reuse_factor: int, channels: int, least: int, most: int
) -> None:
    """Vivado HLS 2020.1, an accumulator that rounds: cycles for each of 68 positions; the next sample one later."""
    layer = convolution("resource", reuse_factor, channels, 8)
    found = price(layer, Design((layer,), "vivado", "io_stream", "ultrascale_plus", 5.0))
    assert (found.least_latency_cycles, found.latency_cycles, found.initiation_interval) == (least, most, most + 1)


@pytest.mark.parametrize(("version", "interval"), [("2023.2", 394), ("2024.1", 390), ("", 390)])
def test_a_loop_rewinds(version: str, interval: int) -> None:
    """130 positions, three cycles each, three to fill: Vitis HLS 2024.1 starts the next sample before the end."""
    weights = np.random.default_rng(0).integers(-128, 128, (27, 16))
    layer = DesignLayer("c", "conv1d", 16, 16, 2048, 128, weights, 16, 16, input_shape=(130, 9), window=(3,))
    found = price(layer, Design((layer,), "vitis", "io_stream", "ultrascale_plus", 5.0, version))
    assert (found.latency_cycles, found.initiation_interval) == (393, interval)


@pytest.mark.parametrize(
    ("width", "units", "steps", "factor", "least", "most"),
    [(16, 20, 20, 30, 801, 821), (4, 120, 15, 30, 556, 571)],
)
def test_a_gru(width: int, units: int, steps: int, factor: int, least: int, most: int) -> None:
    """Vivado HLS 2019.2, six inputs: the pipeline around it begins again one cycle after it ends."""
    layer = DesignLayer(
        "g", "recurrent", width, width, units, steps, None, width, width, "resource", factor, function="gru",
        kernel_shape=(6, 3 * units), recurrent_shape=(units, 3 * units), table_size=1024,
    )  # fmt: skip
    layer = replace(layer, recurrent_reuse_factor=factor if units == 120 else 20)
    found = price(layer, Design((layer,), "vivado", "io_parallel", "ultrascale_plus", 5.0, "2019.2"))
    assert (found.least_latency_cycles, found.latency_cycles, found.initiation_interval) == (least, most, most + 1)


@pytest.mark.parametrize(("family", "function", "most"), [("ultrascale_plus", "gru", 221), ("7series", "lstm", 341)])
def test_a_recurrent_layer_without_turns(family: str, function: str, most: int) -> None:
    """20 steps of 20 units, Vivado: 221 cycles (xcu250, 2019.2), 339 (xc7vx690t, 2019.1: the last step ends sooner)."""
    gates = {"gru": 3, "lstm": 4}[function] * 20
    layer = DesignLayer(
        "g", "recurrent", 18, 18, 20, 20, None, 18, 18, "resource", 1, function=function, kernel_shape=(6, gates),
        recurrent_shape=(20, gates), table_size=1024,
    )  # fmt: skip
    assert price(layer, Design((layer,), "vivado", "io_parallel", family, 5.0, "2019.2")).latency_cycles == most


def test_sums_of_early_products_are_added_further_before_they_are_held() -> None:
    """32 inputs, 16 outputs, Vitis 2024.1 at 5 ns: wiring is added up further in a cycle than products in DSP blocks.

    52 outputs of 16 words of which few are products keep 1,600 bits where each of them alone would keep 3,500.
    """
    rng = np.random.default_rng(0)
    wiring = rng.choice([1, 2, 4, 8, -1, -2, -4], (64, 32))
    products = rng.integers(40, 120, (64, 32)) | 43
    mixed = np.where(rng.random((64, 32)) < 0.06, products, wiring)
    kept = []
    for weights in (wiring, mixed, products):
        layer = DesignLayer("d", "dense", 12, 12, 32, 1, weights, 8, 26)
        one = Design((layer, layer), "vitis", "io_parallel", "ultrascale_plus", 5.0, "2024.1")
        counts = kernel_counts(layer)
        kept.append(schedule(counts, layer, one).cut_bits / sum(counts.level_bits))
    assert kept[0] < kept[1] < 0.8 * kept[2]
    layer = DesignLayer("d", "dense", 12, 12, 32, 1, mixed, 8, 26)
    turning = replace(layer, reuse_factor=2)  # words come one after the other: no sum is added up further
    one = Design((layer, layer), "vitis", "io_parallel", "ultrascale_plus", 5.0, "2024.1")
    first, second = (schedule(kernel_counts(found), found, one).cut_bits for found in (layer, turning))
    assert first < second
