"""Random chains for surgery, and data and trained models for the stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from toolchain.data.samples import save
from toolchain.model.chain import Chain, Link
from toolchain.results import DataResult, Part, Samples


@st.composite
def chains(draw: st.DrawFn, sparsity: float = 0.0) -> Chain:
    """Conv1D and Dense layers, ReLU or not, Flatten between or Dense on every step; some weights zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(3, 6)), draw(st.integers(1, 3)))
    links: list[Link] = []
    channels = shape[1]

    def weights(*size: int) -> np.ndarray:
        kernel = rng.normal(size=size)
        kernel[rng.random(size) < sparsity] = 0
        return kernel

    def finish(units: int) -> None:
        if draw(st.booleans()):
            links.append(Link("relu", f"relu{len(links)}"))

    for number in range(draw(st.integers(0, 2))):
        units, width = draw(st.integers(1, 5)), draw(st.integers(1, 3))
        padding: Any = draw(
            st.sampled_from(["same", "causal"] if width > shape[0] // 2 else ["valid", "same", "causal"])
        )
        bias = rng.normal(size=units) if draw(st.booleans()) else None
        links.append(Link("conv1d", f"conv{number}", weights(width, channels, units), bias, 1, 1, padding))
        finish(units)
        channels = units
    if draw(st.booleans()):
        links.append(Link("dense", "each_step", weights(channels, 3), rng.normal(size=3)))
        finish(3)
    links.append(Link("flatten", "flat"))
    size = int(np.prod(Chain("samples", shape, tuple(links)).shapes()[-1]))
    for number in range(draw(st.integers(0, 2))):
        units = draw(st.integers(1, 8))
        bias = rng.normal(size=units) if draw(st.booleans()) else None
        links.append(Link("dense", f"dense{number}", weights(size, units), bias))
        finish(units)
        size = units
    links.append(Link("dense", "out", weights(size, 2), rng.normal(size=2)))
    return Chain("samples", shape, tuple(links))


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
