"""What hls4ml's C++ files say: numbers, types, configuration structs and the calls of the top function.

A reader of the few forms that hls4ml 0.6 to 1.3 writes, not a C++ parser: what it does not know is refused by name.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.errors import UnsupportedModelError
from toolchain.estimate.directory.top_function import cleaned, function_body, own_code, ports

#: A source file larger than this was not written by hls4ml (weights are in files of their own).
LARGEST_SOURCE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Type:
    """A number: ``width`` bits, ``integer`` of them before the point, sign included; ``pack`` words in a stream."""

    width: int
    integer: int
    signed: bool = True
    pack: int = 1
    rounds: bool = False  # another mode than truncation and wrapping

    @property
    def fractional(self) -> int:
        return self.width - self.integer


@dataclass(frozen=True)
class Config:
    """A configuration struct: its base in ``nnet``, its numbers, its words (enumerations) and its types by name."""

    name: str
    base: str
    numbers: dict[str, int]
    words: dict[str, str]
    types: dict[str, str]


@dataclass(frozen=True)
class LayerCall:
    """``nnet::function<types>(arguments); // name``."""

    function: str
    templates: tuple[str, ...]
    arguments: tuple[str, ...]
    name: str


@dataclass
class Sources:
    """Everything that was read of a project's firmware."""

    folder: Path
    numbers: dict[str, int] = field(default_factory=dict)
    typedefs: dict[str, str] = field(default_factory=dict)
    configs: dict[str, Config] = field(default_factory=dict)
    calls: list[LayerCall] = field(default_factory=list)
    streams: bool = False
    dataflow: bool = False
    pipelined: bool = False
    depths: dict[str, int] = field(default_factory=dict)  # of a stream, by its variable
    aliases: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)  # of the arrays between the layers
    ports: tuple[str, ...] = ()  # of the top function

    def type_of(self, name: str) -> Type:
        """The number that a type's name or text stands for. Raises UnsupportedModelError."""
        text = re.sub(r"\s+", "", name)
        for _ in range(32):
            if text in self.typedefs:
                text = re.sub(r"\s+", "", self.typedefs[text])
                continue
            break
        found = re.fullmatch(r"nnet::array<(.+),([^,>]+)>", text)
        if found:
            inner = self.type_of(found[1])
            return Type(inner.width, inner.integer, inner.signed, self.number(found[2]), inner.rounds)
        return number_type(text, f"{self.folder}: type {name}")

    def number(self, text: str) -> int:
        """An integer expression with the names of ``defines.h``. Raises UnsupportedModelError."""
        value = evaluate(text, self.numbers)
        if value is None:
            raise UnsupportedModelError(f"the number {text!r} is not known", where=str(self.folder))
        return value


def read_sources(firmware: Path, top: Path) -> Sources:
    """Read ``defines.h``, ``parameters.h`` and the top function's file. Raises UnsupportedModelError."""
    found = Sources(firmware.parent)
    for name in ("defines.h", "parameters.h"):
        text = read_text(firmware / name)
        for key, value in re.findall(r"^[ \t]*#define[ \t]+(\w+)[ \t]+([^\n]+)$", text, re.MULTILINE):
            number = evaluate(value, found.numbers)
            if number is not None:
                found.numbers[key] = number
        for body, key in re.findall(r"typedef\s+struct\s+\w+\s*\{([^}]*)\}\s*(\w+)\s*;", text):
            weight = re.search(r"([\w<>,\s]+?)\s+weight\s*;", body)  # of a compressed layer: row, column, weight
            if weight:
                found.typedefs[key] = weight[1].strip()
        outside = re.sub(_STRUCT, "", _bare(text), flags=re.DOTALL)
        found.typedefs |= {key: value for value, key in re.findall(r"typedef\s+([^;]+?)\s+(\w+)\s*;", outside)}
        _read_configs(found, _bare(text))
    _read_calls(found, read_text(top), top)
    return found


def read_text(file: Path) -> str:
    """A source file. Raises UnsupportedModelError when it is missing, too large or no text."""
    try:
        if file.stat().st_size > LARGEST_SOURCE_BYTES:
            raise UnsupportedModelError(f"is larger than {LARGEST_SOURCE_BYTES} bytes", where=str(file))
        return file.read_text(encoding="utf-8", errors="strict")
    except (OSError, UnicodeDecodeError) as error:
        raise UnsupportedModelError(
            f"cannot be read: {error}", where=str(file), allowed="a directory that hls4ml wrote, with firmware/ in it"
        ) from None


