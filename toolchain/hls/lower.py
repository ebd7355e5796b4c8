"""``FixedPointNetwork`` to hls4ml's layer list: plain layers, and a quantizer node at every change of format."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.hls.admission import admit, refuse
from toolchain.network.nodes import (
    Add,
    Convolution,
    Dense,
    FixedPointNetwork,
    Input,
    IntArray,
    Linear,
    MaxPool,
    Node,
    Relu,
    Requantize,
    Reshape,
    Scale,
)
from toolchain.network.ranges import Range, analyse
from toolchain.network.windows import Padding

Layer = dict[str, Any]


@dataclass
class Lowered:
    """hls4ml's layer dictionaries, and where each node's words stand among them."""

    io_type: str
    bounds: dict[str, Range]
    layers: list[Layer] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)  # node -> the hls4ml layer that puts out its words
    formed: set[str] = field(default_factory=set)  # hls4ml layers whose result already has a format of its own
    flattened: set[str] = field(default_factory=set)  # nodes whose stream still has the packs from before a flattening
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [layer["name"] for layer in self.layers]


def lower(network: FixedPointNetwork, io_type: str) -> Lowered:
    """The layer list of ``network``. Raises UnsupportedModelError for what hls4ml cannot do exactly."""
    admit(network)
    lowered = Lowered(io_type, analyse(network), inputs=[node.name for node in network.inputs])
    for node in network.nodes:
        if isinstance(node, Reshape) and not network.consumers(node.name):
            lowered.ends[node.name] = lowered.ends[node.inputs[0]]  # the port's words in row-major order are the same
            continue
        added = _lower(node, network, lowered)
        lowered.layers += added
        lowered.ends[node.name] = added[-1]["name"]
        _mark(node, added, lowered)
    lowered.outputs = [lowered.ends[name] for name in network.outputs]
    return lowered


def _mark(node: Node, added: list[Layer], lowered: Lowered) -> None:
    """What later layers must know: hls4ml moves a quantizer into the layer before it, through a reshape even."""
    has_format = added[-1]["class_name"] == "FixedPointQuantizer" or isinstance(node, MaxPool)
    if has_format or (isinstance(node, Reshape) and added[0]["inputs"][0] in lowered.formed):
        lowered.formed.add(added[-1]["name"])
    merged = isinstance(node, Requantize) and node.inputs[0] in lowered.flattened
    if (isinstance(node, Reshape) and len(node.shape) == 1) or merged:
        lowered.flattened.add(node.name)


@singledispatch
def _lower(node: Node, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    raise UnsupportedModelError(
        f"{type(node).__name__} is not lowered to hardware", where=f"layer '{node.layer or node.name}'",
        allowed="Dense, Conv1D, BatchNormalization, ReLU, max pooling over one axis, Add, change of format, reshape",
    )  # fmt: skip


@_lower.register
def _(node: Input, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    # The port's words are in the format already: the quantizer only tells hls4ml their range, it makes no hardware.
    plain = node.result.with_modes(Rounding.TRN, Overflow.WRAP)
    port = {"class_name": "InputLayer", "name": node.name, "input_shape": list(node.shape)}
    return [port, _quantizer(node, plain)]


@_lower.register
def _(node: Dense, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    shape = network[node.inputs[0]].shape
    if len(shape) > 2:
        raise refuse(node, f"Dense on {len(shape)} axes", "1 or 2 axes")
    if len(shape) == 2:
        return _convolution(node, lowered, shape, (1,), ((0, 0),))
    n_in, n_out = node.kernel.shape
    layer = {
        "class_name": "Dense", "name": node.name, "inputs": [lowered.ends[node.inputs[0]]], "n_in": n_in,
        "n_out": n_out, "weight_data": _values(node.kernel, node.kernel_format), "bias_data": bias_values(node),
        "use_bias": True,
    }  # fmt: skip
    return [layer, *_result(node)]


@_lower.register
def _(node: Convolution, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    if len(node.strides) != 1:
        raise refuse(node, f"a convolution over {len(node.strides)} axes", "one axis")
    return _convolution(node, lowered, network[node.inputs[0]].shape, node.strides, node.padding)


def _convolution(
    node: Dense | Convolution, lowered: Lowered, shape: tuple[int, ...], strides: tuple[int, ...], padding: Padding
) -> list[Layer]:
    kernel = hardware_kernel(node)
    kernel = kernel[None] if kernel.ndim == 2 else kernel
    width, channels, filters = kernel.shape
    layer = {
        "class_name": "Conv1D", "name": node.name, "inputs": [lowered.ends[node.inputs[0]]],
        "data_format": "channels_last", "in_width": shape[0], "out_width": node.shape[0], "n_chan": channels,
        "n_filt": filters, "filt_width": width, "stride_width": strides[0], "dilation": 1,
        "pad_left": padding[0][0], "pad_right": padding[0][1], "padding": "same" if any(padding[0]) else "valid",
        "weight_data": _values(kernel, node.kernel_format), "bias_data": bias_values(node), "use_bias": True,
    }  # fmt: skip
    return [layer, *_result(node)]


@_lower.register
def _(node: Scale, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    _refuse_flattened_stream(node, lowered)
    layer = {
        "class_name": "ApplyAlpha", "name": node.name, "inputs": [lowered.ends[node.inputs[0]]], "n_in": node.size,
        "n_filt": node.shape[-1] if len(node.shape) > 1 else -1,
        "scale_data": _values(node.kernel, node.kernel_format), "bias_data": bias_values(node),
    }  # fmt: skip
    return [layer, *_result(node)]


@_lower.register
def _(node: Relu, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    _refuse_flattened_stream(node, lowered)
    x = lowered.ends[node.inputs[0]]
    layer = {"class_name": "Activation", "name": node.name, "inputs": [x], "activation": "relu", "n_in": node.size}
    return [layer, _quantizer(node, node.result)]


@_lower.register
def _(node: Requantize, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    x = node.inputs[0]
    end = lowered.ends[x]
    alone = len(network.consumers(x)) == 1 and x not in network.outputs
    if alone and end not in lowered.formed:
        return [_quantizer(node, node.result, end)]  # hls4ml makes it the producing layer's own result type
    # hls4ml merges every quantizer into the layer before it, and a second one there would replace the first. So this
    # one gets a layer of its own, which does nothing else: a ReLU of values that are never negative.
    _refuse_flattened_stream(node, lowered)
    if lowered.bounds[x].lowest < 0:
        raise refuse(node, f"a change of format right behind the one of '{x}'", "one change of format in a place")
    layer = {"class_name": "Activation", "name": node.name, "inputs": [end], "activation": "relu", "n_in": node.size}
    return [layer, _quantizer(node, node.result)]


@_lower.register
def _(node: Reshape, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    x = lowered.ends[node.inputs[0]]
    return [{"class_name": "Reshape", "name": node.name, "inputs": [x], "target_shape": list(node.shape)}]


@_lower.register
def _(node: MaxPool, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    if len(node.window) != 1 or any(node.padding[0]):
        raise refuse(node, "max pooling over two axes or with padding", "one axis, no padding")
    length, channels = network[node.inputs[0]].shape
    layer = {
        "class_name": "MaxPooling1D", "name": node.name, "inputs": [lowered.ends[node.inputs[0]]],
        "data_format": "channels_last", "n_in": length, "n_out": node.shape[0], "n_filt": channels,
        "pool_width": node.window[0], "stride_width": node.strides[0], "pad_left": 0, "pad_right": 0,
        "padding": "valid", "count_pad": False,
    }  # fmt: skip
    return [layer]


@_lower.register
def _(node: Add, network: FixedPointNetwork, lowered: Lowered) -> list[Layer]:
    if len(node.inputs) != 2 or node.inputs[0] == node.inputs[1]:
        raise refuse(node, f"Add of {', '.join(node.inputs)}", "two different layers")
    _refuse_flattened_stream(node, lowered)
    ends = [lowered.ends[name] for name in node.inputs]
    return [{"class_name": "Merge", "name": node.name, "inputs": ends, "op": "add"}, _quantizer(node, node.result)]


def hardware_kernel(node: Linear) -> IntArray:
    """The kernel as it stands in hardware: hls4ml ignores dilation, so the zeros between the taps are written out."""
    if not isinstance(node, Convolution) or set(node.dilation) == {1}:
        return node.kernel
    axes = range(len(node.dilation))
    spread = [(node.kernel.shape[axis] - 1) * node.dilation[axis] + 1 for axis in axes]
    wide = np.zeros((*spread, *node.kernel.shape[len(spread) :]), dtype=np.int64)
    wide[tuple(slice(None, None, node.dilation[axis]) for axis in axes)] = node.kernel
    return wide


def bias_values(node: Linear) -> np.ndarray:
    """The biases as real numbers, zeros where there are none: ``(outputs,)``."""
    if node.bias is None or node.bias_format is None:
        return np.zeros(node.kernel.shape[-1])
    return _values(node.bias, node.bias_format)


def _refuse_flattened_stream(node: Node, lowered: Lowered) -> None:
    """A flattened stream keeps its packs of channels, which only hls4ml's Dense allows for."""
    if lowered.io_type == "io_stream" and any(name in lowered.flattened for name in node.inputs):
        kind = type(node).__name__
        raise refuse(node, f"{kind} behind a flattening is wrong under io_stream", f"{kind} before it, or io_parallel")


def _result(node: Linear) -> list[Layer]:
    return [] if node.result.same_grid(node.accumulator) else [_quantizer(node, node.result)]


def _quantizer(node: Node, form: FixedPoint, x: str = "") -> Layer:
    """A quantizer behind layer ``x``, by default behind the node's own layer."""

    def mask(value: int) -> np.ndarray:
        return np.full((1,) * (len(node.shape) + 1), value, dtype=np.int16)

    signed = int(form.signed)
    return {
        "class_name": "FixedPointQuantizer", "name": node.name if x else f"{node.name}_format",
        "inputs": [x or node.name],
        "mask_kbi": (mask(signed), mask(form.width), mask(form.integer_bits + signed)),
        "RND": str(form.rounding), "SAT": str(form.overflow), "fusible": True, "overrides": {},
    }  # fmt: skip


def _values(words: IntArray, form: FixedPoint) -> np.ndarray:
    return np.asarray(form.values_of(words))
