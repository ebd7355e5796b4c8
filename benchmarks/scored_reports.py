"""A report that estimates are scored against, whoever published it, and what a fit may see of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolchain.estimate.calibration import Observation
from toolchain.estimate.design import Design
from toolchain.target import Fpga


@dataclass(frozen=True)
class Report:
    """Figures of a whole design after one stage, and the design. ``group``: what is left out of a fit together."""

    row: Any
    design: Design
    group: str
    figures: Mapping[str, float]
    layers: Mapping[str, Mapping[str, float]]  # figures of single layers, by configuration
    fpga: Fpga | None = None  # None: a device with room for all


def observations(report: Report) -> Iterator[Observation]:
    """What a fit may see of a report: its layers one by one, or the whole when it has one."""
    if len(report.design.layers) == 1:
        yield Observation(report.design, report.design.layers[0], report.figures, report.row.source)
        return
    for layer in report.design.layers:
        if layer.name in report.layers:
            yield Observation(report.design, layer, report.layers[layer.name], report.row.source)
