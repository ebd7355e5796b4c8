"""The runs on ARM code, and FPGA, ARM and QKeras against one another, in the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from report_cases import build_results

from toolchain.report.arm import arm_lines, device_lines, ethos_u_statement
from toolchain.report.assemble import assemble
from toolchain.report.figures import Figures
from toolchain.report.html import render
from toolchain.report.measure import agreements
from toolchain.results import ArmResult, ArmRun, DeviceResult, EthosUResult


def arm_result() -> ArmResult:
    run = ArmRun(
        architecture="aarch64", cpu="cortex-a72", runtime="litert 2.3.0", kernels="default", rounding="to_even",
        samples=1009, words=1009, machine_differences=0, equal_words_share=0.998, largest_word_difference=1,
        allowed_word_difference=1, decisions=900, different_decisions=0,
    )  # fmt: skip
    wrong = run.model_copy(update={"kernels": "builtin", "machine_differences": 3, "failures": ("3 words differ",)})
    return ArmResult(
        emulator="qemu 7.2", model_sha256="", runs=(run, wrong), not_verified={"TFLite Micro": "is not installed"},
        arena_bytes=None, plain_c_bytes=2000, plain_c_ram_bytes=120, seconds=1.0,
    )  # fmt: skip


def test_the_page_says_what_each_run_showed_and_what_was_not_verified() -> None:
    report = assemble(replace(build_results(), arm=arm_result()))
    assert report.arm is not None
    assert report.arm_not_run == ""
    page = render(report, Figures((), None))
    for text in ("litert 2.3.0, XNNPACK", "equal to the network", "0 of 900 decisions", "FAILED: 3 words differ",
                 "Not verified: TFLite Micro:", "qemu 7.2"):  # fmt: skip
        assert text in page, text


def device_result() -> DeviceResult:
    return DeviceResult(
        machine="aarch64", processor="Raspberry <Pi> 5", system="Linux-6.6", python="3.11.2", runtime="litert 2.3.0",
        model_sha256="ab", runs=arm_result().runs, invocations=1009, p50_us=3.25, p99_us=41.5,
        remarks=("the clock was not held",), measured="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


def test_the_page_shows_the_times_of_a_real_board() -> None:
    report = assemble(replace(build_results(), device=device_result()))
    assert report.device is not None
    page = render(report, Figures((), None))
    for text in ("Raspberry &lt;Pi&gt; 5", "p50 3.2 µs, p99 41.5 µs of 1,009 invocations", "the clock was not held",
                 "FAILED: 3 words differ"):  # fmt: skip
        assert text in page, text
    assert assemble(build_results()).device is None
    assert device_lines(device_result())[2].startswith("board: p50 3.2 µs")


def test_without_runs_the_page_says_so_and_how_to_get_them() -> None:
    report = assemble(replace(build_results(), skipped={"arm": "not run on ARM code: qemu-aarch64 is missing"}))
    assert report.arm is None
    page = render(report, Figures((), None))
    assert "Not run on ARM code" in page
    assert "qemu-aarch64 is missing" in page
    assert "toolchain tflite spx_forecast --verify" in page


def test_agreements_of_what_was_run() -> None:
    fpga = np.array([[1.0], [-2.0], [0.5], [-0.25]])
    arm = fpga + np.array([[0.0], [0.5], [-0.75], [0.0]])
    outputs = {"hls": fpga, "quantized": fpga.copy(), "tflite_int8": arm, "float": fpga * 9}
    regression = build_results().data
    binary = regression.model_copy(update={"task": "binary"})
    found = {(row.first, row.second): row for row in agreements(binary, outputs)}
    assert set(found) == {("FPGA", "QKeras"), ("ARM", "FPGA"), ("ARM", "QKeras")}
    exact, near = found["FPGA", "QKeras"], found["ARM", "FPGA"]
    assert (exact.equal_values_share, exact.largest_difference, exact.equal_decisions_share) == (1.0, 0.0, 1.0)
    assert (near.equal_values_share, near.largest_difference, near.equal_decisions_share) == (0.5, 0.75, 0.75)
    assert agreements(regression, outputs)[0].equal_decisions_share is None
    assert agreements(regression, {"hls": fpga}) == ()


def test_lines_on_a_terminal() -> None:
    lines = arm_lines(arm_result())
    assert lines[0].startswith("aarch64 (cortex-a72), litert 2.3.0, XNNPACK: all 1,009 words as predicted")
    assert "3 of 1,009 words not as predicted" in lines[1]
    assert "generated C on Cortex-M3: 2,000 bytes" in lines[2]
    assert lines[-1] == "not verified: TFLite Micro: is not installed"


def test_velas_account_stands_on_the_page_as_its_own() -> None:
    found = EthosUResult(
        vela_version="5.2.0", accelerator="Ethos_U55_128", system_config="Ethos_U55_High_End_Embedded",
        memory_mode="Shared_Sram", clock_hz=5e8, npu_operators=22, cpu_operators=2, on_cpu=("CAST (sigmoid/word)",),
        macs=1234, cycles=2640, sram_bytes=304, dram_bytes=0, flash_bytes=784, encoded_weight_bytes=256,
    )  # fmt: skip
    report = assemble(replace(build_results(), ethos_u=found))
    page = render(report, Figures((), None))
    for text in ("22 operators on the NPU, 2 left to the core (CAST (sigmoid/word))", "304 bytes of SRAM, 784 of flash",
                 "2,640 cycles an inference as Vela estimates them"):  # fmt: skip
        assert text in page, text
    assert "DRAM" not in ethos_u_statement(found)
    assert assemble(build_results()).ethos_u is None
