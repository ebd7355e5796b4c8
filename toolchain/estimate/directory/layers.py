"""The calls of a top function as layers of a ``Design``: which call is read by which rule."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.directory.generated_code import read_generated_code
from toolchain.estimate.directory.kernel_layers import (
    convolution,
    dense,
    distributed,
    normalize,
    separable,
)
from toolchain.estimate.directory.reading import Reading, Rule
from toolchain.estimate.directory.recurrent_layers import recurrent
from toolchain.estimate.directory.small_layers import (
    MERGES,
    cast,
    elementwise,
    embedding,
    is_quantizer,
    pooling,
    quantizer,
    spatial,
    wiring,
)
from toolchain.estimate.directory.sources import LayerCall, Sources

WIRING = (
    "clone_stream", "repack_stream", "transpose", "transpose_1d", "transpose_2d", "transpose_3d", "concatenate1d",
    "concatenate2d", "concatenate3d", "reshape", "flatten",
)  # fmt: skip
ACTIVATIONS = (
    "relu", "linear", "leaky_relu", "thresholded_relu", "prelu", "hard_sigmoid", "hard_tanh", "binary_tanh",
    "ternary_tanh", "relu_max", "relu1", "relu6", "clipped_relu", "argmax",
)  # fmt: skip
TABLES = ("sigmoid", "tanh", "softplus", "softsign", "elu", "selu", "unary_lut", "exponential", "swish")


def read_layers(sources: Sources, firmware: Path) -> Reading:
    """Every layer in the order of the calls, and notes. Raises UnsupportedModelError for a function not known."""
    reading = Reading(sources, firmware / "weights", read_generated_code(firmware))
    _check_wiring(sources)
    for call in sources.calls:
        rule = _RULES.get(call.function) or _generated(reading, call)
        if rule is None:
            raise UnsupportedModelError(
                f"{call.function} is a layer that is not estimated", where=f"{sources.folder}: layer '{call.name}'",
                allowed=", ".join(sorted(_RULES)),
            )  # fmt: skip
        rule(reading, call)
        for name in call.templates:
            if name in sources.configs:
                reading.configs[call.name] = name
    return reading


def _check_wiring(sources: Sources) -> None:
    """Raises UnsupportedModelError for a layer that reads what nothing writes, or that nothing reads: the tool leaves
    it out."""
    written, wired = set(sources.ports), []
    for call in sources.calls:
        names = [sources.aliases.get(name, name) for name in call.arguments]
        number = 2 if call.function in MERGES or call.function.startswith(("concatenate", "dot")) else 1
        wired.append((call, names[:number], names[number:]))
    if not sources.ports:
        return
    for call, inputs, others in wired:
        where = f"{sources.folder}: layer '{call.name}'"
        missing = [name for name in inputs if name not in written]
        if missing:
            raise UnsupportedModelError(
                f"it reads {missing[0]}, which no call before it writes: the tool would leave it out", where=where
            )
        elsewhere = {name for other, inputs, more in wired if other is not call for name in (*inputs, *more)}
        if not (elsewhere | set(sources.ports)).intersection(others):
            raise UnsupportedModelError("nothing reads what it writes: the tool would leave it out", where=where)
        written.update(others)


def _generated(reading: Reading, call: LayerCall) -> Rule | None:
    """Functions whose names hls4ml makes up."""
    if call.function in reading.code.adder_graphs:
        return distributed
    return quantizer if is_quantizer(reading, call) else None


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("dense", "dense_latency", "dense_resource", "dense_resource_rf_leq_nin"), dense),
    **{f"{point}conv_1d_cl": convolution("conv1d") for point in ("", "pointwise_")},
    **{f"{point}conv_2d_cl": convolution("conv2d") for point in ("", "pointwise_")},
    **{f"{point}conv_1d_latency_cl": convolution("conv1d") for point in ("", "pointwise_")},  # one strategy only
    **{f"{point}conv_2d_latency_cl": convolution("conv2d") for point in ("", "pointwise_")},
    "conv1d_cl": convolution("conv1d"),  # of distributed arithmetic
    "conv2d_cl": convolution("conv2d"),
    "conv_1d_cf": convolution("conv1d"),
    "conv_2d_cf": convolution("conv2d"),
    **{f"depthwise_conv_{axes}d_cl": convolution("depthwise") for axes in (1, 2)},
    **{f"separable_conv_{axes}d_cl": separable for axes in (1, 2)},
    "normalize": normalize,
    "cast_format": cast,
    **dict.fromkeys(("normalize_binary_tanh", "normalize_ternary_tanh"), elementwise("activation")),
    **dict.fromkeys(ACTIVATIONS, elementwise("activation")),
    **dict.fromkeys(TABLES, elementwise("table")),
    **dict.fromkeys(("softmax", "softmax_multidim"), elementwise("softmax")),
    **dict.fromkeys(MERGES, elementwise("merge")),
    **{
        f"{whole}pooling{axes}d_{order}": pooling
        for whole in ("", "global_")
        for axes in (1, 2)
        for order in ("cl", "cf")
    },
    **{f"zeropad{axes}d_{order}": spatial("padding") for axes in (1, 2) for order in ("cl", "cf")},
    "resize_nearest": spatial("resize"),
    **dict.fromkeys(WIRING, wiring),
    "embedding": embedding,
    **{f"{kind}{form}": recurrent for kind in ("gru", "lstm", "simple_rnn") for form in ("", "_stack", "_static")},
}
