"""Functions that hls4ml generates beside its templates: adder graphs of da4ml, formats of single elements (HGQ)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.estimate.adder_graphs import AdderGraph, adder_graph
from toolchain.estimate.directory.sources import Type, evaluate, number_type, read_text

#: A format of one element; None for one that is always zero.
Element = Type | None

_FUNCTION = re.compile(r"^void (\w+)\s*\([^)]*\)\s*\{(.*?)^\}", re.MULTILINE | re.DOTALL)
_ELEMENT = re.compile(r"^\s*out\[(\d+)\]\s*=\s*([^;]+);", re.MULTILINE)
_CAST = re.compile(r"(ap_u?fixed<[^>]*>)\(inp\[\d+\]\)")


@dataclass
class GeneratedCode:
    """By the function's name."""

    adder_graphs: dict[str, AdderGraph] = field(default_factory=dict)
    elements: dict[str, tuple[Element, ...]] = field(default_factory=dict)


def read_generated_code(firmware: Path) -> GeneratedCode:
    """``nnet_utils/nnet_code_gen.h``, where the project has it. Raises UnsupportedModelError for sums not known."""
    found = GeneratedCode()
    file = firmware / "nnet_utils" / "nnet_code_gen.h"
    if not file.is_file():
        return found
    for name, body in _FUNCTION.findall(read_text(file)):
        if "model_out[" in body:
            found.adder_graphs[name] = adder_graph(body)
        elif elements := _elements(body, f"{file}: {name}"):
            found.elements[name] = elements
    return found


def _elements(body: str, where: str) -> tuple[Element, ...]:
    """Empty where an element is anything but a cast or zero."""
    found: dict[int, Element] = {}
    for place, text in _ELEMENT.findall(body):
        cast = _CAST.fullmatch(text.strip())
        if cast is None and evaluate(text, {}) != 0:
            return ()
        found[int(place)] = number_type(re.sub(r"\s", "", cast[1]), where) if cast else None
    return tuple(found[place] for place in range(len(found))) if set(found) == set(range(len(found))) else ()
