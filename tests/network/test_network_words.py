"""Words as text: what is written is read, in the aligned layout and in any other; nothing but words is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import BitMismatchError
from toolchain.network.words import _read_aligned, read_words, write_words

WORDS = st.one_of(
    st.integers(-9, 9), st.integers(-10_000, 10_000), st.integers(-(2**31), 2**31), st.integers(-(2**62), 2**62),
    st.sampled_from([-(2**63), 2**63 - 1, -1000, 999, -999, 0]),
)  # fmt: skip


@given(st.integers(1, 4), st.integers(1, 5), st.data())
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, samples: int, size: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("words")
    rows = data.draw(st.lists(st.lists(WORDS, min_size=size, max_size=size), min_size=samples, max_size=samples))
    words = np.array(rows, dtype=np.int64).reshape(samples, size)
    write_words(folder / "a.txt", words)
    text = (folder / "a.txt").read_text()
    assert [[int(word) for word in line.split()] for line in text.splitlines()] == rows
    assert len({len(line) for line in text.splitlines()}) == 1
    assert np.array_equal(read_words(folder, "a", samples, (size,)), words)
    write_words(folder / "object.txt", words.astype(object))
    assert (folder / "object.txt").read_text() == text
    (folder / "plain.txt").write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))
    assert np.array_equal(read_words(folder, "plain", samples, (size,)), words)


@given(st.text(alphabet="0123 -\n+x\t", min_size=1, max_size=24), st.integers(1, 3), st.integers(1, 3))
def test_the_aligned_reading_never_differs_from_pythons(text: str, samples: int, size: int) -> None:
    found = _read_aligned(text.encode(), samples, size)
    if found is not None:
        assert [line.split(" ") for line in text.split("\n")[:-1]]  # every line has its end
        assert found.reshape(samples, size).tolist() == [[int(w) for w in line.split()] for line in text.splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        " 1  2\n 3", " 1  2\n 3   \n", " 1  2\n 3  x\n", " 1  2\n 3  -\n", " 1  2\n 3 - 4\n", " 1  2\n", "",
        " 1  2\n 3  4\n 5  6\n", " 1  2  3  4\n", " 1  2\n 3 4-\n", " 1 2\n3  4 5\n", "1e3 2\n 3  4\n",
        " 1  2\n 3 99999999999999999999\n", " 1  2\n 3  \u0664\n",
    ],
)  # fmt: skip
def test_what_is_not_whole_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(BitMismatchError):
        read_words(tmp_path, "a", 2, (2,))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BitMismatchError, match="cannot be read"):
        read_words(tmp_path, "a", 2, (2,))
