"""The rules of all layers, one file for each family; importing this registers them."""

from toolchain.prune.surgery.layers import (
    attention,
    convolution,
    dense,
    elementwise,
    merging,
    normalization,
    pooling,
    recurrent,
    shapes,
    wrappers,
)

__all__ = [
    "attention", "convolution", "dense", "elementwise", "merging", "normalization", "pooling", "recurrent", "shapes",
    "wrappers",
]  # fmt: skip
