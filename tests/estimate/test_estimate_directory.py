"""``toolchain estimate DIR``: what hls4ml wrote, read back as the design that was asked for; anything else refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import run_toolchain

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.estimate.directory.project import Given, family_of
from toolchain.estimate.directory.reader import read_directory
from toolchain.estimate.directory.sources import evaluate
from toolchain.estimate.directory.weights import words_of
from toolchain.estimate.stage import estimate_design
from toolchain.results import EstimateResult

PARAMETERS = """\
#include "ap_fixed.h"
// one
struct config2_mult : nnet::dense_config {
    static const unsigned n_in = 2*N_CHAN;
    static const unsigned n_out = 3;
    static const unsigned reuse_factor = 2;
    static const unsigned strategy = nnet::STRATEGY;
    typedef ap_fixed<18,8> accum_t;
    typedef w2_t weight_t;
};

struct config2 : nnet::conv1d_config {
    static const unsigned pad_left = 1;
    static const unsigned pad_right = 0;
    static const unsigned in_width = 5;
    static const unsigned n_chan = N_CHAN;
    static const unsigned filt_width = 2;
    static const unsigned n_filt = 3;
    static const unsigned out_width = 5;
    typedef config2_mult mult_config;
};

struct relu_config3 : nnet::activ_config {
    static const unsigned n_in = 15;
    static const unsigned reuse_factor = 1;
};
"""
DEFINES = """\
#define N_CHAN 2
typedef ap_fixed<8,3> input_t;
typedef ap_fixed<6,2> w2_t;
typedef nnet::array<ap_fixed<18,8>, 3*1> layer2_t;
typedef nnet::array<ap_ufixed<7,3,AP_RND,AP_SAT,0>, 3*1> result_t;
"""
TOP = """\
#include "parameters.h"
void top(hls::stream<input_t> &in1, hls::stream<result_t> &layer3_out) {
    // hls-fpga-machine-learning insert layers
    nnet::conv_1d_cl<input_t, layer2_t, config2>(in1, layer2_out, w2, b2); // one
    nnet::relu<layer2_t, result_t, relu_config3>(layer2_out, layer3_out); // two
}
"""


def write_directory(folder: Path, strategy: str = "latency", top: str = TOP, parameters: str = PARAMETERS) -> Path:
    """The smallest directory with a convolution and a ReLU; weights 1 … 12 sixteenths."""
    weights = folder / "firmware" / "weights"
    weights.mkdir(parents=True)
    (folder / "firmware" / "defines.h").write_text(DEFINES)
    (folder / "firmware" / "parameters.h").write_text(parameters.replace("STRATEGY", strategy))
    (folder / "firmware" / "top.cpp").write_text(top)
    kernel = np.arange(1, 13).reshape(4, 3) / 16
    kernel = kernel.T if strategy == "resource" else kernel
    (weights / "w2.txt").write_text(", ".join(f"{value:.10f}" for value in kernel.flat))
    (folder / "project.tcl").write_text('set backend "vitis"\nset part "xc7z020clg400-1"\nset clock_period 5\n')
    return folder


@pytest.mark.parametrize("strategy", ["latency", "resource"])
def test_a_directory_is_the_design_that_its_files_describe(tmp_path: Path, strategy: str) -> None:
    found = read_directory(write_directory(tmp_path / "d", strategy))
    one, two = found.design.layers
    assert (one.name, one.kind, one.positions, one.words, one.window, one.input_shape) == (
        "one", "conv1d", 5, 15, (2,), (6, 2),
    )  # fmt: skip
    assert (one.data_width, one.weight_width, one.accumulator_width, one.result_width) == (8, 6, 18, 18)
    assert (one.strategy, one.reuse_factor) == (strategy, 2)
    assert one.weights is not None
    assert np.array_equal(one.weights, np.arange(1, 13).reshape(4, 3))
    assert (two.kind, two.function, two.positions, two.words, two.result_width) == ("activation", "relu", 5, 15, 7)
    assert (found.design.tool, found.design.io_type, found.design.family) == ("vitis", "io_stream", "7series")
    assert found.known_device


def test_scripts_of_older_versions_say_vivado_for_vitis_too(tmp_path: Path) -> None:
    folder = write_directory(tmp_path / "project")
    (folder / "project.tcl").write_text('set backend "vivado"\nset part "xc7z020clg400-1"\nset clock_period 5\n')
    (folder / "hls4ml_config.yml").unlink(missing_ok=True)
    alone = read_directory(folder)
    assert alone.design.tool == "vivado"
    assert any("--tool" in note and "0.7" in note for note in alone.notes)
    (folder / "hls4ml_config.yml").write_text("Backend: Vitis\nClockPeriod: 5\n")
    both = read_directory(folder)
    assert both.design.tool == "vitis"
    assert not any("0.7" in note for note in both.notes)


def test_files_that_contradict_one_another_are_named(tmp_path: Path) -> None:
    folder = write_directory(tmp_path / "project")
    (folder / "hls4ml_config.yml").write_text("Backend: Vivado\nPart: xcu250-figd2104-2L-e\nClockPeriod: 5.0\n")
    found = read_directory(folder)
    assert found.project.part == "xc7z020clg400-1"
    notes = [note for note in found.notes if "says" in note and "which it is" in note]
    assert [note.split(":")[0] for note in notes] == ["tool", "part"]  # 5 ns are 5.0 ns
    for part in ("project.tcl says xc7z020clg400-1", "hls4ml_config.yml says xcu250-figd2104-2l-e", "--part"):
        assert part in notes[1]
    assert "hls4ml_config.yml is used" in notes[0]
    assert found.design.tool == "vivado"
    settled = read_directory(folder, Given("vitis", "", "xc7z020clg400-1", None))
    assert not any("which it is" in note for note in settled.notes)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("    static const unsigned strategy = nnet::STRATEGY;\n", "", "no strategy is said"),
        ("nnet::STRATEGY", "nnet::resource_unrolled", "resource_unrolled"),
    ],
)
def test_a_kernel_that_no_report_has_is_doubted(tmp_path: Path, old: str, new: str, said: str) -> None:
    folder = write_directory(tmp_path / "d", parameters=PARAMETERS.replace(old, new))
    found = read_directory(folder)
    assert any(said in note for note in found.notes)
    result = estimate_design(found.design, found.fpga)
    assert any(said in line for line in result.layers[0].explanation)
    assert result.grade == "D"
    assert any("never measured" in note for note in result.notes)


def test_what_the_user_says_goes_first(tmp_path: Path) -> None:
    given = Given("vivado", "2020.1", "xcku115-flvb2104-2-i", 4.0)
    found = read_directory(write_directory(tmp_path / "d"), given)
    assert (found.design.tool, found.design.tool_version, found.design.clock_period_ns) == ("vivado", "2020.1", 4.0)
    assert (found.design.family, found.known_device) == ("ultrascale", False)


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        (lambda d: shutil.rmtree(d / "firmware"), UnsupportedModelError, "firmware"),
        (lambda d: (d / "project.tcl").unlink(), ProjectError, "--tool"),
        (lambda d: (d / "project.tcl").write_text('set backend "vitis"\nset clock_period 5\n'), ProjectError, "--part"),
        (lambda d: (d / "project.tcl").write_text('set backend "vitis"\nset part "xcvu9p"\n'), ProjectError, "clock"),
        (lambda d: (d / "project.tcl").write_text('set backend "Quartus"\n'), UnsupportedModelError, "Quartus"),
        (lambda d: (d / "firmware" / "top.cpp").unlink(), UnsupportedModelError, "top function"),
        (lambda d: (d / "firmware" / "defines.h").write_bytes(b"\xff\xfe"), UnsupportedModelError, "defines.h"),
        (lambda d: (d / "firmware" / "weights" / "w2.txt").write_text("1, 2"), UnsupportedModelError, "holds 2"),
        (lambda d: (d / "firmware" / "weights" / "w2.txt").write_text("1, x"), UnsupportedModelError, "numbers"),
        (lambda d: (d / "firmware" / "weights" / "w2.txt").write_text("1, nan"), UnsupportedModelError, "NaN"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, change: object, error: type[Exception], word: str) -> None:
    folder = write_directory(tmp_path / "d")
    change(folder)  # type: ignore[operator]
    with pytest.raises(error) as caught:
        read_directory(folder)
    assert word in caught.value.text()  # type: ignore[attr-defined]


def test_a_layer_that_is_not_known_is_named(tmp_path: Path) -> None:
    folder = write_directory(tmp_path / "d", top=TOP.replace("nnet::relu<", "nnet::garnet<"))
    with pytest.raises(UnsupportedModelError, match="garnet"):
        read_directory(folder)


def test_weights_that_are_missing_are_said_to_be(tmp_path: Path) -> None:
    folder = write_directory(tmp_path / "d")
    (folder / "firmware" / "weights" / "w2.txt").unlink()
    found = read_directory(folder)
    assert found.design.layers[0].weights is None
    assert any("no weight file" in note for note in found.notes)
    assert estimate_design(found.design, found.fpga).grade in ("B", "C", "D")


def test_the_header_is_what_is_synthesized(tmp_path: Path) -> None:
    folder = write_directory(tmp_path / "d")
    weights = folder / "firmware" / "weights"
    values = weights.joinpath("w2.txt").read_text()
    text = f"w2_t w2[12] = {{{values}}};"
    (weights / "w2.h").write_text(f"#ifndef __SYNTHESIS__\nw2_t w2[12];\n#else\n{text}\n#endif\n")
    first = read_directory(folder).design.layers[0].weights
    (weights / "w2.h").write_text((weights / "w2.h").read_text().replace("0.0625", "0.0000"))
    with pytest.raises(UnsupportedModelError, match="two weight files differ"):
        read_directory(folder)
    (weights / "w2.txt").unlink()
    assert not np.array_equal(first, read_directory(folder).design.layers[0].weights)


def test_expressions_of_the_headers() -> None:
    assert evaluate("DIV_ROUNDUP(n_in * 3, 4) - 10 / n_in", {"n_in": 3}) == 0
    assert evaluate("MIN(3u, 7)", {}) == 3
    for text in ("__import__('os')", "a.b", "nnet::latency", "2 ** 99999", "(" * 5000, "1 / 0"):
        assert evaluate(text, {}) is None


def test_printed_decimals_become_the_words_that_the_compiler_makes() -> None:
    from toolchain.estimate.directory.sources import Type

    found = words_of(np.array([0.1, -0.1, 0.0625, 1.9999999999, 2.0]), Type(6, 2))
    assert found.tolist() == [1, -2, 1, -32, -32]


@pytest.mark.parametrize(
    ("part", "family"),
    [("xc7z020clg400-1", "7series"), ("xcku115-flvb2104-2-i", "ultrascale"), ("xcvu9p-flga2104-2L", "ultrascale_plus"),
     ("xcu250-figd2104-2L-e", "ultrascale_plus"), ("xck26-sfvc784-2LV-c", "ultrascale_plus"),
     ("xczu9eg-ffvb1156-2-e", "ultrascale_plus"), ("xcvc1902-vsva2197-2MP-e-S", "versal")],
)  # fmt: skip
def test_families(part: str, family: str) -> None:
    assert family_of(part) == family


def test_a_written_project_and_its_directory_have_one_estimate(small_build: Path, tmp_path: Path) -> None:
    """The same design, once from the network and once from the files."""
    small_build = small_build / "build" / "zcu102"
    whole = json.loads((small_build / "report.json").read_text())["estimate"]
    done = run_toolchain("estimate", str(small_build / "hls"), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["estimate"]
    EstimateResult.model_validate(found)
    kernels = [item for item in found["layers"] if item["kind"] == "dense"]
    assert [item["dsp"] for item in kernels] == [item["dsp"] for item in whole["layers"] if item["kind"] == "dense"]
    assert found["initiation_interval"]["value"] == whole["initiation_interval"]["value"]
    explained = run_toolchain("estimate", str(small_build / "hls"), "--explain", kernels[0]["name"])
    assert f"layer '{kernels[0]['name']}'" in explained.stderr
    refused = run_toolchain("estimate", str(small_build / "hls"), "--explain", "nobody")
    assert refused.returncode == 2


def test_reading_imports_no_tensorflow(tmp_path: Path) -> None:
    folder = write_directory(tmp_path / "d")
    code = (
        "import sys; from pathlib import Path; from toolchain.estimate.directory.reader import read_directory; "
        "from toolchain.estimate.stage import estimate_design; "
        f"f = read_directory(Path({str(folder)!r})); estimate_design(f.design, f.fpga); "
        "print([m for m in ('tensorflow', 'keras', 'hls4ml', 'qkeras') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert out.stdout.strip() == "[]"


def test_a_quantizer_of_single_elements_is_wiring_unless_it_rounds(tmp_path: Path) -> None:
    """HGQ: hls4ml writes a function of its own with two types, no struct, and the format of each element in it."""
    top = TOP.replace(
        "nnet::relu<layer2_t, result_t, relu_config3>(layer2_out",
        "nnet::h_quantize_5<layer2_t, layer2_t>(layer2_out, layer9_out); // q\n"
        "    nnet::relu<layer2_t, result_t, relu_config3>(layer9_out",
    )
    found = read_directory(write_directory(tmp_path, top=top), Given("vitis", "2024.1", "xcu250-figd2104-2L-e", 5.0))
    assert [layer.kind for layer in found.design.layers if layer.name == "q"] == ["reshape"]
    assert any("a format of its own" in note for note in found.notes)


def test_of_two_conversions_in_one_folder_the_script_names_the_top(tmp_path: Path) -> None:
    folder = write_directory(tmp_path)
    (folder / "firmware" / "older.cpp").write_text(TOP.replace("void top", "void older"))
    given = Given("vitis", "2024.1", "xcu250-figd2104-2L-e", 5.0)
    with pytest.raises(UnsupportedModelError, match="one file with the top function"):
        read_directory(folder, given)
    (folder / "build_prj.tcl").write_text("open_project top_prj\nset_top top\n")
    assert read_directory(folder, given).project.top.stem == "top"


def test_a_result_with_all_bits_of_its_data_is_not_rounded(tmp_path: Path) -> None:
    wide = PARAMETERS, "typedef nnet::array<ap_ufixed<7,3,AP_RND,AP_SAT,0>, 3*1> result_t;"
    folder = write_directory(tmp_path)
    given = Given("vitis", "2024.1", "xcu250-figd2104-2L-e", 5.0)
    assert read_directory(folder, given).design.layers[-1].result_rounds
    text = (folder / "firmware" / "defines.h").read_text()
    (folder / "firmware" / "defines.h").write_text(text.replace(wide[1], wide[1].replace("7,3,AP_RND", "30,12,AP_RND")))
    assert not read_directory(folder, given).design.layers[-1].result_rounds


def test_the_wrapper_of_an_accelerator_is_said_not_to_be_counted(tmp_path: Path) -> None:
    folder = write_directory(tmp_path)
    (folder / "firmware" / "top_axi.cpp").write_text(TOP.replace("void top", "void top_axi"))
    found = read_directory(folder, Given("vivado", "2020.1", "xc7z020clg400-1", 5.0))
    assert found.project.top.stem == "top"
    assert any("top_axi around top is not counted" in note for note in found.notes)
