"""The options of an HLS project, translated into hls4ml's spelling: the only file that writes its PascalCase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolchain.errors import ProjectError, nearest
from toolchain.fixed_point import Rounding
from toolchain.hls.admission import check_rounding, refuse
from toolchain.hls.layers import hardware_kernel
from toolchain.hls.sufficiency import elements, exact_bounds
from toolchain.network.nodes import DepthwiseConvolution, FixedPointNetwork, Linear, Node, Requantize, Scale
from toolchain.network.ranges import Range
from toolchain.network.reuse_factors import usable_reuse_factors
from toolchain.project import HlsSection
from toolchain.results import HlsLayerOptions
from toolchain.target import Fpga

_STRATEGIES = {"latency": "Latency", "resource": "Resource", "distributed_arithmetic": "distributed_arithmetic"}
_BACKENDS = {"vitis": "Vitis", "vivado": "Vivado"}


@dataclass(frozen=True)
class HlsOptions:
    """Every option of the project, resolved."""

    backend: str
    io_type: str
    part: str
    clock_period_ns: float
    clock_uncertainty_percent: float
    layers: tuple[HlsLayerOptions, ...]

    def layer(self, name: str) -> HlsLayerOptions:
        return next(layer for layer in self.layers if layer.name == name)


def resolve(network: FixedPointNetwork, section: HlsSection, fpga: Fpga) -> HlsOptions:
    """The options for every layer that has a matrix of weights; ``section.layers`` goes by Keras layer.

    Raises ProjectError for overrides of a layer that does not exist, and for an illegal reuse factor, naming the legal
    ones (hls4ml would replace it with a print).
    """
    linear = [node for node in network.nodes if isinstance(node, Linear) and not isinstance(node, Scale)]
    weighted = [node for node in linear if not node.constant]  # the others: latency, reuse factor 1
    known = {node.layer or node.name for node in weighted}
    others = {node.layer or node.name for node in network.nodes} - known
    for name in section.layers:
        if name in others:
            raise ProjectError(
                "this layer has no strategy and no reuse factor", where=f"[hls.layers.{name}]",
                allowed=", ".join(sorted(known)),
            )  # fmt: skip
        if name not in known:
            raise ProjectError(f"no layer '{name}'", where=f"[hls.layers.{name}]", hint=nearest(name, known))
    layers = tuple(_layer(node, section) for node in weighted)
    by_bits = [layer.name for layer in layers if layer.strategy == "distributed_arithmetic"]
    bounds = exact_bounds(network) if by_bits else {}
    for name in by_bits:  # each output has a type of its own there
        for node in _formats_of_generated(network[name], network):
            _check_generated_zeros(node, bounds[name])
            for element in elements(bounds[name]):
                check_rounding(node, element)
    return HlsOptions(
        section.backend, section.io_type, fpga.part, section.clock_period_ns or fpga.clock_period_ns,
        fpga.clock_uncertainty_percent, layers,
    )  # fmt: skip


def _formats_of_generated(node: Node, network: FixedPointNetwork) -> list[Node]:
    """Whose formats hls4ml applies to the outputs of ``node`` themselves: its own, and that of a change behind it."""
    readers = network.consumers(node.name)
    return [node, *(reader for reader in readers if isinstance(reader, Requantize))]


def _check_generated_zeros(node: Node, exact: Range) -> None:
    """An output of generated adders that is always zero has one bit, of weight one half: C++ aborts beyond it."""
    never = bool(((exact.low == 0) & (exact.high == 0)).any())
    if never and node.result.rounding is not Rounding.TRN and node.result.fractional_bits < 0:
        raise refuse(
            node, f"an output that is always zero, rounded to {node.result} under distributed_arithmetic",
            "fractional bits, no rounding, or another strategy",
        )  # fmt: skip


def _layer(node: Linear, section: HlsSection) -> HlsLayerOptions:
    keras_layer = node.layer or node.name
    own = section.layers.get(keras_layer)
    strategy = (own.strategy if own else None) or section.strategy
    reuse_factor = (own.reuse_factor if own else None) or section.reuse_factor
    _check_strategy(node, strategy, section.io_type)
    kernel = hardware_kernel(node)
    where = f"layer '{keras_layer}': reuse_factor = {reuse_factor}"
    hint = f"set it for this layer alone: [hls.layers.{keras_layer}]"
    if strategy == "distributed_arithmetic" and reuse_factor != 1:
        raise ProjectError("not possible with distributed_arithmetic", where=where, allowed="1", hint=hint)
    if strategy == "latency" and reuse_factor > kernel.size:
        raise ProjectError(
            f"there are only {kernel.size} weights", where=where, allowed=f"1 to {kernel.size}", hint=hint
        )
    n_out = kernel.shape[-1]
    if strategy == "resource" and reuse_factor not in (legal := legal_for(node, section.io_type)):
        close = sorted(sorted(legal, key=lambda factor: abs(factor - reuse_factor))[:6])
        raise ProjectError(
            f"not legal for {kernel.size // n_out} x {n_out} weights under the resource strategy", where=where,
            allowed="near it: " + ", ".join(map(str, close)), hint=hint,
        )  # fmt: skip
    return HlsLayerOptions(name=node.name, strategy=strategy, reuse_factor=reuse_factor)


def _check_strategy(node: Linear, strategy: str, io_type: str) -> None:
    allowed = ["latency", "resource", "distributed_arithmetic"]
    if isinstance(node, DepthwiseConvolution):  # hls4ml's distributed arithmetic takes its kernel for a dense one
        allowed = ["latency", "resource"] if io_type == "io_stream" else ["latency"]
    if strategy not in allowed:
        name = node.layer or node.name
        raise ProjectError(
            f"{strategy} is not possible for a depthwise convolution under {io_type}",
            where=f"layer '{name}': strategy", allowed=", ".join(allowed),
            hint=f"set it for this layer alone: [hls.layers.{name}]",
        )  # fmt: skip


def legal_for(node: Linear, io_type: str) -> list[int]:
    """The reuse factors of ``node`` under the resource strategy that hls4ml takes unchanged and computes right.

    Of a depthwise convolution every divisor is.
    """
    kernel = hardware_kernel(node)
    weights, n_out = kernel.size, kernel.shape[-1]
    if isinstance(node, DepthwiseConvolution):
        return [factor for factor in range(1, weights + 1) if weights % factor == 0]
    several = len(node.shape) > 1  # a convolution, or a Dense along some axes
    return usable_reuse_factors(weights // n_out, n_out, io_type, 2 if several else 1)


def hls4ml_config(options: HlsOptions, layer_names: list[str], top: str, folder: str) -> dict[str, Any]:
    """hls4ml's configuration dictionary."""
    chosen = {layer.name: layer for layer in options.layers}
    by_name: dict[str, Any] = {}
    for name in layer_names:
        by_name[name] = {"Trace": True}
        if name in chosen:
            by_name[name]["Strategy"] = _STRATEGIES[chosen[name].strategy]
            by_name[name]["ReuseFactor"] = chosen[name].reuse_factor
    return {
        "OutputDir": folder,
        "ProjectName": top,
        "Backend": _BACKENDS[options.backend],
        "Part": options.part,
        "ClockPeriod": options.clock_period_ns,
        "ClockUncertainty": f"{options.clock_uncertainty_percent:.15g}%",
        "IOType": options.io_type,
        "TraceOutput": True,
        "HLSConfig": {
            "Model": {"Precision": "fixed<16,6>", "ReuseFactor": 1, "Strategy": "Latency", "BitExact": True},
            "LayerName": by_name,
            "Flows": ["optimize"],  # and no further, until the precisions are corrected
        },
        "WriterConfig": {
            "Namespace": None,
            # One source of weights for C-simulation and synthesis: with text files the two could differ.
            "WriteWeightsTxt": False,
            "WriteTar": False,
            "TBOutputStream": "both",
        },
    }
