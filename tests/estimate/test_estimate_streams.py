"""Layers in io_stream beside published modules: FIFOs, multiplexers, windows, pooling, kernels in memory."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.estimate.block import block_of
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.kinds import layer_amounts
from toolchain.estimate.multiplexers import indexed_luts, multiplexer_luts
from toolchain.estimate.prices import price
from toolchain.estimate.small_layers import word_luts
from toolchain.estimate.stream_layers import activation_stream_amounts, memory_amounts, pooling_amounts, pooling_turns
from toolchain.estimate.streams import fifo, fifos, line_buffer


def stream(*layers: DesignLayer, tool: str = "vivado", clock: float = 5.0, family: str = "7series") -> Design:
    return Design(layers, tool, "io_stream", family, clock, "2020.1")  # type: ignore[arg-type]


#: (depth, width, blocks of 18 Kb) as Vivado HLS 2019.1 to 2020.1 printed them.
PRINTED = (
    (1, 16, 0), (2, 128, 0), (2, 1280, 72), (2, 1400, 78), (16, 12, 0), (23, 16, 0), (32, 16, 0), (32, 32, 2),
    (36, 16, 1), (64, 8, 0), (81, 8, 1), (99, 16, 1), (121, 4, 0), (144, 22, 2), (144, 38, 3), (169, 4, 1),
    (900, 16, 1),
    (1156, 16, 2), (2304, 8, 2), (2304, 16, 4), (3844, 6, 2), (4096, 16, 4), (4761, 8, 4), (8192, 14, 7), (8192, 16, 8),
    (9252, 16, 16),
)  # fmt: skip


@pytest.mark.parametrize(("depth", "width", "blocks"), PRINTED)
def test_the_memory_of_a_fifo_is_what_the_tool_prints(depth: int, width: int, blocks: int) -> None:
    assert fifo(depth, width).bram_18k == blocks


@pytest.mark.parametrize(("depth", "width", "lut"), [(1, 16, 28), (2, 24, 36), (2, 34, 46), (3, 16, 28), (11, 16, 30)])
def test_a_small_fifo_has_twelve_look_up_tables_and_one_for_each_bit(depth: int, width: int, lut: int) -> None:
    assert fifo(depth, width).lut == lut


@given(st.integers(1, 9000), st.integers(1, 64))
def test_a_deeper_or_wider_fifo_never_takes_less_memory(depth: int, width: int) -> None:
    assert fifo(depth + 1, width).bram_18k >= fifo(depth, width).bram_18k
    assert fifo(depth, width + 1).bram_18k >= fifo(depth, width).bram_18k


def test_the_last_layer_writes_to_a_port_and_a_given_depth_is_used() -> None:
    first = DesignLayer("relu", "activation", 16, 16, 900 * 4, 900, function="relu")
    last = replace(first, name="out")
    design = stream(first, last)
    assert price(first, design).bram_18k == 4
    assert price(last, design).bram_18k == 0
    shallow = replace(first, fifo_depth=2)
    assert fifos(shallow, design).bram_18k == 0


def test_vivado_prints_one_price_for_every_multiplexer_of_a_design() -> None:
    """55 in a design whose softmax has 10 classes, 145 where the last dense layer has 32 inputs, 273 with 64."""
    pooling = DesignLayer("pool", "pooling", 16, 16, 144, 36, function="max", input_shape=(26, 26, 4), window=(4, 4))
    softmax = DesignLayer("softmax", "softmax", 16, 16, 10)
    dense = DesignLayer("dense", "dense", 16, 16, 10, strategy="resource", reuse_factor=4, kernel_shape=(32, 10))
    assert indexed_luts(16, stream(pooling, dense, softmax)) == 55
    assert indexed_luts(16, stream(pooling, dense)) == pytest.approx(145, abs=8)
    assert indexed_luts(16, stream(pooling, replace(dense, kernel_shape=(64, 1)))) == 273
    assert indexed_luts(13, stream(pooling, dense, softmax, tool="vitis")) == 65


@given(st.integers(1, 2000))
def test_a_multiplexer_of_more_ways_is_never_smaller(ways: int) -> None:
    assert multiplexer_luts(ways + 1) >= multiplexer_luts(ways)


#: Encoded convolutions of one published design (Vivado HLS 2019.2, 3.33 ns), whose last layer has 64 inputs: input,
#: window, kernel, positions, reuse factor, look-up tables, flip-flops. Those of the first rows have 6,560 flip-flops in
#: 80 FIFOs of 23 words, which other designs have as shift registers.
CONVOLUTIONS = (
    ((49, 16), (5,), (80, 32), 23, 16, 54748, 19268 - 6560),
    ((49, 16), (5,), (80, 32), 23, 40, 26784, 12679 - 6560),
    ((49, 16), (5,), (80, 32), 23, 10, 82716, 27909 - 6560),
    ((11, 32), (9,), (288, 64), 3, 16, 34950, 75612),
    ((11, 32), (9,), (288, 64), 3, 12, 40060, 91528),
)


@pytest.mark.parametrize("printed", CONVOLUTIONS)
def test_kernels_in_memory_are_counted_as_they_are_built(printed: tuple) -> None:  # type: ignore[type-arg]
    inside, window, shape, positions, factor, lut, ff = printed
    layer = DesignLayer(
        "conv", "conv1d", 16, 16, positions * shape[1], positions, weight_width=16, accumulator_width=16,
        strategy="resource", reuse_factor=factor, kernel_shape=shape, input_shape=inside, window=window,
        implementation="encoded",
    )  # fmt: skip
    last = DesignLayer("dense", "dense", 16, 16, 1, strategy="resource", reuse_factor=16, kernel_shape=(64, 1))
    design = stream(layer, last, clock=3.33)
    amounts = memory_amounts(block_of(layer), layer, design)
    assert amounts["lut"].terms["counted"] == pytest.approx(lut, rel=0.2)
    assert amounts["ff"].terms["counted"] == pytest.approx(ff, rel=0.3)


@pytest.mark.parametrize(
    ("inside", "window", "lut"),
    [((26, 26, 4), (4, 4), 3988), ((4, 4, 8), (2, 2), 1946), ((13, 13, 16), (2, 2), 3209)],
)
def test_pooling_compares_every_word_of_a_window_but_one(
    inside: tuple[int, ...], window: tuple[int, ...], lut: int
) -> None:
    """Modules of designs that end in a softmax of 10 classes (Vivado HLS 2019.2, 2020.1)."""
    pooling = DesignLayer("pool", "pooling", 16, 16, 1, 1, function="max", input_shape=inside, window=window)
    design = stream(pooling, DesignLayer("softmax", "softmax", 16, 16, 10))
    assert pooling_amounts(pooling, design)["lut"].terms["counted"] == pytest.approx(lut, rel=0.1)


def test_pooling_takes_two_cycles_where_its_counters_do_not_fit_into_one() -> None:
    layer = DesignLayer("pool", "pooling", 16, 16, 1, 1, function="max", input_shape=(30, 30, 16), window=(2, 2))
    assert pooling_turns(layer, stream(layer)) == 2
    assert pooling_turns(layer, stream(layer, clock=10.0)) == 1
    assert pooling_turns(layer, stream(layer, family="ultrascale_plus")) == 1
    assert pooling_turns(replace(layer, implementation="encoded"), stream(layer)) == 1


def test_rows_of_a_window_are_shift_registers() -> None:
    layer = DesignLayer("conv", "conv2d", 16, 16, 1, 1, input_shape=(13, 13, 64), window=(4, 4))
    rows = line_buffer(layer)
    assert (rows.lut, rows.ff) == (6144, 12288)
    assert line_buffer(replace(layer, input_shape=(62, 62, 4), window=(2, 2))).lut == 256


def test_a_softmax_with_a_reuse_factor_takes_turns() -> None:
    """12 classes, reuse factor 3: 4 DSP blocks and 3 of memory; 13 classes, 784: 1 and 2."""
    for classes, factor, dsp, memory in ((12, 3, 4, 3), (13, 784, 1, 2), (10, 1, 10, 6)):
        layer = DesignLayer("softmax", "softmax", 16, 16, classes, reuse_factor=factor)
        found = price(layer, stream(layer))
        assert (found.dsp, found.bram_18k) == (dsp, memory)


def convolution(tool_version: str) -> tuple[DesignLayer, Design]:
    layer = DesignLayer(
        "conv", "conv2d", 16, 16, 1024 * 4, 1024, np.full((27, 4), 5, dtype=np.int64), 16, 16, input_shape=(34, 34, 3),
        window=(3, 3), implementation="linebuffer",
    )  # fmt: skip
    design = Design((layer,), "vitis", "io_stream", "ultrascale_plus", 5.0, tool_version)
    return layer, design


def test_positions_follow_one_another_in_vitis_unless_its_version_overlaps_them() -> None:
    """1,160 cycles for 1,156 positions by 2022.1; from 2022.2 on three and more for each."""
    assert price(*convolution("2022.1")).latency_cycles == pytest.approx(1160, abs=4)
    assert price(*convolution("2022.2")).latency_cycles >= 3 * 1156


def test_a_pipelined_window_is_kept_twice() -> None:
    """Of 18,525 flip-flops of a published module with a window of 243 words of 16 bits 7,344 are the window."""
    layer = DesignLayer(
        "conv", "conv2d", 16, 41, 4096, 4096, np.full((243, 1), 5, dtype=np.int64), 16, 41, input_shape=(69, 69, 3),
        window=(9, 9), implementation="linebuffer",
    )  # fmt: skip
    for clock, copies in ((5.0, 1.9), (25.0, 1.0)):
        design = stream(layer, clock=clock, family="ultrascale_plus")
        around = 64 * 8 * 3 + 260
        assert layer_amounts(layer, design)["ff"].fixed >= around + copies * 243 * 16
        assert layer_amounts(layer, design)["ff"].terms["window_bits"] == 0


@pytest.mark.parametrize(("n_in", "n_out", "factor"), [(25, 2, 50), (50, 5, 50), (45, 6, 45), (726, 1, 66)])
def test_a_loop_that_rewinds_selects_each_input_twice(n_in: int, n_out: int, factor: int) -> None:
    """Modules of Vitis 2024.2 print two multiplexers of nine look-up tables for each input; earlier ones have none."""
    weights = np.ones((n_in, n_out), dtype=np.int64)
    layer = DesignLayer("d", "dense", 6, 16, n_out, 1, weights, 6, 19, "resource", factor)
    counted = [
        memory_amounts(block_of(layer), layer, replace(stream(layer, tool="vitis"), tool_version=version))["lut"].terms[
            "counted"
        ]
        for version in ("2023.2", "2024.2")
    ]
    index = indexed_luts(n_in, stream(layer, tool="vitis")) if factor < n_in else 0
    assert counted[1] - counted[0] >= 18 * n_in + 0.7 * index - 1


def test_an_activation_of_a_stream_costs_what_one_in_parallel_does_and_its_ports() -> None:
    layer = DesignLayer("r", "activation", 16, 6, 60, 10, function="relu", result_rounds=True)
    design = stream(layer, tool="vitis")
    found = activation_stream_amounts(layer, design)["lut"].terms["counted"]
    assert found == 6 * word_luts(layer, design) + 60


def test_a_dense_layer_of_a_stream_that_rewinds_keeps_its_words_twice() -> None:
    """Vitis 2024.2: 726 words of 6 bits in the layer that gathers them, and in the kernel."""
    layer = DesignLayer("d", "dense", 6, 16, 1, 1, np.ones((726, 1), dtype=np.int64), 6, 19, "resource", 66)
    kept = [
        memory_amounts(block_of(layer), layer, replace(stream(layer, tool="vitis"), tool_version=version))["ff"].terms[
            "counted"
        ]
        for version in ("2023.2", "2024.2")
    ]
    assert kept[1] - kept[0] == 726 * 6
