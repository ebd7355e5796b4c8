"""Layers compiled as units of their own give the words of the design compiled whole; where g++ refuses, it is whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hls_cases import Run, conv_network

from toolchain.hls import compilation
from toolchain.hls.compilation import build_bench, run_program, wait_for_headers
from toolchain.hls.stage import TOP
from toolchain.hls.units import Units, layer_units
from toolchain.project import HlsSection
from toolchain.workspace import remove


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(conv_network(), tmp_path_factory.mktemp("run"), HlsSection())
    run.write()
    return run


def test_every_layer_is_instantiated_in_one_unit_and_declared_for_the_design(run: Run) -> None:
    units = layer_units(run.hls.folder, TOP, 2)
    called = set(re.findall(r"^ *nnet::(\w+<[^;()]*>)\(", (run.hls.folder / f"firmware/{TOP}.cpp").read_text(), re.M))
    instantiated = re.findall(r"^template void nnet::(\w+<[^;()]*>)\(", "".join(units.layers), re.M)
    assert sorted(instantiated) == sorted(name for name in called if not name.startswith("save_layer_output"))
    assert sorted(re.findall(r"^extern template void nnet::(\w+<[^;()]*>)\(", units.declarations, re.M)) == sorted(
        instantiated
    )
    assert len(units.layers) == 2


def test_two_names_of_one_type_are_one_instantiation(tmp_path: Path) -> None:
    (tmp_path / "firmware" / "weights").mkdir(parents=True)
    types = "typedef nnet::array<ap_fixed<6,3>, 2*3> a_t;\ntypedef nnet::array<ap_fixed<6, 3>, 6*1> b_t;\n"
    (tmp_path / "firmware" / "defines.h").write_text(types)
    design = 'hls::stream<a_t> x("x");\nhls::stream<b_t> y("y");\nauto& z = x;\n'
    design += (
        "nnet::f<a_t, b_t, 6>(x, y); // one\nnet\nnnet::f<b_t, a_t, 6>(y, z); // two\nnnet::f<a_t, b_t, 7>(x, 1);\n"
    )
    (tmp_path / "firmware" / "net.cpp").write_text(design)
    (unit,) = layer_units(tmp_path, "net", 4).layers
    assert unit.splitlines()[2:] == ["template void nnet::f<a_t, b_t, 6>(hls::stream<a_t> &, hls::stream<b_t> &);"]


def test_layers_and_the_whole_design_give_the_same_words(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, taken = tmp_path / "cache", []
    in_layers = compilation._Job.in_layers
    monkeypatch.setattr(
        compilation._Job, "in_layers", lambda job, header: taken.append(in_layers(job, header)) or taken[-1]
    )

    def words(name: str) -> dict[str, bytes]:
        program, _ = build_bench(run.hls.folder, TOP, "O0", cache, unchanged=True)
        (tmp_path / name).mkdir()
        vectors = str(run.hls.folder / "tb_data" / "input_words.txt")
        assert run_program([str(program), vectors, str(tmp_path / name)], run.hls.folder, 60).returncode == 0
        remove(program.parent)
        return {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()}

    whole = words("whole")
    wait_for_headers()
    assert (words("layers"), taken) == (whole, [True])
    monkeypatch.setattr(compilation, "layer_units", lambda *_: Units("", ("template void nnet::nothing();\n",)))
    assert (words("refused"), taken) == (whole, [True, False])
