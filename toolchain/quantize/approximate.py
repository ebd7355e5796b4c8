"""Softmax and LayerNormalization of a (QKeras) model: compositions in the network, their bound, and what they are near.

What the network is compared with is the layer's own formula in float64 behind the values that it reads, and the
quantizer behind it: float32's rounding is no part of the deviation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint
from toolchain.model.graph import Layer
from toolchain.network.builder import NetworkBuilder
from toolchain.network.normalization import Affine, layer_normalization, softmax
from toolchain.network.normalization_formats import (
    MODES,
    TABLE_BITS,
    LayerNorm,
    layer_norm_bound,
    layer_norm_formats,
    softmax_bound,
    softmax_formats,
)
from toolchain.quantize.formats import weight_format
from toolchain.results import ApproximateLayer

#: A softmax at the output that has no quantizer: 0 … 1 in steps of 2**-15.
PROBABILITY = FixedPoint(False, 1, 15, *MODES)
#: Width of gamma and beta, which QKeras does not quantize.
WEIGHT_BITS = 16
#: Below this the table of 1 / √(v + epsilon) would need more than its words have.
SMALLEST_EPSILON = 1e-6


def compose(b: NetworkBuilder, name: str, x: str, layer: Layer, result: FixedPoint | None) -> ApproximateLayer:
    """Add the nodes of ``layer``, the last one called ``name`` in the format of the quantizer behind it (``result``).

    Raises UnsupportedModelError for another axis than the last, too many values, too small an epsilon.
    """
    where, before = f"layer '{layer.name}'", len(b.names)
    _check(layer, b.shape_of(x), where)
    form = b.format_of(x)
    if layer.kind == "Softmax":
        kind, made = "softmax", softmax_formats(form, b.shape_of(x)[-1], result or PROBABILITY)
        softmax(b, name, x, made)
        away = softmax_bound(form, b.shape_of(x)[-1], made)
    else:
        if result is None:
            raise UnsupportedModelError(
                "LayerNormalization has no quantizer behind it", where=where,
                hint="put a QActivation(quantized_bits(…)) right behind it",
            )  # fmt: skip
        kind, away = "layer_normalization", _normalize(b, name, x, layer, result)
    form = b.format_of(name)
    # rounded on one grid, two values that are apart by d are apart by no more than the steps d may cross, and one
    steps = math.floor(away * 2.0**form.fractional_bits) + 1
    bound = steps * form.lsb if result else away + form.lsb / 2
    return ApproximateLayer(
        node=name, layer=layer.name, kind=kind, reads=x, inner=tuple(b.names[before:-1]), bound=bound + 1e-9
    )  # fmt: skip


def real_values(layer: Layer, x: np.ndarray) -> np.ndarray:
    """What the layer is, in float64: ``x (samples, *shape)``."""
    if layer.kind == "Softmax":
        exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = (centered**2).mean(axis=-1, keepdims=True)
    gamma, beta = _affine(layer, x.shape[-1])
    return np.asarray(centered / np.sqrt(variance + _epsilon(layer)) * gamma + beta)


def _normalize(b: NetworkBuilder, name: str, x: str, layer: Layer, result: FixedPoint) -> float:
    epsilon, channels = _epsilon(layer), b.shape_of(x)[-1]
    real = _affine(layer, channels)
    forms = [weight_format(values, WEIGHT_BITS, None) for values in real]
    affine = Affine(forms[0].words_of(real[0]), forms[0], forms[1].words_of(real[1]), forms[1])
    norm = LayerNorm(b.format_of(x), channels, epsilon)
    formats = layer_norm_formats(norm, result)
    layer_normalization(b, name, x, affine, formats, epsilon=epsilon, reciprocal_bits=norm.reciprocal_bits)
    return layer_norm_bound(norm, formats, affine, real)


def _affine(layer: Layer, channels: int) -> tuple[np.ndarray, np.ndarray]:
    weights = layer.weights
    return weights.get("gamma", np.ones(channels)), weights.get("beta", np.zeros(channels))


def _epsilon(layer: Layer) -> float:
    return float(layer.config.get("epsilon", 1e-3))


def _check(layer: Layer, shape: tuple[int, ...], where: str) -> None:
    axis: Any = layer.config.get("axis", -1)
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    if [int(n) % (len(shape) + 1) for n in axes] != [len(shape)]:
        raise UnsupportedModelError(f"axis = {axis} is not supported", where=where, allowed="axis = -1")
    if len(shape) > 2:
        raise UnsupportedModelError(
            f"{layer.kind} of a tensor of shape {shape}", where=where, allowed="(values) or (steps, values)",
            hint="a Reshape before and behind it",
        )  # fmt: skip
    if not 2 <= shape[-1] < 2 ** (TABLE_BITS - 1):
        raise UnsupportedModelError(
            f"{layer.kind} over {shape[-1]} values", where=where, allowed=f"2 to {2 ** (TABLE_BITS - 1) - 1} values"
        )
    if layer.kind == "LayerNormalization" and _epsilon(layer) < SMALLEST_EPSILON:
        raise UnsupportedModelError(
            f"epsilon = {_epsilon(layer):g}", where=where, allowed=f"epsilon of at least {SMALLEST_EPSILON:g}"
        )
