"""A QKeras model read as a ``FixedPointNetwork``: nothing is assumed, every quantizer is asked for its format."""

from __future__ import annotations

from typing import Any

from toolchain.errors import UnsupportedModelError
from toolchain.model.chain import Link, padding_of
from toolchain.model.names import check_name
from toolchain.network.builder import NetworkBuilder
from toolchain.network.nodes import FixedPointNetwork
from toolchain.quantize.qkeras_formats import format_of, words_of_weights

SUPPORTED = "QActivation(quantized_bits | quantized_relu), QDense, QConv1D, Flatten"


def network_from_qkeras(model: Any, name: str) -> FixedPointNetwork:
    """The integers of a sequential QKeras model whose first layer is a QActivation(quantized_bits): the input format.

    Raises UnsupportedModelError naming the layer that has no exact meaning.
    """
    layers = [layer for layer in model.layers if type(layer).__name__ not in ("InputLayer", "Dropout")]
    if not layers or type(layers[0]).__name__ != "QActivation":
        raise UnsupportedModelError(
            "the input has no quantizer", where=f"layer '{layers[0].name if layers else ''}'",
            allowed="a first layer QActivation(quantized_bits(…)): it fixes the input port's format",
        )  # fmt: skip
    seen: dict[str, str] = {}
    for layer in layers:
        for problem in check_name(layer.name, seen, f"layer '{layer.name}'"):
            raise problem
    builder = NetworkBuilder(name)
    form = format_of(layers[0].quantizer, f"layer '{layers[0].name}'")
    last = builder.input(layers[0].name, tuple(int(n) for n in model.input_shape[1:]), form)
    for layer in layers[1:]:
        last = _add(builder, layer, last)
    return builder.build((last,))


def _add(builder: NetworkBuilder, layer: Any, x: str) -> str:
    kind, name = type(layer).__name__, layer.name
    where = f"layer '{name}'"
    if kind == "Flatten":
        size = 1
        for n in builder.shape_of(x):
            size *= n
        return builder.reshape(name, x, (size,))
    if kind == "QActivation":
        form = format_of(layer.quantizer, where)
        if type(layer.quantizer).__name__ == "quantized_relu":
            return builder.relu(name, x, form)
        return builder.requantize(name, x, form)
    if kind in ("QDense", "QConv1D"):
        return _add_linear(builder, layer, x)
    raise UnsupportedModelError(f"{kind} is not supported", where=where, allowed=SUPPORTED)


def _add_linear(builder: NetworkBuilder, layer: Any, x: str) -> str:
    name, where = layer.name, f"layer '{layer.name}'"
    activation = layer.activation
    if activation is not None and getattr(activation, "__name__", "") != "linear":
        raise UnsupportedModelError(
            f"activation {activation} inside the layer", where=where, hint="put it into a QActivation layer behind it"
        )
    kernel, kernel_format = words_of_weights(layer.kernel, layer.kernel_quantizer_internal, f"{where}: kernel")
    bias, bias_format = None, None
    if layer.use_bias:
        bias, bias_format = words_of_weights(layer.bias, layer.bias_quantizer_internal, f"{where}: bias")
    if type(layer).__name__ == "QDense":
        return builder.dense(name, x, kernel, kernel_format, bias, bias_format)
    if int(layer.groups) != 1 or layer.data_format != "channels_last":
        raise UnsupportedModelError("groups or channels_first", where=where, allowed="groups=1, channels_last")
    link = Link(
        "conv1d", name, kernel=layer.kernel.numpy(), stride=int(layer.strides[0]),
        dilation=int(layer.dilation_rate[0]), padding=layer.padding,
    )  # fmt: skip
    padding = padding_of(link, builder.shape_of(x)[0])
    return builder.convolution(
        name, x, kernel, kernel_format, bias, bias_format,
        strides=(link.stride,), dilation=(link.dilation,), padding=(padding,),
    )  # fmt: skip
