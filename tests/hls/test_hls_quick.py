"""Weights and traces as raw words give what ap_fixed's own conversions give, and only where every number is a word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hls_cases import Run, conv_network

from toolchain.errors import ExternalToolError
from toolchain.hls.compilation import build_bench, run_program
from toolchain.hls.quick import make_quick
from toolchain.hls.stage import TOP
from toolchain.project import HlsSection

PARALLEL = HlsSection()


def words(run: Run, folder: Path, unchanged: bool) -> tuple[int, dict[str, bytes], str]:
    program, _ = build_bench(run.hls.folder, TOP, "O0", folder / "cache", unchanged=unchanged)
    out = folder / f"{unchanged}"
    out.mkdir(exist_ok=True)
    vectors = run.hls.folder / "tb_data" / "input_words.txt"
    done = run_program([str(program), str(vectors), str(out)], run.hls.folder, 60)
    return done.returncode, {file.name: file.read_bytes() for file in out.iterdir()}, done.stderr


def test_words_and_ap_fixeds_conversions_agree_and_what_is_no_word_is_left_to_ap_fixed(tmp_path: Path) -> None:
    run = Run(conv_network(), tmp_path / "run", PARALLEL)
    run.write()
    quick, slow = (words(run, tmp_path, unchanged) for unchanged in (True, False))
    assert quick == slow
    assert (quick[0], len(quick[1])) == (0, len(run.hls.formats) + 3)
    weights = next(name for name in sorted(run.hls.files) if re.fullmatch(r"firmware/weights/w\d+\.h", name))
    run.edit(weights, lambda text: re.sub(r" = \{[^,]*,", " = {0.0123,", text, count=1))
    assert run.simulate().changed_files == (weights,)
    code, _, said = words(run, tmp_path, unchanged=True)
    assert (code, said.strip()) == (2, "a number of the project is no word of its type")


def test_a_project_of_another_hls4ml_is_refused(tmp_path: Path) -> None:
    library, weights = tmp_path / "firmware" / "nnet_utils", tmp_path / "firmware" / "weights"
    library.mkdir(parents=True)
    weights.mkdir()
    (library / "nnet_helpers.h").write_text("namespace nnet {\nptr[i] = save_T(data[i]);\n}\n")
    with pytest.raises(ExternalToolError, match="no traces as hls4ml"):
        make_quick(tmp_path)
    (weights / "w2.h").write_text("w2_t w2[2] = {1};\nw2_t w3[2] = {1};\n")
    with pytest.raises(ExternalToolError, match="no array of weights as hls4ml"):
        make_quick(tmp_path)
