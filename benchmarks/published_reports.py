"""Published synthesis reports as designs: reads ``designs.csv``, ``layers.csv``, ``weights.csv``, ``weights.npz``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from published_layers import NotReadError, PublishedLayers, StoredWeights, module_formats
from scored_reports import Report

from toolchain.estimate.design import Design, DesignLayer
from toolchain.target import speed_grade


class Reader:
    """Designs from the rows, with their weights."""

    def __init__(self, folder: Path) -> None:
        self.designs = pd.read_csv(folder / "designs.csv", low_memory=False)
        layers = pd.read_csv(folder / "layers.csv", low_memory=False)
        self.layers = dict(tuple(layers.groupby("id")))
        weights = pd.read_csv(folder / "weights.csv")
        with np.load(folder / "weights.npz") as arrays:
            self.stored = StoredWeights({(row.id, row.layer): row for row in weights.itertuples()}, dict(arrays))

    def reports(self, stage: str, qualities: tuple[str, ...] = ("A", "B")) -> Iterator[Report]:
        chosen = self.designs[
            self.designs.duplicate_of.isna() & (self.designs.stage == stage) & self.designs.quality.isin(qualities)
        ]
        for row in chosen.itertuples():
            report = self._report(row)
            if report is not None:
                yield report

    def _report(self, row: Any) -> Report | None:
        modules = self.layers.get(row.id)
        formats, figures = {}, {}
        for module in modules.itertuples() if modules is not None else ():
            named = re.search(r"((?:hard_tanh|LeakyReLU)_config\d+)", module.module)
            name = module.cfg if isinstance(module.cfg, str) else named[1] if named else ""
            if name:
                formats[name] = module_formats(module.module)
                figures[name] = {"lut": float(module.LUT), "ff": float(module.FF)}
        try:
            layers = PublishedLayers(self.stored, row, formats).all()
        except NotReadError:
            return None
        if modules is not None:
            figures |= _unnamed(modules, [layer for layer in layers if layer.name not in figures])
        family = "7series" if str(row.part).startswith("xc7") else "ultrascale_plus"
        tool = "vitis" if "Vitis" in str(row.tool) else "vivado"
        io_type = str(row.io_type) if isinstance(row.io_type, str) else "io_parallel"
        version, grade = str(row.tool_version), speed_grade(str(row.part))
        design = Design(tuple(layers), tool, io_type, family, float(row.clock_ns), version, grade)
        whole = {
            "dsp": row.DSP, "bram_18k": row.BRAM_18K, "lut": row.LUT, "ff": row.FF, "latency_cycles": row.latency_max,
            "initiation_interval": row.ii_max,
        }  # fmt: skip
        whole = {name: float(value) for name, value in whole.items() if pd.notna(value)}
        return Report(row, design, _group(row.source), whole, figures)


def _unnamed(modules: pd.DataFrame, layers: list[DesignLayer]) -> dict[str, dict[str, float]]:
    """Figures of dense layers whose module's name was cut off: by size, where there are as many modules as layers.

    For the four designs that have such, DSP blocks and intervals agree with this order.
    """
    cut = modules[modules.cfg.isna() & modules.module.str.startswith("dense_latency_0_0_")].sort_values("LUT")
    dense = sorted(
        (layer for layer in layers if layer.kind == "dense" and layer.weights is not None),
        key=lambda layer: int(np.count_nonzero(layer.weights)),
    )
    if len(cut) != len(dense):
        return {}
    return {
        layer.name: {"lut": float(module.LUT), "ff": float(module.FF)}
        for layer, module in zip(dense, cut.itertuples(), strict=True)
    }


def _group(source: str) -> str:
    owner = source.split("/")[0]
    return {"Dendendelen": "wa", "Berk-Bilgin": "conv1d", "seanlipps": "conv1d"}.get(owner, owner)
