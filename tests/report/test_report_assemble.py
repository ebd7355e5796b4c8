"""From results to report: nothing lost, nothing made up."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from report_cases import (
    arm_results,
    build_results,
    estimate_result,
    mismatch,
    mismatch_results,
    over_budget_results,
    project,
    verify_result,
)

from toolchain.report.assemble import MEASURED, BuildResults, assemble
from toolchain.report.schema import Accuracy
from toolchain.results import Comparison, EstimateResult


def test_a_whole_build() -> None:
    results = build_results()
    report = assemble(results)
    hardware = report.bit_accuracy
    assert {name: getattr(hardware, name) for name in Comparison.model_fields} == dict(verify_result().hardware)
    assert hardware.model == verify_result().model
    assert report.estimate is not None
    assert {name: getattr(report.estimate, name) for name in EstimateResult.model_fields} == dict(estimate_result())
    assert report.estimate.device == {"dsp": 12288, "bram_18k": 5376, "lut": 1728000, "ff": 3456000}
    assert {name: getattr(report.accuracy, name) for name in MEASURED} == results.accuracies
    assert report.accuracy.missing == {}
    assert report.budget.met is True
    assert report.options == results.project.model_dump(mode="json")


def test_layers_keep_their_shape_before_and_after() -> None:
    report = assemble(build_results())
    assert report.pruning is not None
    dense = report.pruning.layers[1]
    assert (dense.shape_before, dense.shape) == ((70, 120), (70, 108))
    assert (dense.weights_before, dense.weights, dense.zeros) == (8400, 7560, 6300)
    assert dense.sparsity == 6300 / 7560


def test_a_mismatch_keeps_its_first_word() -> None:
    report = assemble(mismatch_results())
    assert report.bit_accuracy.verdict == "mismatch"
    assert report.bit_accuracy.first_mismatch == mismatch()
    assert report.exit_code == 5


def test_without_verification_the_verdict_is_not_run_and_says_why() -> None:
    report = assemble(arm_results())
    for found in (report.bit_accuracy, report.bit_accuracy.model):
        assert (found.verdict, found.words, found.reason) == ("not_run", 0, "target raspberry_pi_5 has no FPGA")
    assert report.estimate is None
    assert report.budget.met is None
    assert report.accuracy.hls is None
    assert report.accuracy.missing == {"hls": "target raspberry_pi_5 has no FPGA"}
    assert {stage.name for stage in report.skipped_stages} == {"hls", "csim", "verify", "estimate"}


def test_a_build_that_ended_early_never_claims_anything() -> None:
    whole = build_results()
    report = assemble(BuildResults(project=whole.project, target=whole.target, data=whole.data))
    assert report.bit_accuracy.verdict == "not_run"
    assert report.bit_accuracy.reason
    assert report.pruning is report.estimate is report.tflite_agreement is None
    assert set(report.accuracy.missing) == set(MEASURED)
    assert set(report.tflite_skipped) == {"float32", "int8"}
    assert report.budget.met is None


def test_a_broken_budget_is_not_met_even_when_the_device_would_do() -> None:
    report = assemble(over_budget_results())
    assert report.budget.met is False
    assert report.budget.limits == {"dsp": 400.0, "accuracy_loss": 0.02}
    assert report.budget.problems
    assert report.estimate is not None
    assert report.estimate.fits


def test_the_clock_is_the_projects_when_it_sets_one() -> None:
    report = assemble(replace(build_results(), project=project(hls={"clock_period_ns": 3.2})))
    assert report.estimate is not None
    assert report.estimate.clock_period_ns == 3.2


def test_every_measured_stage_has_its_place() -> None:
    assert set(MEASURED) <= set(Accuracy.model_fields)
    with pytest.raises(AssertionError, match="without a place"):
        assemble(replace(build_results(), accuracies={"guess": build_results().accuracies["float"]}))


def test_neither_tensorflow_nor_matplotlib_is_imported() -> None:
    code = (
        "import sys, toolchain.report.stage, toolchain.report.html, toolchain.report.text; "
        "print(sorted({'tensorflow', 'keras', 'qkeras', 'hls4ml', 'matplotlib', 'arch', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
