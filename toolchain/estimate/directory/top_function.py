"""The body of a top function, and what stands in it that hls4ml does not write.

hls4ml writes declarations, pragmas and calls of ``nnet::`` functions. In some public projects loops or functions of
their authors stand around these: what they cost (up to seventeen times the network) is in no call that can be read.
"""

from __future__ import annotations

import re

_COMMENTS = r"/\*.*?\*/|//[^\n]*"
_TEST_BENCH = r"^[ \t]*#[ \t]*ifndef\s+__SYNTHESIS__.*?^[ \t]*#[ \t]*endif"
_PREPROCESSOR = r"^[ \t]*#(?:[^\n\\]|\\\n?)*"
#: Statements that build nothing: calls of hls4ml's own functions are layers, streams are counted with them.
_KNOWN = r"(?:nnet|hls|std)::|auto\s*&|assert\b|static_assert\b|return\b"
#: A call, or a loop or condition: these have a bracket behind their name, too.
_CALL = r"\b([A-Za-z_]\w*)\s*(?:<[^;]*>)?\s*\("


def function_body(text: str, name: str) -> str:
    """What stands between the braces of the last function ``name``; all of ``text`` where there is none."""
    text = re.sub(_COMMENTS, "", text, flags=re.DOTALL)
    found = list(re.finditer(rf"\b{re.escape(name)}\s*\([^{{;]*\)\s*\{{", text))
    if not found:
        return text
    start, depth = found[-1].end(), 1
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[start:place]
    return text[start:]


def ports(text: str, name: str) -> tuple[str, ...]:
    """Names of the last function ``name``'s arguments; none where it is not found."""
    text = re.sub(_COMMENTS, "", text, flags=re.DOTALL)
    found = re.findall(rf"\b{re.escape(name)}\s*\(([^{{;]*)\)\s*\{{", text)
    return tuple(re.findall(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:,|$)", found[-1].strip())) if found else ()


def own_code(body: str) -> str:
    """The first loop or call in a body (``function_body``) that hls4ml does not write; empty where there is none."""
    body = re.sub(_TEST_BENCH, "", body, flags=re.DOTALL | re.MULTILINE)
    body = re.sub(_PREPROCESSOR, "", body, flags=re.MULTILINE)
    for statement in (part.strip() for part in re.split(r"[;{}]", body)):
        found = None if re.match(_KNOWN, statement) else re.search(_CALL, statement)
        if found:
            return found[1]
    return ""
