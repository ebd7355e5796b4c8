"""Synthesis of a written project in a copy of its folder: what is verified stays as it is."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.errors import ExternalToolError
from toolchain.vendor.reports import SynthesisReport, check_cosim, read_csynth, read_utilization
from toolchain.vendor.tools import find_tool, require_vivado, run


@dataclass(frozen=True)
class Synthesis:
    """What was run and reported; ``logic`` is None unless it was asked for."""

    folder: Path
    tool: str
    csynth: SynthesisReport
    logic: SynthesisReport | None
    cosim: bool


def synthesize(
    source: Path, folder: Path, backend: Literal["vitis", "vivado"], cosim: bool = False, logic: bool = False
) -> Synthesis:
    """Copy the project in ``source`` to ``folder``, synthesize it there, read the reports.

    ``cosim``: RTL co-simulation too; ``logic``: Vivado's logic synthesis too. Raises ExternalToolError when a tool is
    missing, fails or reports something else than expected, BitMismatchError when the co-simulation fails.
    """
    tool = find_tool(backend)
    if logic:
        require_vivado()
    if folder.exists():
        shutil.rmtree(folder)
    shutil.copytree(source, folder)
    options = {
        "reset": 1,
        "csim": 0,
        "synth": 1,
        "cosim": int(cosim),
        "validation": 0,
        "export": 0,
        "vsynth": int(logic),
    }
    set_options(folder, options)
    run(tool.command("build_prj.tcl"), folder, folder / "synth.log")
    reports = sorted(folder.glob("*_prj/solution1/syn/report/csynth.xml"))
    if len(reports) != 1:
        raise ExternalToolError(
            f"wrote {len(reports)} reports csynth.xml",
            where=str(folder),
            hint=f"its whole output: {folder / 'synth.log'}",
        )
    if cosim:
        found = sorted(folder.glob("*_prj/solution1/sim/report/*_cosim.rpt"))
        check_cosim(found[0] if found else folder / "cosim.rpt")
    return Synthesis(
        folder, f"{Path(tool.program).name} {tool.version}", read_csynth(reports[0]),
        read_utilization(folder / "vivado_synth.rpt") if logic else None, cosim,
    )  # fmt: skip


def set_options(folder: Path, options: dict[str, int]) -> None:
    """Write the steps into the project's ``array set opt`` block. Raises ExternalToolError when it has none."""
    for name in ("build_opt.tcl", "build_prj.tcl"):
        file = folder / name
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        found = re.search(r"array set opt \{(.*?)\n\}", text, re.DOTALL)
        if not found:
            continue
        block = found[1]
        for key, value in options.items():
            block, count = re.subn(rf"(^\s*{key}\s+)\d+", rf"\g<1>{value}", block, flags=re.MULTILINE)
            if not count and value:
                raise ExternalToolError(f"{name} has no step {key!r}", where=str(folder), allowed="a project of hls4ml")
        file.write_text(text[: found.start(1)] + block + text[found.end(1) :], encoding="utf-8")
        return
    raise ExternalToolError(
        "has no build_prj.tcl with steps to choose", where=str(folder), allowed="a project that hls4ml wrote"
    )
