"""Which format each tensor and weight gets: from the training part and the weights themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from toolchain.errors import ProjectError, nearest
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.model.folding import KERNELS, OVER_CHANNELS
from toolchain.model.graph import Array, Graph, Layer, Tensor
from toolchain.model.keras_graph import build_keras
from toolchain.model.tensorflow import load_tensorflow
from toolchain.project import QuantizeSection
from toolchain.quantize.qkeras_formats import smallest_integer_bits
from toolchain.results import FloatArray

MODES = (Rounding.RND_CONV, Overflow.SAT)
#: A model's own output is no hidden activation: it keeps this width.
OUTPUT_BITS = 16
#: The weights of an average are constants: a coarse 1/n would scale everything.
CONSTANT_BITS = 16
#: Functions of one value that become tables.
FUNCTIONS = ("Activation", "LeakyReLU", "ELU", "ThresholdedReLU")
#: Layers that only move values or choose among them: who reads a narrow tensor gives a narrow one.
MOVING = (
    "Flatten", "Reshape", "Permute", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D", "MaxPooling1D",
    "MaxPooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "UpSampling1D", "UpSampling2D", "Concatenate",
    "Maximum", "Minimum",
)  # fmt: skip


def is_function(layer: Layer) -> bool:
    """Whether a layer is a function of one value that becomes a table: everything elementwise but the plain ReLU."""
    if layer.kind == "ReLU":
        given = [layer.config.get(key) for key in ("max_value", "negative_slope", "threshold")]
        return given[0] is not None or any(value not in (None, 0, 0.0) for value in given[1:])
    return layer.kind in FUNCTIONS


def is_composed(layer: Layer) -> bool:
    """Whether a layer becomes a composition of tables and sums that is near it."""
    return layer.kind in OVER_CHANNELS


def kernel_of(layer: Layer) -> str:
    """The name of the weight that a layer multiplies by, or nothing."""
    if layer.kind == "DepthwiseConv2D":
        return "depthwise_kernel"
    return KERNELS[layer.kind][0] if layer.kind in KERNELS else ""


def choose_formats(graph: Graph, inputs: Mapping[str, FloatArray], section: QuantizeSection) -> dict[str, FixedPoint]:
    """Formats of a plain graph: of each input under its name, of each activation's result under its layer's.

    Those of a kernel stand under ``layer``, of its bias under ``layer.bias``, of any other result that must be narrow
    under ``layer.format``.

    ``inputs`` maps input layers to the training part ``(samples, *shape)``. Integer bits come from the largest
    magnitude there plus headroom. Raises ProjectError for a layer in ``section.layers`` that does not exist.
    """
    for name in section.layers:
        if name not in graph.layers:
            raise ProjectError(
                f"the model has no layer '{name}'", where=f"[quantize.layers.{name}]", hint=nearest(name, graph.layers)
            )
    ranges = _ranges(graph, inputs)
    outputs = {out.layer for out in graph.outputs}
    formats: dict[str, FixedPoint] = {}
    for name in graph.inputs:
        low, high = ranges[name]
        integer = section.input_integer_bits
        if integer is None:
            integer = smallest_integer_bits(max(-low, high)) + section.input_headroom_bits
        signed = low < 0
        formats[name] = FixedPoint(signed, integer, section.input_bits - int(signed) - integer, *MODES)
    for name, layer in graph.layers.items():
        if layer.kind == "InputLayer":
            continue
        own = section.layers.get(name)
        bits = own.activation_bits if own and own.activation_bits else section.activation_bits
        result = _result_format(ranges[name], bits, section)
        if layer.kind == "ReLU" and not is_function(layer):
            # room above the training part's range at the output
            formats[name] = _relu_format(ranges[name][1], bits, section, last=name in outputs)
        elif is_function(layer) or is_composed(layer):
            formats[name] = _result_format(ranges[name], OUTPUT_BITS, section) if name in outputs else result
        elif kernel_of(layer):
            width = own.weight_bits if own and own.weight_bits else section.weight_bits
            width = width if layer.config.get("trainable", True) else CONSTANT_BITS
            weights = weight_format(layer.weights[kernel_of(layer)], width, section.weight_integer_bits)
            formats[name] = weights
            formats[f"{name}.bias"] = _bias_format(layer.weights.get("bias"), weights, section)
        elif layer.kind == "Embedding":
            formats[name] = weight_format(layer.weights["embeddings"], bits, None)
        formats[f"{name}.format"] = result
    return formats


def _relu_format(high: float, bits: int, section: QuantizeSection, last: bool) -> FixedPoint:
    width, headroom = (OUTPUT_BITS, 2) if last else (bits, section.activation_headroom_bits)
    integer = section.activation_integer_bits
    if integer is None or last:
        integer = smallest_integer_bits(high) + headroom
    return FixedPoint(False, integer, width - integer, *MODES)


def _result_format(bounds: tuple[float, float], bits: int, section: QuantizeSection) -> FixedPoint:
    low, high = bounds
    signed = low < 0
    integer = smallest_integer_bits(max(-low, high), signed_full_scale=-low > high) + section.activation_headroom_bits
    return FixedPoint(signed, integer, bits - int(signed) - integer, *MODES)


def weight_format(kernel: Array, bits: int, integer_bits: int | None) -> FixedPoint:
    """The integer bits with the smallest squared error over the weights, unless ``integer_bits`` fixes them."""
    needed = smallest_integer_bits(float(np.abs(kernel).max(initial=0)), signed_full_scale=True)
    candidates = range(min(needed, 8) + 1) if integer_bits is None else (integer_bits,)
    forms = [FixedPoint(True, integer, bits - 1 - integer, *MODES) for integer in candidates]
    return min(forms, key=lambda form: float(((form.values_of(form.words_of(kernel)) - kernel) ** 2).sum()))


def _bias_format(bias: Array | None, weights: FixedPoint, section: QuantizeSection) -> FixedPoint:
    """Biases keep the kernel's fractional bits and get as many integer bits as they need."""
    largest = float(np.abs(bias).max()) if bias is not None else 0.0
    integer = max(weights.integer_bits, smallest_integer_bits(largest))
    fractional = weights.fractional_bits + section.bias_extra_bits
    return FixedPoint(True, integer, fractional, weights.rounding, weights.overflow)


def _ranges(graph: Graph, inputs: Mapping[str, FloatArray]) -> dict[str, tuple[float, float]]:
    """The smallest and largest value that any call of a layer gives on the training part."""
    keras = load_tensorflow().keras
    model = build_keras(graph)
    places: list[Tensor] = [out for _, layer, out in graph.walk() if layer.kind != "InputLayer"]
    tensors: list[Any] = [model.get_layer(place.layer).get_output_at(place.call) for place in places]
    probe = keras.Model(model.inputs, tensors)
    found = {name: _bounds(inputs[name]) for name in graph.inputs}
    count = len(next(iter(inputs.values())))
    for start in range(0, count, 4096):
        batch = [np.asarray(inputs[name][start : start + 4096], dtype=np.float32) for name in graph.inputs]
        values = probe.predict_on_batch(batch[0] if len(batch) == 1 else batch)
        for place, value in zip(places, values if len(places) > 1 else [values], strict=True):
            low, high = _bounds(value)
            before = found.get(place.layer, (low, high))
            found[place.layer] = (min(low, before[0]), max(high, before[1]))
    return found


def _bounds(values: Any) -> tuple[float, float]:
    return float(np.min(values, initial=np.inf)), float(np.max(values, initial=-np.inf))
