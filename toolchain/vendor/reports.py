"""The tools' reports as one typed record; a field or a unit that is missing is an error, never a zero."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from toolchain.errors import BitMismatchError, ExternalToolError

LARGEST_REPORT_BYTES = 64 * 2**20


class SynthesisReport(BaseModel):
    """What a tool reported. Latency and interval in cycles; None where the stage has none of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: Literal["csynth", "logic_synthesis"]
    tool_version: str
    part: str
    top: str
    clock_period_ns: float | None
    clock_estimated_ns: float | None
    latency_min_cycles: int | None
    latency_max_cycles: int | None
    initiation_interval_min: int | None
    initiation_interval_max: int | None
    dsp: int
    bram_18k: int
    lut: int
    ff: int
    uram: int


def read_csynth(file: Path) -> SynthesisReport:
    """``csynth.xml`` of Vivado HLS or Vitis HLS. Raises ExternalToolError."""
    text = _text(file)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ExternalToolError("holds a document type: it is no report of the tool", where=str(file))
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ExternalToolError(f"is no XML: {error}", where=str(file)) from None
    given, timing = "UserAssignments", "PerformanceEstimates/SummaryOfTimingAnalysis"
    overall, area = "PerformanceEstimates/SummaryOfOverallLatency", "AreaEstimates/Resources"
    for place, unit in ((given, "ns"), (timing, "ns"), (overall, "clock cycles")):
        found = root.findtext(f"{place}/unit")
        if found is None or found.strip() != unit:
            raise ExternalToolError(f"{place} has the unit {found!r}", where=str(file), allowed=unit)
    dsp = "DSP" if root.find(f"{area}/DSP") is not None else "DSP48E"
    return SynthesisReport(
        stage="csynth",
        tool_version=_field(root, "ReportVersion/Version", file),
        part=_field(root, f"{given}/Part", file),
        top=_field(root, f"{given}/TopModelName", file),
        clock_period_ns=_real(root, f"{given}/TargetClockPeriod", file),
        clock_estimated_ns=_real(root, f"{timing}/EstimatedClockPeriod", file),
        latency_min_cycles=_cycles(root, f"{overall}/Best-caseLatency", file),
        latency_max_cycles=_cycles(root, f"{overall}/Worst-caseLatency", file),
        initiation_interval_min=_cycles(root, f"{overall}/Interval-min", file),
        initiation_interval_max=_cycles(root, f"{overall}/Interval-max", file),
        dsp=_count(root, f"{area}/{dsp}", file),
        bram_18k=_count(root, f"{area}/BRAM_18K", file),
        lut=_count(root, f"{area}/LUT", file),
        ff=_count(root, f"{area}/FF", file),
        uram=_count(root, f"{area}/URAM", file) if root.find(f"{area}/URAM") is not None else 0,
    )


def read_utilization(file: Path) -> SynthesisReport:
    """Vivado's ``report_utilization``; block RAM tiles are two 18 Kb blocks each. Raises ExternalToolError."""
    text = _text(file)
    if "Utilization by Hierarchy" in text:
        return _hierarchical(text, file)
    tiles = _row(text, r"Block RAM Tile", file)
    return SynthesisReport(
        stage="logic_synthesis",
        tool_version=_header(text, r"Tool Version\s*:\s*Vivado v\.?(20\d\d\.\d)", file),
        part=_header(text, r"Device\s*:\s*(\S+)", file),
        top=_header(text, r"Design\s*:\s*(\S+)", file),
        clock_period_ns=None, clock_estimated_ns=None, latency_min_cycles=None, latency_max_cycles=None,
        initiation_interval_min=None, initiation_interval_max=None,
        dsp=int(_row(text, r"DSPs|DSP Slices", file)),
        bram_18k=round(2 * tiles),
        lut=int(_row(text, r"(?:CLB|Slice) LUTs\*?", file)),
        ff=int(_row(text, r"(?:CLB|Slice) Registers", file)),
        uram=int(_row(text, r"URAM", file)) if re.search(r"^\|\s*URAM\s*\|", text, re.MULTILINE) else 0,
    )  # fmt: skip