def evaluate(text: str, names: dict[str, int]) -> int | None:
    """An integer expression of C++ with + - * / and DIV_ROUNDUP, MIN, MAX; None when it is something else."""
    text = re.sub(r"\b(\d+)[uUlL]+\b", r"\1", text.strip())
    text = {"true": "1", "false": "0"}.get(text, text)
    try:
        return _value(ast.parse(text, mode="eval").body, names)
    except (SyntaxError, KeyError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _value(node: ast.expr, names: dict[str, int]) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return int(node.value)
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, names)
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, names), _value(node.right, names)
        for kind, result in ((ast.Add, left + right), (ast.Sub, left - right), (ast.Mult, left * right)):
            if isinstance(node.op, kind):
                return result
        if isinstance(node.op, ast.Div):
            return left // right
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 2:
        one, other = (_value(item, names) for item in node.args)
        if node.func.id == "DIV_ROUNDUP":
            return -(-one // other)
        if node.func.id in ("MIN", "MAX"):
            return min(one, other) if node.func.id == "MIN" else max(one, other)
    raise ValueError("no integer expression")


#: A configuration struct: name, its base in ``nnet`` (hls4ml leaves it out of some), body.
_STRUCT = r"(?m:^)struct\s+(\w+)\s*(?::\s*nnet::(\w+)(?:<[^{]*>)?)?\s*\{(.*?)\n\};"


def _bare(text: str) -> str:
    return re.sub(r"//[^\n]*", "", text)


def _read_configs(found: Sources, text: str) -> None:
    for name, base, body in re.findall(_STRUCT, text, re.DOTALL):
        numbers: dict[str, int] = {}
        words: dict[str, str] = {}
        for key, value in re.findall(r"static\s+const(?:expr)?\s+[\w:]+\s+(\w+)\s*=\s*([^;]+);", body):
            number = evaluate(value, {**found.numbers, **numbers})
            if number is None:
                words[key] = value.strip().removeprefix("nnet::")
            else:
                numbers[key] = number
        types = {key: value for value, key in re.findall(r"typedef\s+([^;]+?)\s+(\w+)\s*;", body)}
        for key, function in re.findall(r"(?:using\s+(?=kernel\b)|static\s+auto\s+)(\w+)\s*=\s*nnet::(\w+)", body):
            words[key] = function
        found.configs[name] = Config(name, base, numbers, words, types)


def _read_calls(found: Sources, text: str, top: Path) -> None:
    text = cleaned(text)
    body = function_body(text, top.stem)
    if body is None:
        raise UnsupportedModelError(f"it has no function {top.stem}", where=str(top), allowed="what hls4ml wrote")
    found.streams, found.ports = "hls::stream" in text, ports(text, top.stem)
    found.pipelined = re.search(r"#pragma\s+HLS\s+PIPELINE", text, re.IGNORECASE) is not None
    found.dataflow = re.search(r"#pragma\s+HLS\s+DATAFLOW", text, re.IGNORECASE) is not None
    for name, depth in re.findall(r"#pragma\s+HLS\s+STREAM\s+variable\s*=\s*(\w+)\s+depth\s*=\s*(\d+)", text):
        found.depths[name] = int(depth)
    for alias, target in re.findall(r"auto\s*&\s*(\w+)\s*=\s*(\w+)\s*;", body):
        found.aliases[alias] = found.aliases.get(target, target)
    for name, length in re.findall(r"^\s*\w+\s+(\w+)\[([^\]]+)\]\s*;", body, re.MULTILINE):
        words = evaluate(length, found.numbers)
        if words is not None:
            found.lengths[name] = words
    pattern = r"\b(?!hls\b|std\b)\w+::(\w+)\s*<([^;]*?)>\s*\(([^;]*?)\)\s*;[ \t]*(?://[ \t]*([^\n]*))?"
    for function, templates, arguments, name in re.findall(pattern, body):
        if not function.startswith(("load_", "save_")):  # test bench
            found.calls.append(
                LayerCall(
                    function, _split(templates), _split(arguments), (name or "").strip() or f"layer{len(found.calls)}"
                )
            )
    if not found.calls:
        raise UnsupportedModelError("no call of a layer was found in the top function", where=str(found.folder))
    if own := own_code(body):
        raise UnsupportedModelError(
            f"the top function has code of its own ({own}): what it costs is not known",
            where=str(top), allowed="declarations, pragmas and calls of functions of hls4ml",
        )  # fmt: skip


def _split(text: str) -> tuple[str, ...]:
    """Arguments at the outermost commas."""
    parts, depth, current = [], 0, ""
    for letter in text:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and depth == 0:
            parts.append(current.strip())
            current = ""
        else:
            current += letter
    return tuple(part for part in (*parts, current.strip()) if part)


def number_type(text: str, where: str) -> Type:
    """A type as hls4ml writes it, without spaces. Raises UnsupportedModelError."""
    found = re.fullmatch(r"(ap_u?fixed|ac_fixed)<(\d+),(-?\d+)(?:,(\w+))?(?:,(\w+))?(?:,\w+)?>", text)
    if found:
        modes = {found[4], found[5]} - {None, "AP_TRN", "AP_WRAP"}
        return Type(int(found[2]), int(found[3]), found[1] == "ap_fixed", rounds=bool(modes))
    found = re.fullmatch(r"ap_(u?)int<(\d+)>", text)
    if found:
        return Type(int(found[2]), int(found[2]), not found[1])
    if text in ("float", "double", "half"):
        raise UnsupportedModelError(f"is floating point ({text})", where=where, allowed="ap_fixed and ap_int")
    whole = {"bool": 1, "char": 8, "short": 16, "int": 32, "unsignedshort": 16, "unsigned": 32}
    if text in whole:
        return Type(whole[text], whole[text], not text.startswith("unsigned"))
    raise UnsupportedModelError(f"{text[:80]} is no type that hls4ml writes", where=where, allowed="ap_fixed, ap_int")
