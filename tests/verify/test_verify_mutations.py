"""One thing changed anywhere: verdict ``mismatch``, the right layer named, the right cause found."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hls_cases import Run, conv_network

from toolchain.project import HlsSection
from toolchain.results import Comparison

DEFINES = "firmware/defines.h"
Change = Callable[[str], str]


@pytest.fixture(scope="module", params=["io_parallel", pytest.param("io_stream", marks=pytest.mark.slow)])
def pristine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(conv_network(), tmp_path_factory.mktemp("pristine"), HlsSection(io_type=request.param))
    assert run.all().hardware.verdict == "bit_exact"
    return run


@pytest.fixture
def run(pristine: Run) -> Iterator[Run]:
    """The run, its project and its words restored afterwards."""
    words, hls = pristine.csim, pristine.hls
    backup = pristine.folder / "backup"
    shutil.copytree(hls.folder, backup / "hls")
    shutil.copytree(words.folder, backup / "csim")
    yield pristine
    for result, name in ((hls, "hls"), (words, "csim")):
        shutil.rmtree(result.folder)
        shutil.copytree(backup / name, result.folder)
    shutil.rmtree(backup)
    pristine.csim = words


def after(run: Run, file: str, change: Change) -> Comparison:
    run.edit(file, change)
    run.simulate()
    found = run.verify()
    assert found.model.verdict == "bit_exact"
    return found.hardware


def replaced(old: str, new: str) -> Change:
    return lambda text: re.sub(old, new, text, count=1)


def weight_file(run: Run, kind: str) -> str:
    folder = run.hls.folder / "firmware" / "weights"
    (file,) = (file for file in folder.glob("*.h") if f"{kind}_t " in file.read_text())
    return f"firmware/weights/{file.name}"


def one_step(place: int) -> Change:
    """The number at ``place`` of a weight file, one step of 1/32 towards zero, or up from zero."""

    def change(text: str) -> str:
        head, numbers, tail = re.split(r"(?<== \{)(.*)(?=\};)", text)
        values = [float(number) for number in numbers.split(", ")]
        values[place] += -1 / 32 if values[place] > 0 else 1 / 32
        return head + ", ".join(f"{value:.5f}" for value in values) + tail

    return change


@pytest.mark.parametrize("kind", ["conv_weight", "hidden_weight", pytest.param("conv_bias", marks=pytest.mark.slow)])
def test_one_changed_integer_of_the_weights(run: Run, kind: str) -> None:
    file = weight_file(run, kind)
    result = after(run, file, one_step(3))
    assert result.verdict == "mismatch"
    assert result.mismatched_words > 0
    assert result.first_mismatch is not None
    assert result.first_mismatch.layer == kind.split("_")[0]
    assert f"{kind.split('_')[1]} 3 is " in result.first_mismatch.cause
    assert f"in {file}; changed since the project was written: {file}" in result.first_mismatch.cause


def test_a_changed_weight_that_no_test_word_shows(run: Run) -> None:
    file = weight_file(run, "output_bias")
    result = after(run, file, one_step(1))  # finer than the compiled type: the hardware drops it
    assert result.verdict == "mismatch"
    assert result.mismatched_words == 0
    assert result.first_mismatch is not None
    assert result.first_mismatch.layer == "output"
    assert "no word of these samples shows it" in result.first_mismatch.cause


TYPE_CHANGES = [
    ("conv_relu", r"AP_RND_CONV,(.*> conv_relu_t|AP_SAT,0>, 4\*1> conv_relu_t)", r"AP_TRN,\1", "rounding TRN"),
    ("hidden_relu", r"AP_SAT,(.*> hidden_relu_t|0>, 5\*1> hidden_relu_t)", r"AP_WRAP,\1", "overflow WRAP"),
    ("hidden", r"<14,4> hidden_accum_t", r"<13,4> hidden_accum_t", "accumulator ap_fixed<13,4> does not hold"),
    ("x", r"<8,3>(.*) x_t", r"<7,3>\1 x_t", "the input port is compiled as ap_fixed<7,3>"),
]
MORE_TYPE_CHANGES = [
    ("conv_relu", r"AP_RND_CONV,(.*> conv_relu_t|AP_SAT,0>, 4\*1> conv_relu_t)", r"AP_RND,\1", "rounding RND"),
    ("conv", r"<14,4>(.*) conv_t", r"<13,3>\1 conv_t", "other bits"),
    ("hidden", r"<14,4>(.*) hidden_t", r"<13,4>\1 hidden_t", "other bits"),
    ("conv", r"<14,4> conv_accum_t", r"<13,3> conv_accum_t", "accumulator ap_fixed<13,3> does not hold"),
    ("conv", r"<6,1> conv_weight_t", r"<5,1> conv_weight_t", "weight type ap_fixed<5,1> does not hold"),
    ("output", r"<14,5>(.*) result_t", r"<11,2>\1 result_t", "other bits"),
]


@pytest.mark.parametrize(
    ("layer", "old", "new", "cause"),
    [*TYPE_CHANGES, *(pytest.param(*change, marks=pytest.mark.slow) for change in MORE_TYPE_CHANGES)],
)
def test_one_changed_type(run: Run, layer: str, old: str, new: str, cause: str) -> None:
    result = after(run, DEFINES, replaced(old, new))
    assert result.verdict == "mismatch"
    assert result.first_mismatch is not None
    assert result.first_mismatch.layer == layer
    assert cause in result.first_mismatch.cause


def test_a_mode_that_changes_no_word_is_seen_when_it_could(run: Run) -> None:
    result = after(run, DEFINES, replaced(r"AP_RND_CONV,(.*conv_relu_t)", r"AP_RND_INF,\1"))
    assert result.verdict == "mismatch"
    assert result.first_mismatch is not None
    assert result.first_mismatch.layer == "conv_relu"


def test_a_layer_that_reads_the_bias_of_another(run: Run) -> None:
    def exchanged(text: str) -> str:
        (last,) = re.findall(r"(w\d+), b\d+\); // output$", text, re.MULTILINE)
        return re.sub(r"(w\d+), b\d+(\); // hidden)$", rf"\1, {last}\2", text, flags=re.MULTILINE)

    result = after(run, "firmware/network.cpp", exchanged)
    assert result.verdict == "mismatch"
    assert result.first_mismatch is not None
    assert result.first_mismatch.layer == "hidden"
    assert result.first_mismatch.cause_kind == "bias"


def line(number: int, change: Callable[[list[str]], list[str]]) -> Change:
    def edit(text: str) -> str:
        lines = text.splitlines()
        lines[number : number + 1] = change([lines[number]])
        return "\n".join(lines) + "\n"

    return edit


WORD_CHANGES: dict[str, Change] = {
    "one word": line(7, lambda lines: [re.sub(r"-?\d+", lambda m: str(int(m[0]) ^ 1), lines[0], count=1)]),
    "one line twice": line(7, lambda lines: lines * 2),
    "one line gone": line(7, lambda lines: []),
    "one word gone": line(7, lambda lines: [lines[0].rpartition(" ")[0]]),
    "no number": line(7, lambda lines: [lines[0] + "x"]),
    "empty": lambda text: "",
    "truncated": lambda text: text[: len(text) // 2],
    "too large": line(7, lambda lines: [re.sub(r"^ *-?\d+", "9" * 30, lines[0])]),
}


@pytest.mark.parametrize("change", WORD_CHANGES.values(), ids=WORD_CHANGES.keys())
@pytest.mark.parametrize("name", ["x", "conv", "hidden_relu", "output", "result"])
def test_one_changed_line_of_the_words(run: Run, name: str, change: Change) -> None:
    file = run.csim.folder / f"{name}.txt"
    text = file.read_text()
    assert change(text) != text
    file.write_text(change(text))
    result = run.verify().hardware
    assert result.verdict == "mismatch"
    assert result.mismatched_words > 0
    assert result.first_mismatch is not None
    assert result.first_mismatch.layer == ("output" if name == "result" else name)


def test_a_changed_word_is_told_from_a_wrong_layer(run: Run) -> None:
    file = run.csim.folder / "hidden_relu.txt"
    words = np.loadtxt(file, dtype=np.int64)
    words[5, 2] = 40 if words[5, 2] < 20 else 2
    file.write_text("\n".join(" ".join(map(str, row)) for row in words) + "\n")
    first = run.verify().hardware.first_mismatch
    assert first is not None
    assert (first.layer, first.sample, first.element, first.found_word) == ("hidden_relu", 5, (2,), int(words[5, 2]))
    assert "changed after the simulation: output was computed from the expected ones" in first.cause


@pytest.mark.parametrize("name", ["conv", "result", "formats"])
def test_a_missing_file(run: Run, name: str) -> None:
    (run.csim.folder / f"{name}.txt").unlink()
    result = run.verify().hardware
    assert result.verdict == "mismatch"
    assert result.first_mismatch is not None
    assert "not whole" in result.first_mismatch.cause
    assert result.first_mismatch.layer == ("conv" if name == "conv" else "output")


@pytest.mark.parametrize("change", [replaced("conv_relu .*\n", ""), replaced("<14,4", "<14,5"), lambda text: "x y z\n"])
def test_changed_formats(run: Run, change: Change) -> None:
    file = run.csim.folder / "formats.txt"
    file.write_text(change(file.read_text()))
    result = run.verify().hardware
    assert result.verdict == "mismatch"
    assert result.first_mismatch is not None
    assert "formats.txt" in result.first_mismatch.cause


def test_qkeras_that_computes_something_else_is_the_models_mismatch(run: Run) -> None:
    path: Path = run.quantized.folder / "layers.npz"
    original = path.read_bytes()
    with np.load(path) as stored:
        values = {name: stored[name] for name in stored.files}
    try:
        changed = dict(values)
        changed["hidden"] = values["hidden"].copy()
        changed["hidden"][3, 1] += 2.0**-10
        np.savez(path, **changed)
        result = run.verify()
        first = result.model.first_mismatch
        assert first is not None
        assert (first.layer, first.sample, first.element) == ("hidden", 3, (1,))
        assert first.found_word == (first.expected_word or 0) + 1
        assert (result.model.mismatched_words, result.hardware.verdict) == (1, "bit_exact")
        changed["hidden"][3, 1] = np.nan
        np.savez(path, **changed)
        assert run.verify().model.verdict == "mismatch"
        del changed["hidden"]
        np.savez(path, **changed)
        first = run.verify().model.first_mismatch
        assert first is not None
        assert first.layer == "hidden"
        path.write_bytes(original[:-40])
        assert run.verify().model.verdict == "mismatch"
    finally:
        path.write_bytes(original)
