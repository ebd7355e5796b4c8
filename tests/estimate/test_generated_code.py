"""Generated code: adder graphs of distributed arithmetic, formats of single elements; and words that nobody reads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.adder_graphs import MOST_SOLVED, adder_graph, counts_of, solved
from toolchain.estimate.amounts import constant_amounts, kernel_counts, limit_of
from toolchain.estimate.design import DesignLayer
from toolchain.estimate.directory.generated_code import read_generated_code
from toolchain.estimate.directory.project import Given
from toolchain.estimate.directory.reader import read_directory
from toolchain.estimate.stage import estimate_design
from toolchain.network.constant_products import csd_digits

GIVEN = Given("vitis", "2024.1", "xcu250-figd2104-2L-e", 5.0)
RNG = np.random.default_rng(7)

#: 3 = 2 + 1 of one input, its negative, and a sum with a bias, as da4ml 0.5.2 writes them.
GRAPH = """
    ap_fixed<8,3> v0 = model_inp[0]; // 0.0
    ap_fixed<8,3> v1 = model_inp[1]; // 0.0
    ap_fixed<10,5> v2 = v0 + bit_shift<1>(v0); // 1.0
    ap_fixed<11,6> v3 = v2 - v1; // 2.0
    ap_fixed<12,6> v4 = v3 + ap_ufixed<3,0>(0.625); // 2.0

    model_out[0] = ap_fixed<12,6>(bit_shift<-2>(v4));
    model_out[1] = ap_fixed<10,5>(-v2);
    model_out[2] = 0;
