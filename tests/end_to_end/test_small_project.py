"""One small project through the whole command line: what is promised of build, cache, tampering, crash and lock."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest
from conftest import ROOT, run_toolchain

TARGET = ("--target", "zcu102")


@pytest.fixture
def project(small_build: Path, tmp_path: Path) -> Path:
    """A built project of the test's own."""
    return Path(shutil.copytree(small_build, tmp_path / "small", symlinks=True))


def output(project: Path) -> Path:
    return project / "build" / "zcu102"


def test_outputs_are_there_and_the_report_keeps_its_schema(small_build: Path) -> None:
    folder = output(small_build)
    for name in ("hls/build_prj.tcl", "hls/firmware/network.cpp", "csim/result.txt", "model.float32.tflite",
                 "model.int8.tflite", "report.html", "report.json"):  # fmt: skip
        assert (folder / name).is_file(), name
    report = json.loads((folder / "report.json").read_text())
    schema = json.loads(run_toolchain("schema").stdout)
    jsonschema.validate(report, schema)
    assert report["bit_accuracy"]["verdict"] == "bit_exact"
    assert report["bit_accuracy"]["mismatched_words"] == 0
    assert report["bit_accuracy"]["samples"] > 100
    for key in ("dsp", "bram_18k", "lut", "ff", "latency_cycles", "latency_ns", "initiation_interval"):
        found = report["estimate"][key]
        assert found["low"] <= found["value"] <= found["high"]
    assert report["estimate"]["fits"] is True
    for key in ("float", "pruned", "quantized", "hls", "tflite_int8"):
        assert report["accuracy"][key]["value"] > 0
    assert {entry["kind"] for entry in report["tflite"]} == {"float32", "int8"}
    page = (folder / "report.html").read_text()
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)


def test_a_second_build_does_nothing(project: Path) -> None:
    run_toolchain("build", str(project), *TARGET)  # the copy has its own paths: settle them first
    before = {file: file.stat().st_mtime_ns for file in output(project).rglob("*") if file.name != "report.json"}
    done = run_toolchain("build", str(project), *TARGET, "--json")
    assert done.returncode == 0, done.stderr
    assert "nothing changed" in done.stderr
    assert all(stage["cached"] for stage in json.loads(done.stdout)["stages"])
    assert before == {file: file.stat().st_mtime_ns for file in before}


def test_one_changed_weight_is_a_mismatch_in_its_layer(project: Path) -> None:
    files = (output(project) / "hls" / "firmware" / "weights").glob("w*.h")
    file = next(f for f in files if "hidden_weight_t" in f.read_text())
    text = file.read_text()
    head, numbers, tail = re.match(r"(.*= \{)(.*?)(\};.*)", text, re.DOTALL).groups()
    values = numbers.split(", ")
    place = next(i for i, value in enumerate(values) if float(value) != 0)
    values[place] = str(
        float(values[place]) + 2.0**-7 if float(values[place]) < 0.5 else float(values[place]) - 2.0**-7
    )
    file.write_text(head + ", ".join(values) + tail)
    first = mismatch(project)
    assert first["layer"] == "hidden"
    assert "weight" in first["cause"]


def test_a_changed_rounding_mode_is_a_mismatch_in_its_layer(project: Path) -> None:
    file = output(project) / "hls" / "firmware" / "defines.h"
    text = file.read_text()
    assert re.search(r"AP_RND_CONV,AP_SAT,0> act_t", text)
    file.write_text(re.sub(r"AP_RND_CONV(,AP_SAT,0> act_t)", r"AP_TRN\1", text))
    first = mismatch(project)
    assert first["layer"] == "act"
    assert "TRN" in first["cause"]


@pytest.mark.parametrize("damage", ["one digit", "one line less", "file gone", "not a number"])
def test_damaged_output_words_are_a_mismatch_in_their_layer(project: Path, damage: str) -> None:
    file = output(project) / "csim" / "hidden.txt"
    lines = file.read_text().splitlines()
    words = lines[17].split()
    if damage == "one digit":
        words[2] = str(int(words[2]) + 1)
    elif damage == "not a number":
        words[2] = "x"
    lines[17] = " ".join(words)
    if damage == "one line less":
        del lines[17]
    if damage == "file gone":
        file.unlink()
    else:
        file.write_text("\n".join(lines) + "\n")
    first = mismatch(project)
    assert first["layer"] == "hidden"
    if damage == "one digit":
        assert (first["sample"], first["element"]) == (17, [2])


