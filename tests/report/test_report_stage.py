"""The stage: from the stages' folders to two files, written once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from report_cases import (
    data_result,
    estimate_result,
    hls_result,
    mismatched,
    model_result,
    project,
    prune_result,
    target,
    tflite_result,
    verify_result,
)

from toolchain.data import samples
from toolchain.data.evaluation import evaluate
from toolchain.errors import BitMismatchError, BudgetError, ToolchainError
from toolchain.fixed_point import FixedPoint
from toolchain.network.words import write_words
from toolchain.project import Project
from toolchain.report.schema import Report
from toolchain.report.stage import write_report
from toolchain.results import (
    CsimResult,
    DataResult,
    Part,
    QuantizeResult,
    Samples,
    StageResult,
)
from toolchain.target import Target
from toolchain.workspace import StageRun

Result = TypeVar("Result", bound=StageResult)
TEST_SAMPLES = 60
CORNERS = 4
FORM = FixedPoint(True, 3, 12)


@dataclass
class Request:
    output_folder: Path
    project: Project = field(default_factory=project)
    target: Target = field(default_factory=target)


@dataclass
class Workspace:
    runs: list[StageRun]


@dataclass
class Build:
    """As ``pipeline.Outcome``."""

    request: Request
    workspace: Workspace
    results: dict[str, StageResult]
    skipped: dict[str, str] = field(default_factory=dict)
    problems: list[ToolchainError] = field(default_factory=list)

    def get(self, name: str, kind: type[Result]) -> Result | None:
        found = self.results.get(name)
        assert found is None or isinstance(found, kind)
        return found


def part(count: int, seed: int) -> Part:
    random = np.random.default_rng(seed)
    y = np.cumsum(random.normal(0, 0.02, (count, 1)), axis=0)
    days = np.datetime64("2018-01-01", "ns").astype(np.int64) + np.arange(count) * 86_400 * 10**9
    return Part(random.normal(0, 1, (count, 14, 1)), y, y[:, 0] - 0.01, days)


def prepared(folder: Path) -> tuple[DataResult, Part]:
    folder.mkdir()
    test = part(TEST_SAMPLES, 3)
    samples.save(Samples(part(200, 1), part(30, 2), test), folder)
    data = data_result().model_copy(update={"counts": {"train": 200, "validation": 30, "test": TEST_SAMPLES}})
    data.at(folder)
    return data, test


def stored(result: Any, folder: Path, outputs: np.ndarray, kernels: dict[str, np.ndarray]) -> Any:
    folder.mkdir()
    np.save(folder / "predictions.npy", outputs)
    np.savez(folder / "weights.npz", **kernels)  # type: ignore[arg-type]
    return result.at(folder)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    data, test = prepared(tmp_path / "data")
    random = np.random.default_rng(5)
    outputs = {name: test.y + random.normal(0, 0.01, test.y.shape) for name in ("float", "pruned", "quantized")}
    kernels = {"conv": random.normal(0, 1, (1, 1, 5)), "dense": random.normal(0, 0.1, (70, 120))}
    trained = stored(model_result(), tmp_path / "train", outputs["float"], kernels)
    kept = {"conv": kernels["conv"], "dense": np.where(np.abs(kernels["dense"]) < 0.1, 0, kernels["dense"])[:, :108]}
    pruned = stored(prune_result(), tmp_path / "prune", outputs["pruned"].astype(np.float32), kept)
    quantized = stored(quantize_result(), tmp_path / "quantize", outputs["quantized"], {})
    tflite = tflite_result()
    tflite.at(tmp_path / "tflite").folder.mkdir()
    np.savez(tflite.folder / "predictions.npz", float32=outputs["pruned"], int8=outputs["quantized"])
    build_folder = tmp_path / "out"
    write_csim(build_folder / "csim", outputs["quantized"])
    results = {
        "data": data, "train": trained, "prune": pruned, "quantize": quantized, "hls": hls_result(),
        "csim": csim_result(),         "verify": verify_result(), "estimate": estimate_result(), "tflite": tflite,
    }  # fmt: skip
    runs = [StageRun(name, f"key-{name}", 1.25, cached=False) for name in results]
    return Build(Request(build_folder), Workspace(runs), results)


def write_csim(folder: Path, outputs: np.ndarray) -> None:
    """The output port's words: those of ``outputs``, then corner vectors that must not count."""
    folder.mkdir(parents=True)
    corners = np.full((CORNERS, 1), FORM.max_word)
    write_words(folder / "result.txt", np.concatenate([FORM.words_of(outputs), corners]))
    (folder / "formats.txt").write_text(f"result {FORM.ap_fixed()}\n")


def csim_result() -> CsimResult:
    return CsimResult(
        samples=TEST_SAMPLES + CORNERS, compile_seconds=9.0, run_seconds=1.0, compiler="g++ (Debian 12.2.0) 12.2.0",
        formats={"result": FORM.ap_fixed()}, changed_files=(),
    )  # fmt: skip


def quantize_result() -> QuantizeResult:
    found = prune_result()
    return QuantizeResult(
        layers=found.layers, parameters=found.parameters, learning_rate=1e-3, batch_size=64, epochs=10, loss="mse",
        validation_loss=0.0012, input_format="ap_fixed<16,3>", saturated_inputs={"test": 0}, test_samples=TEST_SAMPLES,
        float64_layers=(), network_sha256="0" * 64,
    )  # fmt: skip


