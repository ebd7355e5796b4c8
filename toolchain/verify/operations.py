"""Hypotheses on what a layer does with the words it reads, and which words these are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations, product

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, Words
from toolchain.network.nodes import (
    Add,
    Average,
    Concatenate,
    FixedPointNetwork,
    Input,
    Linear,
    Maximum,
    MaxPool,
    Merge,
    Minimum,
    Multiply,
    Node,
    Permute,
    Relu,
    Requantize,
    Reshape,
    Subtract,
)
from toolchain.network.windows import window_indices
from toolchain.verify.region import Compute, Hypothesis, Region, compute
from toolchain.verify.windows import put

_MERGES: dict[str, type[Merge]] = {
    "adds": Add, "subtracts": Subtract, "multiplies": Multiply, "takes the larger one": Maximum,
    "takes the smaller one": Minimum, "averages": Average,
}  # fmt: skip


def operations(region: Region, node: Node) -> Iterator[Hypothesis]:
    """Another operation on the same words, or none."""
    if isinstance(node, Merge):
        yield from _merges(node)
    if isinstance(node, Relu):
        for text, change in _ACTIVATIONS.items():
            yield Hypothesis("operator", f"'{node.name}' {text}", node.name, _elementwise(node, change))
    if isinstance(node, MaxPool):
        for wraps in (True, False):
            for rounding in (Rounding.TRN_ZERO, Rounding.TRN):
                made = _pool(node, rounding, wraps)
                yield Hypothesis("operator", f"'{node.name}' averages its windows", node.name, made)
        yield Hypothesis("operator", f"'{node.name}' takes the smallest of its windows", node.name, _pool(node, None))
    yield from _orders(region, node)
    if not isinstance(node, Requantize | Relu | Input):
        yield from _left_out(region, node)


_ACTIVATIONS: dict[str, Callable[[Words], Words]] = {
    "is left out: negative values pass": lambda x: x,
    "takes the magnitude": np.abs,
    "keeps the negative values": lambda x: np.minimum(x, 0),
    "is zero everywhere": np.zeros_like,
}


def _elementwise(node: Node, change: Callable[[Words], Words]) -> Compute:
    return lambda x, f: (node.result.requantize(change(x[0]), f[0].fractional_bits), node.result)


def _merges(node: Merge) -> Iterator[Hypothesis]:
    for text, kind in _MERGES.items():
        if kind is Average and len(node.inputs) & (len(node.inputs) - 1):
            continue
        if kind is Subtract and len(node.inputs) != 2:
            continue
        other = kind(name=node.name, inputs=node.inputs, shape=node.shape, result=node.result, layer=node.layer)
        if type(node) is not kind:
            yield Hypothesis("operator", f"'{node.name}' {text}", node.name, _of(other))
        if kind is Subtract:
            yield Hypothesis(
                "operator", f"'{node.name}' subtracts in the other order", node.name,
                _reordered(other, (1, 0)),
            )  # fmt: skip
    if len(node.inputs) > 2:
        yield from _parts(node)


def _of(node: Node) -> Compute:
    return lambda x, f: compute(node, x, f)


def _reordered(node: Node, order: tuple[int, ...]) -> Compute:
    return lambda x, f: compute(node, [x[k] for k in order], [f[k] for k in order])


def _parts(node: Merge) -> Iterator[Hypothesis]:
    """More than two inputs: one is left out, another operation joins the first two, or their result has fewer bits."""
    rest = ("_", *node.inputs[2:])
    for place, name in enumerate(node.inputs):
        reads = node.inputs[:place] + node.inputs[place + 1 :]
        kept = replace(node, inputs=reads)
        text = f"'{node.name}' leaves out its input '{name}'"
        if not (isinstance(node, Average) and len(reads) & (len(reads) - 1)):
            yield Hypothesis("wiring", text, node.name, _of(kept), reads=reads)
    for text, kind in _MERGES.items():
        if kind is not Average and type(node) is not kind:
            first = kind(name="_", inputs=node.inputs[:2], shape=node.shape, result=_WIDE, layer="")
            text = f"'{node.name}' {text} where it joins its first inputs"
            yield Hypothesis("operator", text, node.name, _in_two(first, replace(node, inputs=rest), None))
    if isinstance(node, Add) and len(node.inputs) <= _MOST_SIGNS:
        for signs in product((1, -1), repeat=len(node.inputs)):
            if -1 in signs:
                names = ", ".join(name for name, sign in zip(node.inputs, signs, strict=True) if sign < 0)
                yield Hypothesis("operator", f"'{node.name}' subtracts {names}", node.name, _signed(node, signs))
    if type(node) in _MERGES.values() and not isinstance(node, Average):
        first = replace(node, inputs=node.inputs[:2], result=_WIDE)
        for less in range(1, 5):
            text = f"the first inputs of '{node.name}' are joined in a type with {less} fractional bits less"
            yield Hypothesis("result_format", text, node.name, _in_two(first, replace(node, inputs=rest), less))


_MOST_SIGNS = 5
_WIDE = FixedPoint(True, 40, 20)


def _signed(node: Merge, signs: tuple[int, ...]) -> Compute:
    return lambda x, f: compute(node, [word * sign for word, sign in zip(x, signs, strict=True)], f)


def _in_two(first: Merge, rest: Merge, less: int | None) -> Compute:
    """``first`` on the first two inputs, in ``less`` fractional bits than they have, and ``rest`` on what is left."""

    def made(inputs: list[Words], formats: list[FixedPoint]) -> tuple[Words, FixedPoint]:
        pair = [form.fractional_bits for form in formats[:2]]
        grid = sum(pair) if isinstance(first, Multiply) else max(pair)
        form = FixedPoint(True, 40, grid - (less or 0))
        words, _ = compute(replace(first, result=form), inputs[:2], formats[:2])
        return compute(rest, [words, *inputs[2:]], [form, *formats[2:]])

    return made


def _pool(node: MaxPool, rounding: Rounding | None, wraps: bool = False) -> Compute:
    """The mean of each window, the sum wrapped into the input's format or not; with ``rounding`` None the smallest."""

    def made(inputs: list[Words], formats: list[FixedPoint]) -> tuple[Words, FixedPoint]:
        x, form = inputs[0], formats[0]
        shape = x.shape[1:]
        taken = window_indices(shape, node.window, node.strides, (1,) * len(node.window), node.padding)
        flat = x.reshape(len(x), -1, x.shape[-1])
        fill = 0 if rounding else int(x.max(initial=0))
        padded = np.concatenate([flat, np.full((len(x), 1, x.shape[-1]), fill, dtype=x.dtype)], axis=1)[:, taken]
        if rounding is None:
            return np.asarray(padded.min(axis=-2)), form
        inside = (taken != flat.shape[1]).sum(axis=-1)[..., None]
        total = padded.sum(axis=-2)
        if wraps:
            total = form.with_modes(Rounding.TRN, Overflow.WRAP).requantize(total, form.fractional_bits)
        mean = np.abs(total) // inside * np.sign(total) if rounding is Rounding.TRN_ZERO else total // inside
        return np.asarray(mean), form

    return made


