"""Why two words differ, found by experiment: the layer is computed again with one thing changed until all agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from toolchain.fixed_point import FixedPoint, Words
from toolchain.network.nodes import MOVES, Embedding, FixedPointNetwork, Input, Linear, Node, Table
from toolchain.network.ranges import analyse, exact_range
from toolchain.results import CauseKind
from toolchain.verify import constants, operations, solving, types, windows
from toolchain.verify.grids import differing
from toolchain.verify.recorded import changed_afterwards
from toolchain.verify.region import Hypothesis, Region, region_of

#: Causes that are told beside the first one.
_MOST = 5

Family = Callable[[Region, Node], Iterator[Hypothesis]]
#: By their names in messages, in the order of what is told first when several give the words found.
FAMILIES: dict[str, Family] = {
    "weights and biases as a whole": constants.whole_arrays,
    "types of weights and biases": types.constant_types,
    "single weights and biases": solving.solved,
    "tables": constants.tables,
    "accumulators": types.accumulators,
    "operations": operations.operations,
    "windows": windows.windows,
    "inputs of the layer": operations.wirings,
    "types of results": types.result_types,
}


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
class Cause:
    """The first cause that gives every word found, others that do (``alternatives``), and how many were ``tried``."""

    kind: CauseKind
    text: str
    alternatives: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()


def find_cause(evidence: Evidence, node: Node, name: str) -> Cause:
    """What makes the words ``name`` of ``node`` out of equal inputs."""
    found, form = evidence.found[name], evidence.formats[name]
    if isinstance(node, Input):
        return _port(node, evidence.expected[name], found, form)
    if name != node.name and not evidence.counts.get(node.name, 1):
        text = "the output port does not hold the layer's words: the port's type, or the words after the simulation"
        return Cause("result_format" if form != evidence.formats[node.name] else "recorded_words", text)
    region = region_of(evidence.network, evidence.expected, node, found, form, set(evidence.counts))
    read = _sources(evidence, region)
    for hypothesis in types.compiled_type(region):
        if region.explains(hypothesis):
            return Cause(hypothesis.kind, _joined(hypothesis.text, read))
    changed = changed_afterwards(region, evidence.counts, evidence.formats)
    if changed and not read:
        return Cause("recorded_words", changed)
    holding, tried = _experiments(region)
    told = tuple(f"{family}: {number}" for family, number in tried.items() if number)
    if not holding and changed:
        return Cause("recorded_words", changed, (), told)
    if not holding:
        return _unexplained(read, told, region)
    wanted = {source_kind(text) for text in read}
    wanted |= {"kernel_layout"} if "weights" in wanted else set()
    holding.sort(key=lambda hypothesis: hypothesis.kind not in wanted)  # stable: families in their order
    texts = list(dict.fromkeys(hypothesis.text for hypothesis in holding))
    return Cause(holding[0].kind, _joined(texts[0], read), tuple(texts[1 : 1 + _MOST]), told)


def _port(node: Node, expected: Words, found: Words, form: FixedPoint) -> Cause:
    if form.same_grid(node.result):
        return Cause("recorded_words", "the recorded input words are not those that were put in")
    text = f"the input port is compiled as {form}, the network's is {node.result}"
    bits = (1 << min(form.width, node.result.width)) - 1
    if ((found ^ expected) & bits == 0).all():
        text += ": the same bits stand for other values"
    return Cause("input_format", text)


def _experiments(region: Region) -> tuple[list[Hypothesis], dict[str, int]]:
    """The hypotheses that hold, and how many of each family were tried."""
    holding: list[Hypothesis] = []
    tried = dict.fromkeys(FAMILIES, 0)
    plain = list(reversed(region.nodes))
    compiled = [other for node in plain for other in _as_compiled(region, node)]
    for family, hypotheses in FAMILIES.items():
        for node in plain if hypotheses is types.result_types else compiled:
            for hypothesis in hypotheses(region, node):
                tried[family] += 1
                if region.explains(hypothesis):
                    holding.append(hypothesis)
    return holding, tried


def _as_compiled(region: Region, node: Node) -> Iterator[Node]:
    """``node``, and with the types that were compiled, as far as they are known, in place of the network's.

    An accumulator is the network's or what the actual weights and inputs need: one of the two was written.
    """
    yield node
    if node is region.last and node.result != region.form and not isinstance(node, (*MOVES, Table, Embedding)):
        node = replace(node, result=region.form)
        yield node
    if isinstance(node, Linear):
        ranges = analyse(region.network)
        proven = exact_range(node, [ranges[name] for name in node.inputs]).smallest_format()
        if not proven.same_grid(node.accumulator):
            yield replace(node, accumulator=proven)


def _unexplained(read: list[str], told: tuple[str, ...], region: Region) -> Cause:
    wrong = int(differing(region.words[region.last.name], region.last.result, region.found, region.form).sum())
    if wrong == 1 and region.found.size > 1 and not read:
        text = (
            f"this word alone of {region.found.size:,} differs, and nothing that was tried computes it from the inputs"
        )
        return Cause("recorded_words", f"{text}: changed after it was computed", (), told)
    if read:
        text = f"{'; '.join(read)} (alone this does not give the words found)"
        return Cause(source_kind(read[0]), text, (), told)
    return Cause("unexplained", f"unexplained: nothing that was tried gives these words ({'; '.join(told)})", (), told)


def _joined(text: str, read: list[str]) -> str:
    return f"{text}; in the project: {'; '.join(read)}" if read else text


def _sources(evidence: Evidence, region: Region) -> list[str]:
    """What was read in the project's sources about the layers of the region."""
    last = f"{region.last.name}: "
    names = tuple(f"{node.name}: " for node in region.nodes)
    return [text.removeprefix(last) for text in evidence.differences if text.startswith(names)]


_READ: dict[str, CauseKind] = {
    "the accumulator ": "accumulator", "the result ": "result_format", "bias ": "bias", "the bias ": "bias",
    "table ": "table", "the table ": "table", "embeddings ": "table", "the embeddings ": "table",
}  # fmt: skip


def source_kind(text: str) -> CauseKind:
    """The kind of a difference that was read in the sources, with or without its layer's name before it."""
    _, _, behind = text.partition(": ")
    for part in (text, behind):
        for start, kind in _READ.items():
            if part.startswith(start):
                return kind
    return "weights"
