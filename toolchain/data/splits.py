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

    @property
    def parts(self) -> tuple[slice, slice, slice]:
        return self.train, self.validation, self.test


def split_in_time(samples: int, section: DataSection, where: str = "[data]") -> Split:
    """The parts of ``samples`` ordered samples; ``section.embargo`` samples are left out at each border.

    An embargo of at least ``look_back`` keeps every price in the label of one part out of the windows of the next.
    Raises DataSourceError when a part becomes too small.
    """
    first = int(samples * section.train_share)
    second = int(samples * (section.train_share + section.validation_share))
    split = Split(slice(0, first), slice(first + section.embargo, second), slice(second + section.embargo, samples))
    for name, part in zip(("training", "validation", "test"), split.parts, strict=True):
        size = max(part.stop - part.start, 0)
        if size < SMALLEST_PART:
            raise DataSourceError(
                f"too few rows: {max(samples, 0)} samples leave {size} for the {name} part", where=where,
                allowed=f"at least {SMALLEST_PART} in each part", hint="more rows, or a smaller embargo and look_back",
            )  # fmt: skip
    return split
