"""Hypotheses on windows: other strides, paddings and dilations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from toolchain.fixed_point import FixedPoint, Words
from toolchain.network.nodes import Convolution, Crop, DepthwiseConvolution, MaxPool, Node, ZeroPadding
from toolchain.network.windows import output_length
from toolchain.verify.region import Hypothesis, Region, compute
from toolchain.verify.types import with_fields

Window = Convolution | DepthwiseConvolution | MaxPool
_SHIFTS = (-2, -1, 1, 2)


def windows(region: Region, node: Node) -> Iterator[Hypothesis]:
    """Other strides, paddings and dilations that give as many results."""
    if isinstance(node, ZeroPadding | Crop):
        yield from _moved_ends(node)
    if not isinstance(node, Convolution | DepthwiseConvolution | MaxPool):
        return
    lengths = region.network[node.inputs[0]].shape
    dilation = (1,) * len(node.strides) if isinstance(node, MaxPool) else node.dilation
    window = node.window if isinstance(node, MaxPool) else node.kernel.shape[: len(node.strides)]
    for axis in range(len(node.strides)):
        for stride in range(1, 5):
            sequence = _in_sequence(node, lengths, axis, stride) if stride != node.strides[axis] else None
            if sequence is not None:
                yield sequence
        stride, spread, before = node.strides[axis], dilation[axis], node.padding[axis][0]
        other = [(s, spread, before, f"stride {s} instead of {stride}") for s in range(1, 5) if s != stride]
        other += [(stride, spread, before + k, f"padding {before + k} instead of {before} before") for k in _SHIFTS]
        if not isinstance(node, MaxPool):
            other += [(stride, d, before, f"dilation {d} instead of {spread}") for d in range(1, 4) if d != spread]
        for s, d, first, text in other:
            last = (node.shape[axis] - 1) * s + d * (window[axis] - 1) + 1 - lengths[axis] - first
            changes: dict[str, object] = {
                "strides": put(node.strides, axis, s), "padding": put(node.padding, axis, (first, last)),
            }  # fmt: skip
            if not isinstance(node, MaxPool):
                changes["dilation"] = put(dilation, axis, d)
            yield with_fields(node, "window", f"the window of '{node.name}' has {text} on axis {axis}", **changes)


def _in_sequence(node: Window, shape: tuple[int, ...], axis: int, stride: int) -> Hypothesis | None:
    """Windows at another stride, written one behind the other until there are none left or the result is full."""
    strides = put(node.strides, axis, stride)
    dilation = (1,) * len(strides) if isinstance(node, MaxPool) else node.dilation
    window = node.window if isinstance(node, MaxPool) else node.kernel.shape[: len(strides)]
    axes = [
        output_length(length, size, s, d, ends)
        for length, size, s, d, ends in zip(shape[:-1], window, strides, dilation, node.padding, strict=True)
    ]
    if min(axes) < 1:
        return None
    other: Any = replace(node, strides=strides, shape=(*axes, node.shape[-1]))
    places, made = int(np.prod(node.shape[:-1])), int(np.prod(axes))

    def compute_all(inputs: list[Words], formats: list[FixedPoint]) -> tuple[Words, FixedPoint]:
        words, form = compute(other, inputs, formats)
        rows = words.reshape(len(words), made, -1)[:, :places]
        rest = np.zeros((len(rows), places - rows.shape[1], rows.shape[2]), dtype=rows.dtype)
        return np.concatenate([rows, rest], axis=1).reshape(len(rows), *node.shape), form

    unset = np.broadcast_to((np.arange(places) >= made)[:, None], (places, node.shape[-1])).reshape(node.shape)
    text = f"the window of '{node.name}' has stride {stride} instead of {node.strides[axis]} on axis {axis}"
    return Hypothesis("window", text, node.name, compute_all, unset=unset)


def put(items: tuple[Any, ...], place: int, item: Any) -> tuple[Any, ...]:
    """``items`` with another one at ``place``."""
    return (*items[:place], item, *items[place + 1 :])


def _moved_ends(node: ZeroPadding | Crop) -> Iterator[Hypothesis]:
    field, what = ("padding", "pads") if isinstance(node, ZeroPadding) else ("cropping", "crops")
    ends = getattr(node, field)
    for axis, (before, after) in enumerate(ends):
        for k in range(-before, after + 1):
            if k:
                new = f"{before + k} before and {after - k} after"
                text = f"'{node.name}' {what} {new} axis {axis}, not {before} and {after}"
                yield with_fields(node, "window", text, **{field: put(ends, axis, (before + k, after - k))})
