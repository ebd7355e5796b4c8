"""How far the estimates are from published synthesis reports: ``python benchmarks/estimate_accuracy.py FOLDER``.

FOLDER holds ``designs.csv``, ``weights.csv`` and ``weights.npz``: one row per design (tool, strategy, reuse factor,
figures of its C-synthesis report) and its integer weights. Dense networks whose weights are all known are rebuilt as
designs and estimated; duplicates are left out, and DSP is not scored where the binding of products was forced.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.stage import estimate_design
from toolchain.target import load_target


def bits(text: str) -> int:
    """Total bits of ``ap_fixed<W,I>``."""
    match = re.search(r"<\s*(\d+)", str(text))
    return int(match[1]) if match else 16


def design_of(row: pd.Series, weights: pd.DataFrame, arrays: dict[str, np.ndarray]) -> Design | None:
    """The row's dense layers and activations; None when a layer's weights are not known."""
    family = "7series" if str(row.part).startswith("xc7") else "ultrascale_plus"
    tool = "vitis" if "Vitis" in str(row.tool) else "vivado"
    layers, data = [], bits(row.input_t)
    known = weights[weights.id == row.id].set_index("layer")
    factors = str(row.reuse_effective).split(";")
    number = 0
    for config in json.loads(row.layers_json):
        if config.get("base") == "dense_config":
            if config["cfg"] not in known.index:
                return None
            matrix = arrays[known.loc[config["cfg"], "key"]].astype(np.int64)
            factor = int(float(factors[min(number, len(factors) - 1)]))
            accumulator = bits(config.get("accum_t", row.accum_t))
            strategy = str(config.get("strategy", row.strategy)).lower()
            layers.append(
                DesignLayer(config["cfg"], "dense", data, accumulator, matrix.shape[1], 1, matrix,
                            int(known.loc[config["cfg"], "total_bits"]), accumulator, strategy, factor)
            )  # fmt: skip
            number += 1
            data = accumulator
        elif "relu" in config.get("cfg", ""):
            width = min(bits(row.weight_t), 16) if tool == "vitis" else 16
            layers.append(DesignLayer(config["cfg"], "activation", data, width, int(config["n_in"])))
            data = width
    return Design(tuple(layers), tool, str(row.io_type), family, float(row.clock_ns)) if number else None


def score(folder: Path) -> pd.DataFrame:
    designs = pd.read_csv(folder / "designs.csv", low_memory=False)
    designs = designs[designs.duplicate_of.isna() & (designs.stage == "csynth") & (designs.weights == "all")]
    designs = designs[(designs.io_type.fillna("io_parallel") == "io_parallel") & designs.strategy.notna()]
    weights = pd.read_csv(folder / "weights.csv")
    fpga = load_target("alveo_u250").fpga
    assert fpga is not None
    rows = []
    with np.load(folder / "weights.npz") as stored:
        arrays = dict(stored)
    for _, row in designs.iterrows():
        design = design_of(row, weights, arrays)
        if design is None:
            continue
        found = estimate_design(design, fpga)
        softmax = "softmax" in str(row.model)
        reuse = "1" if str(row.reuse_effective) in ("1", "1.0") else "> 1"
        group = f"{row.source.split('/')[1]}, {row.strategy.lower()}, RF {reuse}"
        truth = {
            "dsp": row.DSP, "bram_18k": row.BRAM_18K, "lut": row.LUT, "ff": row.FF,
            "latency_cycles": row.latency_max, "initiation_interval": row.ii_max,
        }  # fmt: skip
        for name, true in truth.items():
            if pd.isna(true) or (name == "dsp" and row.mul_binding in ("lut", "dsp")):
                continue
            if softmax and name in ("dsp", "bram_18k"):  # n each: softmax is not part of what is built here
                true = max(true - int(re.findall(r"softmax\((\d+)\)", row.model)[0]), 0)
            estimated = getattr(found, name)
            rows.append((group, name, estimated.value, float(true), estimated.low <= true <= estimated.high))
    return pd.DataFrame(rows, columns=["group", "figure", "estimate", "truth", "inside"])


def table(scores: pd.DataFrame) -> str:
    """Median and 90th percentile of the relative error, share within max(1, 5 %), share inside the 80 % interval."""
    head = "group | figure | n | median | p90 | within max(1, 5 %) | in interval"
    lines = [head, " | ".join(["---"] * 7)]
    for (group, figure), part in scores.groupby(["group", "figure"], sort=True):
        error = (part.estimate - part.truth).abs()
        relative = 100 * error / part.truth.clip(lower=1)
        within = 100 * (error <= np.maximum(1, 0.05 * part.truth)).mean()
        shown = (relative.median(), relative.quantile(0.9), within, 100 * part.inside.mean())
        lines.append(" | ".join([group, figure, str(len(part)), *(f"{value:.0f} %" for value in shown)]))
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(table(score(Path(sys.argv[1]))))
