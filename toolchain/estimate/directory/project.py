"""Which tool, part and clock a directory is for: its scripts and configuration say so, or the user does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from toolchain.errors import ProjectError, UnsupportedModelError
from toolchain.estimate.directory.sources import read_text
from toolchain.target import Fpga, all_targets

Tool = Literal["vivado", "vitis"]
Family = Literal["7series", "ultrascale", "ultrascale_plus", "versal"]
_BACKENDS: dict[str, Tool] = {
    "vivado": "vivado", "vitis": "vitis", "vivadoaccelerator": "vivado", "vitisaccelerator": "vitis",
    "vitisunified": "vitis",
}  # fmt: skip


@dataclass(frozen=True)
class Given:
    """What the user says instead of what the project says."""

    tool: str = ""
    tool_version: str = ""
    part: str = ""
    clock_period_ns: float | None = None


@dataclass(frozen=True)
class HlsProject:
    """A directory's tool, part and clock, and the files to read."""

    folder: Path
    firmware: Path
    top: Path
    tool: Tool
    tool_version: str
    part: str
    clock_period_ns: float
    uncertainty: float | None  # share of the clock period that the tool keeps free; None: nowhere said
    notes: tuple[str, ...]


def find_project(folder: Path, given: Given) -> HlsProject:
    """Raises ProjectError when tool, part or clock are nowhere, UnsupportedModelError when hls4ml did not write it."""
    firmware = folder / "firmware"
    if not firmware.is_dir():
        raise UnsupportedModelError(
            "has no firmware folder", where=str(folder), allowed="a directory that hls4ml wrote (Vivado or Vitis)"
        )
    texts = {name: read_text(folder / name) for name in _SCRIPTS if (folder / name).is_file()}
    tool = _tool(folder, texts, given)
    version = given.tool_version or _version(folder)
    notes = [] if version else ["the tool's version is not known: give --tool-version for a nearer estimate"]
    if not given.tool and not _first(texts, (r"^\s*Backend:\s*(\w+)",)):
        notes.append("no hls4ml_config.yml: hls4ml 0.7 to 1.0 wrote 'vivado' for Vitis too; --tool says which it is")
    part = given.part or _first(texts, _PARTS)
    clock = given.clock_period_ns or float(_first(texts, _CLOCKS) or 0)
    for what, found, flag in (("part", part, "--part"), ("clock period", clock, "--clock-period-ns")):
        if not found:
            raise ProjectError(f"its {what} is not said", where=str(folder), hint=flag)
    notes += _conflicts(texts, given)
    top = _top(firmware, texts)
    around = sorted(
        file.stem for file in firmware.glob(f"{top.stem}_*.cpp") if file.stem.endswith(("_axi", "_wrapper"))
    )
    if around:
        notes.append(f"{', '.join(around)} around {top.stem} is not counted: its report has a module {top.stem}")
    return HlsProject(folder, firmware, top, tool, version, part, clock, _uncertainty(texts, clock), tuple(notes))


def device(project: HlsProject) -> tuple[Fpga, bool]:
    """The device of the project's part, and whether its resources are known."""
    part = project.part.lower()
    for target in all_targets():
        fpga = target.fpga
        known = [name.lower() for name in (fpga.part, *fpga.valid_parts)] if fpga else []
        if fpga and any(part == name or _die(part) == _die(name) for name in known):
            return fpga.model_copy(update={"part": project.part}), True
    blank = Fpga(
        part=re.sub(r"[^A-Za-z0-9._-]", "_", project.part), family=family_of(project.part), lut=0, ff=0, dsp=0,
        clock_period_ns=project.clock_period_ns, clock_uncertainty_percent=27.0,
    )  # fmt: skip
    return blank, False


def family_of(part: str) -> Family:
    """The device family of a part or board part name. Raises ProjectError for an unknown one."""
    name = part.lower()
    if re.match(r"xc7[a-z]|xa7|xq7", name):
        return "7series"
    if re.match(r"xc(v[chmpe]\d|ve|vm|vc|vp|vh)", name) and not name.startswith("xcvu"):
        return "versal"
    if re.match(r"xck\d\d|xcu\d|xczu|xcau|xck26|xck24", name):
        return "ultrascale_plus"
    if re.match(r"xc[kv]u\d+p", name):
        return "ultrascale_plus"
    if re.match(r"xc[kv]u\d+", name):
        return "ultrascale"
    raise ProjectError(f"unknown part {part!r}", where="--part", allowed="xc7…, xcku…, xcvu…, xczu…, xcu…, xck…, xcv…")


