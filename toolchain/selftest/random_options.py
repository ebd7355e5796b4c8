"""Random options of the HLS project that are legal for a network."""

from __future__ import annotations

import numpy as np

from toolchain.hls.layers import hardware_kernel
from toolchain.hls.options import legal_for
from toolchain.network.nodes import DepthwiseConvolution, FixedPointNetwork, Linear, Scale
from toolchain.project import HlsLayer, HlsSection

#: A wide, full matrix takes da4ml minutes.
LARGEST_DISTRIBUTED = 300


def draw_ports(rng: np.random.Generator) -> HlsSection:
    """Backend and io_type."""
    return HlsSection(
        backend="vitis" if rng.random() < 0.5 else "vivado",
        io_type="io_stream" if rng.random() < 0.4 else "io_parallel",
    )


def draw_layers(rng: np.random.Generator, network: FixedPointNetwork, ports: HlsSection) -> HlsSection:
    """``ports`` with a strategy and a legal reuse factor for each layer of weights."""
    layers: dict[str, list[Linear]] = {}
    for node in network.nodes:
        if isinstance(node, Linear) and not isinstance(node, Scale) and not node.constant:
            layers.setdefault(node.layer or node.name, []).append(node)
    drawn = {name: _layer(rng, found, ports.io_type) for name, found in layers.items()}
    return HlsSection(backend=ports.backend, io_type=ports.io_type, layers=drawn)


def _layer(rng: np.random.Generator, nodes: list[Linear], io_type: str) -> HlsLayer:
    """What is legal for every sum of one layer: a layer that is called twice, the gates of a recurrent one."""
    weights = [hardware_kernel(node).size for node in nodes]
    bits = max(count * node.kernel_format.width for count, node in zip(weights, nodes, strict=True))
    depthwise = any(isinstance(node, DepthwiseConvolution) for node in nodes)
    if not depthwise and bits <= LARGEST_DISTRIBUTED and rng.random() < 0.15:
        return HlsLayer(strategy="distributed_arithmetic", reuse_factor=1)
    if rng.random() < 0.4 and not (depthwise and io_type == "io_parallel"):
        legal = set.intersection(*(set(legal_for(node, io_type)) for node in nodes))
        if legal:
            return HlsLayer(strategy="resource", reuse_factor=int(rng.choice(sorted(legal))))
    factor = 1 if rng.random() < 0.7 else int(rng.integers(1, min(weights) + 1))
    return HlsLayer(strategy="latency", reuse_factor=factor)
