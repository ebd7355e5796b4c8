"""Code around the layers that hls4ml does not write is refused: its cost is in no call that can be read."""

import re
from pathlib import Path

import pytest
from test_estimate_directory import TOP, write_directory

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.directory.reader import read_directory
from toolchain.estimate.directory.top_function import cleaned, function_body, own_code, ports

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
    nnet::leaky_relu<layer2_t, param_t, layer3_t, relu_config3>(layer2_out, -1.5e-05, layer3_out); // slope
}
"""


def test_what_hls4ml_writes_is_no_code_of_its_own() -> None:
    assert own_code(function_body(cleaned(GENERATED), "top") or "no body") == ""


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("sparse_conv<input_t, layer2_t, 3>(in1, layer9_out);", "sparse_conv"),
        ("flatten(in1, layer9_out);", "flatten"),
        ("regions: for (int i = 0; i < 18; i++) { layer9_out[i] = in1[i]; }", "for"),
        ("while (!in1.empty()) in1.read();", "while"),
        ("do { flat[i] = in1[i]; } while (++i < 18);", "do"),
        ("if (enable) layer9_out[0] = in1[0];", "if"),
        ("layer9_out[0] = in1[0] * in1[1] * in1[2];", "layer9_out[0] = in1[0] * in1[1] * in1[2]"),
        ("nnet::big_layer(in1, layer9_out);", "nnet::big_layer(in1, layer9_out)"),
        ("hls::fft<cfg>(in1, layer9_out);", "hls::fft<cfg>(in1, layer9_out)"),
        ("std::sort(in1, layer9_out);", "std::sort(in1, layer9_out)"),
        ("auto& layer9_out = compute(in1);", "compute"),
        (
            "nnet::relu<input_t, layer2_t, relu_config3>(sparse(in1), layer9_out);",
            "nnet::relu<input_t, layer2_t, relu_confi",
        ),
        ("#ifndef __SYNTHESIS__\n    check(in1);\n#else\n    work(in1);\n#endif", "work"),
    ],
)
def test_code_of_its_own_is_refused_by_name(tmp_path: Path, line: str, named: str) -> None:
    folder = write_directory(tmp_path / "d", top=TOP.replace(FIRST, f"    {line}\n{FIRST}"))
    with pytest.raises(UnsupportedModelError, match=re.escape(f"has code of its own ({named}")):
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
    assert ports(cleaned(text), "top") == ("x", "out", "w2")
    assert ports(cleaned(text), "other") == ()


@pytest.mark.parametrize(
    "hidden",
    ["// {call}", "/* {call} */", "#if 0\n{call}\n#endif", "#ifndef __SYNTHESIS__\n{call}\n#endif"],
)
def test_a_call_that_is_not_built_is_none(tmp_path: Path, hidden: str) -> None:
    """Without its convolution the activation reads what nothing writes."""
    call = next(line for line in TOP.splitlines() if "conv_1d_cl" in line)
    with pytest.raises(UnsupportedModelError, match="reads layer2_out"):
        read_directory(write_directory(tmp_path / "d", top=TOP.replace(call, hidden.format(call=call.strip()))))


def test_an_alias_of_an_alias_is_the_first_variable(tmp_path: Path) -> None:
    """As hls4ml writes two reshapes in a row."""
    chain = "    auto& a_out = in1;\n    auto& b_out = a_out;\n"
    top = TOP.replace(FIRST, chain + FIRST).replace("(in1, layer2_out", "(b_out, layer2_out")
    found = read_directory(write_directory(tmp_path / "d", top=top)).design.layers
    assert found[0].input_shape == read_directory(write_directory(tmp_path / "e")).design.layers[0].input_shape


def test_a_namespace_of_the_projects_own_is_read(tmp_path: Path) -> None:
    top = TOP.replace("nnet::relu", "mine::relu")
    assert len(read_directory(write_directory(tmp_path / "d", top=top)).design.layers) == 2


def test_a_second_input_that_nothing_writes_is_refused(tmp_path: Path) -> None:
    add = "    nnet::add<layer2_t, layer2_t, result_t, config4>(layer2_out, nothing_out, layer3_out); // sum\n"
    top = TOP.replace("    nnet::relu", f"{add}    nnet::relu")
    with pytest.raises(UnsupportedModelError, match="reads nothing_out"):
        read_directory(write_directory(tmp_path / "d", top=top))


def test_a_file_without_the_function_of_its_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="has no function top"):
        read_directory(write_directory(tmp_path / "d", top=TOP.replace("void top(", "void network(")))


def test_weights_at_a_port_are_doubted(tmp_path: Path) -> None:
    top = TOP.replace("&layer3_out) {", "&layer3_out, w2_t w2[12]) {")
    assert "port" in read_directory(write_directory(tmp_path / "d", top=top)).design.layers[0].doubt


def test_a_layer_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    lost = "    nnet::relu<layer2_t, result_t, relu_config3>(layer2_out, lost_out); // lost\n"
    top = TOP.replace("    nnet::relu", f"{lost}    nnet::relu", 1)
    with pytest.raises(UnsupportedModelError, match="nothing reads what it writes"):
        read_directory(write_directory(tmp_path / "d", top=top))
