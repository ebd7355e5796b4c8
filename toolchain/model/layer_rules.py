"""Which Keras and QKeras layers have an exact meaning, decided on their configuration alone, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from toolchain.errors import ToolchainError, UnsupportedModelError
from toolchain.model.equivalents import MERGE_MODES
from toolchain.model.names import check_name
from toolchain.model.recurrent_steps import quantizer_problems
from toolchain.model.wiring import Wiring
from toolchain.network.cells import GATES

#: How a layer is computed: word for word, through a table of a function of one value (its content is part of the
#: network), by sums and tables within a proven bound, said in other layers, only while training, left out at the
#: output, or not at all.
Status = Literal["exact", "table", "approximate", "rewritten", "training only", "left out", "refused"]

#: Activations of one value that become tables.
TABLE_FUNCTIONS = (
    "tanh", "sigmoid", "hard_sigmoid", "elu", "selu", "softplus", "softsign", "swish", "silu", "gelu", "exponential",
    "relu6", "leaky_relu", "mish",
)  # fmt: skip
_FINAL = ("softmax", "sigmoid")
_RECURRENT = tuple(GATES)
_CHANNELS_LAST: dict[str, tuple[Any, ...]] = {"data_format": ("channels_last",)}
_POOL: dict[str, tuple[Any, ...]] = {**_CHANNELS_LAST, "padding": ("valid", "same")}
_CONVOLUTION: dict[str, tuple[Any, ...]] = {
    **_POOL, "groups": (1, [1]), "lora_rank": (None,), "quantization_config": (None,),
}  # fmt: skip
_DENSE: dict[str, tuple[Any, ...]] = {"quantization_config": (None,), "lora_rank": (None,)}


@dataclass(frozen=True)
class Rule:
    """What holds for a layer class; per option, the values that keep its meaning exact (missing: the first)."""

    status: Status
    options: Mapping[str, tuple[Any, ...]]
    note: str = ""


_NEAR = "within a proven bound of the function: sums, products and tables"


def _rules() -> dict[str, Rule]:
    rules = {
        "InputLayer": Rule("exact", {"sparse": (False,), "ragged": (False,)}),
        "Dense": Rule("exact", _DENSE),
        "Conv1D": Rule("exact", {**_CONVOLUTION, "padding": ("valid", "same", "causal")}),
        "Conv2D": Rule("exact", _CONVOLUTION),
        "DepthwiseConv2D": Rule("exact", _CONVOLUTION),
        "DepthwiseConv1D": Rule("rewritten", _CONVOLUTION, "a depthwise convolution over two axes"),
        "SeparableConv1D": Rule("rewritten", _CONVOLUTION, "a depthwise and a 1x1 convolution"),
        "SeparableConv2D": Rule("rewritten", _CONVOLUTION, "a depthwise and a 1x1 convolution"),
        "BatchNormalization": Rule(
            "rewritten", {"renorm": (False,), "virtual_batch_size": (None,)},
            "folded into the layer beside it, or a product and a sum for each channel",
        ),
        "Softmax": Rule("approximate", {"axis": (-1, [-1])}, f"{_NEAR} of exp and 1/x"),
        "LayerNormalization": Rule("approximate", {"rms_scaling": (False,)}, f"{_NEAR} of 1/sqrt(x)"),
        "Embedding": Rule("exact", {"mask_zero": (False,)}),
        "Normalization": Rule("rewritten", {"invert": (False,)}, "a product and a sum, folded if it can be"),
        "Rescaling": Rule("rewritten", {}, "a product and a sum, folded if it can be"),
        "TimeDistributed": Rule("rewritten", {}, "the layer within, which works on every step"),
        "Bidirectional": Rule(
            "rewritten", {"merge_mode": tuple(MERGE_MODES)}, "two recurrent layers, one backwards, and a merge"
        ),
    }  # fmt: skip
    for kind in ("ReLU", "Activation"):
        rules[kind] = Rule("exact", {})
    for kind in ("LeakyReLU", "ELU", "ThresholdedReLU"):
        rules[kind] = Rule("table", {}, "a table of its values for every input word")
    for axes in ("1D", "2D"):
        rules[f"UpSampling{axes}"] = Rule("exact", {**_CHANNELS_LAST, "interpolation": ("nearest",)})
    for kind in ("Flatten", "Permute", "Reshape", "ZeroPadding1D", "ZeroPadding2D", "Cropping1D", "Cropping2D"):
        rules[kind] = Rule("exact", _CHANNELS_LAST)
    for kind in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"):
        rules[kind] = Rule("exact", {})
    for axes in ("1D", "2D"):
        rules[f"MaxPooling{axes}"] = Rule("exact", _POOL)
        rules[f"GlobalMaxPooling{axes}"] = Rule("exact", _CHANNELS_LAST)
        rules[f"AveragePooling{axes}"] = Rule("rewritten", _POOL, "a depthwise convolution with constant weights")
        rules[f"GlobalAveragePooling{axes}"] = Rule("rewritten", _CHANNELS_LAST, "a depthwise convolution")
    for kind in _RECURRENT:
        options = {"stateful": (False,), "return_state": (False,), "time_major": (False,)}
        note = "unrolled over its window: Dense layers, {}, products and sums, shared by all steps"
        rules[kind] = Rule("rewritten", options, note.format("tables"))
        rules[f"Q{kind}"] = Rule("rewritten", options, note.format("its own quantizers"))
    noise = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout")
    for kind in (*noise, "ActivityRegularization"):
        rules[kind] = Rule("training only", {})
    for kind in ("QDense", "QConv1D", "QConv2D", "QDepthwiseConv2D", "QActivation"):
        rules[kind] = Rule("exact", rules.get(kind[1:], Rule("exact", {})).options, "its quantizers are respected")
    return rules


RULES = _rules()
SUPPORTED = tuple(sorted(kind for kind, rule in RULES.items() if rule.status != "training only"))
#: What a wrapper may hold.
_WITHIN = {"TimeDistributed": ("Dense",), "Bidirectional": _RECURRENT}
#: What to use instead of a layer that is refused.
_INSTEAD = {
    "Lambda": "standard layers",
    "GroupNormalization": "LayerNormalization or BatchNormalization",
    "MultiHeadAttention": "convolutions over time",
    "QDenseBatchnorm": "QDense, with the normalization folded into its weights",
    "QConv2DBatchnorm": "QConv2D, with the normalization folded into its weights",
    "QBatchNormalization": "QDense or QConv2D, with the normalization folded into its weights",
    "PReLU": "LeakyReLU",
    "QBidirectional": "one QSimpleRNN, QLSTM or QGRU in one direction",
}


@dataclass(frozen=True)
class Judgement:
    """What becomes of one layer, for people and for JSON."""

    layer: str
    kind: str
    status: Status
    reason: str = ""
    instead: str = ""


def judge(wiring: Wiring, where: str) -> list[Judgement]:
    """What becomes of every layer of a model, in the order of its calls."""
    outputs = {out.layer for out in wiring.outputs}
    found = []
    for name, layer in wiring.layers.items():
        problems = check_layer(layer.kind, dict(layer.config), where, final=name in outputs)
        if problems:
            known = layer.kind in RULES  # else ``allowed`` is the list of all layers: said once, by the error
            hint = problems[0].hint or (problems[0].allowed if known else "")
            found.append(Judgement(name, layer.kind, "refused", "; ".join(item.problem for item in problems), hint))
        else:
            found.append(_accepted(name, layer.kind, layer.config, name in outputs))
    return found


def _accepted(name: str, kind: str, config: Mapping[str, Any], final: bool) -> Judgement:
    activation = activation_name(config.get("activation"))
    if final and (kind == "Softmax" or activation in _FINAL):
        what = "softmax" if kind == "Softmax" else activation
        return Judgement(name, kind, "left out", f"{what} at the output: the outputs are logits, the class is the same")
    rule = RULES[kind]
    limited = kind == "ReLU" and any(config.get(key) for key in ("max_value", "negative_slope", "threshold"))
    if activation == "softmax":
        return Judgement(name, kind, "approximate", RULES["Softmax"].note)
    if activation in TABLE_FUNCTIONS or limited:
        return Judgement(name, kind, "table", f"{activation or 'its function'} as a table for every input word")
    return Judgement(name, kind, rule.status, rule.note)


def _check_within(kind: str, config: Mapping[str, Any], where: str) -> list[ToolchainError]:
    """A wrapper's layer: its kind and its own options."""
    problems: list[ToolchainError] = []
    for key in ("layer", "backward_layer"):
        inner = config.get(key)
        if key == "backward_layer" and inner is None:
            continue
        if not isinstance(inner, Mapping) or inner.get("class_name") not in _WITHIN[kind]:
            found = inner.get("class_name") if isinstance(inner, Mapping) else inner
            problems.append(
                UnsupportedModelError(f"{kind} of {found}", where=where, allowed=f"{kind} of {_either(_WITHIN[kind])}")
            )
            continue
        problems += check_layer(str(inner["class_name"]), inner["config"], where)
        if kind == "Bidirectional" and inner["config"].get("return_sequences"):
            problems.append(
                UnsupportedModelError(
                    "Bidirectional with return_sequences turns a sequence round in time, which no operator does",
                    where=where, allowed="return_sequences = False", hint="a recurrent layer in one direction",
                )
            )  # fmt: skip
    return problems


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(names)


