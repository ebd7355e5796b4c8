"""A network prepared to run fast: each node as a few float instructions on a batch, where these are provably exact.

Integers below 2**24 are exact in float32 and below 2**53 in float64, and so are their sums in any order, their products
with powers of two, and floor and rint of these. For each node the largest integer that can occur anywhere in its
computation is bounded from the formats and the weights; it decides between float32, float64 and the integers of
``arithmetic``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from functools import lru_cache

import numpy as np

from toolchain.fixed_point import Words
from toolchain.network.arithmetic import exact
from toolchain.network.float_nodes import exact_in_floats
from toolchain.network.float_words import FLOATS, NoFloatsError, Span, Values, change, fits
from toolchain.network.nodes import FixedPointNetwork, Input, Linear, Node
from toolchain.network.scratch import Scratch, converted

#: Computes a node from its inputs; may change them when they are spare.
Step = Callable[[list[Values], bool], Values]


class Plan:
    """``network`` ready to run; made once, used for any number of batches by any number of threads."""

    def __init__(self, network: FixedPointNetwork) -> None:
        self.network = network
        self.steps: list[tuple[Node, Step]] = []
        self.scratches: list[Scratch] = []  # that no batch computes in at the moment
        self._new: set[str] = set()  # nodes whose float step makes an array of its own
        self._views: set[str] = set()  # nodes whose float step may hand on its input's array
        spans: dict[str, Span] = {}
        for node in network.nodes:
            form = node.result
            span = Span(form.min_word, form.max_word, form.fractional_bits)
            if not isinstance(node, Input):
                before = [spans[name] for name in node.inputs]
                try:
                    step, span, moves = _in_floats(node, before)
                    (self._views if moves else self._new).add(node.name)
                except NoFloatsError:
                    step = _in_integers(node, before)
                self.steps.append((node, step))
            spans[node.name] = span

    def run(self, inputs: dict[str, Words], wanted: Collection[str] | None = None) -> dict[str, Values]:
        """The words of the nodes ``wanted`` (None: of all) for one batch, in whatever type they were computed.

        Arrays that nobody wants and one node alone reads are changed in place; ``inputs`` never are.
        """
        spare = self._spare(frozenset(wanted)) if wanted is not None else frozenset[str]()
        found: dict[str, Values] = dict(inputs)
        for node, step in self.steps:
            found[node.name] = step([found[name] for name in node.inputs], not spare.isdisjoint(node.inputs))
        return found if wanted is None else {name: found[name] for name in wanted}

    @lru_cache(maxsize=8)  # noqa: B019 -- as long-lived as the plan
    def _spare(self, wanted: frozenset[str]) -> frozenset[str]:
        """Nodes whose array the only node that reads it may change."""
        readers = Counter(name for node in self.network.nodes for name in node.inputs)
        spare: set[str] = set()
        for node, _ in self.steps:
            alone = readers[node.name] == 1 and node.name not in wanted
            if alone and (node.name in self._new or (node.name in self._views and spare.issuperset(node.inputs))):
                spare.add(node.name)
        return frozenset(spare)


def _in_integers(node: Node, before: list[Span]) -> Step:
    grids = [span.fractional_bits for span in before]

    def step(inputs: list[Values], _: bool) -> Values:
        words = [x if x.dtype == object else x.astype(np.int64) for x in inputs]
        value, bits = exact(node, words, grids)
        if isinstance(node, Linear):
            value, bits = node.accumulator.requantize(value, bits), node.accumulator.fractional_bits
        return node.result.requantize(value, bits)

    return step


def _in_floats(node: Node, before: list[Span]) -> tuple[Step, Span, bool]:
    """The step, the span of its words, and whether it may hand on its input's array."""
    value = exact_in_floats(node, before)
    changes = [node.result]
    if isinstance(node, Linear) and not fits(value.span, node.accumulator):
        changes.insert(0, node.accumulator)
    span, largest, instructions = value.span, max(value.largest, *(x.magnitude for x in before)), []
    for form in changes:
        more, span, peak = change(span, form, rectified=value.rectified)
        instructions += more
        largest = max(largest, peak)
    kind = next((kind for bits, kind in FLOATS if largest < 1 << bits), None)
    if kind is None:
        raise NoFloatsError
    first, own = value.step, not value.moves

    def step(inputs: list[Values], spare: bool) -> Values:
        found = [x if x.dtype == kind else converted(x, kind) for x in inputs]
        words = first(found)
        if instructions and not own and not spare and found[0] is inputs[0]:
            words = converted(words, kind)
        for instruct in instructions:
            instruct(words)
        return words

    return step, span, value.moves
