"""Strides, dilation and padding of Keras' layers in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolchain.errors import UnsupportedModelError
from toolchain.model.graph import Layer
from toolchain.network.windows import Padding


@dataclass(frozen=True)
class Window:
    """How a window moves: strides and zeros before and after each axis, and the distance between its taps."""

    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...] = ()


def window_of(layer: Layer, shape: tuple[int, ...], size: tuple[int, ...], where: str) -> Window:
    """The window of a convolution or pooling layer over an input of ``shape``, as Keras places it.

    Raises UnsupportedModelError for channels first or a padding that Keras has not.
    """
    config, axes = layer.config, len(size)
    if config.get("data_format") not in (None, "channels_last"):
        raise UnsupportedModelError("channels_first", where=where, allowed="channels_last")
    strides = pair(config.get("strides") or size, axes)
    dilation = pair(config.get("dilation_rate", 1), axes)
    kind = config.get("padding", "valid")
    kind = str(kind).lower()
    if kind not in ("valid", "same", "causal"):
        raise UnsupportedModelError(f"padding = {kind!r}", where=where, allowed="valid, same, causal")
    padding = tuple(
        _ends(kind, length, window, stride, spread)
        for length, window, stride, spread in zip(shape, size, strides, dilation, strict=False)
    )
    return Window(size, strides, padding, dilation)


def _ends(kind: str, length: int, window: int, stride: int, dilation: int) -> tuple[int, int]:
    reach = dilation * (window - 1)
    if kind == "causal":
        return reach, 0
    if kind == "valid":
        return 0, 0
    total = max((-(-length // stride) - 1) * stride + reach + 1 - length, 0)
    return total // 2, total - total // 2


def pair(value: Any, axes: int) -> tuple[int, ...]:
    """Keras' argument for ``axes`` axes: one number for all, or one for each."""
    if isinstance(value, (list, tuple)):
        return tuple(int(n) for n in value)
    return (int(value),) * axes
