"""What each kind of QKeras layer becomes: a rule adds the nodes of one call to the network being built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint
from toolchain.model.graph import Layer
from toolchain.network.builder import NetworkBuilder
from toolchain.network.compositions import up_sampling
from toolchain.network.nodes import IntArray
from toolchain.quantize.geometry import Window, pair, window_of
from toolchain.quantize.qkeras_formats import words_of_weights
from toolchain.quantize.to_qkeras import kernel_quantizer, kernel_variable


@dataclass(frozen=True, eq=False)
class Place:
    """One call of a layer, its inputs being nodes already: what a rule needs."""

    name: str
    inputs: tuple[str, ...]
    layer: Layer
    made: Any  # the layer in the model

    @property
    def where(self) -> str:
        return f"layer '{self.layer.name}'"


#: Adds the nodes of a call and returns the name of the last one.
Rule = Callable[[NetworkBuilder, Place], str]


def _weights(place: Place) -> tuple[IntArray, FixedPoint, IntArray | None, FixedPoint | None]:
    made, quantizer = place.made, kernel_quantizer(place.made)
    if quantizer is None:
        raise UnsupportedModelError("its kernel has no quantizer", where=place.where)
    kernel, form = words_of_weights(kernel_variable(made), quantizer, f"{place.where}: kernel")
    if not made.use_bias:
        return kernel, form, None, None
    if made.bias_quantizer_internal is None:
        raise UnsupportedModelError("its bias has no quantizer", where=place.where)
    bias, bias_form = words_of_weights(made.bias, made.bias_quantizer_internal, f"{place.where}: bias")
    return kernel, form, bias, bias_form


def _dense(builder: NetworkBuilder, place: Place) -> str:
    return builder.dense(place.name, place.inputs[0], *_weights(place), layer=place.layer.name)


def _convolution(builder: NetworkBuilder, place: Place) -> str:
    config = place.layer.config
    if int(config.get("groups", 1)) != 1:
        raise UnsupportedModelError(f"groups = {config['groups']}", where=place.where, allowed="groups = 1")
    kernel, form, bias, bias_form = _weights(place)
    depthwise = place.layer.kind == "QDepthwiseConv2D"
    if depthwise and kernel.shape[-1] > 1:  # several filters a channel: a convolution whose other weights are zero
        *axes, channels, filters = kernel.shape
        whole = np.zeros((*axes, channels, channels, filters), dtype=np.int64)
        for channel in range(channels):
            whole[..., channel, channel, :] = kernel[..., channel, :]
        kernel, depthwise = whole.reshape(*axes, channels, channels * filters), False
    elif depthwise:
        kernel = kernel[..., 0]
    rank = 1 if place.layer.kind == "QConv1D" else 2
    window = window_of(place.layer, builder.shape_of(place.inputs[0]), kernel.shape[:rank], place.where)
    return builder.convolution(
        place.name, place.inputs[0], kernel, form, bias, bias_form, strides=window.strides, padding=window.padding,
        dilation=window.dilation, depthwise=depthwise, layer=place.layer.name,
    )  # fmt: skip


def _relu(builder: NetworkBuilder, place: Place) -> str:
    return builder.relu(place.name, place.inputs[0], None, place.layer.name)


def _reshape(builder: NetworkBuilder, place: Place) -> str:
    size = int(np.prod(builder.shape_of(place.inputs[0])))
    shape = [int(n) for n in place.layer.config.get("target_shape", (-1,))]
    if -1 in shape:
        shape[shape.index(-1)] = size // -int(np.prod(shape))
    return builder.reshape(place.name, place.inputs[0], tuple(shape), place.layer.name)


def _max_pool(builder: NetworkBuilder, place: Place) -> str:
    shape, config = builder.shape_of(place.inputs[0]), place.layer.config
    if not place.layer.kind.startswith("Global"):
        size = pair(config["pool_size"], len(shape) - 1)
        window = window_of(place.layer, shape, size, place.where)
        return builder.max_pool(place.name, place.inputs[0], size, window.strides, window.padding, place.layer.name)
    axes = shape[:-1]
    window = Window(axes, (1,) * len(axes), ((0, 0),) * len(axes))
    if config.get("keepdims"):
        return builder.max_pool(place.name, place.inputs[0], axes, axes, window.padding, place.layer.name)
    whole = builder.max_pool(f"{place.name}_whole", place.inputs[0], axes, axes, window.padding, place.layer.name)
    return builder.reshape(place.name, whole, (shape[-1],), place.layer.name)


def _up_sampling(builder: NetworkBuilder, place: Place) -> str:
    axes = len(builder.shape_of(place.inputs[0])) - 1
    if place.layer.config.get("interpolation", "nearest") != "nearest":
        raise UnsupportedModelError(
            f"interpolation = {place.layer.config['interpolation']!r}", where=place.where, allowed="'nearest'"
        )
    sizes = pair(place.layer.config["size"], axes)
    if max(sizes) == 1:
        return builder.reshape(place.name, place.inputs[0], builder.shape_of(place.inputs[0]), place.layer.name)
    return up_sampling(builder, place.name, place.inputs[0], sizes)


def _permute(builder: NetworkBuilder, place: Place) -> str:
    axes = tuple(int(axis) - 1 for axis in place.layer.config["dims"])
    return builder.permute(place.name, place.inputs[0], axes, place.layer.name)


def _padding(builder: NetworkBuilder, place: Place) -> str:
    ends = _ends(place, "padding")
    return builder.zero_padding(place.name, place.inputs[0], ends, place.layer.name)


def _cropping(builder: NetworkBuilder, place: Place) -> str:
    return builder.crop(place.name, place.inputs[0], _ends(place, "cropping"), place.layer.name)


def _ends(place: Place, key: str) -> tuple[tuple[int, int], ...]:
    found = place.layer.config[key]
    if place.layer.kind.endswith("1D"):
        return (pair(found, 2),)  # type: ignore[return-value]
    return tuple(pair(axis, 2) for axis in pair_of(found))  # type: ignore[misc]


def pair_of(value: Any) -> tuple[Any, ...]:
    """Keras' argument for two axes: one number for both, or one entry for each."""
    return tuple(value) if isinstance(value, (list, tuple)) else (value, value)