_SCRIPTS = ("project.tcl", "build_prj.tcl", "hls4ml_config.yml", "vivado_synth.tcl", "hls4ml_config.yaml")
_PARTS = (
    r'^\s*set\s+part\s+"?([\w-]+)"?', r"^\s*set_part\s+\{?\"?([\w-]+)", r"^\s*(?:Part|XilinxPart):\s*([\w-]+)",
    r"-part\s+([\w-]+)",
)  # fmt: skip
_TOOLS = (r"^\s*Backend:\s*(\w+)", r'^\s*set\s+backend\s+"?(\w+)"?')
_CLOCKS = (
    r"^\s*set\s+clock_period\s+([\d.]+)", r"create_clock\s+-period\s+([\d.]+)", r"^\s*ClockPeriod:\s*([\d.]+)",
)  # fmt: skip


_UNCERTAINTIES = (
    r"^\s*set\s+clock_uncertainty\s+\"?([\d.]+%?)", r"^\s*set_clock_uncertainty\s+([\d.]+%?)",
    r"^\s*ClockUncertainty:\s*([\d.]+%?)",
)  # fmt: skip


def _uncertainty(texts: dict[str, str], clock_period_ns: float) -> float | None:
    """A share of the period, from per cent or nanoseconds."""
    said = _first(texts, _UNCERTAINTIES)
    if not said:
        return None
    share = float(said.removesuffix("%")) / (100 if said.endswith("%") else clock_period_ns)
    return share if 0 <= share < 1 else None


def _conflicts(texts: dict[str, str], given: Given) -> list[str]:
    """What the files of the directory say differently, unless the user said it."""
    asked = (
        ("tool", _TOOLS, given.tool, "--tool", lambda word: _BACKENDS.get(word.lower(), word.lower())),
        ("part", _PARTS, given.part, "--part", str.lower),
        ("clock period", _CLOCKS, given.clock_period_ns, "--clock-period-ns", lambda word: f"{float(word):g} ns"),
    )
    notes = []
    for what, patterns, settled, flag, plain in asked:
        said = {name: plain(word) for name, text in texts.items() if (word := _first({name: text}, patterns))}
        if settled or len(set(said.values())) < 2:
            continue
        used = "hls4ml_config.yml is used" if what == "tool" else f"{next(iter(said))} is used"
        every = ", ".join(f"{name} says {word}" for name, word in said.items())
        notes.append(f"{what}: {every}; {used}, {flag} says which it is")
    return notes


def _first(texts: dict[str, str], patterns: tuple[str, ...]) -> str:
    for text in texts.values():
        for pattern in patterns:
            found = re.search(pattern, text, re.MULTILINE)
            if found and found[1].lower() not in ("none", "null"):
                return found[1]
    return ""


def _tool(folder: Path, texts: dict[str, str], given: Given) -> Tool:
    script = _first(texts, (r'^\s*set\s+backend\s+"?(\w+)"?',))
    # The scripts of hls4ml 0.7 to 1.0 say vivado for Vitis too; its configuration file says which it is.
    named = given.tool or _first(texts, (r"^\s*Backend:\s*(\w+)",)) or script
    tool = _BACKENDS.get(named.lower())
    if tool:
        return tool
    if named:
        raise UnsupportedModelError(f"was written for {named}", where=str(folder), allowed="Vivado and Vitis backends")
    if not texts:
        raise ProjectError("which tool it is for is not said", where=str(folder), hint="--tool vivado or --tool vitis")
    return "vivado"  # hls4ml wrote the backend's name only when there were several


def _version(folder: Path) -> str:
    """The version that a report in the directory names, if it was ever synthesized."""
    for pattern in ("**/csynth.rpt", "**/*_csynth.rpt", "vivado_hls.log", "vitis_hls.log"):
        for file in sorted(folder.glob(pattern))[:1]:
            found = re.search(r"(?:Version:|version|v)\s*(20\d\d\.\d)", file.read_text(errors="replace")[:20000])
            if found:
                return found[1]
    return ""


def _top(firmware: Path, texts: dict[str, str]) -> Path:
    files = [file for file in sorted(firmware.glob("*.cpp")) if "nnet::" in read_text(file)]
    files = [file for file in files if not file.stem.endswith(("_axi", "_wrapper"))] or files
    if len(files) > 1:  # what another conversion left there
        named = _first(texts, (r"^\s*set_top\s+\{?(\w+)", r'^\s*(?:set|variable)\s+project_name\s+"?(\w+)'))
        files = [file for file in files if file.stem == named] or files
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise UnsupportedModelError(
            f"one file with the top function is wanted, found {names}", where=str(firmware), allowed="what hls4ml wrote"
        )
    return files[0]


def _die(part: str) -> str:
    """The device without package and speed: 7-series names are written with and without a dash behind it."""
    seven = re.match(r"x[caq]7[a-z]+\d+t?", part)
    return seven[0] if seven else part.split("-")[0] if "-" in part else part[:8]
