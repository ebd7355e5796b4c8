"""Training, validation and test parts in order of time, an embargo between them."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.errors import DataSourceError
from toolchain.project import DataSection

#: Fewer samples than this in a part make its metric meaningless.
SMALLEST_PART = 20


@dataclass(frozen=True)
class Split:
    """Half-open ranges of sample numbers."""

    train: slice
    validation: slice
    test: slice


def split_in_time(samples: int, section: DataSection) -> Split:
    """The parts of ``samples`` ordered samples; ``section.embargo`` samples are left out at each border.

    Raises DataSourceError when a part becomes too small.
    """
    first = int(samples * section.train_share)
    second = int(samples * (section.train_share + section.validation_share))
    parts = Split(slice(0, first), slice(first + section.embargo, second), slice(second + section.embargo, samples))
    for name in ("train", "validation", "test"):
        part = getattr(parts, name)
        if part.stop - part.start < SMALLEST_PART:
            raise DataSourceError(
                f"{samples} samples leave {max(part.stop - part.start, 0)} for the {name} part",
                where="[data]", allowed=f"at least {SMALLEST_PART} in each part",
            )  # fmt: skip
    return parts
