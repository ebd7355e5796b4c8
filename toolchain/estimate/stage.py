"""Stage ``estimate``: layers counted, priced and added up, with 80 % intervals and a grade."""

from __future__ import annotations

from toolchain.estimate import totals
from toolchain.estimate.coefficients import Coefficients, shipped
from toolchain.estimate.confidence import confidence
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.from_network import design_of
from toolchain.estimate.logic_synthesis import after_logic_synthesis
from toolchain.estimate.price import Price
from toolchain.estimate.prices import price
from toolchain.network import storage
from toolchain.project import HlsSection
from toolchain.results import EstimateResult, Job, LayerEstimate, QuantizeResult
from toolchain.target import Fpga

RESOURCES = ("dsp", "bram_18k", "lut", "ff")


def estimate(quantized: QuantizeResult, section: HlsSection, fpga: Fpga, job: Job) -> EstimateResult:
    """The C-synthesis estimate of the network's design on ``fpga``. Needs no vendor tool and no TensorFlow."""
    network = storage.load(quantized.folder / "network.fpn")
    return estimate_design(design_of(network, section, fpga), fpga)


def estimate_design(
    design: Design, fpga: Fpga, coefficients: Coefficients | None = None, stage: str = "csynth"
) -> EstimateResult:
    """Price every layer of ``design`` and add up.

    ``stage``: ``csynth`` (what the HLS report will say) or ``logic_synthesis`` (what the device will hold). The share
    of the device is that of the chosen stage; ``logic_synthesis`` of the result has the later stage's resources always.
    """
    used = coefficients or shipped()
    priced = [(layer, price(layer, design, used)) for layer in design.layers]
    found = {name: totals.resource(priced, name) for name in RESOURCES}
    later = after_logic_synthesis(design, found, used)
    held = {"dsp": fpga.dsp, "bram_18k": fpga.bram_18k, "lut": fpga.lut, "ff": fpga.ff}
    shown = later if stage == "logic_synthesis" else found
    share = {name: shown[name].value / number for name, number in held.items() if number}
    over = [name for name, number in held.items() if number is not None and shown[name].value > number]
    cycles = totals.latency(design, priced)
    grade, notes = confidence(design, fpga, priced)
    return EstimateResult(
        stage="logic_synthesis" if stage == "logic_synthesis" else "csynth", **shown, latency_cycles=cycles,
        latency_ns=totals.scaled(cycles, design.clock_period_ns),
        least_latency_cycles=totals.least_latency(design, priced, cycles),
        initiation_interval=totals.interval(design, priced),
        layers=tuple(_layer(layer, cost) for layer, cost in priced), logic_synthesis=later, share=share, fits=not over,
        limiting=max(share, key=lambda name: share[name]) if share else "", grade=grade, notes=notes,
    )  # fmt: skip


def _layer(layer: DesignLayer, found: Price) -> LayerEstimate:
    return LayerEstimate(
        name=layer.name, kind=layer.kind, dsp=round(found.dsp), bram_18k=found.bram_18k, lut=round(found.lut),
        ff=round(found.ff), latency_cycles=found.latency_cycles, initiation_interval=found.initiation_interval,
        explanation=(*found.explanation, *found.notes),
    )  # fmt: skip
