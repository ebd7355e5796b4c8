"""Which Keras layers have an exact meaning here, decided on their configuration alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from toolchain.errors import ToolchainError, UnsupportedModelError
from toolchain.model.names import check_name

SUPPORTED = (
    "InputLayer", "Dense", "Conv1D", "ReLU", "Activation('relu' or 'linear')", "Flatten", "BatchNormalization",
    "Dropout",
)  # fmt: skip

#: Per layer class, the options whose other values would change the arithmetic. A missing key or None: the first value.
_OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "InputLayer": {"sparse": (False,), "ragged": (False,)},
    "Dense": {"quantization_config": (None,), "lora_rank": (None,)},
    "Conv1D": {
        "groups": (1, [1]),
        "data_format": ("channels_last",),
        "padding": ("valid", "same", "causal"),
        "lora_rank": (None,),
    },
    "ReLU": {"max_value": (None,), "negative_slope": (0.0,), "threshold": (0.0,)},
    "Activation": {},
    "Flatten": {"data_format": ("channels_last",)},
    "BatchNormalization": {"renorm": (False,), "virtual_batch_size": (None,)},
    "Dropout": {},
}

Layers = Iterable[tuple[str, dict[str, Any]]]


def check_layers(layers: Layers, where: str) -> list[ToolchainError]:
    """Every layer (class name, Keras config) that has no exact meaning here, every name that C++ cannot carry."""
    problems: list[ToolchainError] = []
    seen: dict[str, str] = {}
    for kind, config in layers:
        name = str(config.get("name", kind))
        place = f"{where}: layer '{name}'"
        problems += check_layer(kind, config, place)
        problems += check_name(name, seen, place)
    return problems or _check_folding(layers, where)


def check_layer(kind: str, config: dict[str, Any], where: str) -> list[ToolchainError]:
    """Whether one layer's class and options have an exact meaning here."""
    if kind not in _OPTIONS:
        return [UnsupportedModelError(f"{kind} is not supported", where=where, allowed=", ".join(SUPPORTED))]
    problems: list[ToolchainError] = []
    if kind in ("Dense", "Conv1D", "Activation"):
        problems += check_activation(config.get("activation"), where)
    dtype = config.get("dtype")
    dtype = dtype.get("config", {}).get("name") if isinstance(dtype, dict) else dtype
    if dtype not in (None, "float32"):
        problems.append(UnsupportedModelError(f"computes in {dtype}", where=where, allowed="float32"))
    for key, allowed in _OPTIONS[kind].items():
        found = config.get(key)
        if found is not None and found not in allowed:
            shown = " or ".join(repr(value) for value in allowed if not isinstance(value, list))
            problems.append(
                UnsupportedModelError(f"{key} = {found!r} is not supported", where=where, allowed=f"{key} = {shown}")
            )
    return problems


def check_activation(found: Any, where: str) -> list[ToolchainError]:
    """Whether an activation, as Keras writes it into a configuration, is ReLU or none."""
    if isinstance(found, dict):
        inner = found.get("config")
        found = inner if isinstance(inner, str) else found.get("class_name")
    if found in ("linear", "relu", None):
        return []
    return [
        UnsupportedModelError(
            f"activation {found!r} is not supported", where=where, allowed="relu, linear",
            hint="train on the logits: leave a final sigmoid or softmax out of the model",
        )
    ]  # fmt: skip


def _check_folding(layers: Layers, where: str) -> list[ToolchainError]:
    """A BatchNormalization that neither the layer before it nor the one behind it can take, found without weights."""
    solid = [(kind, config) for kind, config in layers if kind not in ("InputLayer", "Dropout")]
    for place, (kind, config) in enumerate(solid):
        if kind == "BatchNormalization" and not _foldable(solid, place):
            return [unfoldable(str(config.get("name", kind)), where)]
    return []


def _foldable(layers: list[tuple[str, dict[str, Any]]], place: int) -> bool:
    back = place - 1
    while back >= 0 and layers[back][0] == "BatchNormalization":
        back -= 1
    if back >= 0 and layers[back][0] in ("Dense", "Conv1D") and layers[back][1].get("activation") in (None, "linear"):
        return True
    for kind, config in layers[place + 1 :]:
        if kind in ("Dense", "Conv1D"):
            return kind == "Dense" or config.get("padding", "valid") == "valid"
        if kind not in ("Flatten", "BatchNormalization"):
            return False
    return False


def unfoldable(name: str, where: str) -> UnsupportedModelError:
    """The refusal of a BatchNormalization that cannot be folded away."""
    return UnsupportedModelError(
        "this BatchNormalization can be folded neither into the layer before it nor into the one behind it",
        where=f"{where}: layer '{name}'",
        allowed="right after a Dense or Conv1D without activation, or before a Dense or an unpadded Conv1D",
    )
