"""Arm's compiler Vela on the int8 file: called for real where it is installed, its summary read from a recorded run."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from arm_cases import exported, recorded
from tflite_networks import operators_network

from toolchain.arm import ethos_u
from toolchain.arm.ethos_u import find_vela, has_ethos_u, read_summary, report_ethos_u
from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.target import Arm, load_target

#: Written by Vela 5.2.0 for operators_network on an Ethos-U55; the columns that are read, and two others.
TABLE = """\
experiment,accelerator_configuration,system_config,memory_mode,core_clock,inference_time,sram_memory_used,\
dram_memory_used,on_chip_flash_memory_used,off_chip_flash_memory_used,total_npu_encoded_weights,nn_macs,cycles_total
default,Ethos_U55_128,Ethos_U55_High_End_Embedded,Shared_Sram,500000000.0,5.28e-06,0.296875,0.0,0.0,0.765625,256,1284,2640
"""
SAID = """\
Warning (supported operators) operator: GATHER, ofm: 'sigmoid'
Warning (supported operators) operator: CAST, ofm: 'sigmoid/word'
CPU operators = 2 (8.3%)
NPU operators = 22 (91.7%)
"""


def arm(npu: str = "ethos-u55-128") -> Arm:
    return Arm(core="Cortex-M55", architecture="armv8.1-m", cores=1, clock_mhz=32.0, npu=npu)


def need_vela() -> None:
    try:
        find_vela()
    except ExternalToolError:
        pytest.skip("Vela is not installed (pip install ethos-u-vela)")


def test_a_summary_as_vela_writes_it() -> None:
    found = read_summary(TABLE, SAID, "5.2.0")
    assert (found.npu_operators, found.cpu_operators) == (22, 2)
    assert found.on_cpu == ("GATHER (sigmoid)", "CAST (sigmoid/word)")
    assert (found.sram_bytes, found.dram_bytes, found.flash_bytes) == (304, 0, 784)
    assert (found.macs, found.cycles, found.clock_hz, found.encoded_weight_bytes) == (1284, 2640, 5e8, 256)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", SAID),
        (TABLE.splitlines()[0], SAID),
        (TABLE, "CPU operators = 2"),
        (TABLE.replace("nn_macs", "macs"), SAID),
        (TABLE.replace("2640", "many"), SAID),
        (TABLE.rsplit(",", 1)[0] + "\n", SAID),
    ],
)
def test_another_summary_is_an_error_and_never_a_guess(table: str, said: str) -> None:
    with pytest.raises(ExternalToolError, match=r"vela 9\.9: its summary"):
        read_summary(table, said, "9.9")


def test_vela_compiles_the_int8_file(tmp_path: Path) -> None:
    need_vela()
    exported(tmp_path)
    found = report_ethos_u(recorded(tmp_path), arm())
    assert (found.npu_operators, found.cpu_operators, found.on_cpu) == (4, 0, ())
    assert found.accelerator == "Ethos_U55_128"
    assert found.macs == 434
    assert found.sram_bytes > 0
    assert found.flash_bytes > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.int8.tflite", "plain_c", "test_vectors.npz"]


def test_operators_left_to_the_core_are_named(tmp_path: Path) -> None:
    need_vela()
    exported(tmp_path, operators_network())
    found = report_ethos_u(recorded(tmp_path), arm())
    assert found.cpu_operators == len(found.on_cpu) == 2
    assert {name.split()[0] for name in found.on_cpu} == {"CAST", "GATHER"}


def test_what_vela_does_not_know_or_cannot_read_is_an_error(tmp_path: Path) -> None:
    need_vela()
    exported(tmp_path)
    with pytest.raises(ExternalToolError, match="invalid choice"):
        report_ethos_u(recorded(tmp_path), arm("ethos-u99"))
    (tmp_path / "model.int8.tflite").write_bytes(b"TFL3" * 100)
    with pytest.raises(ExternalToolError, match="vela: failed"):
        report_ethos_u(recorded(tmp_path), arm())


def test_without_vela_or_with_another_file_nothing_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported(tmp_path)
    result = recorded(tmp_path)
    monkeypatch.setattr(ethos_u.shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(ethos_u, "find_spec", lambda _: None)
    with pytest.raises(ExternalToolError, match="vela: is not installed"):
        report_ethos_u(result, arm())
    (tmp_path / "model.int8.tflite").write_bytes(b"TFL3")
    with pytest.raises(BitMismatchError, match="SHA-256"):
        report_ethos_u(result, arm())


def test_a_vela_that_writes_no_summary_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").mkdir()
    exported(tmp_path / "x")
    program = tmp_path / "vela"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ExternalToolError, match="wrote 0 summaries"):
        report_ethos_u(recorded(tmp_path / "x"), arm())


def test_which_targets_have_an_ethos_u() -> None:
    assert has_ethos_u(load_target("cortex_m55").arm)
    assert not has_ethos_u(load_target("raspberry_pi_4").arm)
    assert not has_ethos_u(None)
