"""What would fit: reuse factors, weight bits and sparsities tried with the estimator itself.

Weights are rounded or zeroed as they stand (the smallest of each kernel first); training with the new setting moves the
other weights, so the figures are those of the estimator for this network, not of the network that will be trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.from_network import design_of
from toolchain.estimate.stage import estimate_design
from toolchain.network.nodes import DepthwiseConvolution, FixedPointNetwork, Linear, Scale
from toolchain.network.reuse_factors import usable_reuse_factors
from toolchain.project import HlsSection
from toolchain.results import EstimateResult
from toolchain.target import Fpga

#: Legal reuse factors that are tried at most, evenly chosen; sparsities that are tried.
_MOST_FACTORS = 24
_SPARSITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_FEWEST_BITS = 2


@dataclass(frozen=True)
class Question:
    """The network and the settings of the design that does not fit; ``limits`` by figure, all to be held."""

    network: FixedPointNetwork
    section: HlsSection
    fpga: Fpga
    weight_bits: int
    limits: Mapping[str, float]


@dataclass(frozen=True)
class Choice:
    """One setting and the estimate with it."""

    setting: str
    found: EstimateResult

    def holds(self, limits: Mapping[str, float]) -> bool:
        return all(getattr(self.found, name).value <= allowed for name, allowed in limits.items())

    def text(self, figures: Mapping[str, float]) -> str:
        """The setting, and what ``figures`` would be."""
        return f"{self.setting} (estimated {', '.join(_figure(name, self.found) for name in figures)})"


def advice(question: Question, exceeded: Mapping[str, float]) -> str:
    """The smallest change of each setting that holds every limit, with the estimate; else which comes nearest."""
    families = [list(_until_it_fits(choices, question.limits)) for choices in _families(question)]
    fitting = [tried[-1] for tried in families if tried and tried[-1].holds(question.limits)]
    if fitting:
        return "any one of these fits: " + "; or ".join(choice.text(exceeded) for choice in fitting)
    nearest = [choice for tried in families for choice in tried]
    if not nearest:
        return "no reuse factor, width or sparsity is left to try: a larger device or budget, or fewer units"
    best = min(nearest, key=lambda choice: _excess(choice, question.limits))
    return (
        f"none of {len(nearest)} reuse factors, weight bits and sparsities fits alone; nearest: {best.text(exceeded)}; "
        "combine them, or cut units with prune.structured_sparsity"
    )


def _until_it_fits(choices: Iterator[Choice], limits: Mapping[str, float]) -> Iterator[Choice]:
    for choice in choices:
        yield choice
        if choice.holds(limits):
            return


def _excess(choice: Choice, limits: Mapping[str, float]) -> float:
    return max(float(getattr(choice.found, name).value) / max(allowed, 1e-9) for name, allowed in limits.items())


def _figure(name: str, found: EstimateResult) -> str:
    return f"{name} {getattr(found, name).value:g}"


def _families(question: Question) -> list[Iterator[Choice]]:
    return [
        _reuse_factors(question, "resource"),
        _reuse_factors(question, "latency"),
        _bits(question),
        _sparser(question),
    ]


def _kernels(network: FixedPointNetwork) -> list[Linear]:
    """The layers whose weights are the model's own."""
    return [node for node in network.nodes
            if isinstance(node, Linear) and not isinstance(node, Scale) and not node.constant]  # fmt: skip


def _reuse_factors(question: Question, strategy: str) -> Iterator[Choice]:
    """``hls.reuse_factor`` for all layers that have none of their own: larger ones, then smaller ones."""
    section = question.section
    nodes = [node for node in _kernels(question.network) if (node.layer or node.name) not in section.layers]
    if not nodes or (strategy == "resource" and any(isinstance(node, DepthwiseConvolution) for node in nodes)):
        return
    legal = sorted(set.intersection(*(set(_legal(node, section.io_type, strategy)) for node in nodes)))
    same = section.strategy == strategy
    beyond = [factor for factor in legal if not same or factor > section.reuse_factor]
    below = [factor for factor in reversed(legal) if same and factor < section.reuse_factor]
    for factor in (*_thinned(beyond), *_thinned(below)):
        changed = section.model_copy(update={"strategy": strategy, "reuse_factor": factor})
        named = "" if same else f"hls.strategy = '{strategy}' with "
        design = design_of(question.network, changed, question.fpga)
        yield Choice(f"{named}hls.reuse_factor = {factor}", estimate_design(design, question.fpga))


def _legal(node: Linear, io_type: str, strategy: str) -> list[int]:
    n_out = node.kernel.shape[-1]
    if strategy == "latency":
        return list(range(1, node.kernel.size + 1))
    return usable_reuse_factors(node.kernel.size // n_out, n_out, io_type, 2 if len(node.shape) > 1 else 1)


def _thinned(factors: list[int]) -> list[int]:
    """At most so many, on a logarithmic scale, the first and the last among them."""
    if len(factors) <= _MOST_FACTORS:
        return factors
    places = np.unique(np.geomspace(1, len(factors), _MOST_FACTORS).round().astype(int) - 1)
    return [factors[place] for place in places]


def _bits(question: Question) -> Iterator[Choice]:
    """``quantize.weight_bits``, one less at a time; layers of another width have a width of their own."""
    own = {node.name for node in _kernels(question.network) if node.kernel_format.width == question.weight_bits}
    for bits in range(question.weight_bits - 1, _FEWEST_BITS - 1, -1) if own else ():
        fewer = partial(narrowed, fewer=question.weight_bits - bits)
        yield _changed(question, own, f"quantize.weight_bits = {bits}", fewer)


def _sparser(question: Question) -> Iterator[Choice]:
    """``prune.final_sparsity``."""
    nodes = _kernels(question.network)
    size = sum(node.kernel.size for node in nodes)
    zeros = sum(int((node.kernel == 0).sum()) for node in nodes)
    names = {node.name for node in nodes}
    for sparsity in (s for s in _SPARSITIES if size and s > zeros / size):
        zeroed = partial(pruned, sparsity=sparsity)
        yield _changed(question, names, f"prune.final_sparsity = {sparsity:g}", zeroed)


def _changed(question: Question, names: set[str], setting: str, change: Callable[[DesignLayer], DesignLayer]) -> Choice:
    design = design_of(question.network, question.section, question.fpga)
    layers = tuple(change(layer) if layer.name in names else layer for layer in design.layers)
    changed: Design = replace(design, layers=layers)
    return Choice(setting, estimate_design(changed, question.fpga))


def narrowed(layer: DesignLayer, fewer: int) -> DesignLayer:
    """The layer with weights of ``fewer`` bits less, rounded to nearest, held in range; its sums have as many less."""
    assert layer.weights is not None
    width = layer.weight_width - fewer
    limit = 2 ** (width - 1)
    weights = np.clip((layer.weights + (1 << (fewer - 1))) >> fewer, -limit, limit - 1)
    return replace(layer, weights=weights, weight_width=width,
                   accumulator_width=max(1, layer.accumulator_width - fewer))  # fmt: skip


def pruned(layer: DesignLayer, sparsity: float) -> DesignLayer:
    """The layer with its smallest weights zero, at least ``sparsity`` of them."""
    assert layer.weights is not None
    order = np.argsort(np.abs(layer.weights), axis=None, kind="stable")
    weights = layer.weights.copy()
    weights.flat[order[: int(np.ceil(sparsity * weights.size))]] = 0
    return replace(layer, weights=weights)
