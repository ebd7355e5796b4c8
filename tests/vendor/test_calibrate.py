"""Coefficients fitted on a user's own reports move the estimate towards them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conftest import ROOT, run_toolchain

sys.path.insert(0, str(ROOT / "tests" / "estimate"))
from test_estimate_directory import write_directory
from test_vendor import CSYNTH


def synthesized(folder: Path, lut: int) -> Path:
    """A project whose convolution has a report of its own."""
    write_directory(folder)
    reports = folder / "top_prj" / "solution1" / "syn" / "report"
    reports.mkdir(parents=True)
    name = "conv_1d_cl_ap_fixed_8_3_5_3_0_ap_fixed_18_8_5_3_0_config2_s"
    (reports / f"{name}_csynth.xml").write_text(CSYNTH.replace(">top<", f">{name}<").replace("9213", str(lut)))
    return folder


def lut_of(folder: Path, *more: str) -> float:
    done = run_toolchain("estimate", str(folder), "--json", *more)
    assert done.returncode == 0, done.stderr
    layers = json.loads(done.stdout)["estimate"]["layers"]
    return float(next(layer["lut"] for layer in layers if layer["name"] == "one"))


def test_the_estimate_moves_towards_the_reports(tmp_path: Path) -> None:
    before = lut_of(write_directory(tmp_path / "plain"))
    folders = [str(synthesized(tmp_path / f"p{number}", round(3 * before))) for number in range(4)]
    out = tmp_path / "own.json"
    done = run_toolchain("calibrate", *folders, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["layers"] == 4
    after = lut_of(tmp_path / "plain", "--calibration", str(out))
    assert abs(after - 3 * before) < abs(before - 3 * before)


def whole(folder: Path, lut: int) -> Path:
    """The report of the top function beside that of its convolution."""
    report = folder / "top_prj" / "solution1" / "syn" / "report" / "top_csynth.xml"
    report.write_text(CSYNTH.replace("9213", str(lut)))
    return folder


def test_intervals_are_made_of_own_designs_left_out_in_turn(tmp_path: Path) -> None:
    """Five designs whose wholes lie 0.8 to 1.2 times around one value: the interval holds four of five of them."""
    truths = [round(share * 3000) for share in (0.8, 0.9, 1.0, 1.1, 1.2)]
    folders = [str(whole(synthesized(tmp_path / f"p{lut}", 2500), lut)) for lut in truths]
    out = tmp_path / "own.json"
    done = run_toolchain("calibrate", *folders, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["intervals"]
    assert [name for name in made if "/lut/" in name]
    shown = run_toolchain("estimate", str(write_directory(tmp_path / "new")), "--json", "--calibration", str(out))
    lut = json.loads(shown.stdout)["estimate"]["lut"]
    assert sum(lut["low"] <= truth <= lut["high"] for truth in truths) >= 4
    few = run_toolchain("calibrate", *folders[:4], "--out", str(out), "--json")
    assert json.loads(few.stdout)["intervals"] == []
    assert "80 % intervals: those of the package are kept" in few.stderr


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}'])
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, text: str) -> None:
    folder = write_directory(tmp_path / "d")
    (tmp_path / "bad.json").write_text(text)
    done = run_toolchain("estimate", str(folder), "--calibration", str(tmp_path / "bad.json"))
    assert done.returncode == 2, done.stderr


def test_a_project_without_reports_is_refused(tmp_path: Path) -> None:
    done = run_toolchain("calibrate", str(write_directory(tmp_path / "d")), "--out", str(tmp_path / "x.json"))
    assert done.returncode == 6
    assert "toolchain synth" in done.stderr
    assert not (tmp_path / "x.json").exists()


def test_a_report_of_other_firmware_is_refused(tmp_path: Path) -> None:
    """The module's name has the widths of its words: the firmware was written anew after the synthesis."""
    folder = synthesized(tmp_path, 3000)
    reports = folder / "top_prj" / "solution1" / "syn" / "report"
    name = "relu_ap_fixed_18_8_5_3_0_ap_ufixed_9_3_4_0_0_relu_config3_s"
    (reports / f"{name}_csynth.xml").write_text(CSYNTH.replace(">top<", f">{name}<"))
    done = run_toolchain("calibrate", str(folder), "--out", str(tmp_path / "own.json"))
    assert done.returncode != 0
    assert "words of 18 and 9 bits" in done.stderr
