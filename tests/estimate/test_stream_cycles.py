"""Cycles of layers in io_stream and FIFOs beside what published reports print."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.estimate import totals
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.fifo_tables import characterised_fifo, has_characterised_fifos
from toolchain.estimate.price import Price
from toolchain.estimate.prices import price
from toolchain.estimate.stream_cycles import padding_cycles, pooled_cycles, turning_cycles
from toolchain.estimate.stream_layers import pooling_turns
from toolchain.estimate.streams import encoded_fifos, fifos, window_memory


def design(tool: str, family: str, clock: float, version: str = "", part: str = "") -> Design:
    grade = 2 if part else 0
    return Design((), tool, "io_stream", family, clock, version, grade, part=part)  # type: ignore[arg-type]


VIVADO, FAST_VIVADO = design("vivado", "7series", 5.0, "2020.1"), design("vivado", "ultrascale_plus", 5.0, "2019.2")
VITIS = design("vitis", "ultrascale_plus", 5.0, "2023.1")

#: Shape with its zeros, zeros, cycles that Vivado HLS 2019.1 to 2020.1 and Vitis HLS 2022.1 to 2023.2 printed.
PADDINGS = (
    (VIVADO, (34, 34, 3), ((1, 1), (1, 1)), 1159), (VIVADO, (514, 18, 1), ((1, 1), (1, 1)), 9255),
    (VIVADO, (9, 9, 1), ((0, 1), (0, 1)), 91), (VIVADO, (32, 32, 3), ((0, 0), (0, 0)), 1089),
    (VIVADO, (64, 64, 1), ((4, 4), (4, 4)), 4339), (VIVADO, (69, 69, 3), ((3, 3), (3, 3)), 5028),
    (VIVADO, (16, 16, 1), ((2, 2), (2, 2)), 315), (VIVADO, (66, 1), ((1, 1),), 65), (VIVADO, (68, 8), ((2, 2),), 71),
    (VIVADO, (35, 4), ((1, 2),), 36), (VITIS, (34, 34, 3), ((1, 1), (1, 1)), 1169),
    (VITIS, (10, 15, 1), ((1, 1), (1, 1)), 163), (VITIS, (6, 8, 8), ((1, 1), (1, 1)), 61),
    (VITIS, (82, 1), ((1, 1),), 85), (VITIS, (81, 32), ((0, 1),), 84),
)  # fmt: skip


def padding(shape: tuple[int, ...], zeros: tuple[tuple[int, int], ...]) -> DesignLayer:
    positions = int(np.prod(shape[:-1]))
    margins = tuple(number for ends in zeros for number in ends)
    return DesignLayer("pad", "padding", 16, 16, positions, positions, input_shape=shape, margins=margins)


@pytest.mark.parametrize(("made", "shape", "zeros", "cycles"), PADDINGS)
def test_padding_is_loops_over_rows_and_columns(
    made: Design, shape: tuple[int, ...], zeros: tuple[tuple[int, int], ...], cycles: int
) -> None:
    layer = padding(shape, zeros)
    assert padding_cycles(layer, made) == cycles
    assert price(layer, replace(made, layers=(layer,))).initiation_interval == cycles + 1


@given(st.integers(1, 64), st.integers(1, 64), st.integers(0, 4), st.integers(0, 4))
def test_padding_never_takes_fewer_cycles_than_it_has_positions(
    height: int, width: int, rows: int, columns: int
) -> None:
    shape, zeros = (height + 2 * rows, width + 2 * columns, 1), ((rows, rows), (columns, columns))
    positions = shape[0] * shape[1]
    layer = padding(shape, zeros)
    assert padding_cycles(layer, VIVADO) > positions - 2 * height
    assert padding_cycles(layer, VITIS) > positions - 2 * columns * height


#: Design, shape, window, positions, filters, reuse factor, written into the loop, cycles.
IN_MEMORY = (
    (VIVADO, (64, 64, 3), 3, 3844, 4, 108, False, 487425), (VIVADO, (28, 28, 1), 3, 676, 32, 72, False, 63505),
    (VIVADO, (10, 10, 16), 3, 64, 8, 1152, False, 116401), (VIVADO, (34, 34, 8), 3, 1024, 1, 72, False, 95949),
    (VIVADO, (514, 18, 1), 3, 8192, 8, 18, True, 249804), (VIVADO, (13, 13, 16), 3, 121, 16, 1152, True, 196547),
    (FAST_VIVADO, (64, 64, 3), 3, 3844, 4, 108, False, 462849),
    (design("vivado", "7series", 10.0, "2019.2"), (10, 10, 32), 3, 64, 32, 9216, True, 922000),
    (design("vitis", "7series", 30.0, "2024.2"), (64, 64, 1), 5, 900, 2, 50, False, 225281),
    (design("vitis", "7series", 10.0, "2023.1"), (10, 10, 1), 3, 64, 4, 9, False, 1501),
    (design("vitis", "ultrascale_plus", 25.0, "2023.1"), (6, 8, 4), 3, 24, 7, 252, False, 12337),
    (design("vitis", "ultrascale_plus", 5.0, "2023.1"), (6, 8, 4), 3, 24, 7, 252, False, 12385),
)  # fmt: skip


@pytest.mark.parametrize(
    ("made", "shape", "side", "positions", "filters", "factor", "inlined", "cycles"), IN_MEMORY
)  # fmt: skip
def test_a_kernel_in_memory_takes_its_turns_and_a_constant_for_each_position(  # type: ignore[no-untyped-def]
    made, shape, side, positions, filters, factor, inlined, cycles
) -> None:
    weights = np.full((side * side * shape[-1], filters), 77)
    layer = DesignLayer(
        "conv", "conv2d", 16, 16, positions * filters, positions, weights, 16, 16, "resource", factor,
        input_shape=shape, window=(side, side), implementation="linebuffer", inlined=inlined,
    )  # fmt: skip
    found = price(layer, replace(made, layers=(layer,)))
    assert (found.latency_cycles, found.initiation_interval) == (cycles, cycles + 1)


#: Design, inputs, outputs, words that are read, reuse factor, bits of the data, cycles.
DENSE = (
    (VIVADO, 784, 13, 196, 784, 16, 990), (VIVADO, 800, 32, 25, 50, 16, 85), (VIVADO, 32, 10, 1, 64, 16, 69),
    (FAST_VIVADO, 784, 13, 196, 784, 16, 986), (design("vivado", "7series", 10.0), 16, 64, 1, 64, 16, 69),
    (design("vivado", "7series", 10.0), 64, 32, 1, 64, 6, 68), (design("vivado", "7series", 10.0), 32, 5, 1, 32, 6, 36),
    (VITIS, 53, 24, 1, 1272, 16, 1275), (VITIS, 24, 12, 1, 288, 16, 291),
    (design("vitis", "ultrascale_plus", 25.0), 43, 7, 1, 301, 16, 302),
    (design("vitis", "7series", 30.0, "2024.2"), 54, 1, 9, 54, 6, 69),
    (design("vitis", "7series", 30.0, "2024.2"), 726, 1, 121, 66, 6, 193),
)  # fmt: skip


@pytest.mark.parametrize(("made", "inputs", "outputs", "reads", "factor", "bits", "cycles"), DENSE)
def test_a_dense_layer_gathers_its_words_and_takes_its_turns(  # type: ignore[no-untyped-def]
    made, inputs, outputs, reads, factor, bits, cycles
) -> None:
    layer = DesignLayer(
        "fc", "dense", bits, 16, outputs, 1, np.full((inputs, outputs), 77), 8, 16, "resource", factor,
        input_shape=(reads, inputs // reads),
    )  # fmt: skip
    found = price(layer, replace(made, layers=(layer, layer)))
    rewinds = made.tool == "vitis" and reads == 1
    assert (found.latency_cycles, found.initiation_interval) == (cycles, factor if rewinds else cycles + 1)


def test_products_in_turns_and_sums_of_whole_levels() -> None:
    """Vivado: turns and the schedule of one product; else levels that do not cross the end of a cycle."""
    assert turning_cycles(VIVADO, 4, 8, 19) == 11
    assert [turning_cycles(design("vivado", "ultrascale_plus", clock), 0, 1, 3) for clock in (2.0, 3.33, 4.0)] == [
        2,
        1,
        0,
    ]
    assert [turning_cycles(design("vivado", "ultrascale_plus", clock), 0, 1, 47) for clock in (2.0, 4.0)] == [6, 2]
    assert [turning_cycles(VIVADO, 0, 1, words) for words in (4, 46)] == [2, 6]


@pytest.mark.parametrize(
    ("made", "width", "side", "shape", "cycles"),
    [
        (VIVADO, 6, 2, (30, 30, 16), 1804), (VIVADO, 4, 2, (26, 26, 32), 1355), (FAST_VIVADO, 6, 2, (62, 62, 4), 3847),
        (FAST_VIVADO, 16, 4, (120, 120, 1), 14404), (design("vivado", "ultrascale_plus", 2.0), 3, 2, (26, 26, 16), 680),
        (VITIS, 10, 2, (8, 13, 8), 107), (design("vitis", "ultrascale", 25.0), 10, 2, (8, 13, 8), 106),
    ],
)  # fmt: skip
def test_pooling_reads_one_position_after_the_other(
    made: Design, width: int, side: int, shape: tuple[int, ...], cycles: int
) -> None:
    layer = DesignLayer(
        "pool", "pooling", width, width, 16, 16, function="max", input_shape=shape, window=(side, side),
        implementation="linebuffer",
    )  # fmt: skip
    assert pooled_cycles(layer, made, pooling_turns(layer, made)) == cycles


#: (depth, bits, blocks of 18 Kb, flip-flops) as Vitis HLS 2022.2 to 2023.2 printed them for VU13P, U55C and U250.
TABLES = (
    (2, 3, 0, 20),
    (1, 16, 0, 36), (1, 130, 0, 516), (1, 384, 0, 1028), (2, 20, 0, 68), (2, 9, 0, 36), (4, 96, 0, 5), (6, 112, 0, 6),
    (24, 32, 0, 8), (100, 8, 0, 10), (24, 128, 0, 403), (24, 208, 0, 787), (48, 32, 0, 118), (48, 128, 0, 406),
    (104, 32, 0, 121), (144, 8, 0, 52), (73, 16, 0, 73), (104, 40, 2, 153), (104, 80, 4, 281), (150, 16, 1, 60),
    (36, 256, 8, 534), (169, 96, 4, 284), (900, 256, 8, 543), (1024, 48, 2, 159), (1600, 21, 1, 95), (1764, 8, 1, 47),
)  # fmt: skip


@pytest.mark.parametrize(("depth", "bits", "blocks", "registers"), TABLES)
def test_fifos_are_looked_up_by_powers_of_two(depth: int, bits: int, blocks: int, registers: int) -> None:
    found = characterised_fifo(depth, bits)
    assert found.bram_18k == blocks
    assert found.ff == pytest.approx(registers, abs=2)


@pytest.mark.parametrize(
    ("part", "version", "known"),
    [
        ("xcvu13p-flga2577-2-e", "2023.1", True), ("xcu250-figd2104-2L-e", "2023.2", True),
        ("xcku040-ffva1156-2-e", "2023.1", False), ("xczu49dr-ffvf1760-2-e", "2023.1", False),
        ("xcku5p-ffvb676-2-e", "2023.2", False), ("xcvu13p-flga2577-2-e", "2021.1", False), ("", "", False),
    ],
)  # fmt: skip
def test_one_design_has_another_memory_on_another_device(part: str, version: str, known: bool) -> None:
    made = design("vitis", "ultrascale_plus", 5.0, version, part)
    assert has_characterised_fifos(made) is known
    layer = DesignLayer("conv", "conv2d", 16, 16, 104 * 8, 104, fifo_depth=104)
    assert fifos(layer, made).bram_18k == (4 if known else 8)


def test_an_encoded_window_over_two_axes_waits_for_its_rows_alone() -> None:
    """78 words deep where 26 x 26 positions of three rows each are written, 33 where 11 x 11 are."""
    for shape, places, blocks in (((28, 28, 1), (26, 26), 9), ((13, 13, 16), (11, 11), 144)):
        layer = DesignLayer(
            "conv", "conv2d", 16, 16, 16, 676, input_shape=shape, window=(3, 3), places=places, implementation="encoded"
        )
        assert encoded_fifos(layer).bram_18k == window_memory(layer, VIVADO) == blocks


@pytest.mark.parametrize(("tool", "least"), [("vivado", 8390), ("vitis", 0)])
def test_a_second_padding_may_hold_up_a_stream_of_vivado(tool: str, least: int) -> None:
    """8,390 cycles of a published design whose two paddings take 4,339 each, beside convolutions of 4,104."""
    padding, kernel = (
        DesignLayer("pad", "padding", 16, 16, 4096, 4096),
        DesignLayer("conv", "conv2d", 16, 16, 4096, 3136),
    )
    cycles = ((padding, 4339.0), (kernel, 4104.0), (padding, 4339.0), (kernel, 4104.0))
    priced = [(layer, Price(0, 0, 0, 0, number, number + 1)) for layer, number in cycles]
    found = totals.latency(replace(VIVADO, tool=tool), priced)  # type: ignore[arg-type]
    assert found.value == pytest.approx(4341, abs=3)
    assert found.high >= least
    assert (found.high > 8000) is (tool == "vivado")
