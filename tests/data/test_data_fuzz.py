"""Damaged files: refused in the user's words or read whole, never another exception, never NaN in the samples."""

from __future__ import annotations

import gzip
import io
import tempfile
from pathlib import Path

import numpy as np
from data_cases import candle_table, direction_section, forecast_section, price_table
from hypothesis import given, settings
from hypothesis import strategies as st

from toolchain.data.preflight import check
from toolchain.data.samples import load
from toolchain.data.stage import prepare
from toolchain.errors import ToolchainError
from toolchain.project import DataSection
from toolchain.results import Job

CANDLES = candle_table().to_csv(index=False).encode()
PRICES = price_table().to_csv(index=False).encode()
edits = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 12),
        st.sampled_from(
            [b"", b",", b"\n", b'"', b"\0", b"\xff", b"-", b"9", b"nan", b"1e999", b"0", b";", b"\r", b"e"]
        ),
    ),
    min_size=1,
    max_size=4,
)


def edited(content: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    for place, removed, inserted in changes:
        start = int(place * len(content))
        content = content[:start] + inserted + content[start + removed :]
    return content


def never_worse_than_refused(content: bytes, section: DataSection) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / section.path).write_bytes(content)
        found = check(section, folder)
        assert all(isinstance(problem, ToolchainError) for problem in found)
        try:
            result = prepare(section, Job(folder, folder))
        except ToolchainError:
            return
        assert not found  # what the stage can use, the pre-flight check must not refuse
        samples = load(result)
        for part in (samples.train, samples.validation, samples.test):
            assert np.isfinite(part.x).all()
            assert np.isfinite(part.y).all()
            assert (np.diff(part.time) > 0).all()


@given(edits)
@settings(max_examples=120, deadline=None)
def test_damaged_candles(changes: list[tuple[float, int, bytes]]) -> None:
    never_worse_than_refused(edited(CANDLES, changes), direction_section())


@given(edits)
@settings(max_examples=120, deadline=None)
def test_damaged_prices(changes: list[tuple[float, int, bytes]]) -> None:
    never_worse_than_refused(edited(PRICES, changes), forecast_section())


@given(edits)
@settings(max_examples=60, deadline=None)
def test_damaged_gzip(changes: list[tuple[float, int, bytes]]) -> None:
    packed = gzip.compress(PRICES, mtime=0)
    never_worse_than_refused(edited(packed, changes), forecast_section(path="prices.csv.gz"))


@given(edits, st.booleans())
@settings(max_examples=120, deadline=None)
def test_damaged_npz(changes: list[tuple[float, int, bytes]], packed: bool) -> None:
    stream = io.BytesIO()
    x = np.random.default_rng(0).normal(size=(60, 2))
    (np.savez_compressed if packed else np.savez)(stream, x_train=x, y_train=x[:, :1], x_test=x, y_test=x[:, :1])
    section = DataSection(source="npz", task="regression", path="a.npz")
    never_worse_than_refused(edited(stream.getvalue(), changes), section)


@given(st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_random_bytes(content: bytes) -> None:
    never_worse_than_refused(content, forecast_section())
    never_worse_than_refused(content, forecast_section(path="prices.csv.gz"))
    never_worse_than_refused(content, DataSection(source="npz", task="regression", path="a.npz"))
