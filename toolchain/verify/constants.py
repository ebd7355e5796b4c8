"""Hypotheses on constants: which weights, biases and table entries the words found were made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, Words
from toolchain.network.nodes import DepthwiseConvolution, Embedding, IntArray, Linear, Node, Scale, Table
from toolchain.results import CauseKind
from toolchain.verify.grids import on_grid
from toolchain.verify.region import Hypothesis, Region
from toolchain.verify.types import with_fields

#: How a kernel that was taken wrongly as a whole may look, in words.
_WHOLE: dict[str, Callable[[IntArray], IntArray]] = {
    "are without their signs": np.abs,
    "are negated": np.negative,
    "are all zero": np.zeros_like,
    "are doubled": lambda kernel: kernel * 2,
    "are halved": lambda kernel: kernel // 2,
}


def whole_arrays(region: Region, node: Node) -> Iterator[Hypothesis]:
    """All weights or biases of ``node`` changed in the same way, or those of another layer."""
    if not isinstance(node, Linear):
        return
    yield from _new_array(node, "kernel", "weights", {text: change(node.kernel) for text, change in _WHOLE.items()})
    yield from _new_array(node, "kernel", "kernel_layout", _other_orders(node.kernel))
    if node.bias is not None:
        changed = {text: change(node.bias) for text, change in _WHOLE.items()}
        changed["are moved by one"] = np.roll(node.bias, 1)
        yield from _new_array(node, "bias", "bias", changed)
    for other in region.network.nodes:
        if isinstance(other, Linear) and other.name != node.name:
            yield from _taken_from(node, other)


def _new_array(node: Linear, field: str, kind: CauseKind, arrays: dict[str, IntArray]) -> Iterator[Hypothesis]:
    old, form = (node.kernel, node.kernel_format) if field == "kernel" else (node.bias, node.bias_format)
    assert old is not None
    assert form is not None
    what = "weights" if field == "kernel" else "biases"
    for text, words in arrays.items():
        # Their type was made for the network's own: others may not fit.
        new = form.with_modes(Rounding.TRN, Overflow.WRAP).requantize(words, form.fractional_bits)
        if (new != old).any():
            yield with_fields(node, kind, f"the {what} of '{node.name}' {text}", **{field: new})


def _other_orders(kernel: IntArray) -> dict[str, IntArray]:
    """The same numbers in another order, by what that order is."""
    found = {}
    axes = kernel.ndim
    for axis in range(axes):
        found[f"are reversed along axis {axis}"] = np.flip(kernel, axis)
        found[f"are moved by one along axis {axis}"] = np.roll(kernel, 1, axis)
    if axes > 2:
        found["are reversed along the window"] = np.flip(kernel, tuple(range(axes - 2)))
    for order in permutations(range(axes)):
        if order != tuple(range(axes)):
            text = "are transposed" if axes == 2 else f"are stored in the order {order} of their axes"
            found[text] = np.transpose(kernel, order).reshape(kernel.shape)
            if np.transpose(kernel, order).shape == kernel.shape:
                found[f"have axes in the order {order}"] = np.transpose(kernel, order)
    # hls4ml stores the matrices of the resource strategy with the outputs first.
    stored = np.moveaxis(kernel, -1, 0)
    numbers = stored.reshape(kernel.shape)
    for axis in range(axes):
        back = np.flip(numbers, axis).reshape(stored.shape)
        found[f"are reversed along axis {axis} of the stored array"] = np.moveaxis(back, 0, -1)
    if axes > 1:
        back = np.swapaxes(numbers, -1, -2).reshape(stored.shape)
        found["are transposed in the stored array"] = np.moveaxis(back, 0, -1)
    return found


def _taken_from(node: Linear, other: Linear) -> Iterator[Hypothesis]:
    if other.kernel.size == node.kernel.size:
        values = other.kernel_format.values_of(other.kernel)
        stored = np.moveaxis(values, -1, 0).reshape(np.moveaxis(node.kernel, -1, 0).shape)
        for order in (values.reshape(node.kernel.shape), np.moveaxis(stored, 0, -1)):
            new = _in_format(node.kernel_format, order)
            if (new != node.kernel).any():
                yield with_fields(
                    node, "weights", f"the weights of '{node.name}' are those of '{other.name}'", kernel=new
                )
    if other.bias is None or other.bias_format is None or node.bias is None or node.bias_format is None:
        return
    if other.bias.size == node.bias.size:
        new = _in_format(node.bias_format, other.bias_format.values_of(other.bias))
        if (new != node.bias).any():
            yield with_fields(node, "bias", f"the biases of '{node.name}' are those of '{other.name}'", bias=new)


def _in_format(form: FixedPoint, values: np.ndarray) -> IntArray:
    return np.asarray(form.with_modes(Rounding.TRN, Overflow.WRAP).words_of(values))


def tables(region: Region, node: Node) -> Iterator[Hypothesis]:
    """A table with other entries: moved, cut, another table, or the entries that the words found show."""
    if not isinstance(node, Table | Embedding):
        return
    size = len(node.words)
    for shift in (1, -1):
        yield _table(node, f"is moved by {shift} entry", np.roll(node.words, shift, axis=0))
    half = node.words[: size // 2]
    cut = {"has the first half of its entries, then zeros": np.concatenate([half, np.zeros_like(half)])}
    cut["has half of its entries, twice"] = np.concatenate([half, half])
    cut["is read with its halves exchanged"] = np.roll(node.words, size // 2, axis=0)
    for text, words in cut.items():
        yield _table(node, text, words)
    for other in region.network.nodes:
        if isinstance(other, type(node)) and other.name != node.name and other.words.shape == node.words.shape:
            yield _table(node, f"is that of '{other.name}'", node.result.words_of(other.result.values_of(other.words)))
    if node.name == region.last.name and region.form.fractional_bits <= node.result.fractional_bits:
        yield from _read_from_words(region, node)


def _table(node: Table | Embedding, text: str, words: Words) -> Hypothesis:
    return with_fields(node, "table", f"the table of '{node.name}' {text}", words=words)


def _read_from_words(region: Region, node: Table | Embedding) -> Iterator[Hypothesis]:
    """The table that the words found show, where it is one: the same entry for the same input word every time."""
    index = region.inputs(node)[0].astype(np.int64).reshape(-1) & (len(node.words) - 1)
    found = on_grid(region.found, region.form, node.result.fractional_bits).reshape(index.size, -1)
    words = node.words.reshape(len(node.words), -1).copy()
    words[index] = found
    places = np.argwhere(words != node.words.reshape(words.shape))
    if not len(places) or (words[index] != found).any():
        return
    entry, column = places[0]
    old, new = int(node.words.reshape(words.shape)[entry, column]), int(words[entry, column])
    count = f" ({len(places)} entries differ)" if len(places) > 1 else ""
    yield _table(node, f"has {new} instead of {old} at entry {entry}{count}", words.reshape(node.words.shape))


def describe(node: Linear, kernel: IntArray, bias: IntArray | None) -> tuple[CauseKind, str]:
    """Which weights and biases of ``node`` are others in ``kernel`` and ``bias``."""
    parts = []
    places = np.argwhere(kernel != node.kernel)
    if len(places):
        at = tuple(int(i) for i in places[0])
        step = node.kernel_format.lsb
        parts.append(
            f"weight {list(at)} of '{node.name}' is {kernel[at] * step:g} instead of {node.kernel[at] * step:g}"
            + (f" ({len(places)} weights differ)" if len(places) > 1 else "")
        )
    if bias is not None and node.bias is not None and node.bias_format is not None and (bias != node.bias).any():
        units = np.flatnonzero(bias != node.bias)
        unit, step = int(units[0]), node.bias_format.lsb
        parts.append(
            f"bias {unit} of '{node.name}' is {bias[unit] * step:g} instead of {node.bias[unit] * step:g}"
            + (f" ({len(units)} biases differ)" if len(units) > 1 else "")
        )
    return ("weights" if len(places) else "bias"), "; ".join(parts)


def is_channelwise(node: Linear) -> bool:
    """Whether each result reads the input channel of its own number alone."""
    return isinstance(node, DepthwiseConvolution | Scale)


def wide_bias(node: Linear) -> tuple[IntArray, FixedPoint]:
    """The biases of ``node`` with their format, zeros on the weights' grid where it has none."""
    if node.bias is not None and node.bias_format is not None:
        return node.bias, node.bias_format
    return np.zeros(node.kernel.shape[-1], dtype=np.int64), node.kernel_format