def _orders(region: Region, node: Node) -> Iterator[Hypothesis]:
    """The same words in another order."""
    if isinstance(node, Permute):
        for axes in permutations(range(len(node.axes))):
            shape = tuple(region.network[node.inputs[0]].shape[axis] for axis in axes)
            if axes != node.axes and sorted(shape) == sorted(node.shape):
                text = f"'{node.name}' puts the axes in the order {axes}, not {node.axes}"
                yield Hypothesis(
                    "operator", text, node.name, _reshaped(replace(node, axes=axes, shape=shape), node.shape)
                )
    if isinstance(node, Concatenate):
        for order in permutations(range(len(node.inputs))) if len(node.inputs) < 5 else ():
            if order != tuple(range(len(node.inputs))):
                text = f"'{node.name}' puts its inputs in the order {[node.inputs[k] for k in order]}"
                yield Hypothesis(
                    "wiring", text, node.name,
                    _reordered(node, order),
                )  # fmt: skip


def _reshaped(node: Node, shape: tuple[int, ...]) -> Compute:
    def made(inputs: list[Words], formats: list[FixedPoint]) -> tuple[Words, FixedPoint]:
        words, form = compute(node, inputs, formats)
        return words.reshape(len(words), *shape), form

    return made


def _left_out(region: Region, node: Node) -> Iterator[Hypothesis]:
    """An input passed on as it is."""
    for place, name in enumerate(dict.fromkeys(node.inputs)):
        if region.network[name].size == node.size and not isinstance(node, Reshape):
            text = f"'{node.name}' is left out: its words are those of '{name}'"
            yield Hypothesis("operator", text, node.name, _passed_on(node, place))
    if isinstance(node, Linear):
        yield Hypothesis("operator", f"'{node.name}' puts out nothing but zeros", node.name, _zeros(node))


def _passed_on(node: Node, place: int) -> Compute:
    def made(inputs: list[Words], formats: list[FixedPoint]) -> tuple[Words, FixedPoint]:
        words = inputs[place].reshape(len(inputs[place]), *node.shape)
        return node.result.requantize(words, formats[place].fractional_bits), node.result

    return made


def _zeros(node: Node) -> Compute:
    return lambda x, f: (np.zeros((len(x[0]), *node.shape), dtype=np.int64), node.result)


def wirings(region: Region, node: Node) -> Iterator[Hypothesis]:
    """The words of another layer in place of one that ``node`` reads."""
    for place, name in enumerate(node.inputs):
        shape = region.network[name].shape
        for other in _before(region.network, node):
            if other.shape == shape and other.name != name:
                text = f"'{node.name}' reads '{other.name}' instead of '{name}'"
                reads = put(node.inputs, place, other.name)
                yield Hypothesis("wiring", text, node.name, _of(node), reads=reads)


def _before(network: FixedPointNetwork, node: Node) -> tuple[Node, ...]:
    names = [item.name for item in network.nodes]
    return network.nodes[: names.index(node.name)]
