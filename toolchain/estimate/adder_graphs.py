"""Distributed arithmetic: the adders that da4ml leaves of a kernel of constants, as hls4ml writes them.

The code is a list of values, each of two earlier ones; the same reader takes it from a project's directory and from
da4ml itself, which is asked as hls4ml asks it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.counting import Counts

#: da4ml is asked for kernels of up to this many weights: about two seconds at 8 bits.
MOST_SOLVED = 1024
#: What da4ml 0.5.2 leaves of one adder a digit: 0.49, 0.47, 0.43 for 16 x 32, 32 x 32, 64 x 64 weights of 8 bits.
_SHARED_ADDERS = 0.47
#: hls4ml 1.3: how many levels more than the shortest a sum may take.
_HARD_DC = 2

_TYPE = r"ap_(u?)fixed\s*<\s*(\d+)\s*,\s*(-?\d+)[^>]*>"
_VALUE = re.compile(rf"^\s*{_TYPE}\s+(v\d+)\s*=\s*(.+?);", re.MULTILINE)
_OUTPUT = re.compile(r"^\s*model_out\[(\d+)\]\s*=\s*(.+?);", re.MULTILINE)
_TERM = re.compile(rf"([+-]?)\s*(?:bit_shift<(-?\d+)>\(\s*(v\d+)\s*\)|(v\d+)|{_TYPE}\(\s*(-?[\d.eE+-]+)\s*\))")


@dataclass(frozen=True)
class AdderGraph:
    """``bits``: of all adders, one look-up table each (da4ml's own cost); ``level_bits``: words alive after each level
    of adders, the inputs first."""

    n_in: int
    n_out: int
    adders: int
    bits: int
    level_bits: tuple[int, ...]

    @property
    def depth(self) -> int:
        """Adders one after the other."""
        return len(self.level_bits) - 1


@dataclass
class _Value:
    signed: bool
    width: int
    integer: int  # sign included
    level: int
    last: int  # level of the last adder that reads it

    @property
    def fractional(self) -> int:
        return self.width - self.integer


def adder_graph(code: str) -> AdderGraph:
    """The graph of one generated function. Raises UnsupportedModelError for a value that is not a sum of two."""
    values: dict[str, _Value] = {}
    inputs = adders = bits = 0
    for unsigned, width, integer, name, text in _VALUE.findall(code):
        value = _Value(not unsigned, int(width), int(integer), 0, 0)
        values[name] = value
        if text.startswith("model_inp["):
            inputs += 1
            continue
        found = _sum_of(text, values)
        value.level = value.last = found.level
        adders, bits = adders + found.adders, bits + found.bits
    outputs = _OUTPUT.findall(code)
    for _, text in outputs:
        found = _sum_of(re.sub(rf"^{_TYPE}\((.*)\)$", r"\4", text), values)
        adders, bits = adders + found.adders, bits + found.bits
    depth = max((value.level for value in values.values()), default=0)
    for _, text in outputs:
        for name in re.findall(r"\bv\d+\b", text):
            values[name].last = depth + 1
    alive = [
        sum(value.width for value in values.values() if value.level <= level < value.last) for level in range(depth + 1)
    ]  # fmt: skip
    return AdderGraph(inputs, len(outputs), adders, bits, tuple(alive))


@dataclass(frozen=True)
class _Sum:
    adders: int
    bits: int
    level: int


def _sum_of(text: str, values: dict[str, _Value]) -> _Sum:
    """What an expression adds: two words, a word and a constant, or a negated word; one word alone is wiring.

    Bits as da4ml counts them: from the least bit that both have up to the sign of the longer.
    """
    terms: list[_Value] = []
    level, rest = 0, text
    negated = text.startswith("-")
    while rest.strip():
        found = _TERM.match(rest.strip())
        if found is None:
            break
        shift, name = int(found[2] or 0), found[3] or found[4]
        if name:
            word = values[name]
            terms.append(_Value(word.signed, word.width, word.integer + shift, word.level, 0))
            level = max(level, word.level)
        else:
            terms.append(_Value(not found[5], int(found[6]), int(found[7]), 0, 0))
        rest = rest.strip()[found.end() :]
    if rest.strip() or not 1 <= len(terms) <= 2:
        if not terms and re.fullmatch(r"-?[\d.]+", text.strip()):
            return _Sum(0, 0, 0)
        raise UnsupportedModelError(f"the generated code has {text!r}, which is no sum of two words")
    names = re.findall(r"\bv\d+\b", text)
    if len(terms) == 1 and not negated:
        _read(names, values, level)
        return _Sum(0, 0, level)
    _read(names, values, level + 1)
    if len(terms) == 1:
        return _Sum(1, terms[0].width, level + 1)
    signed = any(term.signed for term in terms)
    above = max(term.integer - term.signed for term in terms)
    common = min(term.fractional for term in terms)
    return _Sum(1, max(1, signed + above + common), level + 1)


def _read(names: list[str], values: dict[str, _Value], level: int) -> None:
    for name in names:
        values[name].last = max(values[name].last, level)


def counts_of(graph: AdderGraph) -> Counts:
    """The graph in the terms of a kernel of constants: sums alone."""
    return Counts(
        n_in=graph.n_in, n_out=graph.n_out, nonzeros=0, negatives=0, multipliers=0, adders=0, digits=graph.adders,
        fan_in=2**graph.depth, multiplier_widths=(), tree_adders=graph.adders, tree_bits=graph.bits,
        level_bits=graph.level_bits,
    )  # fmt: skip


def shared(counts: Counts) -> Counts:
    """What da4ml may leave of a kernel, where it was not asked: a share of one adder for each digit but one."""
    adders = round(_SHARED_ADDERS * max(counts.digits - counts.n_out, 0))
    each = counts.tree_bits / counts.tree_adders if counts.tree_adders else 0.0
    return Counts(
        n_in=counts.n_in, n_out=counts.n_out, nonzeros=counts.nonzeros, negatives=counts.negatives, multipliers=0,
        adders=0, digits=counts.digits, fan_in=max(1, counts.fan_in), multiplier_widths=(), tree_adders=adders,
        tree_bits=round(adders * each), level_bits=counts.level_bits,
    )  # fmt: skip


def solved(
    weights: NDArray[np.float64], bias: NDArray[np.float64] | None, form: tuple[bool, int, int]
) -> AdderGraph | None:
    """What da4ml makes of ``weights (n_in, n_out)``; None for more than ``MOST_SOLVED`` weights.

    ``form``: of the data: signed, integer bits without the sign, fractional bits.
    """
    if weights.size > MOST_SOLVED:
        return None
    from da4ml.codegen.hls import hls_logic_and_bridge_gen
    from da4ml.trace import FixedVariableArray, HWConfig, comb_trace

    signed, integer, fractional = (np.full(len(weights), item) for item in form)
    options = {"hard_dc": int(os.environ.get("DA_HARD_DC", _HARD_DC)), "search_all_decompose_dc": True}
    words = FixedVariableArray.from_kif(signed, integer, fractional, HWConfig(1, -1, -1), solver_options=options)
    result = words @ weights
    if bias is not None:
        result = result + bias
    code, _ = hls_logic_and_bridge_gen(comb_trace(words, result), "kernel", "vitis", print_latency=False)
    return adder_graph(code)
