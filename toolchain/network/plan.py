"""A network prepared to run fast: each node as a few float instructions on a batch, where these are provably exact.

Integers below 2**24 are exact in float32 and below 2**53 in float64, and so are their sums in any order, their products
with powers of two, and floor and rint of these. For each node the largest integer that can occur anywhere in its
computation is bounded from the formats and the weights; it decides between float32, float64 and the integers of
``arithmetic``.
"""

from __future__ import annotations

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.arithmetic import exact
from toolchain.network.float_nodes import Step, exact_in_floats
from toolchain.network.float_words import FLOATS, NoFloatsError, Span, Values, change, fits
from toolchain.network.nodes import FixedPointNetwork, Input, Linear, Node


class Plan:
    """``network`` ready to run; made once, used for any number of batches by any number of threads."""

    def __init__(self, network: FixedPointNetwork) -> None:
        self.network = network
        self.steps: list[tuple[Node, Step]] = []
        spans: dict[str, Span] = {}
        for node in network.nodes:
            form = node.result
            span = Span(form.min_word, form.max_word, form.fractional_bits)
            if not isinstance(node, Input):
                before = [spans[name] for name in node.inputs]
                try:
                    step, span = _in_floats(node, before)
                except NoFloatsError:
                    step = _in_integers(node, before)
                self.steps.append((node, step))
            spans[node.name] = span

    def run(self, inputs: dict[str, Words]) -> dict[str, Values]:
        """The words of every node for one batch, in whatever type they were computed."""
        found: dict[str, Values] = dict(inputs)
        for node, step in self.steps:
            found[node.name] = step([found[name] for name in node.inputs])
        return found


def _in_integers(node: Node, before: list[Span]) -> Step:
    grids = [span.fractional_bits for span in before]

    def step(inputs: list[Values]) -> Values:
        words = [x if x.dtype == object else x.astype(np.int64) for x in inputs]
        value, bits = exact(node, words, grids)
        if isinstance(node, Linear):
            value, bits = node.accumulator.requantize(value, bits), node.accumulator.fractional_bits
        return node.result.requantize(value, bits)

    return step


def _in_floats(node: Node, before: list[Span]) -> tuple[Step, Span]:
    value = exact_in_floats(node, before)
    changes = [node.result]
    if isinstance(node, Linear) and not fits(value.span, node.accumulator):
        changes.insert(0, node.accumulator)
    span, largest, instructions = value.span, max(value.largest, *(x.magnitude for x in before)), []
    for form in changes:
        more, span, peak = change(span, form)
        instructions += more
        largest = max(largest, peak)
    kind = next((kind for bits, kind in FLOATS if largest < 1 << bits), None)
    if kind is None:
        raise NoFloatsError
    first, own = value.step, not value.moves

    def step(inputs: list[Values]) -> Values:
        words = first([x if x.dtype == kind else x.astype(kind) for x in inputs])
        if instructions and not own:
            words = words.copy()
        for instruct in instructions:
            instruct(words)
        return words

    return step, span
