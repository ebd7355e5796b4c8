"""Code around the layers that hls4ml does not write is refused: its cost is in no call that can be read."""

from pathlib import Path

import pytest
from test_estimate_directory import TOP, write_directory

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.directory.reader import read_directory
from toolchain.estimate.directory.top_function import function_body, own_code, ports

FIRST = "    nnet::conv_1d_cl"
GENERATED = """\
void helper(int n) { for (int i = 0; i < n; i++) work(i); }
void top(hls::stream<input_t> &in1, hls::stream<result_t> &out) {
    #pragma HLS INTERFACE axis port=in1,out \\
        depth=4
    const_size_in_1 = N_INPUT_1_1*(N_INPUT_2_1);
#ifndef __SYNTHESIS__
    static bool loaded_weights = false;
    if (!loaded_weights) {
        nnet::load_weights_from_txt<w2_t, 12>(w2, "w2.txt");
        loaded_weights = true;    }
#endif
    // hls-fpga-machine-learning insert layers, not sparse_layer(in1)
    auto& layer4_out = layer3_out; /* for (;;) */
    hls::stream<layer2_t> layer2_out("layer2_out");
    layer5_t layer5_out[N_LAYER_5*(N_FILT_5)];
    nnet::dense<input_t, layer2_t, config2>(in1, layer2_out, w2, b2); // fc1
}
"""


def test_what_hls4ml_writes_is_no_code_of_its_own() -> None:
    assert own_code(function_body(GENERATED, "top")) == ""


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("sparse_conv<input_t, layer2_t, 3>(in1, layer9_out);", "sparse_conv"),
        ("flatten(in1, layer9_out);", "flatten"),
        ("regions: for (int i = 0; i < 18; i++) { layer9_out[i] = in1[i]; }", "for"),
        ("while (!in1.empty()) in1.read();", "while"),
        ("do { flat[i] = in1[i]; } while (++i < 18);", "while"),
        ("if (enable) layer9_out[0] = in1[0];", "if"),
    ],
)
def test_code_of_its_own_is_refused_by_name(tmp_path: Path, line: str, named: str) -> None:
    folder = write_directory(tmp_path / "d", top=TOP.replace(FIRST, f"    {line}\n{FIRST}"))
    with pytest.raises(UnsupportedModelError, match=f"hls4ml does not write \\('{named}'\\)"):
        read_directory(folder)


def test_functions_beside_the_top_function_are_not_its_code(tmp_path: Path) -> None:
    helper = "void other(int n) { for (int i = 0; i < n; i++) { work(i); } }\n"
    assert read_directory(write_directory(tmp_path / "d", top=helper + TOP)).design.layers


def test_a_layer_that_reads_what_nothing_writes_is_refused(tmp_path: Path) -> None:
    """One published project has a dense layer behind a stream that its author emptied: 112 look-up tables of 3,600."""
    cut = "\n".join(line for line in TOP.splitlines() if "conv_1d_cl" not in line)
    with pytest.raises(UnsupportedModelError, match="reads layer2_out, which no call before it writes"):
        read_directory(write_directory(tmp_path / "d", top=cut))
    renamed = TOP.replace("(in1, layer2_out", "(alias_out, layer2_out").replace(
        FIRST, f"    auto& alias_out = in1;\n{FIRST}"
    )
    assert read_directory(write_directory(tmp_path / "e", top=renamed)).design.layers


def test_the_ports_of_a_top_function() -> None:
    text = "void top(\n  hls::stream<in_t> &x, result_t out[N_LAYER_5*(2)],  // second\n  model_t w2[3][4]\n) {}"
    assert ports(text, "top") == ("x", "out", "w2")
    assert ports(text, "other") == ()