def mismatch(project: Path) -> dict[str, object]:
    done = run_toolchain("build", str(project), *TARGET, "--json")
    assert done.returncode == 5, done.stderr
    report = json.loads(done.stdout)
    assert report["bit_accuracy"]["verdict"] == "mismatch"
    assert report["bit_accuracy"]["mismatched_words"] > 0
    assert report["exit_code"] == 5
    page = (output(project) / "report.html").read_text()
    assert "NOT BIT-EXACT" in page.upper()
    restored = run_toolchain("build", str(project), *TARGET, "--restore", "--json")
    assert restored.returncode == 0, restored.stderr
    first = report["bit_accuracy"]["first_mismatch"]
    assert isinstance(first, dict)
    return first


def test_a_damaged_stored_result_is_made_again(project: Path) -> None:
    (network,) = (project / "build" / ".stages" / "quantize").glob("*/network.fpn")
    network.write_bytes(network.read_bytes()[:-100])
    done = run_toolchain("build", str(project), *TARGET, "--json")
    assert done.returncode == 0, done.stderr
    cached = {stage["name"]: stage["cached"] for stage in json.loads(done.stdout)["stages"]}
    assert not cached["quantize"]
    assert cached["prune"]


def test_killed_builds_resume(project: Path) -> None:
    """kill -9 at several moments of a build: the next one ends well, with the same network."""
    reference = json.loads((output(project) / "report.json").read_text())
    shutil.rmtree(project / "build")
    for seconds in (4, 9, 14):
        build = subprocess.Popen(
            [sys.executable, "-m", "toolchain.cli", "build", str(project), *TARGET], cwd=ROOT,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        time.sleep(seconds)
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
    done = run_toolchain("build", str(project), *TARGET, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bit_accuracy"]["verdict"] == "bit_exact"
    assert report["accuracy"]["hls"] == reference["accuracy"]["hls"]  # same seed, same machine: same integers
    assert not list((project / "build").rglob("*.partial"))


def test_two_builds_at_once_do_not_disturb_each_other(project: Path) -> None:
    shutil.rmtree(project / "build" / ".stages" / "csim")
    command = [sys.executable, "-m", "toolchain.cli", "build", str(project), *TARGET, "--json"]
    builds = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for build in builds:
        out, err = build.communicate(timeout=300)
        assert build.returncode == 0, err.decode()
        assert json.loads(out)["bit_accuracy"]["verdict"] == "bit_exact"


def test_a_budget_that_is_exceeded_is_exit_4_and_the_report_says_so(project: Path) -> None:
    done = run_toolchain("build", str(project), *TARGET, "--set", "budget.lut=10", "--json")
    assert done.returncode == 4, done.stderr
    report = json.loads(done.stdout)
    assert report["budget"]["met"] is False
    assert "lut" in report["budget"]["problems"][0]
    assert report["bit_accuracy"]["verdict"] == "bit_exact"


def test_a_target_without_an_fpga_skips_the_hardware_and_says_so(project: Path) -> None:
    done = run_toolchain("build", str(project), "--target", "raspberry_pi_4", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bit_accuracy"]["verdict"] == "not_run"
    assert {entry["name"] for entry in report["skipped_stages"]} == {"hls", "csim", "verify", "estimate"}


def test_artefacts_of_an_earlier_build_are_not_left_beside_another_ones(project: Path) -> None:
    (folder,) = (file.parent for file in (project / "build").glob("*/model.int8.tflite"))
    before = {path.name for path in folder.iterdir()}
    for given, gone in (('["float32"]', {"model.int8.tflite", "model.int8.json", "test_vectors.npz"}), ("", set())):
        done = run_toolchain("tflite", str(project), *TARGET, "--set", f"tflite.kinds={given}")
        assert done.returncode == 0, done.stderr
        left = {path.name for path in folder.iterdir()}
        assert left < before - gone if gone else left == before


def test_stages_as_commands(project: Path) -> None:
    done = run_toolchain("estimate", str(project), *TARGET, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["stage"] == "estimate"
    assert document["result"]["lut"]["value"] > 0
    assert "hls" not in {stage["name"] for stage in document["stages"]}


def test_the_hardware_stages_need_no_tensorflow(project: Path) -> None:
    shutil.rmtree(project / "build" / ".stages" / "hls")
    code = (
        "import sys, toolchain.cli as c; sys.argv=['toolchain','verify',sys.argv[1],'--target','zcu102'];\n"
        "try: c.main()\n"
        "except SystemExit as e: assert not e.code\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(project)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