def files(build: Build) -> tuple[Path, Path]:
    return build.request.output_folder / "report.json", build.request.output_folder / "report.html"


def test_both_files_are_written_and_agree(build: Build) -> None:
    report = write_report(build)
    document, page = files(build)
    assert Report.model_validate_json(document.read_text()) == report
    assert "Bit-exact" in page.read_text()
    assert page.read_text().count('class="area after"') == 2
    assert report.tool_versions["g++"] == "g++ (Debian 12.2.0) 12.2.0"
    assert report.tool_versions["hls4ml"] == "1.3.0"
    assert report.exit_code == 0


def test_the_hardware_metric_comes_from_its_words_without_the_corners(build: Build) -> None:
    report = write_report(build)
    data = build.get("data", DataResult)
    assert data is not None
    test = samples.load(data).test
    outputs = np.load(build.results["quantize"].folder / "predictions.npy")
    assert report.accuracy.hls == evaluate(data, test, FORM.values_of(FORM.words_of(outputs)))
    assert report.accuracy.quantized == evaluate(data, test, outputs) == report.accuracy.tflite_int8
    assert set(report.accuracy.baselines) == {"persistence", "mean of the training part"}
    assert report.accuracy.missing == {}


def test_nothing_is_written_again_for_the_same_results(build: Build) -> None:
    first = write_report(build)
    before = [file.stat().st_mtime_ns for file in files(build)]
    build.workspace.runs[:] = [StageRun(run.name, run.key, 0.01, cached=True) for run in build.workspace.runs]
    report = write_report(build)
    assert [file.stat().st_mtime_ns for file in files(build)] == before
    assert all(stage.cached for stage in report.stages)
    assert report.model_copy(update={"stages": first.stages}) == first


@pytest.mark.parametrize("place", [0, 1])
def test_a_damaged_file_is_written_again(build: Build, place: int) -> None:
    write_report(build)
    whole = files(build)[place].read_bytes()
    files(build)[place].write_bytes(whole[:100])
    write_report(build)
    assert len(files(build)[place].read_bytes()) > 1000


def test_another_result_is_written(build: Build) -> None:
    write_report(build)
    build.results["verify"] = mismatched()
    build.problems.append(BitMismatchError("differs"))
    report = write_report(build)
    document, page = files(build)
    assert json.loads(document.read_text())["bit_accuracy"]["verdict"] == "mismatch"
    assert "Not bit-exact" in page.read_text()
    assert report.exit_code == 5


@pytest.mark.parametrize("damage", ["gone", "short", "letters", "no formats"])
def test_words_that_cannot_be_read_are_reported_not_guessed(build: Build, damage: str) -> None:
    words = build.request.output_folder / "csim" / "result.txt"
    if damage == "gone":
        words.unlink()
    elif damage == "short":
        words.write_text("\n".join(words.read_text().splitlines()[:-1]) + "\n")
    elif damage == "letters":
        words.write_text(words.read_text().replace("\n", "x\n", 1))
    else:
        (words.parent / "formats.txt").unlink()
    report = write_report(build)
    assert report.accuracy.hls is None
    assert report.accuracy.missing["hls"]


def test_a_loss_beyond_the_budget_fails_the_build(build: Build) -> None:
    build.request.project = project(budget={"accuracy_loss": 0.02})
    folder = build.request.output_folder / "csim"
    outputs = np.load(build.results["quantize"].folder / "predictions.npy")
    words = np.concatenate([FORM.words_of(outputs + 0.1), np.zeros((CORNERS, 1), dtype=np.int64)])
    write_words(folder / "result.txt", words)
    report = write_report(build)
    assert [type(problem) for problem in build.problems] == [BudgetError]
    assert "stage 'hls'" in build.problems[0].text()
    assert (report.exit_code, report.budget.met) == (4, False)


def test_a_loss_within_the_budget_does_not(build: Build) -> None:
    build.request.project = project(budget={"accuracy_loss": 5.0})
    assert write_report(build).exit_code == 0
    assert build.problems == []


def test_a_target_without_fpga(build: Build) -> None:
    build.request.target = target("raspberry_pi_5")
    for name in ("hls", "csim", "verify", "estimate"):
        del build.results[name]
        build.skipped[name] = "target raspberry_pi_5 has no FPGA"
    report = write_report(build)
    assert report.bit_accuracy.verdict == "not_run"
    assert report.accuracy.missing["hls"] == "target raspberry_pi_5 has no FPGA"
    assert "Not verified" in files(build)[1].read_text()


def test_kinds_that_were_not_asked_for_are_named(build: Build) -> None:
    build.request.project = project(tflite={"kinds": ["float32"]})
    found = tflite_result()
    build.results["tflite"] = found.model_copy(update={"files": found.files[:1]}).at(build.results["tflite"].folder)
    outputs = np.load(build.results["prune"].folder / "predictions.npy")
    np.savez(build.results["tflite"].folder / "predictions.npz", float32=outputs)
    report = write_report(build)
    assert report.accuracy.tflite_int8 is None
    assert report.accuracy.missing["tflite_int8"] == "not among [tflite] kinds"
    assert report.tflite_agreement is None
