"""Convolutions in io_parallel beside published modules: positions at once, what chooses and stores their words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_estimate_directory import TOP, write_directory

from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.directory.project import Given
from toolchain.estimate.directory.reader import read_directory
from toolchain.estimate.partitions import Partitions, gathered_lut, input_fifo, partitions, stored_lut, word_fifos
from toolchain.estimate.prices import price
from toolchain.estimate.small_layers import pooling_cost

#: Two layers of one published design (Vivado HLS 2020.1): 36 positions, four at once.
DEPTHWISE = DesignLayer(
    "depthwise", "depthwise", 14, 24, 72, 36, np.ones((18, 2), dtype=np.int64), 16, 16, pixels=4,
    input_shape=(8, 8, 2), window=(3, 3),
)  # fmt: skip
POINTWISE = DesignLayer(
    "pointwise", "conv2d", 24, 34, 180, 36, np.ones((2, 5), dtype=np.int64), 16, 16, pixels=4, input_shape=(6, 6, 2),
    window=(1, 1),
)  # fmt: skip
LAST = DesignLayer("dense", "dense", 34, 78, 2, 1, np.ones((180, 2), dtype=np.int64), 16, 16)
DESIGN = Design((DEPTHWISE, POINTWISE, LAST), "vivado", "io_parallel", "ultrascale_plus", 5.0, "2020.1", dataflow=True)


def test_words_of_windows_are_chosen_among_the_partitions() -> None:
    """9,072 look-up tables of selections: four windows of 18 words of 14 bits, nine partitions."""
    found = partitions(DEPTHWISE, DESIGN)
    assert found == Partitions(4, 9)
    assert gathered_lut(DEPTHWISE, DESIGN, found) == 9072


def test_vivado_stores_each_word_by_two_multiplexers_of_all_words() -> None:
    """144 and 360 multiplexers of 1,362 look-up tables each."""
    found = Partitions(4, 9)
    assert stored_lut(DEPTHWISE, DESIGN, found) == 144 * 1362
    assert stored_lut(POINTWISE, DESIGN, found) == 360 * 1362
    assert stored_lut(DEPTHWISE, replace(DESIGN, tool="vitis"), found) == 0


def test_more_words_than_a_multiplexer_has_are_selected_by_the_partition() -> None:
    """256,500 look-up tables of selections for 1,600 words of 21 bits from 16 partitions."""
    wide = replace(POINTWISE, words=1600, result_width=21)
    assert stored_lut(wide, DESIGN, Partitions(100, 16)) == pytest.approx(256500, rel=0.02)


def test_vitis_selects_the_bits_of_two_partitions() -> None:
    """57,280 look-up tables for 1,600 words of 27 bits and 880 selections of 16 bits."""
    first = replace(POINTWISE, words=1600, result_width=27)
    design = replace(DESIGN, tool="vitis", layers=(first, LAST))
    assert stored_lut(first, design, Partitions(800, 2)) == 57280 - 880 * 16


def test_a_partition_takes_a_reuse_factor() -> None:
    """9 and 9 cycles between samples, 10 and 9 cycles of a sample."""
    for layer in (DEPTHWISE, POINTWISE):
        found = price(layer, DESIGN)
        assert found.initiation_interval == 9
        assert found.latency_cycles in (9, 10)


def test_the_whole_layers_are_what_the_report_says() -> None:
    fifos = [word_fifos(layer, DESIGN)[0] for layer in (DEPTHWISE, POINTWISE)]
    for layer, behind, lut in ((DEPTHWISE, fifos[0], 207860), (POINTWISE, fifos[1], 496752)):
        assert price(layer, DESIGN).lut - behind == pytest.approx(lut, rel=0.02)


def test_partitions_are_known_from_few_reports() -> None:
    assert price(POINTWISE, DESIGN).measured == "foreign"
    wide = replace(POINTWISE, words=36 * 20, weights=np.ones((2, 20), dtype=np.int64))
    found = price(wide, replace(DESIGN, layers=(DEPTHWISE, wide, LAST)))
    assert found.measured == "foreign"
    assert found.of("lut")[1] >= 1.6


def test_layers_in_dataflow_have_a_fifo_for_each_word() -> None:
    """10,872 look-up tables in 252 FIFOs, 3,286 in their handshakes."""
    whole = sum(word_fifos(layer, DESIGN)[0] for layer in (DEPTHWISE, POINTWISE))
    assert whole - 252 * 9 == 10872 + 252 * 13


def test_the_whole_input_may_wait_in_a_fifo() -> None:
    """1,400 bits: 78 blocks in one design, none in others: the interval holds both."""
    layer = DesignLayer(
        "conv", "conv1d", 10, 16, 100, 10, np.ones((14, 10), dtype=np.int64), 8, 16, input_shape=(10, 14), window=(1,),
        implementation="pointwise", pixels=1, reuse_factor=2,
    )  # fmt: skip
    design = replace(DESIGN, layers=(layer, LAST))
    assert input_fifo(design).bram_18k == 78
    found = price(layer, design)
    assert (found.bram_18k, found.more_bram_18k) == (0, 78)
    assert found.initiation_interval == 2
    assert partitions(layer, design) == Partitions(10, 1)


def test_a_pointwise_convolution_has_a_kernel_for_each_position() -> None:
    layer = DesignLayer(
        "conv", "conv1d", 8, 16, 256, 8, np.full((32, 32), 5, dtype=np.int64), 8, 16, input_shape=(8, 32), window=(1,),
        implementation="pointwise", pixels=1,
    )  # fmt: skip
    design = replace(DESIGN, layers=(layer,), dataflow=False)
    alone = replace(layer, positions=1, words=32)
    assert price(layer, design).lut == pytest.approx(8 * price(alone, replace(design, layers=(alone,))).lut, rel=0.01)


@pytest.mark.parametrize(("words", "width", "lut"), [(8, 12, 112), (10, 8, 280), (16, 18, 317)])
def test_an_average_is_adders_and_where_needed_a_division(words: int, width: int, lut: int) -> None:
    """Look-up tables of a channel in three published designs."""
    layer = DesignLayer(
        "pool", "pooling", width, width, 1, function="global_average", input_shape=(words, 1), window=(words,)
    )
    assert pooling_cost(layer, replace(DESIGN, layers=(layer,)))[0] == pytest.approx(lut, rel=0.06)


def test_channels_that_no_weight_reaches_are_constants_in_parallel_only(tmp_path: Path) -> None:
    parallel = TOP.replace(
        "hls::stream<input_t> &in1, hls::stream<result_t> &layer3_out", "input_t in1[4], result_t layer3_out[15]"
    )
    kernel = np.arange(1, 13).reshape(4, 3) / 16
    kernel[:, 1] = 0
    for top, words in ((parallel, 10), (TOP, 15)):
        folder = write_directory(tmp_path / str(words), top=top)
        text = ", ".join(f"{value:.10f}" for value in kernel.flat)
        (folder / "firmware" / "weights" / "w2.txt").write_text(text)
        found = read_directory(folder, Given(tool_version="2023.2"))
        assert [layer.words for layer in found.design.layers] == [words, words]


def test_depths_of_streams_and_dataflow_are_read(tmp_path: Path) -> None:
    pragma = "#pragma HLS STREAM variable=layer2_out depth=7\n    nnet::conv_1d_cl"
    found = read_directory(write_directory(tmp_path, top=TOP.replace("nnet::conv_1d_cl", pragma)))
    assert found.design.layers[0].fifo_depth == 7
    assert not found.design.dataflow
    top = TOP.replace(
        "hls::stream<input_t> &in1, hls::stream<result_t> &layer3_out", "input_t in1[4], result_t layer3_out[15]"
    )
    other = write_directory(tmp_path / "parallel", top=top.replace("{\n", "{\n#pragma HLS DATAFLOW\n", 1))
    assert read_directory(other).design.dataflow
