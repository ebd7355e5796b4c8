"""Which amounts a layer has: the one place that knows every fitted kind."""

from __future__ import annotations

from toolchain.estimate.amounts import Amounts, constant_amounts, kernel_counts, regime
from toolchain.estimate.block import block_amounts, block_of
from toolchain.estimate.counting import Counts
from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.small_layers import activation_amounts, softmax_amounts
from toolchain.estimate.stream_layers import activation_stream_amounts, memory_amounts, pooling_amounts, with_stream

#: Layers whose kernel is a matrix that one evaluation multiplies with.
KERNELS = ("dense", "conv1d", "conv2d", "depthwise", "scale")


def layer_amounts(layer: DesignLayer, design: Design, counts: Counts | None = None) -> dict[str, Amounts]:
    """Amounts by figure (``lut``, ``ff``); empty for a layer that is not fitted. ``counts`` saves counting twice."""
    stream = design.io_type == "io_stream"
    if layer.kind in KERNELS:
        if regime(layer) == "block":
            return (memory_amounts if stream else block_amounts)(block_of(layer), layer, design)
        if layer.weights is None and layer.adder_graph is None:
            return {}
        found = constant_amounts(layer, counts or kernel_counts(layer), design)
        return with_stream(found, layer, design) if stream else found
    if layer.kind == "activation":
        return activation_stream_amounts(layer, design) if stream else activation_amounts(layer, design)
    if layer.kind == "softmax":
        return softmax_amounts(layer, design)
    if layer.kind == "pooling" and stream and layer.window and not layer.function.startswith("global_"):
        return pooling_amounts(layer, design)
    return {}