def _merge(kind: str) -> Rule:
    def add(builder: NetworkBuilder, place: Place) -> str:
        shapes = {builder.shape_of(name) for name in place.inputs}
        count = len(place.inputs)
        if len(shapes) > 1 or count < 2:
            raise UnsupportedModelError(
                f"joins shapes {sorted(shapes)}", where=place.where, allowed="two or more tensors of one shape"
            )
        if kind == "average" and count & (count - 1):
            raise UnsupportedModelError(
                f"the average of {count} tensors has no exact word", where=place.where, allowed="2, 4, 8 … tensors"
            )
        made: str = getattr(builder, kind)(place.name, place.inputs, None, place.layer.name)
        return made

    return add


def _concatenate(builder: NetworkBuilder, place: Place) -> str:
    axis = int(place.layer.config.get("axis", -1))
    axis = axis if axis < 0 else axis - 1  # Keras counts the samples' axis
    return builder.concatenate(place.name, place.inputs, axis, None, place.layer.name)


def _average_pool(builder: NetworkBuilder, place: Place) -> str:
    """An average over a power of two places is a depthwise convolution with one power of two."""
    shape = builder.shape_of(place.inputs[0])
    whole = place.layer.kind.startswith("Global")
    size = shape[:-1] if whole else pair(place.layer.config["pool_size"], len(shape) - 1)
    count = int(np.prod(size))
    window = Window(size, (1,) * len(size), ((0, 0),) * len(size))
    if not whole:
        window = window_of(place.layer, shape, size, place.where)
    if count & (count - 1) or any(sum(ends) for ends in window.padding):
        raise UnsupportedModelError(
            f"the average of {count} values, or one at a padded edge, has no exact word", where=place.where,
            allowed="windows of 2, 4, 8 … values without padding",
            hint="QDepthwiseConv2D with a constant quantized kernel",
        )  # fmt: skip
    kernel = np.ones((*size, shape[-1]), dtype=np.int64)
    form = FixedPoint(False, 1 - (count.bit_length() - 1), count.bit_length() - 1)
    name = f"{place.name}_mean" if whole else place.name
    node = builder.convolution(
        name, place.inputs[0], kernel, form, strides=window.strides, padding=window.padding, depthwise=True,
        layer=place.layer.name,
    )  # fmt: skip
    return builder.reshape(place.name, node, (shape[-1],), place.layer.name) if whole else node


#: By the kind of layer.
RULES: dict[str, Rule] = {
    "QDense": _dense,
    "QConv1D": _convolution,
    "QConv2D": _convolution,
    "QDepthwiseConv2D": _convolution,
    "ReLU": _relu,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Permute": _permute,
    "UpSampling1D": _up_sampling,
    "UpSampling2D": _up_sampling,
    "ZeroPadding1D": _padding,
    "ZeroPadding2D": _padding,
    "Cropping1D": _cropping,
    "Cropping2D": _cropping,
    "Concatenate": _concatenate,
    **{kind: _merge(kind.lower()) for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")},
    **{f"{whole}MaxPooling{axes}D": _max_pool for whole in ("", "Global") for axes in (1, 2)},
    **{f"{whole}AveragePooling{axes}D": _average_pool for whole in ("", "Global") for axes in (1, 2)},
}
