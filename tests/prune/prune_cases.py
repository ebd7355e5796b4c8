"""Data and trained models for the stage."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolchain.data.samples import save
from toolchain.results import DataResult, Part, Samples


def write_data(folder: Path, shape: tuple[int, ...] = (6, 2), count: int = 192) -> DataResult:
    """Samples of a linear function, with their record."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(3)

    def part(size: int) -> Part:
        x = rng.normal(size=(size, *shape))
        y = x.reshape(size, -1) @ np.linspace(-1, 1, int(np.prod(shape)))[:, None]
        return Part(x, y, y[:, 0], np.arange(size))

    samples = Samples(part(count), part(count // 2), part(count // 2))
    result = DataResult(
        source="made", task="regression", metric="rmse", unit="", input_shape=shape, outputs=1, feature_names=("x",),
        y_scale=1.0, y_offset=0.0, counts={"train": count, "validation": count // 2, "test": count // 2},
        first_test_time="0", last_test_time="1", sha256=save(samples, folder),
    )  # fmt: skip
    result.at(folder)
    return result
