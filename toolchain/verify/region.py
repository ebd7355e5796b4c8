"""The part of a network between recorded words and the layer at fault, computed again with one thing changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, Words
from toolchain.network.arithmetic import exact
from toolchain.network.nodes import MOVES, Embedding, FixedPointNetwork, Linear, Node, Table
from toolchain.results import CauseKind
from toolchain.verify.grids import differing

#: Samples that a hypothesis must pass before all of them are computed.
FEW = 24
#: A node's words and their format from those of its inputs.
Compute = Callable[[list[Words], list[FixedPoint]], tuple[Words, FixedPoint]]


@dataclass(frozen=True)
class Hypothesis:
    """One thing that may be wrong with ``node``: what it computes then, and the sentence that says so."""

    kind: CauseKind
    text: str
    node: str
    compute: Compute
    unset: np.ndarray | None = None  # places of the layer's shape that nothing is written to: any word may stand there
    exactly: bool = False  # not in the compiled type: what it makes is already of a type of its own
    reads: tuple[str, ...] = ()  # the layers whose words ``compute`` is given; none: the node's own inputs


def compute(node: Node, inputs: list[Words], formats: list[FixedPoint]) -> tuple[Words, FixedPoint]:
    """``node`` on words of ``formats``, which need not be those of the network."""
    if isinstance(node, Table | Embedding):
        return node.words[inputs[0].astype(np.int64) & (len(node.words) - 1)], node.result
    total, grid = exact(node, inputs, [form.fractional_bits for form in formats])
    if isinstance(node, MOVES):
        return total, formats[0]
    if isinstance(node, Linear):
        total, grid = node.accumulator.requantize(total, grid), node.accumulator.fractional_bits
    return node.result.requantize(total, grid), node.result


@dataclass(frozen=True, eq=False)
class Region:
    """``nodes`` in the network's order, the last one at fault; ``words`` of all nodes of the network as they should be.

    Every input of the region is equal on both sides. ``found`` are the words at fault, ``form`` their compiled type.
    """

    network: FixedPointNetwork
    nodes: tuple[Node, ...]
    words: dict[str, Words]
    found: Words
    form: FixedPoint
    few: np.ndarray  # numbers of some samples, differing ones first

    @property
    def last(self) -> Node:
        return self.nodes[-1]

    def behind(self, node: Node) -> tuple[Node, ...]:
        """The region's nodes after ``node``."""
        names = [item.name for item in self.nodes]
        return self.nodes[names.index(node.name) + 1 :]

    def inputs(self, node: Node, samples: np.ndarray | None = None) -> list[Words]:
        """The expected words that ``node`` reads."""
        return [self.words[name][slice(None) if samples is None else samples] for name in node.inputs]

    def formats(self, node: Node) -> list[FixedPoint]:
        return [self.network[name].result for name in node.inputs]

    def explains(self, hypothesis: Hypothesis) -> bool:
        """Whether every word found comes out when ``hypothesis`` holds: tried on a few samples, then on all."""
        return self._gives(hypothesis, self.few) and self._gives(hypothesis, np.arange(len(self.found)))

    def _gives(self, hypothesis: Hypothesis, samples: np.ndarray) -> bool:
        node = self.network[hypothesis.node]
        reads = hypothesis.reads or node.inputs
        inputs = [self.words[name][samples] for name in reads]
        made = hypothesis.compute(inputs, [self.network[name].result for name in reads])
        words, form = self.follow(node, made, samples)
        found = self.found[samples]
        if words.shape != found.shape:
            return False
        if hypothesis.unset is not None:
            return self._gives_the_rest(words, form, found, hypothesis.unset)
        if not differing(words, form, found, self.form).any():
            return True
        # The compiled type may be tighter: it gives the same for the network's own words, not for these.
        clipped = self.form.requantize(words, form.fractional_bits)
        return not hypothesis.exactly and not differing(clipped, self.form, found, self.form).any()

    def _gives_the_rest(self, words: Words, form: FixedPoint, found: Words, unset: np.ndarray) -> bool:
        """The same where something is written; some word there must be another than the network's."""
        if unset.shape != self.last.shape:
            return False
        wrong = differing(self.words[self.last.name], self.last.result, self.found, self.form)
        clipped = self.form.requantize(words, form.fractional_bits)
        return bool(wrong[:, ~unset].any()) and any(
            not differing(one, its, found, self.form)[:, ~unset].any()
            for one, its in ((words, form), (clipped, self.form))
        )

    def follow(
        self, node: Node, made: tuple[Words, FixedPoint], samples: np.ndarray | slice = slice(None)
    ) -> tuple[Words, FixedPoint]:
        """What the nodes behind ``node`` in this region make of its words ``made``."""
        return self._through({node.name: made}, self.behind(node), samples)

    def from_words(self, name: str, words: Words, form: FixedPoint) -> tuple[Words, FixedPoint]:
        """What the region makes of other words of ``name``, which it reads."""
        return self._through({name: (words, form)}, self.nodes, slice(None))

    def _through(
        self, known: dict[str, tuple[Words, FixedPoint]], nodes: tuple[Node, ...], samples: np.ndarray | slice
    ) -> tuple[Words, FixedPoint]:
        for node in nodes:
            if not known.keys() & set(node.inputs):
                continue
            pairs = [known.get(name, (self.words[name][samples], self.network[name].result)) for name in node.inputs]
            if isinstance(node, Table | Embedding):  # their index is a word of the network's format
                own = self.network[node.inputs[0]].result.with_modes(Rounding.TRN, Overflow.WRAP)
                pairs = [(own.requantize(words, form.fractional_bits), own) for words, form in pairs]
            known[node.name] = compute(node, [words for words, _ in pairs], [form for _, form in pairs])
        return known[self.last.name]


def region_of(
    network: FixedPointNetwork, words: dict[str, Words], last: Node, found: Words, form: FixedPoint, recorded: set[str]
) -> Region:
    """The region that ends in ``last``: itself and all before it that is not ``recorded``."""
    wanted, names = [last.name], {last.name}
    while wanted:
        for name in network[wanted.pop()].inputs:
            if name not in recorded and name not in names:
                names.add(name)
                wanted.append(name)
    nodes = tuple(node for node in network.nodes if node.name in names)
    wrong = differing(words[last.name], last.result, found, form).reshape(len(found), -1).any(axis=1)
    bad, good = np.flatnonzero(wrong), np.flatnonzero(~wrong)
    few = np.concatenate([_spread(bad, FEW * 2 // 3), _spread(good, FEW // 3)])
    return Region(network, nodes, words, found, form, few)


def _spread(places: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of ``places``, from the whole of them."""
    if len(places) <= count:
        return places
    return places[np.linspace(0, len(places) - 1, count).astype(np.int64)]
