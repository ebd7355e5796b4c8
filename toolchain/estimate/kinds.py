"""Which amounts a layer has: the one place that knows every fitted kind."""

from __future__ import annotations

from toolchain.estimate.amounts import Amounts, constant_amounts, kernel_counts, regime
from toolchain.estimate.block import block_amounts, block_of
from toolchain.estimate.counting import Counts
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.small_layers import activation_amounts, softmax_amounts

#: Layers whose kernel is a matrix that one evaluation multiplies with.
KERNELS = ("dense", "conv1d", "conv2d", "depthwise", "scale")


def layer_amounts(layer: DesignLayer, design: Design, counts: Counts | None = None) -> dict[str, Amounts]:
    """Amounts by figure (``lut``, ``ff``); empty for a layer that is not fitted. ``counts`` saves counting twice."""
    if layer.kind in KERNELS:
        if layer.strategy == "distributed_arithmetic":
            return {}
        if regime(layer) == "block":
            return block_amounts(block_of(layer), layer, design)
        if layer.weights is None:
            return {}
        return constant_amounts(layer, counts or kernel_counts(layer), design)
    if layer.kind == "activation":
        return activation_amounts(layer, design)
    if layer.kind == "softmax":
        return softmax_amounts(layer, design)
    return {}
