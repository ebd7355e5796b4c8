"""How far an estimate is to be trusted: the grade, and what was not measured.

A: every layer of a kind, tool family and size that was fitted. B: a layer whose coefficients come from another tool, or
of which few reports exist. C: an important part was never measured (streams, tables, distributed arithmetic, merging).
D: most of the design is of kinds, or has weights, of which nothing is known, or a kernel may be built otherwise.
"""

from __future__ import annotations

from typing import Literal

from toolchain.estimate.design import Design, DesignLayer
from toolchain.estimate.price import Price
from toolchain.estimate.totals import Priced
from toolchain.target import Fpga

#: Share of the look-up tables that may stem from layers never measured, for the grades B and C.
_SMALL_PART, _LARGE_PART = 0.05, 0.5
_FAMILIES = ("7series", "ultrascale_plus")


def confidence(design: Design, fpga: Fpga, priced: Priced) -> tuple[Literal["A", "B", "C", "D"], tuple[str, ...]]:
    """(grade, notes)."""
    notes = []
    if fpga.bram_18k is None:
        notes.append("no public figure for this device's block RAM: memory was not checked against it")
    if design.tool == "vitis" and design.family != "7series":
        notes.append("Vitis on this family: a dozen designs were measured; flip-flops may be half or twice as many")
    if design.io_type == "io_stream":
        notes.append("io_stream: counted after the modules of about 40 designs of 11 authors, few of them of Vitis")
    if design.family not in _FAMILIES:
        notes.append(f"{design.family}: delays of the operators were interpolated, no design was measured")
    for measured, text in (("none", "never measured"), ("foreign", "coefficients of another tool or of few reports")):
        kinds = sorted({layer.kind for layer, found in priced if found.measured == measured})
        if kinds:
            notes.append(f"{text}: {', '.join(kinds)}")
    return _grade(design, priced), tuple(notes)


def interval_kind(design: Design, grade: str) -> str:
    """Whose deviations make the interval: those of designs of the same grade, or of others with a doubt."""
    return "doubted" if any(layer.doubt for layer in design.layers) else grade


def _grade(design: Design, priced: Priced) -> Literal["A", "B", "C", "D"]:
    whole = max(sum(_size(layer, found) for layer, found in priced), 1.0)
    unknown = sum(_size(layer, found) for layer, found in priced if found.measured == "none") / whole
    foreign = sum(_size(layer, found) for layer, found in priced if found.measured != "own") / whole
    if unknown > _LARGE_PART or any(layer.doubt for layer, _ in priced):  # its share is not known either
        return "D"
    if unknown > _SMALL_PART or design.io_type == "io_stream":
        return "C"
    if (
        foreign > _SMALL_PART
        or (design.tool == "vitis" and design.family != "7series")
        or design.family not in _FAMILIES
    ):
        return "B"
    return "A"


def _size(layer: DesignLayer, found: Price) -> float:
    """Look-up tables; of a layer never measured at least one for each bit it puts out, else none would not count."""
    return max(found.lut, float(layer.words * layer.result_width)) if found.measured == "none" else found.lut
