"""Synthesis through a tool on PATH that records how it was called; reports with something missing are errors."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from conftest import run_toolchain

from toolchain.errors import BitMismatchError, ExternalToolError
from toolchain.vendor.reports import check_cosim, read_csynth, read_utilization
from toolchain.vendor.synthesis import set_options
from toolchain.vendor.tools import Tool, find_tool

#: Figures of a published 8-bit dense network (Vitis HLS 2021.1).
CSYNTH = """<?xml version="1.0" encoding="UTF-8"?>
<profile>
<ReportVersion><Version>2021.1</Version></ReportVersion>
<UserAssignments><unit>ns</unit><ProductFamily>zynq</ProductFamily><Part>xc7z007s-clg225-2</Part>
<TopModelName>top</TopModelName><TargetClockPeriod>5.00</TargetClockPeriod></UserAssignments>
<PerformanceEstimates><SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>3.645</EstimatedClockPeriod>
</SummaryOfTimingAnalysis><SummaryOfOverallLatency><unit>clock cycles</unit>
<Best-caseLatency>11</Best-caseLatency><Average-caseLatency>11</Average-caseLatency>
<Worst-caseLatency>12</Worst-caseLatency><Interval-min>1</Interval-min><Interval-max>2</Interval-max>
</SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates><Resources><BRAM_18K>5</BRAM_18K><DSP>170</DSP><FF>4021</FF><LUT>9213</LUT><URAM>0</URAM></Resources>
<AvailableResources><DSP>66</DSP></AvailableResources></AreaEstimates>
</profile>
"""
UTILIZATION = """\
| Tool Version : Vivado v.2021.1 (lin64) Build 3247384
| Design       : top
| Device       : xc7z007sclg225-2
| Slice LUTs*             | 3120 |     0 |     14400 | 21.67 |
| Slice Registers         | 2900 |     0 |     28800 | 10.07 |
| Block RAM Tile    |  2.5 |     0 |        50 |  5.00 |
| DSPs           |  170 |     0 |        66 |  >100 |
"""
FAKE = """#!/bin/sh
if [ "$1" = "-version" ]; then echo "Vitis HLS v2021.1 (64-bit)"; exit 0; fi
printf '%s\\n' "$0" "$@" > called.txt
cp build_opt.tcl options.txt 2>/dev/null || cp build_prj.tcl options.txt
mkdir -p top_prj/solution1/syn/report top_prj/solution1/sim/report
cp "$REPORTS/csynth.xml" top_prj/solution1/syn/report/csynth.xml
cp "$REPORTS/vivado_synth.rpt" vivado_synth.rpt
printf '|   Verilog|      %s|   11|   11|   11|\\n' "$COSIM" > top_prj/solution1/sim/report/top_cosim.rpt
exit ${FAIL:-0}
"""


def install(folder: Path, *names: str) -> dict[str, str]:
    """A PATH with tools of these names before the real one."""
    reports = folder / "reports"
    reports.mkdir(parents=True)
    (reports / "csynth.xml").write_text(CSYNTH)
    (reports / "vivado_synth.rpt").write_text(UTILIZATION)
    for name in names:
        file = folder / name
        file.write_text(FAKE)
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "REPORTS": str(reports), "COSIM": "Pass"}


def test_a_report_is_read_field_by_field(tmp_path: Path) -> None:
    file = tmp_path / "csynth.xml"
    file.write_text(CSYNTH)
    found = read_csynth(file)
    assert (found.dsp, found.bram_18k, found.lut, found.ff, found.uram) == (170, 5, 9213, 4021, 0)
    assert (found.latency_min_cycles, found.latency_max_cycles, found.initiation_interval_max) == (11, 12, 2)
    assert (found.clock_period_ns, found.clock_estimated_ns, found.tool_version) == (5.0, 3.645, "2021.1")
    file.write_text(CSYNTH.replace("<DSP>170</DSP>", "<DSP48E>170</DSP48E>").replace(">12<", ">undef<"))
    assert (read_csynth(file).dsp, read_csynth(file).latency_max_cycles) == (170, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [("<LUT>9213</LUT>", ""), ("clock cycles", "ns"), ("9213", "9,213"), ("<unit>ns</unit>", ""), ("</profile>", ""),
     ("<Version>2021.1</Version>", ""), ("5.00", "fast"), ("<profile>", "<!DOCTYPE x><profile>")],
)  # fmt: skip
def test_a_report_with_something_missing_is_an_error(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "csynth.xml"
    file.write_text(CSYNTH.replace(old, new))
    with pytest.raises(ExternalToolError, match=r"csynth\.xml"):
        read_csynth(file)


def test_utilization_is_read_and_its_rows_are_wanted(tmp_path: Path) -> None:
    file = tmp_path / "vivado_synth.rpt"
    file.write_text(UTILIZATION)
    found = read_utilization(file)
    assert (found.dsp, found.bram_18k, found.lut, found.ff) == (170, 5, 3120, 2900)
    for row in ("Slice LUTs", "DSPs", "Block RAM Tile", "Tool Version"):
        file.write_text(UTILIZATION.replace(row, "other"))
        with pytest.raises(ExternalToolError):
            read_utilization(file)


def test_a_failed_cosimulation_is_a_mismatch(tmp_path: Path) -> None:
    file = tmp_path / "top_cosim.rpt"
    file.write_text("|   Verilog|      Fail|   NA|\n")
    with pytest.raises(BitMismatchError):
        check_cosim(file)
    file.write_text("|   Verilog|        NA|   NA|\n")
    with pytest.raises(ExternalToolError):
        check_cosim(file)


def test_the_newer_program_is_taken_and_called_its_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in install(tmp_path, "vitis_hls").items():
        monkeypatch.setenv(name, value)
    assert find_tool("vitis").command("x.tcl") == [str(tmp_path / "vitis_hls"), "-f", "x.tcl"]
    assert Tool("vitis", "/opt/vitis-run", "2024.2").command("x.tcl") == [
        "/opt/vitis-run",
        "--mode",
        "hls",
        "--tcl",
        "x.tcl",
    ]
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    for backend in ("vitis", "vivado"):
        with pytest.raises(ExternalToolError, match="not found on PATH"):
            find_tool(backend)  # type: ignore[arg-type]


def test_steps_are_set_in_either_script(tmp_path: Path) -> None:
    block = "array set opt {\n    reset      0\n    csim       1\n    synth      1\n}\nrest\n"
    (tmp_path / "build_prj.tcl").write_text(block)
    set_options(tmp_path, {"reset": 1, "csim": 0})
    assert (tmp_path / "build_prj.tcl").read_text() == block.replace("reset      0", "reset      1").replace(
        "csim       1", "csim       0"
    )
    with pytest.raises(ExternalToolError, match="vsynth"):
        set_options(tmp_path, {"vsynth": 1})


def test_synth_runs_the_tool_in_a_copy_and_shows_both(small_build: Path, tmp_path: Path) -> None:
    source = tmp_path / "hls"
    import shutil

    shutil.copytree(small_build / "build" / "zcu102" / "hls", source)
    before = {file: file.read_bytes() for file in source.rglob("*") if file.is_file()}
    env = install(tmp_path / "bin", "vitis_hls", "vivado")
    done = run_toolchain("synth", str(source), "--cosim", "--logic", "--json", env=env)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [report["stage"] for report in document["reports"]] == ["csynth", "logic_synthesis"]
    assert [found["stage"] for found in document["estimates"]] == ["csynth", "logic_synthesis"]
    copy = tmp_path / "hls_synth"
    assert (copy / "called.txt").read_text().split()[1:] == ["-f", "build_prj.tcl"]
    options = (copy / "options.txt").read_text()
    for step, value in (("csim", 0), ("synth", 1), ("cosim", 1), ("vsynth", 1), ("export", 0)):
        assert any(line.split() == [step, str(value)] for line in options.splitlines()), step
    assert before == {file: file.read_bytes() for file in source.rglob("*") if file.is_file()}
    failed = run_toolchain("synth", str(source), env={**env, "FAIL": "1"})
    assert failed.returncode == 6
    assert "exit code 1" in failed.stderr
    assert run_toolchain("synth", str(source), "--cosim", env={**env, "COSIM": "Fail"}).returncode == 5


def test_without_a_tool_synth_says_what_is_missing(small_build: Path) -> None:
    done = run_toolchain("synth", str(small_build / "build" / "zcu102" / "hls"))
    assert done.returncode == 6
    assert "vitis_hls" in done.stderr


def test_a_hierarchical_utilization_report_is_that_of_its_first_row(tmp_path: Path) -> None:
    """``report_utilization -hierarchical``, as Vivado 2020.1 printed it for a published design."""
    file = tmp_path / "vivado_synth.rpt"
    file.write_text(
        "| Tool Version : Vivado v.2020.1 (lin64) Build 2902540\n| Design       : myhls\n"
        "| Device       : xcu250figd2104-2L\n"
        "1. Utilization by Hierarchy\n---------------------------\n"
        "| Instance | Module | Total LUTs | Logic LUTs | LUTRAMs | SRLs | FFs | RAMB36 | RAMB18 | URAM | DSP Blocks |\n"
        "| myhls     |  (top) |      88306 |      87069 |       0 | 1237 | 55198 |  33 |  8 |    0 |       3597 |\n"
        "|   (myhls) |  (top) |          9 |          9 |       0 |    0 |     1 |   0 |  0 |    0 |          0 |\n"
    )
    found = read_utilization(file)
    assert (found.lut, found.ff, found.dsp, found.bram_18k, found.uram) == (88306, 55198, 3597, 74, 0)
    file.write_text(file.read_text().replace("Total LUTs", "Some LUTs"))
    with pytest.raises(ExternalToolError, match="has no column Total LUTs"):
        read_utilization(file)
