"""Stage ``estimate``: layers counted, priced and added up, with 80 % intervals and a grade."""

from __future__ import annotations

from toolchain.estimate import totals
from toolchain.estimate.coefficients import Coefficients, shipped
from toolchain.estimate.confidence import confidence, interval_kind
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.from_network import design_of
from toolchain.estimate.intervals import conformal, united
from toolchain.estimate.logic_synthesis import after_logic_synthesis
from toolchain.estimate.price import Price
from toolchain.estimate.prices import price
from toolchain.network import storage
from toolchain.project import HlsSection
from toolchain.results import Estimated, EstimateResult, Job, LayerEstimate, QuantizeResult
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
    grade, notes = confidence(design, fpga, priced)
    found = {name: totals.resource(priced, name) for name in RESOURCES}
    found |= {"latency_cycles": totals.latency(design, priced), "initiation_interval": totals.interval(design, priced)}
    kind = interval_kind(design, grade)
    found = {name: _covering(name, one, kind, used) for name, one in found.items()}
    later = after_logic_synthesis(design, found, used, kind, fpga.dsp)
    held = {"dsp": fpga.dsp, "bram_18k": fpga.bram_18k, "lut": fpga.lut, "ff": fpga.ff}
    shown = later if stage == "logic_synthesis" else {name: found[name] for name in RESOURCES}
    share = {name: shown[name].value / number for name, number in held.items() if number}
    over = [name for name, number in held.items() if number is not None and shown[name].value > number]
    cycles = found["latency_cycles"]
    return EstimateResult(
        stage="logic_synthesis" if stage == "logic_synthesis" else "csynth", **shown, latency_cycles=cycles,
        latency_ns=totals.scaled(cycles, design.clock_period_ns),
        least_latency_cycles=totals.least_latency(design, priced, cycles),
        initiation_interval=found["initiation_interval"],
        layers=tuple(_layer(layer, cost) for layer, cost in priced), logic_synthesis=later, share=share, fits=not over,
        limiting=max(share, key=lambda name: share[name]) if share else "", grade=grade, notes=notes,
    )  # fmt: skip


def _covering(name: str, found: Estimated, kind: str, used: Coefficients) -> Estimated:
    """The interval of held-out designs of this grade; beside it that of the layers, where these know of a doubt.

    DSP, memory and initiation interval are rules: what may break one stands with the layer. So does how far the logic
    of a kind of layer is known that few reports have (grades B to D).
    """
    wider = conformal(found, name, "csynth", kind, used)
    alone = {"A": ("lut", "ff", "latency_cycles"), "B": ("latency_cycles",), "C": ("latency_cycles",)}.get(kind, ())
    return wider if wider is not None and name in alone else united(found, wider)


def _layer(layer: DesignLayer, found: Price) -> LayerEstimate:
    return LayerEstimate(
        name=layer.name, kind=layer.kind, dsp=round(found.dsp), bram_18k=found.bram_18k, lut=round(found.lut),
        ff=round(found.ff), latency_cycles=found.latency_cycles, initiation_interval=found.initiation_interval,
        explanation=(*found.explanation, *found.notes),
    )  # fmt: skip
