"""Which layer names can stand in C++ source and in file names."""

from __future__ import annotations

import re

from toolchain.errors import ToolchainError, UnsupportedModelError

#: C++23's keywords and alternative operators, and the names that the written project itself uses.
_WORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl
    concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default delete
    do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
    requires return short signed sizeof static static_assert static_cast struct switch template this thread_local throw
    true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
    main std nnet hls input output
"""
RESERVED = frozenset(_WORDS.split())


def check_name(name: str, seen: dict[str, str], where: str) -> list[ToolchainError]:
    """Whether ``name`` can stand in C++ and in a file name; ``seen`` collects the names so far, lower-cased.

    Names are refused, never changed: a layer has one name from the Keras file to the report.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name) or name.lower() in RESERVED:
        return [
            UnsupportedModelError(
                f"the name {name!r} cannot stand in C++ and in file names", where=where,
                allowed="1 to 64 letters, digits and _, a letter first; no C++ keyword; not input, output, main, std",
                hint="rename the layer and save the model again",
            )
        ]  # fmt: skip
    if name.lower() in seen:
        other = seen[name.lower()]
        how = "twice in the model" if other == name else f"'{other}' again but for its case"
        return [UnsupportedModelError(f"the name {name!r} stands {how}; C++ names are lower-cased", where=where)]
    seen[name.lower()] = name
    return []


def free_name(wanted: str, taken: dict[str, str]) -> str:
    """``wanted``, or the first of ``wanted2``, ``wanted3`` … that is not taken (keys of ``taken``: lower case)."""
    name, number = wanted[:60], 1
    while name.lower() in taken or name.lower() in RESERVED:
        number += 1
        name = f"{wanted[:60]}{number}"
    taken[name.lower()] = name
    return name
