"""What can become hardware exactly. Everything else is refused here, by layer, before anything is written."""

from __future__ import annotations

import re

from toolchain.errors import UnsupportedModelError
from toolchain.fixed_point import FixedPoint, Overflow, Rounding
from toolchain.hls.sufficiency import exact_bounds
from toolchain.network import ranges
from toolchain.network.nodes import (
    Concatenate,
    DepthwiseConvolution,
    Embedding,
    FixedPointNetwork,
    Input,
    Linear,
    Maximum,
    Minimum,
    Node,
    Reshape,
    Table,
)

#: A traced word passes through a double.
WIDEST_WORD = 53
#: Words of a table, which becomes one array in the source.
LARGEST_TABLE = 1 << 16
_ROUNDINGS = (Rounding.TRN, Rounding.RND, Rounding.RND_CONV)
_OVERFLOWS = (Overflow.WRAP, Overflow.SAT, Overflow.SAT_SYM)
#: ``<name>_t`` would be a type of C's own, or ``<name>.txt`` one of the C-simulation's own files.
_TAKEN = re.compile(
    r"(u?int(_fast|_least)?\d*|u?intptr|u?intmax|size|ssize|ptrdiff|wchar|char\d+|time|clock|div|ldiv|float|double|fpos"
    r"|max_align|nullptr|result(_\d+)?|model_default|formats|complete|input_words)"
)
_KEYWORDS = """alignas alignof and asm auto bool break case catch char class compl const constexpr continue decltype
    default delete do double else enum explicit export extern false float for friend goto if inline int long main
    mutable namespace network new nnet hls not operator or private protected public register return short signed sizeof
    static std struct switch template this throw true try typedef typeid typename union unsigned using virtual void
    volatile while xor"""
#: hls4ml's own variables and types, among which an input port's name stands.
_VARIABLE = re.compile(
    r"layer\d+_(out|cpy\d*|index)|(\w+_)?config\d+(_\w+)?|[a-z]{1,2}\d+_(out|in)|[bewst]\d+|table\d+"
)
_DERIVED = ("weight", "bias", "accum", "table", "scale", "format", "index", "embeddings")
#: Layers that lowering adds.
_OWN = re.compile(r"(.+)_(?:in|port|part|more)\d+")


def admit(network: FixedPointNetwork) -> None:
    """Raise UnsupportedModelError for the first thing in ``network`` that hls4ml cannot compute exactly."""
    if all(isinstance(_source(network, name), Input) for name in network.outputs):
        raise UnsupportedModelError("every output is an input: nothing is computed", where="network")
    if len(set(network.outputs)) != len(network.outputs):
        raise UnsupportedModelError("the same output twice", where="network", allowed="different outputs")
    _check_names(network)
    depthwise = [node for node in network.nodes if isinstance(node, DepthwiseConvolution)]
    if len({len(node.strides) for node in depthwise}) > 1:  # the headers of both exclude one another
        raise refuse(depthwise[-1], "depthwise convolutions over one axis and over two in one network", "one kind")
    found, exact = ranges.analyse(network), exact_bounds(network)
    for node in network.nodes:
        _check_formats(node)
        # These bring each input into the result's format by itself.
        apart = isinstance(node, Concatenate | Maximum | Minimum)
        for bounds in [found[name] for name in node.inputs] if apart else [exact[node.name]]:
            check_rounding(node, bounds)
        if not network.consumers(node.name) and node.name not in network.outputs:
            raise refuse(node, "no layer reads its result", "layers on the way to the output")
        if isinstance(node, Linear):
            _check_accumulator(node, found[node.inputs[0]])
        if isinstance(node, Table | Embedding) and node.words.size > LARGEST_TABLE:
            raise refuse(node, f"a table of {node.words.size} words", f"at most {LARGEST_TABLE}: a narrower input")


def port_name(node: Input) -> str:
    """The name of an input port in C++: the node's own unless hls4ml has a variable or type of that name."""
    return f"{node.name}_in0" if _VARIABLE.fullmatch(node.name.lower()) else node.name


def refuse(node: Node, problem: str, allowed: str) -> UnsupportedModelError:
    """The error for ``node``."""
    return UnsupportedModelError(problem, where=f"layer '{node.layer or node.name}'", allowed=allowed)


def _source(network: FixedPointNetwork, name: str) -> Node:
    node = network[name]
    while isinstance(node, Reshape):
        node = network[node.inputs[0]]
    return node


def _check_names(network: FixedPointNetwork) -> None:
    rule = "letters, digits and _, a letter first, at most 64; unlike C++'s own words and types"
    seen: dict[str, str] = {}
    for node in network.nodes:
        low = node.name.lower()
        plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", node.name) and "__" not in node.name
        if not plain or low in _KEYWORDS.split() or _TAKEN.fullmatch(low) or re.search(r"_cpy\d*$", low):
            raise refuse(node, f"the name {node.name!r} cannot stand in C++", rule)
        if low in seen:
            raise refuse(node, f"the name {node.name!r} stands twice but for its case", "different names")
        seen[low] = node.name
    for node in network.nodes:
        derived = _OWN.fullmatch(node.name.lower())
        if derived and derived[1] in seen:
            raise refuse(node, f"the name {node.name!r} is that of a part of layer '{seen[derived[1]]}'", rule)
        for suffix in _DERIVED:
            if f"{node.name}_{suffix}".lower() in seen:
                other = seen[f"{node.name}_{suffix}".lower()]
                raise refuse(network[other], f"the name {other!r} is that of a type of layer '{node.name}'", rule)


def _check_formats(node: Node) -> None:
    forms: list[FixedPoint] = [node.result]
    if isinstance(node, Linear):
        forms.append(node.accumulator)
    widest = max(form.width for form in forms)
    if widest > WIDEST_WORD:
        raise refuse(node, f"a word of {widest} bits cannot be traced exactly", f"at most {WIDEST_WORD} bits")
    if isinstance(node, Input):
        return  # words enter as they are: nothing is rounded in hardware
    if node.result.rounding not in _ROUNDINGS:
        raise refuse(node, f"rounding {node.result.rounding} cannot be lowered", ", ".join(_ROUNDINGS))
    if node.result.overflow not in _OVERFLOWS:
        raise refuse(node, f"overflow {node.result.overflow} cannot be lowered", ", ".join(_OVERFLOWS))


def check_rounding(node: Node, exact: ranges.Range) -> None:
    """Raise UnsupportedModelError when ``node``'s format rounds away more bits than values in ``exact`` have.

    hls4ml's C++ types read a bit that is not there then.
    """
    dropped = exact.fractional_bits - node.result.fractional_bits
    before = exact.smallest_format()
    zero = exact.lowest == exact.highest == 0  # it rounds to zero whatever bit is read
    if node.result.rounding is not Rounding.TRN and dropped > before.width and not zero:
        raise refuse(
            node, f"{node.result} rounds away more bits than there are in {before}",
            f"at least {exact.fractional_bits - before.width} fractional bits, or {Rounding.TRN}",
        )  # fmt: skip


def _check_accumulator(node: Linear, x: ranges.Range) -> None:
    exact = ranges.accumulate(node, x)
    if not exact.fits(node.accumulator):
        raise refuse(
            node, f"the accumulator {node.accumulator} can overflow or round; the sum needs {exact.smallest_format()}",
            "an accumulator that holds every sum: hls4ml's is always exact",
        )  # fmt: skip
