"""The C-simulation: exact in every configuration, loud when anything is missing, never from a stale program."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hls_cases import (
    FAST,
    FPGA,
    Run,
    conv_network,
    dead_network,
    modes_network,
    pool_network,
    scale_network,
    skip_network,
)
from operator_cases import (
    compositions_network,
    formats_network,
    images_network,
    merges_network,
    moves_network,
    steps_network,
    tables_network,
    unrolled_network,
)

from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.fixed_point import Overflow, Rounding
from toolchain.hls.compilation import build_bench, find_compiler, run_program, wait_for_headers
from toolchain.hls.stage import TOP
from toolchain.network.nodes import FixedPointNetwork
from toolchain.project import CsimSection, HlsLayer, HlsSection

PARALLEL, STREAM = HlsSection(), HlsSection(backend="vivado", io_type="io_stream", strategy="resource")
LIBRARY = "firmware/nnet_utils/nnet_bench.h"


def check_exact(network: FixedPointNetwork, folder: Path, section: HlsSection) -> Run:
    run = Run(network, folder, section)
    result = run.all()
    assert result.hardware.first_mismatch is None
    assert result.hardware.verdict == result.model.verdict == "bit_exact"
    assert result.hardware.samples == 205
    traced = sum(node.size for node in network.nodes if node.name in run.csim.formats)
    assert result.hardware.words == 205 * (traced + sum(network[name].size for name in network.outputs))
    assert run.csim.changed_files == run.csim.differences == ()
    assert not find_unchecked(run)
    return run


def find_unchecked(run: Run) -> set[str]:
    """Sums that were compared with nothing: every layer with weights must be traced, itself or merged with the next."""
    names = {layer.name for layer in run.hls.layers}
    followed = {node.name for name in names for node in run.network.consumers(name)}
    return {name for name in names if name not in run.csim.formats and not followed}


@pytest.mark.parametrize(
    ("backend", "io_type", "strategy"),
    list(itertools.product(("vitis", "vivado"), ("io_parallel", "io_stream"), ("latency", "resource"))),
)
def test_every_configuration_is_exact(backend: str, io_type: str, strategy: str, tmp_path: Path) -> None:
    section = HlsSection.model_validate({"backend": backend, "io_type": io_type, "strategy": strategy})
    check_exact(conv_network(), tmp_path, section)


@pytest.mark.parametrize(
    ("network", "section"),
    [
        (scale_network, STREAM), (pool_network, PARALLEL), (skip_network, STREAM), (dead_network, PARALLEL),
        pytest.param(scale_network, PARALLEL, marks=pytest.mark.slow),
        pytest.param(pool_network, STREAM, marks=pytest.mark.slow),
        pytest.param(skip_network, PARALLEL, marks=pytest.mark.slow),
        pytest.param(dead_network, STREAM, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_every_operator_is_exact(network: Callable[[], FixedPointNetwork], section: HlsSection, tmp_path: Path) -> None:
    check_exact(network(), tmp_path, section)


OPERATORS = (
    merges_network, images_network, moves_network, tables_network, formats_network, compositions_network, steps_network,
    unrolled_network,
)  # fmt: skip
MIXED = {name: HlsLayer(strategy="latency") for name in ("depthwise", "depthwise_strided")}


@pytest.mark.parametrize(
    ("network", "section"),
    [
        (merges_network, STREAM), (images_network, PARALLEL), (moves_network, STREAM), (tables_network, PARALLEL),
        (formats_network, STREAM), (compositions_network, PARALLEL), (steps_network, STREAM),
    ],
)  # fmt: skip
def test_operators_side_by_side_are_exact(
    network: Callable[[], FixedPointNetwork], section: HlsSection, tmp_path: Path
) -> None:
    check_exact(network(), tmp_path, section)


@pytest.mark.slow
@pytest.mark.parametrize("network", OPERATORS)
@pytest.mark.parametrize(
    ("backend", "io_type", "strategy"),
    list(itertools.product(("vitis", "vivado"), ("io_parallel", "io_stream"), ("latency", "resource"))),
)
def test_operators_are_exact_in_every_configuration(
    backend: str, io_type: str, strategy: str, network: Callable[[], FixedPointNetwork], tmp_path: Path
) -> None:
    layers = MIXED if network is images_network else {}
    options = {"backend": backend, "io_type": io_type, "strategy": strategy, "layers": layers}
    check_exact(network(), tmp_path, HlsSection.model_validate(options))


MODES = list(
    itertools.product((Rounding.TRN, Rounding.RND, Rounding.RND_CONV), (Overflow.WRAP, Overflow.SAT, Overflow.SAT_SYM))
)


def test_changes_of_format_are_exact(tmp_path: Path) -> None:
    check_exact(modes_network(Rounding.TRN, Overflow.WRAP), tmp_path, STREAM)


@pytest.mark.slow
@pytest.mark.parametrize("section", [PARALLEL, STREAM], ids=["parallel", "stream"])
@pytest.mark.parametrize(("rounding", "overflow"), MODES)
def test_all_changes_of_format_are_exact(
    rounding: Rounding, overflow: Overflow, section: HlsSection, tmp_path: Path
) -> None:
    check_exact(modes_network(rounding, overflow), tmp_path, section)


@pytest.mark.slow
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("backend", ["vitis", "vivado"])
def test_distributed_arithmetic_is_exact(backend: str, io_type: str, tmp_path: Path) -> None:
    options = {"backend": backend, "io_type": io_type, "strategy": "distributed_arithmetic"}
    check_exact(conv_network(), tmp_path, HlsSection.model_validate(options))


@pytest.mark.slow
@pytest.mark.parametrize("network", [images_network, steps_network])
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_distributed_arithmetic_of_other_layers_is_exact(
    io_type: str, network: Callable[[], FixedPointNetwork], tmp_path: Path
) -> None:
    layers = MIXED if network is images_network else {}
    options = {"io_type": io_type, "strategy": "distributed_arithmetic", "layers": layers}
    check_exact(network(), tmp_path, HlsSection.model_validate(options))


@pytest.mark.slow
def test_strategies_and_reuse_factors_mix(tmp_path: Path) -> None:
    layers = {
        "conv": HlsLayer(strategy="resource", reuse_factor=3),
        "hidden": HlsLayer(strategy="distributed_arithmetic"),
        "output": HlsLayer(reuse_factor=5),
    }
    check_exact(conv_network(), tmp_path, HlsSection(layers=layers))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(conv_network(), tmp_path_factory.mktemp("built"), PARALLEL)
    run.write()
    return run


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def bench(run: Run, cache: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program, _ = build_bench(run.hls.folder, TOP, "O0", cache)
    return run_program([str(program), *arguments], run.hls.folder, 60)


def test_the_test_bench_decides_as_csim_design_would_run_it(tmp_path: Path, cache: Path) -> None:
    run = Run(conv_network(), tmp_path, PARALLEL)
    run.write()
    done = bench(run, cache)
    assert (done.returncode, done.stdout.strip()) == (0, "PASS: 0 of 600 result words differ from the network's")
    expected = run.hls.folder / "tb_data" / "expected_words.txt"
    first = expected.read_text().split()[0]
    run.edit("tb_data/expected_words.txt", lambda text: text.replace(first, str(int(first) + 1), 1))
    done = bench(run, cache)
    assert (done.returncode, done.stdout.strip()) == (1, "FAIL: 1 of 600 result words differ from the network's")
    for change in (lambda text: text[: len(text) // 2], lambda text: "", lambda text: "x" + text):
        run.edit("tb_data/expected_words.txt", change)
        assert bench(run, cache).returncode == 2
    expected.unlink()
    assert bench(run, cache).returncode == 2


def test_the_same_sources_are_compiled_once_and_a_damaged_program_again(built: Run, cache: Path) -> None:
    program, _ = build_bench(built.hls.folder, TOP, "O0", cache)
    stamp = program.stat().st_mtime_ns
    assert build_bench(built.hls.folder, TOP, "O0", cache)[0].stat().st_mtime_ns == stamp
    whole = program.read_bytes()
    program.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again, _ = build_bench(built.hls.folder, TOP, "O0", cache)
    assert (again, again.read_bytes()) == (program, whole)


def test_any_changed_source_is_compiled_anew(tmp_path: Path, cache: Path) -> None:
    run = Run(conv_network(), tmp_path, PARALLEL)
    run.write()
    first, _ = build_bench(run.hls.folder, TOP, "O0", cache)
    run.edit("firmware/nnet_utils/nnet_dense.h", lambda text: text + "// changed\n")
    second, _ = build_bench(run.hls.folder, TOP, "O0", cache)
    run.edit("tb_data/input_words.txt", lambda text: text.replace("1", "2"))
    assert first != second == build_bench(run.hls.folder, TOP, "O0", cache)[0]


def test_the_header_is_compiled_behind_the_first_program_for_the_next(tmp_path: Path) -> None:
    run, cache = Run(conv_network(), tmp_path / "run", PARALLEL), tmp_path / "cache"
    run.write()
    build_bench(run.hls.folder, TOP, "O0", cache)
    wait_for_headers()
    (header,) = cache.glob("header-*/content.gch")
    assert {file.name for file in header.parent.iterdir()} == {"bench.o", "content", "content.gch", "sha256.json"}
    stamp = header.stat().st_mtime_ns
    run.edit(f"firmware/{TOP}.cpp", lambda text: text + "// changed\n")
    build_bench(run.hls.folder, TOP, "O0", cache)
    wait_for_headers()
    assert [file.stat().st_mtime_ns for file in cache.glob("header-*/content.gch")] == [stamp]
    assert len(list(cache.glob("bench-*"))) == 2


def test_the_compiler_takes_nothing_from_the_environment(
    built: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vector").write_text("#error from the environment\n")
    monkeypatch.setenv("CPLUS_INCLUDE_PATH", str(tmp_path))
    compiler = find_compiler()
    source = ["-fsyntax-only", "-I", "firmware/ap_types", f"firmware/{TOP}.cpp"]
    assert subprocess.run([compiler.path, *source], cwd=built.hls.folder, capture_output=True, check=False).returncode
    compiler.call(source, built.hls.folder)


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ExternalToolError, match=r"g\+\+ was not found on PATH") as caught:
        find_compiler()
    assert caught.value.exit_code == 6


def test_source_that_does_not_compile_shows_the_error_and_the_changed_file(tmp_path: Path) -> None:
    run = Run(conv_network(), tmp_path, PARALLEL)
    run.write()
    run.edit(f"firmware/{TOP}.cpp", lambda text: text + "\nthis is no source\n")
    with pytest.raises(ExternalToolError) as caught:
        run.simulate()
    assert "error:" in str(caught.value)
    assert f"firmware/{TOP}.cpp" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (LIBRARY, "    for (size_t s = 0;", "    return 3;\n    for (size_t s = 0;", "exit 3"),
        (LIBRARY, 'std::fprintf(complete, "%lu', 'std::fprintf(complete, "1%lu', "no end mark"),
        (f"{TOP}_test.cpp", 'recorded<conv_t>("conv", "conv"', 'recorded<conv_t>("other", "conv"', "traces no conv"),
    ],
)
def test_a_run_that_is_not_whole_is_no_result(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    run = Run(conv_network(), tmp_path, PARALLEL)
    run.write()
    run.edit(file, lambda text: text.replace(old, new, 1))
    with pytest.raises(BitMismatchError, match=message):
        run.simulate()


def test_a_program_that_does_not_end_is_stopped() -> None:
    with pytest.raises(ExternalToolError, match="did not end within 1 s"):
        run_program(["/bin/sleep", "30"], Path(os.sep), 1)


@pytest.mark.slow
def test_the_level_of_optimization_changes_nothing(tmp_path: Path) -> None:
    run = Run(conv_network(), tmp_path, PARALLEL, csim_section=CsimSection(optimization="O2"))
    assert run.all().hardware.verdict == "bit_exact"
    optimized = {file.name: file.read_bytes() for file in run.csim.folder.iterdir()}
    run.csim_section = FAST
    run.simulate()
    assert optimized == {file.name: file.read_bytes() for file in run.csim.folder.iterdir()}
    assert FPGA.part == run.hls.part
