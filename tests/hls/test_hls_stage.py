"""The written project: complete, reproducible, read back; no TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hls_cases import FPGA, Run, conv_network

from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.hls import readback
from toolchain.hls.options import resolve
from toolchain.hls.stage import TOP
from toolchain.network import interpreter
from toolchain.project import HlsLayer, HlsSection

SECTION = HlsSection(layers={"hidden": HlsLayer(strategy="resource", reuse_factor=6)}, clock_period_ns=3.3)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(conv_network(), tmp_path_factory.mktemp("written"), SECTION)
    run.write()
    return run


def test_the_project_is_complete(written: Run) -> None:
    folder = written.hls.folder
    for name in (
        "build_prj.tcl", "build_opt.tcl", "project.tcl", "vivado_synth.tcl", "hls4ml_config.yml", f"{TOP}_test.cpp",
        f"firmware/{TOP}.cpp", f"firmware/{TOP}.h", "firmware/defines.h", "firmware/parameters.h",
        "firmware/ap_types/ap_fixed.h", "firmware/nnet_utils/nnet_dense.h", "tb_data/input_words.txt",
        "tb_data/expected_words.txt",
    ):  # fmt: skip
        assert (folder / name).is_file(), name
        assert name in written.hls.files
    script = (folder / "build_prj.tcl").read_text()
    assert "add_files -tb ${project_name}_test.cpp" in script
    assert "add_files -tb tb_data" in script
    assert f'set project_name "{TOP}"' in (folder / "project.tcl").read_text()


def test_the_test_vectors_are_the_networks(written: Run) -> None:
    folder = written.hls.folder / "tb_data"
    x = np.loadtxt(folder / "input_words.txt", dtype=np.int64).reshape(-1, 6, 2)
    expected = np.loadtxt(folder / "expected_words.txt", dtype=np.int64)
    assert len(x) == 200
    assert np.array_equal(interpreter.run(written.network, {"x": x})["output"], expected)


def test_two_writings_are_the_same_to_the_byte(written: Run, tmp_path: Path) -> None:
    again = Run(conv_network(), tmp_path, SECTION)
    again.write()
    assert again.hls.files == written.hls.files
    assert not any(str(tmp_path).encode() in file.read_bytes() for file in again.hls.folder.iterdir() if file.is_file())


def test_weights_have_one_source(written: Run) -> None:
    assert not list((written.hls.folder / "firmware" / "weights").glob("*.txt"))
    assert "load_weights_from_txt<" not in (written.hls.folder / "firmware" / f"{TOP}.cpp").read_text()


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("project.tcl", "xcu250", "xcu200", "part"),
        ("project.tcl", 'backend "vitis"', 'backend "vivado"', "backend"),
        ("project.tcl", "clock_period 3.3", "clock_period 3.30001", "clock_period_ns"),
        ("project.tcl", "12.5%", "27%", "clock_uncertainty_percent"),
        ("firmware/network.cpp", "INTERFACE ap_vld", "INTERFACE axis", "io_type"),
        ("firmware/parameters.h", "strategy = nnet::resource", "strategy = nnet::latency", "layer 'hidden': strategy"),
        ("firmware/parameters.h", "reuse_factor = 6", "reuse_factor = 3", "layer 'hidden': reuse_factor"),
        ("firmware/network.cpp", "// hidden\n", "// other\n", "layer 'hidden'"),
    ],
)
def test_an_option_that_is_not_as_asked_is_an_error(tmp_path: Path, file: str, old: str, new: str, named: str) -> None:
    run = Run(conv_network(), tmp_path, SECTION)
    run.write()
    options = resolve(run.network, SECTION, FPGA)
    readback.check_options(run.hls.folder, TOP, options)
    run.edit(file, lambda text: text.replace(old, new, 1))
    with pytest.raises(ExternalToolError) as caught:
        readback.check_options(run.hls.folder, TOP, options)
    assert caught.value.where == named
    assert caught.value.exit_code == 6


def test_a_reuse_factor_that_hls4ml_changes_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolchain.network.reuse_factors.legal_reuse_factors", lambda n_in, n_out: [1, 5])
    section = HlsSection(layers={"hidden": HlsLayer(strategy="resource", reuse_factor=5)})
    with pytest.raises(ExternalToolError, match="hls4ml changed an option: WARNING: Invalid ReuseFactor=5"):
        Run(conv_network(), tmp_path, section).write()


def test_weights_that_hls4ml_writes_wrongly_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hls4ml.model.types import WeightVariable

    original: Callable[[object], str] = WeightVariable.__next__
    monkeypatch.setattr(WeightVariable, "__next__", lambda self: original(self).replace("0.25000", "0.21875"))
    with pytest.raises(BitMismatchError, match=r"instead of 0\.25"):
        Run(conv_network(), tmp_path, HlsSection()).write()


def test_no_tensorflow_is_imported(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from hls_cases import *
run = Run(conv_network(), Path({str(tmp_path)!r}), HlsSection())
assert run.all().hardware.verdict == "bit_exact"
print([name for name in ("tensorflow", "keras", "tf_keras", "qkeras") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
