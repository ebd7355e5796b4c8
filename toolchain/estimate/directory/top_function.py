"""The body of a top function, and what stands in it that hls4ml does not write.

hls4ml writes declarations, pragmas and calls of its own functions (and loops for time-distributed layers, which are not
estimated). In some public projects code of their authors stands around these: what it costs (up to seventeen times the
network) is in no call that can be read.
"""

from __future__ import annotations

import re

#: Code that is compiled for the test bench only, or not at all; a branch behind ``#else`` is built.
_SWITCHED_OFF = re.compile(
    r"^[ \t]*#[ \t]*(?:ifndef\s+__SYNTHESIS__|if\s+0)\b.*?(?:^[ \t]*#[ \t]*else\b(.*?))?^[ \t]*#[ \t]*endif[^\n]*",
    re.DOTALL | re.MULTILINE,
)
_PREPROCESSOR = r"^[ \t]*#(?:[^\n\\]|\\\n?)*"
#: Statements that hls4ml writes: calls with types, streams, aliases, declarations, sizes.
_WRITTEN = re.compile(
    r"""(?!hls::|std::)\w+::\w+\s*<.*>\s*\([\w\s,\[\]*&".+-]*\)
    | (?:static\s+)?hls::stream\s*<.*>\s*\w+(?:\[[^\]]*\])?\s*(?:\(\s*"[^"]*"\s*\))?
    | auto\s*&\s*\w+\s*=\s*\w+
    | (?:(?:static|const|constexpr|unsigned)\s+)*[\w:]+(?:\s*<.*>)?\s+\w+(?:\s*\[[^\]]*\])*(?:\s*=\s*[-\w.]+)?
    | const_size_\w+\s*=[^=<>?]*
    | return | std::cout.* | (?:static_)?assert\s*\(.*\)""",
    re.VERBOSE,
)
_CALL = r"\b([A-Za-z_]\w*)\s*(?:<[^;]*>)?\s*\("


def cleaned(text: str) -> str:
    """Without comments, but for a layer's name behind its call, and without code that is not built."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    lines = []
    for line in text.split("\n"):
        before = line.partition("//")[0]
        lines.append(line if before.rstrip().endswith(");") else before)
    return _SWITCHED_OFF.sub(lambda found: found[1] or "", "\n".join(lines))


def function_body(text: str, name: str) -> str | None:
    """What stands between the braces of the last function ``name`` of a cleaned text; None where there is none."""
    found = _find(text, name)
    if found is None:
        return None
    depth = 1
    for place in range(found.end(), len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[found.end() : place]
    return text[found.end() :]


def ports(text: str, name: str) -> tuple[str, ...]:
    """Names of the last function ``name``'s arguments in a cleaned text."""
    found = _find(text, name)
    return tuple(re.findall(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:,|$)", found[1].strip())) if found else ()


def own_code(body: str) -> str:
    """What is first in a body (``function_body``) that hls4ml does not write; empty where there is none.

    The function that is called, else the beginning of the statement.
    """
    body = re.sub(r"//[^\n]*", "", re.sub(_PREPROCESSOR, "", body, flags=re.MULTILINE))
    for statement in (" ".join(part.split()) for part in re.split(r"[;{}]", body)):
        if statement and not _WRITTEN.fullmatch(statement):
            found = re.search(_CALL, statement)
            return found[1] if found and not re.match(r"(?:nnet|hls|std)::", statement) else statement[:40]
    return ""


def _find(text: str, name: str) -> re.Match[str] | None:
    found = list(re.finditer(rf"\b{re.escape(name)}\s*\(([^{{;]*)\)\s*\{{", text))
    return found[-1] if found else None
