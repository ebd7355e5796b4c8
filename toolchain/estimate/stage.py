"""Stage ``estimate``: layers counted, priced and added up, with 80 % intervals and a grade."""

from __future__ import annotations

import math
from typing import Literal

from toolchain.estimate.design import Design, DesignLayer, design_of
from toolchain.estimate.prices import Price, price
from toolchain.network import storage
from toolchain.project import HlsSection
from toolchain.results import Estimated, EstimateResult, Job, LayerEstimate, QuantizeResult
from toolchain.target import Fpga

RESOURCES = ("dsp", "bram_18k", "lut", "ff")


def estimate(quantized: QuantizeResult, section: HlsSection, fpga: Fpga, job: Job) -> EstimateResult:
    """The C-synthesis estimate of the network's design on ``fpga``. Needs no vendor tool and no TensorFlow."""
    network = storage.load(quantized.folder / "network.fpn")
    return estimate_design(design_of(network, section, fpga), fpga)


def estimate_design(design: Design, fpga: Fpga) -> EstimateResult:
    """Price every layer of ``design`` and add up."""
    priced = [(layer, price(layer, design)) for layer in design.layers]
    totals = {name: _total(priced, name) for name in RESOURCES}
    latency = _latency(design, priced)
    interval = _interval(design, priced)
    share = {name: totals[name].value / held for name, held in _held(fpga).items() if held}
    over = [name for name, held in _held(fpga).items() if held is not None and totals[name].value > held]
    notes = _notes(design, fpga, priced)
    return EstimateResult(
        stage="csynth", **totals, latency_cycles=latency, latency_ns=_scaled(latency, design.clock_period_ns),
        initiation_interval=interval, layers=tuple(_layer(layer, found) for layer, found in priced), share=share,
        fits=not over, limiting=max(share, key=lambda name: share[name]) if share else "", grade=_grade(design, notes),
        notes=notes,
    )  # fmt: skip


def _held(fpga: Fpga) -> dict[str, int | None]:
    return {"dsp": fpga.dsp, "bram_18k": fpga.bram_18k, "lut": fpga.lut, "ff": fpga.ff}


def _total(priced: list[tuple[DesignLayer, Price]], name: str) -> Estimated:
    """Sum of the layers; half of each layer's spread is taken as common to all, half as independent of the others."""
    value = sum(getattr(found, name) for _, found in priced)
    ends = []
    for side in (0, 1):
        deviations = [abs(found.spread.get(name, (1.0, 1.0))[side] - 1) * getattr(found, name) for _, found in priced]
        common, independent = sum(deviations), math.sqrt(sum(d * d for d in deviations))
        ends.append((common + independent) / 2)
    low, high = max(0.0, value - ends[0]), value + ends[1]
    return Estimated(value=round(value), low=math.floor(low), high=math.ceil(high))


def _latency(design: Design, priced: list[tuple[DesignLayer, Price]]) -> Estimated:
    """Layers one after the other; in io_stream their positions overlap."""
    busy = [(layer, found) for layer, found in priced if layer.kind != "reshape"]
    if design.io_type == "io_stream":
        longest = max((layer.positions for layer, _ in busy), default=1)
        parts = [(found.latency_cycles - (layer.positions - 1), found) for layer, found in busy]
        value = longest + sum(part for part, _ in parts) + len(busy)
    else:
        parts = [(found.latency_cycles, found) for _, found in busy]
        value = sum(part for part, _ in parts)
    low = value - sum(part * (1 - found.spread.get("latency_cycles", (1, 1))[0]) for part, found in parts)
    high = value + sum(part * (found.spread.get("latency_cycles", (1, 1))[1] - 1) for part, found in parts) + len(busy)
    return Estimated(value=round(value), low=max(1, math.floor(low)), high=math.ceil(high))


def _interval(design: Design, priced: list[tuple[DesignLayer, Price]]) -> Estimated:
    slowest = max((found for _, found in priced), key=lambda found: found.initiation_interval)
    low, high = slowest.spread.get("initiation_interval", (1.0, 1.0))
    value = slowest.initiation_interval
    if design.io_type == "io_stream":
        high = max(high, 1 + 2 / max(value, 1))
    return Estimated(value=value, low=math.floor(value * low), high=math.ceil(value * high))


def _scaled(cycles: Estimated, period_ns: float) -> Estimated:
    return Estimated(value=cycles.value * period_ns, low=cycles.low * period_ns, high=cycles.high * period_ns)


def _layer(layer: DesignLayer, found: Price) -> LayerEstimate:
    return LayerEstimate(
        name=layer.name, kind=layer.kind, dsp=found.dsp, bram_18k=found.bram_18k, lut=round(found.lut),
        ff=round(found.ff), latency_cycles=found.latency_cycles, initiation_interval=found.initiation_interval,
        explanation=(*found.explanation, *found.notes),
    )  # fmt: skip


def _notes(design: Design, fpga: Fpga, priced: list[tuple[DesignLayer, Price]]) -> tuple[str, ...]:
    notes = []
    if fpga.bram_18k is None:
        notes.append("no public figure for this device's block RAM: memory was not checked against it")
    if design.tool == "vitis":
        notes.append("Vitis: prices come from 35 designs of Vitis HLS 2021.1 on a 7-series part, counts are exact")
    if design.io_type == "io_stream":
        notes.append("io_stream: FIFOs and line buffers are not priced; few designs were measured")
    if any(layer.kind == "conv1d" for layer, _ in priced):
        notes.append("convolutions: few designs were measured")
    return tuple(notes)


def _grade(design: Design, notes: tuple[str, ...]) -> Literal["A", "B", "C"]:
    kinds = {layer.kind for layer in design.layers}
    strategies = {layer.strategy for layer in design.layers if layer.weights is not None}
    if design.io_type == "io_stream" or "distributed_arithmetic" in strategies:
        return "C"
    if "conv1d" in kinds or design.tool == "vitis" or len(strategies) > 1:
        return "B"
    return "A"