def _hierarchical(text: str, file: Path) -> SynthesisReport:
    """``report_utilization -hierarchical``: the first row is the whole design."""
    rows = [
        [cell.strip() for cell in line.strip("| \n").split("|")] for line in text.splitlines() if line.count("|") > 5
    ]
    titles = next((row for row in rows if row[0] == "Instance"), [])
    whole = next((row for row in rows if row is not titles and len(row) == len(titles)), None)
    if whole is None:
        raise ExternalToolError("has no table of instances", where=str(file), hint="report_utilization makes it")
    counts = dict(zip(titles, whole, strict=True))

    def count(*names: str) -> int:
        for name in names:
            if counts.get(name, "").isdigit():
                return int(counts[name])
        raise ExternalToolError(f"has no column {names[0]}", where=str(file), allowed=", ".join(titles))

    return SynthesisReport(
        stage="logic_synthesis",
        tool_version=_header(text, r"Tool Version\s*:\s*Vivado v\.?(20\d\d\.\d)", file),
        part=_header(text, r"Device\s*:\s*(\S+)", file),
        top=_header(text, r"Design\s*:\s*(\S+)", file),
        clock_period_ns=None, clock_estimated_ns=None, latency_min_cycles=None, latency_max_cycles=None,
        initiation_interval_min=None, initiation_interval_max=None,
        dsp=count("DSP Blocks", "DSP48 Blocks", "DSP Slices"), bram_18k=2 * count("RAMB36") + count("RAMB18"),
        lut=count("Total LUTs"), ff=count("FFs"), uram=count("URAM") if "URAM" in titles else 0,
    )  # fmt: skip


def check_cosim(file: Path) -> None:
    """Raise BitMismatchError when the RTL co-simulation failed, ExternalToolError when it did not run."""
    found = re.search(r"^\|\s*Verilog\s*\|\s*(\w+)\s*\|", _text(file), re.MULTILINE)
    if found is None or found[1] not in ("Pass", "Fail"):
        raise ExternalToolError("says nothing of Verilog: the co-simulation did not run", where=str(file))
    if found[1] == "Fail":
        raise BitMismatchError("the RTL co-simulation failed", where=str(file))


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > LARGEST_REPORT_BYTES:
            raise ExternalToolError(f"is larger than {LARGEST_REPORT_BYTES} bytes", where=str(file))
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ExternalToolError(f"cannot be read: {error.strerror}", where=str(file)) from None


def _field(root: ElementTree.Element, path: str, file: Path) -> str:
    found = root.findtext(path)
    if found is None or not found.strip():
        raise ExternalToolError(f"has no {path}", where=str(file), hint="a report of another version? please report it")
    return found.strip()


def _real(root: ElementTree.Element, path: str, file: Path) -> float:
    text = _field(root, path, file)
    try:
        return float(text)
    except ValueError:
        raise ExternalToolError(f"{path} is {text!r}", where=str(file), allowed="a number") from None


def _count(root: ElementTree.Element, path: str, file: Path) -> int:
    text = _field(root, path, file)
    if not text.isdigit():
        raise ExternalToolError(f"{path} is {text!r}", where=str(file), allowed="a whole number")
    return int(text)


def _cycles(root: ElementTree.Element, path: str, file: Path) -> int | None:
    """A number of cycles; the tools write ``undef`` or ``?`` where a loop's length is not known."""
    text = _field(root, path, file)
    return None if text in ("undef", "?") else _count(root, path, file)


def _row(text: str, name: str, file: Path) -> float:
    found = re.search(rf"^\|\s*(?:{name})\s*\|\s*([\d.]+)\s*\|", text, re.MULTILINE)
    if found is None:
        raise ExternalToolError(
            f"has no row {name}", where=str(file), hint="the output of report_utilization is wanted"
        )
    return float(found[1])


def _header(text: str, pattern: str, file: Path) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise ExternalToolError(f"has no header {pattern.split(chr(92))[0]!r}", where=str(file))
    return found[1]
