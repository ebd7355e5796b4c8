"""A plan of surgery: what goes, in which group, and what it saves. Printable, and saved as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolchain.errors import ProjectError

VERSION = 1


@dataclass(frozen=True)
class Family:
    """Groups over the same layers, of which some go.

    ``units``: for each layer (or ``layer/heads``) the indices of the units that go; ``of``: how many it has.
    ``parameters`` and ``macs``: what would be saved if nothing else went.
    """

    units: Mapping[str, tuple[int, ...]]
    of: Mapping[str, int]
    groups: int
    groups_gone: int
    parameters: int
    macs: int


@dataclass(frozen=True)
class Plan:
    """What ``apply`` takes out of a graph. ``(before, after)`` for parameters and multiply-accumulates of a sample.

    ``blocks``: residual branches that go, by the name of the layer that adds them; they go first, and ``families``
    speaks of the graph without them. ``left_whole``: what is not cut, with the reason. ``fold_constants``: the units
    that go are dead, and what constant ones gave moves into the biases behind them.
    """

    model: str
    families: tuple[Family, ...]
    blocks: tuple[str, ...]
    left_whole: Mapping[str, str]
    parameters: tuple[int, int]
    macs: tuple[int, int]
    fold_constants: bool = False

    @property
    def units(self) -> dict[str, tuple[int, ...]]:
        """All units that go, by layer (or ``layer/heads``)."""
        found: dict[str, set[int]] = {}
        for family in self.families:
            for space, units in family.units.items():
                found.setdefault(space, set()).update(units)
        return {space: tuple(sorted(units)) for space, units in found.items() if units}

    @property
    def of(self) -> dict[str, int]:
        """How many units each of these layers has before the cut."""
        return {space: count for family in self.families for space, count in family.of.items()}

    @property
    def is_empty(self) -> bool:
        """Whether nothing goes."""
        return not self.units and not self.blocks

    def text(self) -> str:
        """The plan for people: one line for each family, then what is left whole, then the totals."""
        lines = [f"surgery of '{self.model}'"]
        lines += [f"  branch into '{name}' goes: the shortcut stays" for name in self.blocks]
        for family in self.families:
            names = " + ".join(f"{space}" for space in family.units)
            lines.append(f"  {names}: {family.groups_gone} of {family.groups} groups go")
            for space, units in family.units.items():
                lines.append(f"    {space}: {_ranges(units)} of {family.of[space]}")
            lines.append(f"    alone saves {family.parameters:,} parameters, {family.macs:,} MACs")
        lines += [f"  left whole: {name}: {why}" for name, why in self.left_whole.items()]
        lines.append(f"  parameters {_change(self.parameters)}")
        lines.append(f"  MACs {_change(self.macs)}")
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write the plan as JSON."""
        path.write_text(json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n")


def load_plan(path: Path) -> Plan:
    """A plan that ``Plan.save`` has written. Raises ProjectError for any other file."""
    try:
        return _plan(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProjectError(f"is not a plan of surgery: {error!r}"[:200], where=str(path)) from None


def _plan(found: dict[str, Any]) -> Plan:
    if found.pop("version") != VERSION:
        raise ValueError(f"version is not {VERSION}")
    families = tuple(
        Family(**{**family, "units": {space: tuple(units) for space, units in family["units"].items()}})
        for family in found.pop("families")
    )
    pairs = {key: (int(found[key][0]), int(found[key][1])) for key in ("parameters", "macs")}
    return Plan(**{**found, **pairs, "families": families, "blocks": tuple(found["blocks"])})


def _change(pair: tuple[int, int]) -> str:
    before, after = pair
    return f"{before:,} -> {after:,} ({100 * (after - before) / before if before else 0:+.1f} %)"


def _ranges(numbers: tuple[int, ...]) -> str:
    """``0-3, 7``."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(str(end) for end in part) for part in parts) or "none"