"""


def test_adders_have_the_bits_from_the_least_common_one_to_the_longer_sign() -> None:
    found = adder_graph(GRAPH)
    assert (found.n_in, found.n_out, found.adders) == (2, 3, 4)
    assert found.bits == (1 + 3 + 4) + (1 + 4 + 5) + (1 + 5 + 3) + 10  # v0 + 2 v0, v2 - v1, + 0.625, the negation


def test_words_are_alive_until_the_last_adder_that_reads_them() -> None:
    assert adder_graph(GRAPH).level_bits == (16, 8 + 10, 10 + 11, 10 + 12)  # v1 waits for v2, v2 for the port


@pytest.mark.parametrize("text", ["v0 * v1", "v0 + v0 + v1", "bit_select(v0, v1)"])
def test_code_that_is_no_sum_of_two_words_is_refused(text: str) -> None:
    with pytest.raises(UnsupportedModelError, match="no sum of two words"):
        adder_graph(GRAPH.replace("v2 - v1", text))


@pytest.mark.parametrize("bits", [4, 6])
def test_da4ml_leaves_fewer_adders_than_digits(bits: int) -> None:
    weights = RNG.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (12, 8))
    found = solved(weights.astype(float), None, (True, 7, 0))
    assert found is not None
    assert (found.n_in, found.n_out) == (12, 8)
    assert 8 <= found.adders < int(csd_digits(weights).sum()) - 8
    assert counts_of(found).tree_bits == found.bits


def test_da4ml_is_not_asked_for_kernels_that_take_it_minutes() -> None:
    assert solved(np.ones((MOST_SOLVED, 2)), None, (True, 7, 0)) is None


DEFINES = """\
typedef ap_fixed<16,7> x_t;
typedef ap_fixed<8,8> weight_t;
typedef ap_fixed<26,15> accum_t;
typedef ap_fixed<18,9> hidden_t;
typedef ap_fixed<18,9> hidden_q_t;
typedef ap_fixed<18,9> y_t;
"""
CONFIG = """\
struct configNUMBER : nnet::dense_config {
    static const unsigned n_in = N_IN;
    static const unsigned n_out = N_OUT;
    static const unsigned reuse_factor = 1;
    static const unsigned strategy = nnet::latency;
    typedef accum_t accum_t;
    typedef weight_t weight_t;
};
"""
RELU = """\
struct relu_config3 : nnet::activ_config {
    static const unsigned n_in = 3;
};
"""
TOP = """\
void top(x_t x[4], y_t y[2]) {
    // hls-fpga-machine-learning insert layers
    hidden_t layer2_out[3];
    nnet::dense<x_t, hidden_t, config2>(x, layer2_out, w2, b2); // fc1
    hidden_t layer3_out[3];
    nnet::relu<hidden_t, hidden_t, relu_config3>(layer2_out, layer3_out); // relu
    hidden_q_t layer4_out[3];
    nnet::q0_quantizer<hidden_t, hidden_q_t>(layer3_out, layer4_out); // q0
    nnet::dense<hidden_q_t, y_t, config5>(layer4_out, y, w5, b5); // fc2
}
"""


def write_dense_directory(
    folder: Path, first: NDArray[np.int64], second: NDArray[np.int64], generated: str | None = None
) -> Path:
    """Dense, ReLU, dense; with ``generated`` a quantizer between, and its code unless that is empty."""
    weights, utilities = folder / "firmware" / "weights", folder / "firmware" / "nnet_utils"
    weights.mkdir(parents=True)
    utilities.mkdir()
    (folder / "firmware" / "defines.h").write_text(DEFINES)
    parts = [RELU]
    for number, kernel in ((2, first), (5, second)):
        sizes = {"NUMBER": number, "N_IN": kernel.shape[0], "N_OUT": kernel.shape[1]}
        parts.append(re.sub("NUMBER|N_IN|N_OUT", lambda word, sizes=sizes: str(sizes[word[0]]), CONFIG))
        (weights / f"w{number}.txt").write_text(", ".join(map(str, kernel.flat)))
    (folder / "firmware" / "parameters.h").write_text("\n".join(parts))
    lines = [line for line in TOP.splitlines() if generated is not None or "q0" not in line]
    top = "\n".join(lines) if generated is not None else "\n".join(lines).replace("layer4_out, y", "layer3_out, y")
    (folder / "firmware" / "top.cpp").write_text(top)
    if generated:
        (utilities / "nnet_code_gen.h").write_text(generated)
    return folder


QUANTIZER = """
template<typename input_t, typename output_t>
void q0_quantizer(input_t *inp, output_t *out) {
    #pragma HLS INLINE

    out[0] = ap_fixed<6,4,AP_RND,AP_WRAP>(inp[0]);
    out[1] = 0;
    out[2] = ap_fixed<9,4,AP_RND,AP_WRAP>(inp[2]);
}
"""


def test_formats_of_single_elements_are_read(tmp_path: Path) -> None:
    folder = write_dense_directory(tmp_path, np.ones((4, 3), int), np.ones((3, 2), int), QUANTIZER)
    elements = read_generated_code(folder / "firmware").elements["q0_quantizer"]
    assert [element and (element.width, element.integer) for element in elements] == [(6, 4), None, (9, 4)]


def test_an_element_that_is_always_zero_takes_its_products_away_on_both_sides(tmp_path: Path) -> None:
    """The column that computes it and the row that multiplies it; the words between are narrower."""
    first, second = RNG.integers(1, 60, (4, 3)), RNG.integers(1, 60, (3, 2))
    one = read_directory(write_dense_directory(tmp_path / "one", first, second, QUANTIZER), GIVEN)
    layers = {layer.name: layer for layer in one.design.layers}
    assert layers["fc1"].weights is not None
    assert layers["fc2"].weights is not None
    assert layers["fc1"].weights.tolist() == np.where([False, True, False], 0, first).tolist()
    assert layers["fc2"].weights.tolist() == np.where([[False], [True], [False]], 0, second).tolist()
    assert layers["fc1"].words == 2
    assert layers["fc2"].data_widths == (13, 0, 13)  # 4 bits before the point of words with 9 behind it
    assert not any("upper bound" in note for note in one.notes)
    other = read_directory(write_dense_directory(tmp_path / "other", first, second, ""), GIVEN)
    assert any("upper bound" in note for note in other.notes)
    assert estimate_design(other.design, other.fpga).grade == "D"
    assert estimate_design(one.design, one.fpga).grade != "D"
    less, more = (estimate_design(found.design, found.fpga).lut.value for found in (one, other))
    assert less < more


def test_outputs_that_no_weight_reads_are_not_built(tmp_path: Path) -> None:
    """A pruned neuron whose file still has its weights: Vivado and Vitis take it away."""
    first, second = RNG.integers(1, 60, (4, 3)), RNG.integers(1, 60, (3, 2))
    second[1] = 0
    found = read_directory(write_dense_directory(tmp_path, first, second), GIVEN)
    layer = found.design.layers[0]
    assert layer.weights is not None
    assert not layer.weights[:, 1].any()
    assert layer.weights[:, 0].all()
    assert layer.words == 2


def test_outputs_that_no_weight_reads_hold_no_port_and_no_register(tmp_path: Path) -> None:
    first, second = RNG.integers(1, 60, (40, 3)), RNG.integers(1, 60, (3, 2))
    whole = read_directory(write_dense_directory(tmp_path / "whole", first, second), GIVEN).design
    second[1] = 0
    less = read_directory(write_dense_directory(tmp_path / "less", first, second), GIVEN).design
    for one, outputs in ((whole, 3), (less, 2)):
        old = replace(one, tool_version="2022.2")
        layer = old.layers[0]
        found = constant_amounts(layer, kernel_counts(layer), old)
        assert found["ff"].fixed == outputs * 18  # a kernel of one cycle holds its results
        now = constant_amounts(layer, kernel_counts(layer), one)
        assert found["lut"].fixed - now["lut"].fixed == outputs * 14  # since 2024 without the ports' multiplexers
        assert now["ff"].fixed == 0


def test_the_zeros_that_hls4ml_counted_limit_the_multipliers(tmp_path: Path) -> None:
    """Before quantization: the struct says them."""
    first, second = RNG.integers(1, 60, (4, 3)), RNG.integers(1, 60, (3, 2))
    folder = write_dense_directory(tmp_path, first, second)
    parameters = folder / "firmware" / "parameters.h"
    parameters.write_text(
        parameters.read_text().replace("reuse_factor = 1;", "reuse_factor = 2;\n    static const unsigned n_zeros = 4;")
    )
    layer = read_directory(folder, GIVEN).design.layers[0]
    assert limit_of(layer, kernel_counts(layer), "vitis") == 6 - 2


def test_columns_of_zeros_in_memory_are_computed_all_the_same(tmp_path: Path) -> None:
    first, second = RNG.integers(1, 60, (4, 3)), RNG.integers(1, 60, (3, 2))
    first[:, 1] = 0
    folder = write_dense_directory(tmp_path, first, second)
    assert read_directory(folder, GIVEN).design.layers[0].words == 2
    parameters = folder / "firmware" / "parameters.h"
    text = parameters.read_text().replace("nnet::latency", "nnet::resource")
    parameters.write_text(text.replace("reuse_factor = 1", "reuse_factor = 4"))
    assert read_directory(folder, GIVEN).design.layers[0].words == 3


def test_hls4ml_counts_the_weights_of_outputs_that_nothing_reads(tmp_path: Path) -> None:
    first, second = RNG.integers(1, 60, (4, 3)), RNG.integers(1, 60, (3, 2))
    second[1] = 0
    folder = write_dense_directory(tmp_path, first, second)
    parameters = folder / "firmware" / "parameters.h"
    parameters.write_text(parameters.read_text().replace("reuse_factor = 1;", "reuse_factor = 2;"))
    layer = read_directory(folder, GIVEN).design.layers[0]
    assert limit_of(layer, kernel_counts(layer), "vitis") == 6


def test_the_limit_that_the_struct_says_stands(tmp_path: Path) -> None:
    folder = write_dense_directory(tmp_path, RNG.integers(1, 60, (4, 3)), RNG.integers(1, 60, (3, 2)))
    parameters = folder / "firmware" / "parameters.h"
    said = "reuse_factor = 2;\n    static const unsigned n_zeros = 4;\n    static const unsigned multiplier_limit = 5;"
    parameters.write_text(parameters.read_text().replace("reuse_factor = 1;", said))
    layer = read_directory(folder, GIVEN).design.layers[0]
    assert limit_of(layer, kernel_counts(layer), "vitis") == 5


def test_words_that_reach_less_far_make_narrower_sums() -> None:
    layer = DesignLayer("d", "dense", 16, 16, 4, 1, RNG.integers(1, 60, (8, 4)), 8, 30)
    narrow = kernel_counts(replace(layer, data_widths=(16, 10, 10, 10, 10, 10, 10, 10)))
    wide = kernel_counts(layer)
    assert narrow.tree_adders == wide.tree_adders
    assert wide.tree_bits - 6 * wide.tree_adders <= narrow.tree_bits < wide.tree_bits
    assert narrow.product_bits <= wide.product_bits
