"""Hypotheses on types: other roundings, overflows and bits of a result, narrower accumulators and constants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, Words
from toolchain.network.nodes import (
    MOVES,
    Convolution,
    Dense,
    DepthwiseConvolution,
    Embedding,
    Linear,
    MaxPool,
    Node,
    Scale,
    Table,
)
from toolchain.network.windows import window_indices
from toolchain.results import CauseKind
from toolchain.verify.region import Compute, Hypothesis, Region, compute

_MOST_BITS = 12
#: Products of one evaluation that may stand in memory at once.
_PRODUCTS = 1 << 21


def compiled_type(region: Region) -> Iterator[Hypothesis]:
    """The type that the last layer's words were compiled with, where it is not the network's."""
    node, form = region.last, region.form
    if form == node.result:
        return
    text = f"the compiled type is {form}, the network's {node.result}{_changes(node.result, form)}"
    kind = _type_kind(node.result, form)
    if isinstance(node, MOVES + WORDS):  # nothing is rounded in them but by this type
        yield Hypothesis(kind, text, node.name, _in_type(node, form))
        return
    # What the compiled type changes may be its modes alone: its bits may be others and still hold the same values.
    for modes, mode_kind in _MODES.items():
        if getattr(form, modes) is not getattr(node.result, modes):
            changed = replace(node.result, **{modes: getattr(form, modes)})
            yield replace(with_fields(node, mode_kind, text, result=changed), exactly=True)
    yield with_fields(node, kind, text, result=form)


_MODES: dict[str, CauseKind] = {"rounding": "rounding", "overflow": "overflow"}
WORDS = (Table, Embedding)


def _in_type(node: Node, form: FixedPoint) -> Compute:
    def made(inputs: list[Words], formats: list[FixedPoint]) -> tuple[Words, FixedPoint]:
        words, before = compute(node, inputs, formats)
        return form.requantize(words, before.fractional_bits), form

    return made


def result_types(region: Region, node: Node) -> Iterator[Hypothesis]:
    """Other modes and bits for the result of ``node``."""
    if isinstance(node, (*MOVES, Table)):
        return
    asked = node.result
    for rounding, overflow in product(Rounding, Overflow):
        yield from _other_type(node, asked.with_modes(rounding, overflow))
    for bits in range(1, _MOST_BITS + 1):
        for integer, fraction in ((-bits, 0), (0, -bits), (bits, 0)):
            if asked.width + integer + fraction > 0:
                form = replace(
                    asked, integer_bits=asked.integer_bits + integer, fractional_bits=asked.fractional_bits + fraction
                )
                for overflow in (asked.overflow, Overflow.WRAP, Overflow.SAT):
                    yield from _other_type(node, form.with_modes(asked.rounding, overflow))
                yield from _other_type(node, form.with_modes(Rounding.TRN, asked.overflow))
    flipped = asked.integer_bits + (1 if asked.signed else -1)
    yield from _other_type(node, replace(asked, signed=not asked.signed, integer_bits=flipped))


def _other_type(node: Node, form: FixedPoint) -> Iterator[Hypothesis]:
    if form != node.result:
        text = f"'{node.name}' is as if its type were {form} instead of {node.result}{_changes(node.result, form)}"
        yield with_fields(node, _type_kind(node.result, form), text, result=form)


def _type_kind(asked: FixedPoint, form: FixedPoint) -> CauseKind:
    if not form.same_grid(asked):
        return "result_format"
    return "rounding" if form.overflow is asked.overflow else "overflow"


def _changes(asked: FixedPoint, form: FixedPoint) -> str:
    parts = []
    if not form.same_grid(asked):
        parts.append("other bits")
    if form.rounding is not asked.rounding:
        parts.append(f"rounding {form.rounding} instead of {asked.rounding}")
    if form.overflow is not asked.overflow:
        parts.append(f"overflow {form.overflow} instead of {asked.overflow}")
    return f" ({', '.join(parts)})" if parts else ""


def accumulators(region: Region, node: Node) -> Iterator[Hypothesis]:
    """A sum with fewer bits: the top ones wrap, and every product is truncated to the low ones that are there."""
    if isinstance(node, MaxPool):
        yield from _pool_accumulators(node)
    if not isinstance(node, Linear):
        return
    asked = node.accumulator
    for less in range(1, asked.width):
        wraps = replace(asked, integer_bits=asked.integer_bits - less)
        text = f"the accumulator of '{node.name}' wraps: {_bits(less)} less than {asked}"
        yield with_fields(node, "accumulator", text, accumulator=wraps)
    if isinstance(node, Scale) or _products(node) * len(region.few) > _PRODUCTS:
        return
    for less in range(1, asked.width):
        narrow = replace(asked, fractional_bits=asked.fractional_bits - less)
        text = f"the accumulator of '{node.name}' drops fractional bits: {_bits(less)} less than {asked}"
        yield Hypothesis("accumulator", text, node.name, _truncating(node, narrow))


def _bits(count: int) -> str:
    return f"{count} bit{'s' * (count > 1)}"


def _pool_accumulators(node: MaxPool) -> Iterator[Hypothesis]:
    form = node.result
    for less in range(1, form.width):
        unsigned = form.integer_bits - less + int(form.signed)
        for what, narrow in (
            ("wraps", FixedPoint(form.signed, form.integer_bits - less, form.fractional_bits)),
            (
                "has no sign and wraps",
                FixedPoint(False, unsigned, form.fractional_bits),
            ),
            ("drops fractional bits", FixedPoint(form.signed, form.integer_bits, form.fractional_bits - less)),
        ):
            text = f"the accumulator of '{node.name}' {what}: {_bits(less)} less than its input"
            yield Hypothesis("accumulator", text, node.name, _in_type(node, narrow))
            yield Hypothesis("accumulator", text, node.name, _of_type(node, narrow))


def _of_type(node: Node, form: FixedPoint) -> Compute:
    """``node`` on words brought into ``form`` before."""

    def made(inputs: list[Words], formats: list[FixedPoint]) -> tuple[Words, FixedPoint]:
        narrow = [form.requantize(x, given.fractional_bits) for x, given in zip(inputs, formats, strict=True)]
        return compute(node, narrow, [form] * len(narrow))

    return made


def _products(node: Linear) -> int:
    return node.size * int(np.prod(node.kernel.shape[:-1]))


def _truncating(node: Linear, accumulator: FixedPoint) -> Compute:
    """``node`` with every product and the bias brought into ``accumulator`` before they are added."""

    def made(inputs: list[Words], formats: list[FixedPoint]) -> tuple[Words, FixedPoint]:
        size = max(1, _PRODUCTS // _products(node))
        x, grid = inputs[0], formats[0].fractional_bits + node.kernel_format.fractional_bits
        parts = [_sum_of_truncated(node, x[at : at + size], grid, accumulator) for at in range(0, len(x), size)]
        total = accumulator.requantize(np.concatenate(parts), accumulator.fractional_bits)
        return node.result.requantize(total, accumulator.fractional_bits), node.result

    return made


def _sum_of_truncated(node: Linear, x: Words, grid: int, accumulator: FixedPoint) -> Words:
    patches = patches_of(node, x)
    kernel = node.kernel.reshape(-1, node.kernel.shape[-1])
    products = patches * kernel if isinstance(node, DepthwiseConvolution) else patches[..., None] * kernel
    total = accumulator.requantize(products, grid).sum(axis=-2)
    if node.bias is not None and node.bias_format is not None:
        total = total + accumulator.requantize(node.bias, node.bias_format.fractional_bits)
    return np.asarray(total)


def patches_of(node: Linear, x: Words) -> Words:
    """What each sum reads: ``(samples, *places, terms)``; depthwise ``(samples, *places, taps, channels)``."""
    if isinstance(node, Dense):
        return x
    assert isinstance(node, Convolution | DepthwiseConvolution)
    window = node.kernel.shape[: len(node.strides)]
    taken = window_indices(x.shape[1:], window, node.strides, node.dilation, node.padding)
    flat = x.reshape(len(x), -1, x.shape[-1])
    padded = np.concatenate([flat, np.zeros((len(x), 1, x.shape[-1]), dtype=x.dtype)], axis=1)
    patches = padded[:, taken]
    return patches if isinstance(node, DepthwiseConvolution) else patches.reshape(*patches.shape[:-2], -1)


def constant_types(region: Region, node: Node) -> Iterator[Hypothesis]:
    """Weights or biases in a type with fewer bits than they need."""
    if not isinstance(node, Linear):
        return
    arrays = [("weights", "kernel", node.kernel, node.kernel_format), ("biases", "bias", node.bias, node.bias_format)]
    kinds: dict[str, CauseKind] = {"weights": "weights", "biases": "bias"}
    for what, field, words, form in arrays:
        if words is None or form is None:
            continue
        seen = {words.tobytes()}
        for less in range(1, form.width):
            for name, narrow in (
                ("integer", replace(form, integer_bits=form.integer_bits - less, overflow=Overflow.WRAP)),
                ("fractional", replace(form, fractional_bits=form.fractional_bits - less, rounding=Rounding.TRN)),
            ):
                short = narrow.with_modes(Rounding.TRN, Overflow.WRAP).requantize(words, form.fractional_bits)
                short = short << (form.fractional_bits - narrow.fractional_bits)
                if short.tobytes() not in seen:
                    seen.add(short.tobytes())
                    text = f"the {what} of '{node.name}' lost {less} {name} bit{'s' * (less > 1)}: they need {form}"
                    yield with_fields(node, kinds[what], text, **{field: short})


def with_fields(node: Node, kind: CauseKind, text: str, **changes: object) -> Hypothesis:
    """``node`` with other fields."""
    other = replace(node, **changes)  # type: ignore[arg-type]
    return Hypothesis(kind, text, node.name, lambda x, f: compute(other, x, f))
