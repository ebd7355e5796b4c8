"""``FixedPointNetwork`` to hls4ml's layer list: plain layers, and a quantizer node at every change of format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.network.nodes import (
    Convolution,
    Dense,
    FixedPointNetwork,
    Input,
    Linear,
    Node,
    Relu,
    Requantize,
    Reshape,
)

_ROUNDINGS = (Rounding.TRN, Rounding.RND, Rounding.RND_CONV)
_OVERFLOWS = (Overflow.WRAP, Overflow.SAT, Overflow.SAT_SYM)


@dataclass(frozen=True)
class Lowered:
    """hls4ml's layer dictionaries, and which of them ends each node."""

    layers: list[dict[str, Any]]
    ends: dict[str, str]  # node -> name of the hls4ml layer that puts out its words
    inputs: list[str]
    outputs: list[str]


def lower(network: FixedPointNetwork) -> Lowered:
    """The layer list of ``network``. Raises UnsupportedModelError for what hls4ml cannot do exactly."""
    layers: list[dict[str, Any]] = []
    ends: dict[str, str] = {}
    for node in network.nodes:
        _check(node)
        layers += _lower(node, network, [ends[name] for name in node.inputs])
        ends[node.name] = layers[-1]["name"]
    return Lowered(layers, ends, [node.name for node in network.inputs], [ends[name] for name in network.outputs])


def _check(node: Node) -> None:
    where = f"layer '{node.layer or node.name}'"
    widths = [node.result.width] + ([node.accumulator.width] if isinstance(node, Linear) else [])
    if max(widths) > 53:
        raise UnsupportedModelError(
            f"a word of {max(widths)} bits cannot be traced exactly", where=where, allowed="at most 53 bits"
        )
    if not isinstance(node, Input) and node.result.rounding not in _ROUNDINGS:
        raise UnsupportedModelError(
            f"rounding {node.result.rounding} cannot be lowered", where=where, allowed=", ".join(_ROUNDINGS)
        )
    if not isinstance(node, Input) and node.result.overflow not in _OVERFLOWS:
        raise UnsupportedModelError(
            f"overflow {node.result.overflow} cannot be lowered", where=where, allowed=", ".join(_OVERFLOWS)
        )


@singledispatch
def _lower(node: Node, network: FixedPointNetwork, inputs: list[str]) -> list[dict[str, Any]]:
    raise UnsupportedModelError(
        f"{type(node).__name__} is not lowered to hardware", where=f"layer '{node.layer or node.name}'",
        allowed="Dense, one-dimensional convolution, ReLU, change of format, reshape",
    )  # fmt: skip


@_lower.register
def _(node: Input, network: FixedPointNetwork, inputs: list[str]) -> list[dict[str, Any]]:
    # The port's words are in the format already: the quantizer only tells hls4ml their range, it makes no hardware.
    plain = node.result.with_modes(Rounding.TRN, Overflow.WRAP)
    port = {"class_name": "InputLayer", "name": node.name, "input_shape": list(node.shape)}
    return [port, _quantizer(f"{node.name}_format", node.name, plain, node.shape)]


@_lower.register
def _(node: Dense, network: FixedPointNetwork, inputs: list[str]) -> list[dict[str, Any]]:
    shape = network[node.inputs[0]].shape
    if len(shape) > 2:
        raise UnsupportedModelError(f"Dense on {len(shape)} axes", where=f"layer '{node.layer}'", allowed="1 or 2 axes")
    if len(shape) == 2:
        return _convolution(node, inputs[0], shape, node.kernel[None], (1,), (1,), ((0, 0),))
    n_in, n_out = node.kernel.shape
    layer = {
        "class_name": "Dense", "name": node.name, "inputs": [inputs[0]], "n_in": n_in, "n_out": n_out,
        "weight_data": _values(node.kernel, node.kernel_format), "bias_data": _bias(node), "use_bias": True,
    }  # fmt: skip
    return [layer, *_result(node)]


@_lower.register
def _(node: Convolution, network: FixedPointNetwork, inputs: list[str]) -> list[dict[str, Any]]:
    if len(node.strides) != 1:
        raise UnsupportedModelError("a convolution over two axes is not lowered yet", where=f"layer '{node.layer}'")
    shape = network[node.inputs[0]].shape
    return _convolution(node, inputs[0], shape, node.kernel, node.strides, node.dilation, node.padding)


def _convolution(
    node: Dense | Convolution, x: str, shape: tuple[int, ...], kernel: np.ndarray,
    strides: tuple[int, ...], dilation: tuple[int, ...], padding: tuple[tuple[int, int], ...],
) -> list[dict[str, Any]]:  # fmt: skip
    if dilation != (1,):
        raise UnsupportedModelError(
            f"dilation {dilation[0]} is ignored by hls4ml 1.3.0", where=f"layer '{node.layer}'", allowed="dilation 1",
            hint="write the kernel out with zeros between its taps",
        )  # fmt: skip
    width, channels, filters = kernel.shape
    layer = {
        "class_name": "Conv1D", "name": node.name, "inputs": [x], "data_format": "channels_last",
        "in_width": shape[0], "out_width": node.shape[0], "n_chan": channels, "n_filt": filters, "filt_width": width,
        "stride_width": strides[0], "dilation": 1, "pad_left": padding[0][0], "pad_right": padding[0][1],
        "padding": "same" if any(padding[0]) else "valid",
        "weight_data": _values(kernel, node.kernel_format), "bias_data": _bias(node), "use_bias": True,
    }  # fmt: skip
    return [layer, *_result(node)]


@_lower.register
def _(node: Relu, network: FixedPointNetwork, inputs: list[str]) -> list[dict[str, Any]]:
    layer = {
        "class_name": "Activation", "name": node.name, "inputs": [inputs[0]], "activation": "relu", "n_in": node.size,
    }  # fmt: skip
    return [layer, _quantizer(f"{node.name}_format", node.name, node.result, node.shape)]


@_lower.register
def _(node: Requantize, network: FixedPointNetwork, inputs: list[str]) -> list[dict[str, Any]]:
    return [_quantizer(node.name, inputs[0], node.result, node.shape)]


@_lower.register
def _(node: Reshape, network: FixedPointNetwork, inputs: list[str]) -> list[dict[str, Any]]:
    layer = {"class_name": "Reshape", "name": node.name, "inputs": [inputs[0]], "target_shape": list(node.shape)}
    return [layer]


def _result(node: Linear) -> list[dict[str, Any]]:
    if node.result.same_grid(node.accumulator):
        return []
    return [_quantizer(f"{node.name}_format", node.name, node.result, node.shape)]


def _quantizer(name: str, x: str, form: FixedPoint, shape: tuple[int, ...]) -> dict[str, Any]:
    def mask(value: int) -> np.ndarray:
        return np.full((1,) * (len(shape) + 1), value, dtype=np.int16)

    signed = int(form.signed)
    return {
        "class_name": "FixedPointQuantizer", "name": name, "inputs": [x],
        "mask_kbi": (mask(signed), mask(form.width), mask(form.integer_bits + signed)),
        "RND": str(form.rounding), "SAT": str(form.overflow), "fusible": True, "overrides": {},
    }  # fmt: skip


def _values(words: np.ndarray, form: FixedPoint) -> np.ndarray:
    return np.asarray(form.values_of(words))


def _bias(node: Linear) -> np.ndarray:
    if node.bias is None or node.bias_format is None:
        return np.zeros(node.kernel.shape[-1])
    return _values(node.bias, node.bias_format)
