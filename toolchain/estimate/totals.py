"""Layers added up to a design: resources, latency, initiation interval, each with its 80 % interval."""

from __future__ import annotations

import math

from toolchain.estimate.amounts import regime
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.kinds import KERNELS
from toolchain.estimate.operator_library import period_ns
from toolchain.estimate.price import Price
from toolchain.results import Estimated

Priced = list[tuple[DesignLayer, Price]]


def resource(priced: Priced, name: str) -> Estimated:
    """Sum of the layers; half of each layer's spread is taken as common to all, half as independent of the others."""
    value = sum(getattr(found, name) for _, found in priced)
    ends = []
    for side in (0, 1):
        deviations = [abs(found.of(name)[side] - 1) * getattr(found, name) for _, found in priced]
        common, independent = sum(deviations), math.sqrt(sum(d * d for d in deviations))
        ends.append((common + independent) / 2)
    unknown = sum(getattr(found, f"more_{name}", 0.0) for _, found in priced)
    low, high = max(0.0, value - ends[0]), value + ends[1] + unknown
    return Estimated(value=round(value), low=math.floor(low), high=math.ceil(high))


def latency(design: Design, priced: Priced) -> Estimated:
    """Cycles of a sample at most: layers one after the other; in io_stream their positions overlap."""
    busy = [(layer, found) for layer, found in priced if layer.kind != "reshape"]
    if design.io_type == "io_stream":
        value = _streamed(design, busy)
    else:
        value = sum(found.latency_cycles for _, found in busy) + _handed_over(design, busy)
    ends = []
    for side in (0, 1):
        deviations = [abs(found.of("latency_cycles")[side] - 1) * found.latency_cycles for _, found in busy]
        if design.io_type == "io_stream":
            deviations = [max(deviations, default=0.0)]
        ends.append((sum(deviations) + math.sqrt(sum(d * d for d in deviations))) / 2)
    several = len(busy) > 1
    margin = 1.0 if several else 0.0
    low, high = max(0.0, value - ends[0] - margin), value + ends[1] + margin + _held_up(design, busy)
    return Estimated(value=round(value), low=math.floor(low), high=math.ceil(high))


def least_latency(design: Design, priced: Priced, most: Estimated) -> float:
    """Cycles of a sample at least, where they depend on the data."""
    saved = [
        found.latency_cycles - found.least_latency_cycles
        for _, found in priced if found.least_latency_cycles is not None
    ]  # fmt: skip
    if design.io_type == "io_stream":
        return max(0.0, most.value - (sum(saved) if len(saved) == 1 else 0.0))
    return max(0.0, most.value - sum(saved))


def _streamed(design: Design, busy: Priced) -> float:
    """The longest layer; what is not spread over positions follows it.

    Vitis adds about one cycle for each layer behind the longest, however long those are (15 designs of eight authors).
    """
    longest = max((found.latency_cycles for _, found in busy), default=0.0)
    if design.tool == "vitis":
        first = next((place for place, (_, found) in enumerate(busy) if found.latency_cycles == longest), 0)
        return longest + max(0, len(busy) - 1 - first)
    last = [found.latency_cycles for layer, found in busy if layer.positions == 1 and layer.kind != "pooling"]
    followers = sum(last) if not last or longest > max(last) else sum(last) - longest
    return longest + followers


def _held_up(design: Design, busy: Priced) -> float:
    """Cycles by which paddings behind the first may hold up what follows them in a stream of Vivado.

    Nearly all of theirs in seven designs of three authors, some in three, hardly any in one: no rule was found.
    """
    if design.io_type != "io_stream" or design.tool != "vivado":
        return 0.0
    convolved = next((place for place, (layer, _) in enumerate(busy) if layer.kind in KERNELS), len(busy))
    return sum(found.latency_cycles for layer, found in busy[convolved:] if layer.kind == "padding")


def _handed_over(design: Design, busy: Priced) -> float:
    """Cycles in which one layer hands its words to the next.

    One between two layers, unless both fit into one cycle: what all layers take of a cycle is added up, and whole
    cycles count. A scale in front of a softmax joins it. One more where a kernel that may begin each cycle keeps its
    words (it takes two cycles or more).
    """
    if len(busy) < 2:
        return 0.0
    kernels = [layer for layer, _ in busy if layer.kind in KERNELS]
    if design.dataflow:
        return len(busy) - 1.0  # a FIFO each
    if any(regime(layer) == "block" for layer in kernels):
        return len(kernels) - 1.0 if design.tool == "vitis" else -1.0  # Vitis: 42 of 42 designs
    apart = sum(not _joins_next(busy, place) for place in range(len(busy))) - 1
    period = period_ns(design)
    shares = sum(1.0 if cost.delay_ns is None else min(1.0, cost.delay_ns / period) for _, cost in busy)
    kept = sum(layer.kind in KERNELS and layer.reuse_factor == 1 and cost.latency_cycles > 1 for layer, cost in busy)
    return float(min(apart, math.floor(shares)) + kept)


def _joins_next(busy: Priced, place: int) -> bool:
    """A scale in front of a softmax."""
    following = busy[place + 1][0].kind if place + 1 < len(busy) else ""
    return busy[place][0].function == "scale" and following == "softmax"


def interval(design: Design, priced: Priced) -> Estimated:
    """The slowest layer; Vitis runs layers of the resource strategy in turn (42 of 42 designs), so their sum.

    In dataflow they run side by side (three designs).
    """
    blocks = [
        found for layer, found in priced if layer.kind in KERNELS and regime(layer) == "block"
    ]  # fmt: skip
    in_turn = design.tool == "vitis" and not design.dataflow
    if design.io_type == "io_parallel" and in_turn and len(blocks) > 1:
        value = float(latency(design, priced).value)
        return Estimated(value=value, low=value, high=value)
    slowest = max((found for _, found in priced), key=lambda found: found.initiation_interval)
    low, high = slowest.of("initiation_interval")
    value = slowest.initiation_interval
    if design.io_type == "io_stream":
        low, high = slowest.of("latency_cycles")
    return Estimated(value=value, low=math.floor(value * low), high=math.ceil(value * high))


def scaled(cycles: Estimated, period_ns: float) -> Estimated:
    """Nanoseconds."""
    return Estimated(value=cycles.value * period_ns, low=cycles.low * period_ns, high=cycles.high * period_ns)
