"""Synthesized hls4ml projects as reports: every directory below a folder with ``firmware/`` and the tool's reports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scored_reports import Report

from toolchain.errors import ToolchainError
from toolchain.estimate.calibration import Observation
from toolchain.estimate.directory.project import Given
from toolchain.estimate.directory.reader import read_directory
from toolchain.estimate.kinds import layer_amounts
from toolchain.vendor.observations import reported
from toolchain.vendor.reports import read_csynth

#: The quality of a report that was read from a project's own directory.
PROJECT = "P"


@dataclass(frozen=True)
class Row:
    """What the scores ask of a row of ``designs.csv``."""

    source: str
    stage: str
    quality: str = PROJECT
    model: str = ""
    pair_id: str = ""


def project_reports(folder: Path) -> Iterator[Report]:
    """The reports of each synthesized project, by stage: ``folder/AUTHOR/…``; what cannot be used is printed.

    ``projects.csv`` names those that the published table was measured on: where each lies in ``folder``, the commit of
    its repository, its folder there, and whether it was read or refused.

    An author's projects are left out together. Of designs of dense layers in parallel, without a doubt, the layers
    enter a fit; all designs are scored. A project that another author published, too, counts once.
    """
    seen: set[tuple[object, ...]] = set()
    for firmware in sorted(folder.rglob("firmware")):
        project = firmware.parent
        author, *below = project.relative_to(folder).parts
        try:
            found = _read(project, author, "/".join([author, *below[:1]]))
        except ToolchainError as error:
            print(f"left out: {project.relative_to(folder)}: {str(error).splitlines()[0]}")
            continue
        for report in found:
            key = (report.row.stage, *sorted(report.figures.items()))
            if key not in seen:
                seen.add(key)
                yield report


def _read(project: Path, author: str, source: str) -> list[Report]:
    tops = [
        file for file in project.rglob("*_csynth.xml")
        if (project / "firmware" / file.name.replace("_csynth.xml", ".cpp")).is_file()
    ]  # fmt: skip
    if not tops:
        return []
    top = read_csynth(sorted(tops)[0])
    text = sorted(tops)[0].with_suffix(".rpt")
    vitis = "Vitis HLS" in text.read_text(errors="replace")[:500] if text.is_file() else top.tool_version >= "2021"
    version = re.match(r"\d{4}\.\d", top.tool_version)
    given = Given("vitis" if vitis else "vivado", version[0] if version else "", top.part, top.clock_period_ns)
    found = reported(read_directory(project, given), layers_wanted=False)
    known = {"dense", "activation", "softmax", "table", "scale", "reshape"}
    clean = found.design.io_type == "io_parallel" and {layer.kind for layer in found.design.layers} <= known
    clean = clean and not any(layer.doubt or layer.data_widths for layer in found.design.layers)  # HGQ: narrower
    few = {one.layer.name for one in found.layers if _regime(one) == "block"}  # five layers would lead the grid's fit
    layers = {one.layer.name: dict(one.figures) for one in found.layers if clean and one.layer.name not in few}
    return [
        Report(Row(source, stage), found.design, author, dict(figures), layers if stage == "csynth" else {}, found.fpga)
        for stage, figures in found.whole.items()
    ]


def _regime(one: Observation) -> str:
    amounts = layer_amounts(one.layer, one.design)
    return amounts["lut"].regime if amounts else ""
