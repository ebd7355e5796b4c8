"""The design's layers as translation units of their own, so that every core has a part of the templates to compile.

hls4ml's ``firmware/<top>.cpp`` is compiled as it stands; it is only told (``extern template``) that the functions which
it calls are instantiated elsewhere. What cannot be told so (an argument that is no variable) stays with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_CALL = re.compile(r"^ *nnet::(?P<name>\w+)<(?P<types>[^;()]*)>\((?P<arguments>[^;()]*)\);", re.MULTILINE)
_ARRAY = re.compile(r"^ *(?P<type>\w+) (?P<name>\w+)\[[^\]]*\]", re.MULTILINE)
_STREAM = re.compile(r"^ *(?P<type>hls::stream<\w+>) *&? *(?P<name>\w+)(?=[,;(\n])", re.MULTILINE)
_ALIAS = re.compile(r"^ *auto& (?P<alias>\w+) = (?P<name>\w+);", re.MULTILINE)
_GUARD = re.compile(r"^#ifndef (\w+_H_)$", re.MULTILINE)
_TYPEDEF = re.compile(r"^typedef (?P<type>.+) (?P<name>\w+);$", re.MULTILINE)
_PRODUCT = re.compile(r"(\d+) ?\* ?(\d+)")
#: Compiled where they are called: a trace is small, and hls4ml's transpose takes a constant array.
_NOT_ALONE = ("save_layer_output", "transpose")


@dataclass(frozen=True)
class Units:
    """``declarations``: included before the design; ``layers``: the text of each further translation unit."""

    declarations: str
    layers: tuple[str, ...]


def layer_units(project: Path, top: str, count: int) -> Units:
    """At most ``count`` further translation units of ``project``; none where it has no layer that can stand alone."""
    firmware = project / "firmware"
    weights = [file.read_text() for file in sorted((firmware / "weights").glob("*.h"))]
    types = {m["name"]: _sized(m["type"]) for m in _TYPEDEF.finditer((firmware / "defines.h").read_text())}
    found = _instantiations((firmware / f"{top}.cpp").read_text(), weights, types)
    headers = f'#include "firmware/{top}.h"\n#include "firmware/parameters.h"\n'
    guards = {guard for text in weights for guard in _GUARD.findall(text)}  # the design alone defines weights
    without_weights = "".join(f"#define {guard}\n" for guard in sorted(guards)) + headers
    size = -(-len(found) // count)
    parts = [found[start : start + size] for start in range(0, len(found), max(size, 1))]
    declarations = headers + "".join(f"extern {line}" for line in found)
    return Units(declarations, tuple(without_weights + "".join(part) for part in parts))


def _instantiations(design: str, weights: list[str], typedefs: dict[str, str]) -> list[str]:
    """Each function that ``design`` calls as an explicit instantiation, once; those of one template stand together."""
    types = {m["name"]: f"{m['type']} *" for text in [*weights, design] for m in _ARRAY.finditer(text)}
    types |= {m["name"]: f"{m['type']} &" for m in _STREAM.finditer(design)}
    for m in _ALIAS.finditer(design):
        if m["name"] in types:
            types[m["alias"]] = types[m["name"]]
    by_template: dict[str, dict[str, str]] = {}
    for call in _CALL.finditer(design):
        arguments = [types.get(name.strip(), "") for name in call["arguments"].split(",")]
        if call["name"] not in _NOT_ALONE and all(arguments):
            same = re.sub(r"\w+", lambda word: typedefs.get(word[0], word[0]), call["types"])  # two names of one type
            line = f"template void nnet::{call['name']}<{call['types']}>({', '.join(arguments)});\n"
            by_template.setdefault(call["name"], {}).setdefault(_sized(same), line)
    return [line for lines in by_template.values() for line in lines.values()]


def _sized(text: str) -> str:
    """``text`` with products of two numbers worked out, as hls4ml writes sizes, and no spaces."""
    while (after := _PRODUCT.sub(lambda found: str(int(found[1]) * int(found[2])), text)) != text:
        text = after
    return text.replace(" ", "")
