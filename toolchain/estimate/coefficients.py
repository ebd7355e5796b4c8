"""The fitted coefficients: what is priced, by which amounts, how far the fit was off, and where it came from.

An entry is named ``<regime>/<figure>/<tool>``. ``amounts.py`` says what each amount means; ``calibration.py`` makes the
entries from published or own reports; ``coefficients.json`` holds those the package ships.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

_SHIPPED = Path(__file__).with_name("coefficients.json")
#: Of a figure that no report ever calibrated: it is half to twice its value.
UNKNOWN_SPREAD = (0.5, 2.0)
#: Fewer layers than these are no calibration; fewer effective sources than these are one author's designs.
FEWEST_LAYERS, ONE_SOURCE = 4, 1.1


@dataclass(frozen=True)
class Entry:
    """Coefficients by amount; ``spread``: the truth is between these multiples of the value in 80 % of cases.

    ``effective_sources``: sources, each by its share of the layers: 1 / sum of squares.
    """

    terms: Mapping[str, float]
    spread: tuple[float, float]
    layers: int
    sources: tuple[str, ...]
    effective_sources: float = 2.0

    @property
    def evidence(self) -> Literal["own", "foreign", "none"]:
        """``foreign``: as good as one source; ``none``: a handful of layers."""
        if self.layers < FEWEST_LAYERS:
            return "none"
        return "own" if self.effective_sources >= ONE_SOURCE else "foreign"


@dataclass(frozen=True)
class Coefficients:
    """Every entry, by name."""

    entries: Mapping[str, Entry]

    def find(self, regime: str, figure: str, tool: str) -> tuple[Entry | None, bool]:
        """The entry for ``tool``, else that of all tools together; and whether it is the tool's own."""
        own = self.entries.get(f"{regime}/{figure}/{tool}")
        return (own, True) if own else (self.entries.get(f"{regime}/{figure}/any"), False)

    def to_json(self) -> str:
        return json.dumps({name: asdict(entry) for name, entry in sorted(self.entries.items())}, indent=1) + "\n"


def read(path: Path) -> Coefficients:
    """Coefficients from a file. Raises ValueError, naming the file, when it is not one."""
    try:
        items = json.loads(path.read_text())
        entries = {
            str(name): Entry(
                {str(term): float(value) for term, value in item["terms"].items()},
                (float(item["spread"][0]), float(item["spread"][1])), int(item["layers"]), tuple(item["sources"]),
                float(item.get("effective_sources", 2.0)),
            )
            for name, item in items.items()
        }  # fmt: skip
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a file of coefficients: {error}") from error
    return Coefficients(entries)


@cache
def shipped() -> Coefficients:
    """Those of the package."""
    return read(_SHIPPED)
