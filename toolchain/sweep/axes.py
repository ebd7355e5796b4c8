"""What a sweep varies: ``--axis quantize.bits=4,6,8`` and ``--axis prune.final_sparsity=0.5:0.95[:0.05]``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from toolchain.errors import ProjectError

#: One word for keys that usually go together.
TOGETHER = {"quantize.bits": ("quantize.weight_bits", "quantize.activation_bits")}
Setting = int | float | str | bool


@dataclass(frozen=True)
class Axis:
    """A key of project.toml with the ``choices`` it takes, or a range of numbers when there are none."""

    key: str
    choices: tuple[Setting, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    whole: bool = False

    @property
    def size(self) -> int | None:
        """How many values it has; None for a continuous range."""
        if self.choices:
            return len(self.choices)
        return None if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    @property
    def ends(self) -> tuple[Setting, ...]:
        """Values to try before the sweep begins: every choice, or both ends."""
        if self.choices:
            return self.choices
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)


def parse_axes(texts: list[str]) -> tuple[Axis, ...]:
    """The axes of ``KEY=VALUE,VALUE…`` and ``KEY=LOW:HIGH[:STEP]``. Raises ProjectError."""
    axes = tuple(_parse(text) for text in texts)
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise ProjectError(f"{key} is given twice", where="--axis")
    if not axes:
        raise ProjectError("nothing to vary", where="--axis", allowed="--axis quantize.bits=4,6,8")
    return axes


def overrides(settings: dict[str, Any]) -> list[str]:
    """``section.key=value`` for every setting of a design."""
    return [
        f"{name}={_toml(value)}" for key, value in settings.items() for name in TOGETHER.get(key, (key,))
    ]  # fmt: skip


def _parse(text: str) -> Axis:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or "." not in key or not value.strip():
        raise ProjectError(
            f"cannot be read: {text!r}", where="--axis", allowed="section.key=4,6,8 or section.key=0.5:0.95"
        )
    ends = value.split(":")
    if len(ends) == 1:
        choices = tuple(_setting(part.strip()) for part in value.split(","))
        if len(set(choices)) < len(choices):
            raise ProjectError(f"a value stands twice in {text!r}", where="--axis")
        return Axis(key, choices)
    numbers = [_setting(part.strip()) for part in ends]
    if len(ends) > 3 or any(isinstance(number, (str, bool)) for number in numbers):
        raise ProjectError(f"cannot be read: {text!r}", where="--axis", allowed="LOW:HIGH or LOW:HIGH:STEP, numbers")
    whole = all(isinstance(number, int) for number in numbers)
    low, high, *rest = (float(number) for number in numbers)
    step = rest[0] if rest else (1.0 if whole else None)
    if not low < high or (step is not None and step <= 0):
        raise ProjectError(f"an empty range: {text!r}", where="--axis", allowed="LOW below HIGH, STEP above 0")
    return Axis(key, (), low, high, step, whole)


def _setting(text: str) -> Setting:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
