"""Channels whose value is the same for every input: what nothing feeds, followed through the graph."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolchain.model.folding import TRAINING_ONLY, activation_of, normalization_of
from toolchain.model.graph import Array, Call, Layer, Tensor
from toolchain.prune.surgery.channels import Channels, spread
from toolchain.prune.surgery.tracing import Tracing

#: Values ``(channels,)`` along the axis of the labels; NaN where a channel's value is not known to be one.
Values = Array
_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
}
_PLACES = ("MaxPooling", "AveragePooling", "GlobalMaxPooling", "GlobalAveragePooling", "Cropping")
_SAME_VALUES = (*TRAINING_ONLY, "RepeatVector", *(f"{kind}{axes}" for kind in _PLACES for axes in ("1D", "2D", "3D")))


def constants(tracing: Tracing) -> dict[Tensor, Values]:
    """The constant of every channel of every tensor, NaN where it has none or the layer is not followed."""
    found: dict[Tensor, Values] = {}
    for call, layer, out in tracing.graph.walk():
        made = tracing.record.channels.get(out)
        if made is None:
            continue
        unknown = np.full(len(made.labels), np.nan)
        reads = [(tracing.record.channels.get(tensor), found.get(tensor)) for tensor in call.inputs]
        known = [(channels, values) for channels, values in reads if channels is not None and values is not None]
        value = _value(layer, call, known, made) if known and len(known) == len(reads) else None
        found[out] = unknown if value is None or value.shape != unknown.shape else value
    return found


Read = tuple[Channels, Values]


def _value(layer: Layer, call: Call, reads: list[Read], made: Channels) -> Values | None:
    channels, values = reads[0]
    if layer.kind in ("Flatten", "Reshape"):
        return _moved(channels, values, made)
    if any(len(read.shape) - read.axis != len(made.shape) - made.axis for read, _ in reads):
        return None  # the layer works on another axis than the one the values stand along
    if layer.kind in _SAME_VALUES:
        return values
    if layer.kind.startswith("ZeroPadding"):
        return np.where(values == 0, 0.0, np.nan)
    if layer.kind == "BatchNormalization":
        scale, shift = normalization_of(layer)
        return np.asarray(values * scale + shift) if len(scale) == len(values) else None
    if layer.kind in ("Add", "Subtract", "Average", "Multiply", "Concatenate"):
        return _merged(layer, reads, made)
    if layer.kind in ("Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"):
        total = _depthwise(layer, values) if layer.kind.startswith("Depthwise") else _contracted(layer, values)
    elif layer.kind == "Activation" or (layer.kind == "ReLU" and _plain_relu(layer)):
        total = values
    else:
        return None
    function = _FUNCTIONS.get("relu" if layer.kind == "ReLU" else activation_of(layer))
    return None if function is None else np.asarray(function(total))


def _contracted(layer: Layer, values: Values) -> Values:
    """Constant where all weights that are not zero meet constants, and no padding makes the border another value."""
    kernel = layer.weights["kernel"]
    flat = kernel.reshape(-1, *kernel.shape[-2:])
    bias = layer.weights.get("bias", np.zeros(kernel.shape[-1]))
    usable = np.isfinite(values) & (is_unpadded(layer) | (values == 0))
    free = ~(flat[:, ~usable] != 0).any(axis=(0, 1))
    return np.where(free, bias + np.where(usable, values, 0.0) @ flat.sum(axis=0), np.nan)


def _depthwise(layer: Layer, values: Values) -> Values:
    kernel = layer.weights["depthwise_kernel"]
    flat = kernel.reshape(-1, *kernel.shape[-2:])
    bias = layer.weights.get("bias", np.zeros(flat.shape[1] * flat.shape[2])).reshape(flat.shape[1:])
    usable = (np.isfinite(values) & (is_unpadded(layer) | (values == 0)))[:, None]
    silent = ~flat.any(axis=0)
    total = bias + np.where(usable, values[:, None], 0.0) * flat.sum(axis=0)
    return np.asarray(np.where(usable | silent, total, np.nan).reshape(-1))


def is_unpadded(layer: Layer) -> bool:
    """Whether no zeros are put round what the layer reads."""
    return str(layer.config.get("padding", "valid")) == "valid"


def _plain_relu(layer: Layer) -> bool:
    return layer.config.get("max_value") is None and not any(
        layer.config.get(key) for key in ("negative_slope", "threshold")
    )


def _moved(channels: Channels, values: Values, made: Channels) -> Values | None:
    if None in channels.shape or None in made.shape:
        return None
    everywhere = np.broadcast_to(spread(values, len(channels.shape), channels.axis), channels.shape)  # type: ignore[arg-type]
    rows = np.moveaxis(everywhere.reshape(made.shape), made.axis, 0).reshape(len(made.labels), -1)  # type: ignore[arg-type]
    same = (rows == rows[:, :1]).all(axis=1)
    return np.where(same, rows[:, 0], np.nan)


def _merged(layer: Layer, reads: list[Read], made: Channels) -> Values | None:
    if layer.kind == "Concatenate":
        joined = np.concatenate([values for _, values in reads])
        return joined if len(joined) == len(made.labels) else None
    if any(len(values) != len(made.labels) for _, values in reads):
        return None
    stacked = np.stack([values for _, values in reads])
    if layer.kind == "Multiply":
        return np.where((stacked == 0).any(axis=0), 0.0, stacked.prod(axis=0))
    if layer.kind == "Subtract":
        return np.asarray(stacked[0] - stacked[1])
    total = stacked.sum(axis=0)
    return np.asarray(total / len(stacked) if layer.kind == "Average" else total)
