"""Which activations and quantizers work on every value by itself. Only through these can channels be cut."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from toolchain.model.folding import activation_of
from toolchain.prune.surgery.channels import Labels, UncuttableError
from toolchain.prune.surgery.rules import Site

ELEMENTWISE = (
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "tanh", "sigmoid", "hard_sigmoid", "hard_tanh", "softplus",
    "softsign", "swish", "silu", "gelu", "mish", "exponential",
)  # fmt: skip
QUANTIZERS = (
    "quantized_bits", "quantized_linear", "quantized_relu", "quantized_tanh", "quantized_sigmoid", "quantized_ulaw",
    "quantized_po2", "quantized_relu_po2", "quantized_hswish", "ternary", "binary",
)  # fmt: skip


def check_activation(site: Site, labels: Labels, key: str = "activation") -> None:
    """Keep ``labels`` where the layer's activation mixes them."""
    found = site.layer.config.get(key) or "linear"
    name = activation_of(site.layer) if key == "activation" else _name(found)
    if name in ELEMENTWISE:
        return
    if _name(found) in QUANTIZERS:
        why = quantizer_problem(found)
        if why:
            site.keep(labels, f"{key}: {why}")
        return
    mixes = name in ("softmax", "log_softmax")
    site.keep(labels, f"{name} runs over all its units" if mixes else f"{key} {name!r} is not known")


def check_quantizers(site: Site) -> None:
    """Raise UncuttableError where a QKeras quantizer of this layer looks at more than one weight at a time."""
    for key, value in site.layer.config.items():
        if key.endswith("_quantizer") and value is not None:
            why = quantizer_problem(value)
            if why:
                raise UncuttableError(f"{key}: {why}")


def quantizer_problem(value: Any) -> str:
    """Why a quantizer (as a configuration or as text) does not work on every value by itself; empty where it does."""
    name = _name(value)
    if name not in QUANTIZERS:
        return f"the quantizer {name!r} is not known to work on every value by itself"
    for key, item in _options(value):
        text = str(item).strip("'\"")
        if key == "alpha" and text != "None" and not re.fullmatch(r"[-+0-9.e]+", text):
            return f"alpha = {text[:20]}: its scale is computed from all weights"
        if key == "use_stochastic_rounding" and text not in ("False", "0"):
            return "stochastic rounding"
    return ""


def _name(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value["config"]) if isinstance(value.get("config"), str) else str(value.get("class_name"))
    if isinstance(value, str):
        return value.split("(")[0]
    return str(getattr(value, "__name__", type(value).__name__))


def _options(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from dict(value.get("config") or {}).items()
    elif isinstance(value, str):
        if "auto" in value:  # alpha may stand without its name
            yield "alpha", "auto"
        yield from re.findall(r"(\w+)\s*=\s*([^,)]+)", value)
    elif hasattr(value, "get_config"):
        yield from value.get_config().items()