def check_wiring(wiring: Wiring, where: str) -> list[ToolchainError]:
    """Every layer that has no exact meaning here, every name that C++ cannot carry."""
    problems: list[ToolchainError] = []
    seen: dict[str, str] = {}
    outputs = {out.layer for out in wiring.outputs}
    for name, layer in wiring.layers.items():
        place = f"{where}: layer '{name}'"
        problems += check_layer(layer.kind, dict(layer.config), place, final=name in outputs)
        problems += check_name(name, seen, place)
    if not problems and not any(layer.kind.removeprefix("Q") in _WITH_KERNELS for layer in wiring.layers.values()):
        problems.append(UnsupportedModelError("has no Dense or convolution", where=where))
    return problems


_WITH_KERNELS = (
    "Dense", "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D",
    *_RECURRENT, "Bidirectional", "TimeDistributed",
)  # fmt: skip


def check_layer(kind: str, config: Mapping[str, Any], where: str, final: bool = False) -> list[ToolchainError]:
    """Whether one layer's class and options have an exact meaning here; ``final``: it gives one of the outputs."""
    if kind == "Softmax" and final and config.get("axis", -1) in (-1, 1):
        return []
    if kind not in RULES:
        allowed = ", ".join(SUPPORTED)
        return [
            UnsupportedModelError(f"{kind} is not supported", where=where, allowed=allowed, hint=_INSTEAD.get(kind, ""))
        ]
    problems: list[ToolchainError] = []
    if kind in _WITHIN:
        problems += _check_within(kind, config, where)
    if kind == "InputLayer":
        problems += _check_shape(config, where)
    if not kind.startswith("Q"):
        problems += check_activation(config.get("activation"), where, softmax=kind not in _RECURRENT)
        problems += check_activation(config.get("recurrent_activation"), where)
    if kind.startswith("Q") and kind.removeprefix("Q") in _RECURRENT:
        problems += quantizer_problems(kind, dict(config), where)
    dtype = config.get("dtype")
    dtype = dtype.get("config", {}).get("name") if isinstance(dtype, dict) else dtype
    integers = kind in ("InputLayer", "Embedding") and str(dtype).startswith("int")
    if dtype not in (None, "float32") and not integers:
        problems.append(UnsupportedModelError(f"computes in {dtype}", where=where, allowed="float32"))
    for key, allowed_values in RULES[kind].options.items():
        value = config.get(key)
        if value is not None and value not in allowed_values and not (kind.startswith("Q") and key == "activation"):
            shown = " or ".join(repr(item) for item in allowed_values if not isinstance(item, list))
            problems.append(
                UnsupportedModelError(f"{key} = {value!r} is not supported", where=where, allowed=f"{key} = {shown}")
            )
    return problems


def _check_shape(config: Mapping[str, Any], where: str) -> list[ToolchainError]:
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if not isinstance(shape, (list, tuple)) or None not in shape[1:]:
        return []
    return [
        UnsupportedModelError(
            f"takes samples of shape {tuple(shape[1:])}: hardware has a fixed length", where=where,
            allowed="a number for every axis but the samples'", hint="build the model on keras.Input((20, 4)), say",
        )
    ]  # fmt: skip


def activation_name(found: Any) -> str:
    """An activation, as Keras writes it into a configuration; empty for none."""
    if isinstance(found, dict):
        inner = found.get("config")
        found = inner if isinstance(inner, str) else found.get("class_name")
    return "" if found in (None, "linear") else str(found)


def check_activation(found: Any, where: str, softmax: bool = False) -> list[ToolchainError]:
    """Whether an activation, as Keras writes it into a configuration, has an exact meaning."""
    name = activation_name(found)
    if name in ("", "relu", *TABLE_FUNCTIONS) or (softmax and name == "softmax"):
        return []
    allowed = f"relu, linear, {'softmax, ' if softmax else ''}{', '.join(TABLE_FUNCTIONS)}"
    return [UnsupportedModelError(f"activation {name!r} is not supported", where=where, allowed=allowed)]
