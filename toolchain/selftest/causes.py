"""Which cause the verdict must name for each kind of mutant."""

from __future__ import annotations

from toolchain.results import CauseKind
from toolchain.selftest.mutations import SOURCE_MUTATIONS
from toolchain.selftest.word_mutations import WORD_MUTATIONS

_KINDS: dict[CauseKind, tuple[str, ...]] = {
    "weights": (
        "one weight by one step", "one scale by one step", "sign of the weights lost", "weights of two layers swapped",
        "one integer bit of the weights", "one fractional bit of the weights",
    ),
    "bias": ("one bias by one step", "biases dropped", "one fractional bit of the biases"),
    "table": ("one table entry by one step", "table moved by one entry", "table of half the size"),
    "kernel_layout": ("transposed kernel", "flipped window"),
    "operator": (
        "operands swapped", "activation dropped", "add became subtract", "maximum became minimum",
        "average instead of maximum",
    ),
    "rounding": ("rounding mode",),
    "overflow": ("overflow mode",),
    "result_format": ("one integer bit of a result", "one fractional bit of a result", "sign of a result"),
    "accumulator": ("one integer bit of an accumulator", "one fractional bit of an accumulator"),
    "input_format": ("input scale", "one integer bit of the input", "sign of the input"),
    "window": ("stride", "padding moved"),
    "recorded_words": ("one word of the output files", "lines moved by one"),
    "not_whole": ("truncated output file", "a line too many", "missing output file"),
}  # fmt: skip

#: By kind of change. A stale program is judged by what its sources had been changed by.
CAUSES: dict[str, CauseKind] = {change: kind for kind, changes in _KINDS.items() for change in changes}
assert set(CAUSES) == {*SOURCE_MUTATIONS, *WORD_MUTATIONS}
