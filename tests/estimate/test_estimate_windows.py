"""Windows of convolutions in io_parallel beside published reports: shared multipliers, selections, FIFOs, loops."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_estimate_directory import PARAMETERS, TOP, write_directory

from toolchain.estimate.amounts import kernel_counts, limit_of
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.directory.reader import read_directory
from toolchain.estimate.partitions import Partitions, gathered_lut, partitions, shared_multipliers, word_fifos
from toolchain.estimate.prices import price
from toolchain.estimate.windows import distinct_products, selections, window_words

#: 40 x 40 words of one channel, 3 x 3 weights of three digits each but those that a test sets to zero.
WEIGHTS = np.array([[11], [13], [19], [21], [0], [0], [0], [0], [25]], dtype=np.int64)


def layer(pixels: int, size: int = 40, weights: np.ndarray = WEIGHTS, limit: int = 9) -> DesignLayer:
    return DesignLayer(
        "conv", "conv2d", 8, 21, size * size * weights.shape[1], size * size, weights, 8, 21, pixels=pixels,
        input_shape=(size + 2, size + 2, 1), window=(3, 3), places=(size, size), strides=(1, 1), margins=(1, 1, 1, 1),
        multiplier_limit=limit,
    )  # fmt: skip


LAST = DesignLayer("dense", "dense", 21, 21, 1, 1, np.ones((4, 1), dtype=np.int64), 8, 16)


def design(first: DesignLayer, tool: str = "vitis", version: str = "2023.2") -> Design:
    return Design((first, LAST), tool, "io_parallel", "ultrascale_plus", 5.0, version, 2, part="xcu250", dataflow=True)  # type: ignore[arg-type]


def test_windows_hold_padding_at_the_edges() -> None:
    words = window_words(layer(100))
    assert words.shape == (1600, 9)
    assert words[0].tolist() == [-1, -1, -1, -1, 0, 1, -1, 40, 41]
    assert words[41].tolist() == [0, 1, 2, 40, 41, 42, 80, 81, 82]
    assert words[-1].tolist() == [1558, 1559, -1, 1598, 1599, -1, -1, -1, -1]


def test_a_stride_moves_the_windows() -> None:
    one = replace(
        layer(1), kind="conv1d", positions=10, window=(15,), places=(10,), strides=(15,), margins=(0, 0),
        input_shape=(150, 1),
    )  # fmt: skip
    assert window_words(one).tolist() == np.arange(150).reshape(10, 15).tolist()


@pytest.mark.parametrize(("pixels", "turns"), [(100, 56), (50, 28)])
def test_windows_at_once_share_the_multipliers_of_one(pixels: int, turns: int) -> None:
    """Sixteen partitions of 56 turns and 32 of 28: 896 cycles of the loop in both designs (Vivado and Vitis)."""
    one = layer(pixels)
    assert distinct_products(one, pixels).products == 5 * pixels
    found = shared_multipliers(one, design(one), 9)
    assert found is not None
    assert found.turns == turns
    assert found.share * 5 * pixels == 9
    assert price(one, design(one, "vivado", "2020.1")).initiation_interval == 896
    assert price(one, design(one)).latency_cycles == 897


def test_products_of_padding_are_not_built() -> None:
    """800 windows of 40 columns at once: 20 have padding where the one product is, 780 share nine: 87 turns."""
    weights = np.zeros((9, 1), dtype=np.int64)
    weights[3] = 11
    one = layer(800, weights=weights)
    found = shared_multipliers(one, design(one), 9)
    assert distinct_products(one, 800).products == 780
    assert found is not None
    assert found.turns == 87


def test_equal_weights_on_one_word_share_a_product() -> None:
    weights = np.array([[11] * 2] * 9, dtype=np.int64)
    one = layer(50, 10, weights, 18)
    assert distinct_products(one, 50).products == 70


def test_equal_weights_at_other_places_share_an_adder() -> None:
    """Weights 31 at five places of 800 windows: 879 subtractions where the windows alone would have 4,000."""
    weights = np.array([[16], [31], [31], [31], [31], [8], [4], [2], [31]], dtype=np.int64)
    one = layer(800, weights=weights)
    found = distinct_products(one, 800, adders=True)
    assert (found.products, found.of) == (879, 4000)


def test_a_selection_of_two_words_has_its_bits() -> None:
    """880 sequences of two words: 7,040 look-up tables of 8 bits; 70 of 8 bits: 560 (both printed)."""
    assert selections(layer(800), 800) == {2: 880}
    for size, pixels, lut in ((40, 800, 7040), (10, 50, 560)):
        one = layer(pixels, size)
        assert gathered_lut(one, design(one), partitions(one, design(one))) == lut


def test_a_selection_of_many_words_has_the_price_of_its_ways() -> None:
    """Sixteen partitions: 180 sequences of 16 words, 14 of nine, four of eight."""
    assert selections(layer(100), 100) == {16: 180, 9: 14, 8: 4}


def test_channels_are_selected_each() -> None:
    one = replace(layer(800), input_shape=(42, 42, 3), weights=np.ones((27, 1), dtype=np.int64))
    assert selections(one, 800) == {2: 880 * 3}


@pytest.mark.parametrize(("width", "lut", "ff"), [(8, 15, 20), (9, 23, 36), (16, 23, 36), (21, 40, 68), (37, 73, 133)])
def test_fifos_of_words_on_virtex(width: int, lut: int, ff: int) -> None:
    """4,089 FIFOs of 8 and 18 to 22 bits: 110,385 look-up tables, 175,956 flip-flops; 2,734 of 16: 62,882, 98,424."""
    one = replace(layer(100), result_width=width)
    found = word_fifos(one, design(one))
    assert found == (1600 * (lut + 22), 1600 * (ff + 1 + width))
    elsewhere = word_fifos(one, replace(design(one), part="xc7z020"))
    assert elsewhere == (1600 * (67 + 22), 1600 * (99 + 1 + width))


def test_all_multipliers_are_built_where_a_sample_is_one_partition() -> None:
    one = layer(1600)
    found = shared_multipliers(one, design(one), 9)
    assert found is not None
    assert found.turns == 1
    assert partitions(one, design(one)) == Partitions(1600, 1)


def test_a_pipelined_top_function_computes_all_positions_of_an_older_hls4ml() -> None:
    """No partitions are said and the top function is pipelined: 144,539 look-up tables, three turns, one is said."""
    one = layer(0)
    old = replace(design(one, "vivado", "2019.1"), dataflow=False)
    assert partitions(one, old) == Partitions(1600, 1)
    found = price(one, old)
    assert found.initiation_interval == 1
    assert found.of("initiation_interval")[1] >= 3
    assert found.measured == "none"
    assert partitions(replace(one, pixels=1), old) == Partitions(1, 1600)
    assert partitions(one, replace(old, dataflow=True)) == Partitions(1, 1600)


#: A design in parallel of one convolution, and what its configuration says of partitions.
PARALLEL = TOP.replace(
    "hls::stream<input_t> &in1, hls::stream<result_t> &layer3_out", "input_t in1[10], result_t layer3_out[15]"
)
SAID = "    static const unsigned n_partitions = 5;\n    static const unsigned n_pixels = out_width / n_partitions;\n"
WITH_PARTITIONS = PARAMETERS.replace(
    "    typedef config2_mult mult_config;\n", f"{SAID}    typedef config2_mult mult_config;\n"
)


def with_pragma(pragma: str) -> str:
    return PARALLEL.replace("{\n", "{\n" + pragma, 1)


def test_geometry_and_limit_are_read(tmp_path: Path) -> None:
    limit = "    static const unsigned multiplier_limit = DIV_ROUNDUP(n_in * n_out, reuse_factor) - 4 / reuse_factor;\n"
    said = WITH_PARTITIONS.replace("    typedef w2_t weight_t;\n", f"{limit}    typedef w2_t weight_t;\n", 1)
    one = read_directory(write_directory(tmp_path / "d", top=with_pragma(""), parameters=said)).design.layers[0]
    assert (one.places, one.strides, one.margins) == ((5,), (1,), (1, 0))
    assert (one.pixels, one.multiplier_limit) == (1, 4)


def test_the_limit_of_a_partition_is_the_structs_at_a_reuse_factor_of_one_too(tmp_path: Path) -> None:
    """hls4ml counted the zeros before the weights were quantized: more became zero, and the limit stayed."""
    said = "    static const unsigned n_zeros = 0;\n    static const unsigned multiplier_limit = 12;\n"
    one = WITH_PARTITIONS.replace("reuse_factor = 2;\n", f"reuse_factor = 1;\n{said}", 1)
    folder = write_directory(tmp_path / "d", top=PARALLEL, parameters=one)
    (folder / "firmware" / "weights" / "w2.txt").write_text(", ".join(["0.6875", "0.0", "0.0"] * 4))
    layer = read_directory(folder).design.layers[0]
    assert (layer.reuse_factor, layer.multiplier_limit) == (1, 12)
    assert limit_of(layer, kernel_counts(layer), "vitis") == 12


def test_a_window_of_negated_weights_costs_what_one_of_positive_ones_does() -> None:
    """Equal adders of several windows are built once, and so are the negations that the sums take over."""
    base = replace(layer(8), weights=np.full((9, 1), 5, dtype=np.int64))
    lut = [
        price(one, design(one)).lut
        for one in (base, replace(base, weights=-base.weights))  # type: ignore[operator]
    ]
    assert lut[0] == lut[1]


def test_zeros_between_channels_limit_no_multipliers(tmp_path: Path) -> None:
    """Unless the struct says a limit itself."""
    parameters = PARAMETERS.replace("n_filt = 3", "n_filt = 2").replace("n_out = 3", "n_out = 2")
    top = PARALLEL.replace("conv_1d_cl", "depthwise_conv_1d_cl")
    folder = write_directory(tmp_path / "d", top=top, parameters=parameters)
    (folder / "firmware" / "weights" / "w2.txt").write_text(
        "0.0625, 0.125, 0.1875, 0.0"
    )  # one for each place and channel
    layer = read_directory(folder).design.layers[0]
    assert (layer.kind, layer.reuse_factor, layer.multiplier_limit) == ("depthwise", 2, 0)
    assert limit_of(layer, kernel_counts(layer), "vitis") == 4 * 2 / 2


def test_a_top_function_without_a_pragma_is_taken_as_hls4ml_writes_it(tmp_path: Path) -> None:
    for name, pragma, beside in (
        ("none", "", True), ("pipeline", "#pragma HLS PIPELINE\n", False), ("dataflow", "#pragma HLS DATAFLOW\n", True),
    ):  # fmt: skip
        found = read_directory(write_directory(tmp_path / name, top=with_pragma(pragma), parameters=WITH_PARTITIONS))
        assert found.design.dataflow is beside
        assert any("neither PIPELINE nor DATAFLOW" in note for note in found.notes) is (name == "none")


def test_an_older_hls4ml_in_dataflow_is_doubted(tmp_path: Path) -> None:
    found = read_directory(write_directory(tmp_path / "d", top=with_pragma("#pragma HLS DATAFLOW\n")))
    assert "older hls4ml" in found.design.layers[0].doubt
    known = read_directory(
        write_directory(tmp_path / "k", top=with_pragma("#pragma HLS DATAFLOW\n"), parameters=WITH_PARTITIONS)
    )
    assert not known.design.layers[0].doubt


def test_the_kernel_of_a_convolution_may_be_called_itself(tmp_path: Path) -> None:
    """As in one design whose author called it in the top function."""
    top = with_pragma("").replace("conv_1d_cl", "conv_1d_latency_cl")
    one = read_directory(write_directory(tmp_path / "d", top=top, parameters=WITH_PARTITIONS)).design.layers[0]
    assert one.kind == "conv1d"


def test_a_pointwise_convolution_by_vitis_2022_may_be_unrolled() -> None:
    """Two partitions of eight positions: one sample each cycle in one design, where a loop would take several."""
    one = replace(
        layer(8), kind="conv1d", words=16, positions=16, window=(1,), places=(16,), strides=(1,), margins=(0, 0),
        input_shape=(16, 9), multiplier_limit=4,
    )  # fmt: skip
    found = price(one, design(one, version="2022.2"))
    assert found.initiation_interval * found.of("initiation_interval")[0] == pytest.approx(1)
    assert any("pointwise" in note for note in found.notes)
    later = price(one, design(one, version="2023.2"))
    assert later.initiation_interval * later.of("initiation_interval")[0] == pytest.approx(
        later.initiation_interval - 2
    )
    assert not any("pointwise" in note for note in later.notes)


@pytest.mark.parametrize(("limit", "cycles"), [(2, 30), (3, 20), (9, 20)])
def test_a_partition_takes_the_turns_of_its_kernel(limit: int, cycles: int) -> None:
    """Ten partitions of three turns: 30 cycles, of two or one: 20 (Vitis 2022.2, reuse factor 5)."""
    one = replace(
        layer(1), kind="conv1d", words=10, positions=10, window=(9,), places=(10,), strides=(9,), margins=(0, 0),
        input_shape=(90, 1), multiplier_limit=limit, reuse_factor=5,
    )  # fmt: skip
    assert price(one, design(one, version="2022.2")).latency_cycles == cycles + 1
