"""A directory that hls4ml wrote, as a ``Design`` and its device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.directory.layers import read_layers
from toolchain.estimate.directory.project import Given, HlsProject, device, find_project
from toolchain.estimate.directory.sources import Sources, read_sources
from toolchain.estimate.partitions import runs_beside
from toolchain.target import Fpga, speed_grade


@dataclass(frozen=True)
class Found:
    """A design, what it is for, and what was noticed. ``known_device``: the device's resources are known."""

    project: HlsProject
    design: Design
    fpga: Fpga
    known_device: bool
    notes: tuple[str, ...]
    configs: Mapping[str, str]  # layer -> the struct that configures it


def read_directory(folder: Path, given: Given | None = None) -> Found:
    """Read ``folder``; ``given`` replaces what the project says of tool, part and clock.

    Raises UnsupportedModelError for what hls4ml's Vivado and Vitis backends do not write, or a layer that is not
    estimated; ProjectError when tool, part or clock are nowhere.
    """
    project = find_project(folder, given or Given())
    sources = read_sources(project.firmware, project.top)
    reading = read_layers(sources, project.firmware)
    fpga, known = device(project)
    beside, said = _run_beside(sources, reading.layers)
    design = Design(
        tuple(reading.layers), project.tool, "io_stream" if sources.streams else "io_parallel", fpga.family,
        project.clock_period_ns, project.tool_version, speed_grade(project.part),
        part=project.part, uncertainty=project.uncertainty, dataflow=beside,
    )  # fmt: skip
    unknown = () if known else (f"{project.part}: no target file has this device; its share is not known",)
    notes = (*project.notes, *unknown, *said, *reading.notes)
    return Found(project, design, fpga, known, notes, reading.configs)


def _run_beside(sources: Sources, layers: list[DesignLayer]) -> tuple[bool, tuple[str, ...]]:
    """(whether the layers of a design in parallel run side by side, a note where the top function does not say it).

    Without a pragma it is taken as hls4ml writes it: the one such design has a FIFO for each word.
    """
    if sources.streams or sources.dataflow or sources.pipelined:
        return sources.dataflow and not sources.streams, ()
    if not any(layer.pixels and runs_beside(layer) for layer in layers):
        return False, ()
    return True, ("the top function says neither PIPELINE nor DATAFLOW: DATAFLOW is taken, as hls4ml writes it",)
