"""What hls4ml 1.3.0 lacks, registered through its extension interface: one layer, and rules for exact formats.

``Cast`` is a change of format in a place of its own. The rules tell hls4ml's exact-precision pass the range of the
values behind layers that it can write but refuses to reason about (padding, cropping, embedding) or reasons about
wrongly (depthwise convolution: its rule sums over the channels).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_BACKENDS = ("Vivado", "Vitis")


@cache
def register() -> None:
    """Make hls4ml know them; again and again is once. Imports hls4ml."""
    from hls4ml.backends import get_backend
    from hls4ml.model.layers import register_layer

    cast, call = _cast_layer()
    register_layer("Cast", cast)
    for name in _BACKENDS:
        backend = get_backend(name)
        backend.register_template(call)
        backend.register_source(Path(__file__).parent / "nnet_cast.h")
    _register_rules(cast)


def _cast_layer() -> tuple[Any, Any]:
    from hls4ml.backends.template import FunctionCallTemplate
    from hls4ml.model.layers import Layer

    class Cast(Layer):  # type: ignore[misc]
        """``n_in`` values in another format."""

        def initialize(self) -> None:
            taken = self.get_input_variable()
            self.add_output_variable(list(taken.shape))
            self.set_attr("n_in", int(np.prod(taken.shape)))

    class CastCall(FunctionCallTemplate):  # type: ignore[misc]
        """``nnet::cast_format`` of ``nnet_cast.h``."""

        def __init__(self) -> None:
            super().__init__(Cast, include_header=["nnet_utils/nnet_cast.h"])

        def format(self, node: Any) -> str:
            names = self._default_function_params(node)
            types = f"{names['input_t']}, {names['output_t']}, {node.get_attr('n_in')}"
            return f"nnet::cast_format<{types}>({names['input']}, {names['output']});"

    return Cast, CastCall


def _register_rules(cast: Any) -> None:
    from hls4ml.model import layers
    from hls4ml.model.optimizer.passes import bit_exact

    def handed_on(layer: Any) -> Any:
        return tuple(part.copy() for part in bit_exact.get_input_kifs(layer)[0])

    def padded(layer: Any) -> Any:
        return bit_exact.pad_arrs(layer, 0, *bit_exact.get_input_kifs(layer)[0])

    def cropped(layer: Any) -> Any:
        axes = len(layer.get_output_variable().shape) - 1
        sides = [("crop_top", "crop_bottom"), ("crop_left", "crop_right")][-axes:]
        ends = [(layer.get_attr(first), layer.get_attr(last)) for first, last in sides]
        parts = bit_exact.get_input_kifs(layer)[0]
        cut = tuple(slice(first, size - last) for size, (first, last) in zip(parts[0].shape, ends, strict=False))
        return tuple(part[cut] for part in parts)

    def embedded(layer: Any) -> Any:
        return _filled(layer, bit_exact.minimal_kif(layer.attributes["embeddings"].data))

    def depthwise(layer: Any) -> Any:
        return _depthwise(layer, bit_exact)

    rules = {
        cast: handed_on, layers.ZeroPadding1D: padded, layers.ZeroPadding2D: padded, layers.Cropping1D: cropped,
        layers.Cropping2D: cropped, layers.Embedding: embedded, layers.DepthwiseConv1D: depthwise,
        layers.DepthwiseConv2D: depthwise,
    }  # fmt: skip
    for kind, rule in rules.items():
        bit_exact._produce_kif.register(kind)(rule)


def _filled(layer: Any, kif: Any) -> Any:
    shape = tuple(layer.get_output_variable().shape)
    return tuple(np.full(shape, np.max(part), dtype=np.int16) for part in kif)


def _depthwise(layer: Any, bit_exact: Any) -> Any:
    kernel = layer.attributes["weight"].data
    window, channels = kernel.shape[:-2], kernel.shape[-2]
    parts = bit_exact.pad_arrs(layer, 0, *bit_exact.get_input_kifs(layer)[0])
    parts = bit_exact.im2col((*window, channels, channels), *parts)  # (*places, taps * channels)
    parts = bit_exact.stride_arrs(layer, *parts)
    parts = [part.reshape(*part.shape[:-1], -1, channels) for part in parts]
    products = bit_exact.QIntervalArray.from_kif(*parts) * kernel.reshape(-1, channels)
    lows, highs, steps = products.min.sum(axis=-2), products.max.sum(axis=-2), products.delta.min(axis=-2)
    total = bit_exact.QIntervalArray(lows, highs, steps) + layer.attributes["bias"].data
    return tuple(part.astype(np.int16) for part in total.to_kif())
