"""Files that are not what they should be."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tflite_networks import convolution_network, lowered

from toolchain.errors import UnsupportedModelError
from toolchain.tflite.flatbuffer import to_bytes
from toolchain.tflite.reader import Summary, read_summary
from toolchain.tflite.runtime import run_file

WHOLE = to_bytes(lowered(convolution_network())[0])


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\0" * 100, b"\x1c\0\0\0TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 99]
)
def test_foreign_files_are_refused_with_their_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.tflite"
    path.write_bytes(content)
    with pytest.raises(UnsupportedModelError, match=r"foreign\.tflite"):
        read_summary(path)


def test_a_flatbuffer_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(WHOLE[:4] + b"ARRO" + WHOLE[8:])
    with pytest.raises(UnsupportedModelError, match="not a TFLite file"):
        read_summary(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.tflite", tmp_path):
        with pytest.raises(UnsupportedModelError, match="cannot be read"):
            read_summary(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(8, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_anywhere_gives_a_summary_or_a_refusal(tmp_path: Path, damage: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE)
    for place, value in damage:
        data[place] = value
    path = tmp_path / "m.tflite"
    path.write_bytes(bytes(data))
    with suppress(UnsupportedModelError):  # anything else is a bug and fails the test
        assert isinstance(read_summary(path), Summary)


def test_running_something_else_is_refused(tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "m.tflite"
    path.write_bytes(b"nonsense that is long enough")
    with pytest.raises(UnsupportedModelError, match="cannot be opened"):
        run_file(path, np.zeros((1, 2), dtype=np.int8))
    path.write_bytes(WHOLE)
    with pytest.raises(UnsupportedModelError, match="its input is int8"):
        run_file(path, np.zeros((1, 10, 2), dtype=np.float32))
