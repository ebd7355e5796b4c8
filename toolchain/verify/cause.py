"""Why two words differ, found by experiment: the layer is computed again with one thing changed until all agree."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, Words
from toolchain.network.interpreter import evaluate, exact_value
from toolchain.network.nodes import Dense, FixedPointNetwork, Input, Linear, Node, Reshape
from toolchain.network.words import output_files
from toolchain.verify.grids import differing, on_grid

UNEXPLAINED = "unexplained: no other weight, type, rounding, overflow or accumulator gives these words"


@dataclass(frozen=True)
class Evidence:
    """Everything known of both sides. ``expected`` by node; ``found`` and ``formats`` by node, and ``result``."""

    network: FixedPointNetwork
    expected: dict[str, Words]
    found: dict[str, Words]
    formats: dict[str, FixedPoint]
    differences: tuple[str, ...]  # "<node>: what differs", read from the project's sources
    counts: dict[str, int]  # differing words


@dataclass(frozen=True)
class Suspect:
    """The layer at fault: its inputs are equal on both sides, its words are not."""

    node: Node
    inputs: list[Words]
    found: Words
    form: FixedPoint  # the compiled type of its result
    exact: Words  # before any format is applied
    exact_fractional_bits: int

    def is_explained_by(self, form: FixedPoint) -> bool:
        """Whether the exact value brought into ``form`` gives every word found."""
        return self._gives(form.requantize(self.exact, self.exact_fractional_bits), form)

    def is_explained_by_accumulator(self, accumulator: FixedPoint) -> bool:
        total = accumulator.requantize(self.exact, self.exact_fractional_bits)
        return self._gives(self.form.requantize(total, accumulator.fractional_bits), self.form)

    def _gives(self, words: Words, form: FixedPoint) -> bool:
        return not differing(words, form, self.found, self.form).any()


def find_cause(evidence: Evidence, node: Node, name: str) -> str:
    """One sentence on what makes the words ``name`` of ``node`` out of equal inputs."""
    if isinstance(node, Input):
        return _port(node, evidence.formats[name])
    if name != node.name and not evidence.counts.get(node.name, 1):
        return "the output port does not hold the layer's words: the port's type, or the words after the simulation"
    inputs = [evidence.expected[x] for x in node.inputs]
    exact, fractional_bits = exact_value(node, evidence.network, inputs)
    suspect = Suspect(node, inputs, evidence.found[name], evidence.formats[name], exact, fractional_bits)
    return (
        _compiled_type(suspect)
        or _sources(evidence, node)
        or _other_type(suspect)
        or _accumulator(suspect)
        or _bias(suspect)
        or _one_unit(evidence, suspect)
        or _recorded(evidence, node)
        or UNEXPLAINED
    )


def _port(node: Node, form: FixedPoint) -> str:
    if form.same_grid(node.result):
        return "the recorded input words are not those that were put in"
    return f"the input port is compiled as {form}, the network's is {node.result}"


def _sources(evidence: Evidence, node: Node) -> str:
    mine = [text for text in evidence.differences if text.startswith(f"{node.name}: ")]
    return "; ".join(text.removeprefix(f"{node.name}: ") for text in mine)


def _compiled_type(suspect: Suspect) -> str:
    if not suspect.is_explained_by(suspect.form):
        return ""
    return f"the compiled type is {suspect.form}, the network's {suspect.node.result}{_changes(suspect)}"


def _changes(suspect: Suspect) -> str:
    asked, form, parts = suspect.node.result, suspect.form, []
    if not form.same_grid(asked):
        parts.append("other bits")
    if form.rounding is not asked.rounding:
        parts.append(f"rounding {form.rounding} instead of {asked.rounding}")
    if form.overflow is not asked.overflow:
        parts.append(f"overflow {form.overflow} instead of {asked.overflow}")
    return f" ({', '.join(parts)})" if parts else ""


def _other_type(suspect: Suspect) -> str:
    for rounding, overflow in product(Rounding, Overflow):
        other = suspect.node.result.with_modes(rounding, overflow)
        if suspect.is_explained_by(other):
            return f"every word is as if its type were {other} instead of {suspect.node.result}"
    return ""


def _accumulator(suspect: Suspect) -> str:
    if not isinstance(suspect.node, Linear):
        return ""
    asked = suspect.node.accumulator
    for less in range(1, asked.width):
        wraps = FixedPoint(asked.signed, asked.integer_bits - less, asked.fractional_bits)
        rounds = FixedPoint(asked.signed, asked.integer_bits, asked.fractional_bits - less)
        for narrow, what in ((wraps, "wraps"), (rounds, "drops fractional bits")):
            if suspect.is_explained_by_accumulator(narrow):
                return f"the accumulator {what}: {less} bits less than {asked}"
    return ""


def _difference(suspect: Suspect) -> Words:
    """found - exact on their common grid; an affine fault of the layer shows in it, if nothing was rounded."""
    grid = max(suspect.form.fractional_bits, suspect.exact_fractional_bits)
    exact = FixedPoint(True, 62 - suspect.exact_fractional_bits, suspect.exact_fractional_bits)
    return np.asarray(on_grid(suspect.found, suspect.form, grid) - on_grid(suspect.exact, exact, grid))


def _bias(suspect: Suspect) -> str:
    difference = _difference(suspect)
    rows = difference.reshape(-1, difference.shape[-1])
    if not isinstance(suspect.node, Linear) or len(rows) < 2 or not rows[0].any() or (rows != rows[0]).any():
        return ""
    grid = max(suspect.form.fractional_bits, suspect.exact_fractional_bits)
    units = np.flatnonzero(rows[0])
    return f"bias {int(units[0])} is off by {float(rows[0][units[0]]) * 2.0**-grid:g} ({len(units)} biases differ)"


def _one_unit(evidence: Evidence, suspect: Suspect) -> str:
    """One weight, or at least the one unit whose weights differ (weights in generated code cannot be read back)."""
    if not isinstance(suspect.node, Dense) or len(suspect.found) < 2:
        return ""
    difference = _difference(suspect).reshape(-1, suspect.found.shape[-1])
    units = np.flatnonzero(difference.any(axis=0))
    if len(units) != 1:
        return ""
    unit = int(units[0])
    column = difference[:, unit].astype(object)
    x = suspect.inputs[0].reshape(-1, suspect.inputs[0].shape[-1]).astype(object)
    grid = max(suspect.form.fractional_bits, suspect.exact_fractional_bits)
    step = grid - evidence.network[suspect.node.inputs[0]].result.fractional_bits
    for place in range(x.shape[1]):
        used = np.flatnonzero(x[:, place])
        ratio = column[used[0]] // x[used[0], place] if used.size else 0
        if ratio and (column == ratio * x[:, place]).all():
            return f"weight [{place}, {unit}] is off by {float(ratio) * 2.0**-step:g}"
    return ""


def _recorded(evidence: Evidence, node: Node) -> str:
    """Whether what was recorded for ``node`` is what the layers behind it were computed from."""
    changed = "its words were changed after the simulation"
    ports = [name for name, output in output_files(evidence.network).items() if output == node.name]
    if ports and not evidence.counts.get(ports[0], 1):
        return f"{changed}: the output port holds the expected ones"
    words, name = evidence.found[node.name], node.name
    consumers = evidence.network.consumers(name)
    while len(consumers) == 1 and isinstance(consumers[0], Reshape):
        words, name = words.reshape(-1, *consumers[0].shape), consumers[0].name
        consumers = evidence.network.consumers(name)
    for consumer in consumers:
        untouched = len(consumer.inputs) == 1 and evidence.counts.get(consumer.name, 1) == 0
        if untouched and evidence.formats[node.name].same_grid(node.result):
            from_found = evaluate(consumer, evidence.network, [words])
            if (from_found != evidence.expected[consumer.name]).any():
                return f"{changed}: {consumer.name} was computed from the expected ones"
    return ""
