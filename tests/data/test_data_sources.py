"""Files that are not what they should be are refused by name; nothing is dropped or shifted."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from toolchain.data import sources
from toolchain.errors import DataSourceError

GOOD = "date,close\n2024-01-01,1\n2024-01-02,2\n"


def write(folder: Path, content: str | bytes, name: str = "prices.csv") -> Path:
    file = folder / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("packed", [False, True])
def test_csv_plain_packed_and_with_byte_order_mark(tmp_path: Path, mark: str, packed: bool) -> None:
    content = (mark + GOOD).encode()
    file = write(tmp_path, gzip.compress(content) if packed else content, "p.csv.gz" if packed else "p.csv")
    assert sources.read_header(file) == ["date", "close"]
    table = sources.read_csv(file)
    assert table["close"].tolist() == [1, 2]
    assert table["date"].tolist() == ["2024-01-01", "2024-01-02"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("date,close\n", "holds no rows"),
        ("date;close\n2024-01-01;1\n", "not separated by commas"),
        ("date\tclose\n2024-01-01\t1\n", "not separated by commas"),
        ("date,close,close\n2024-01-01,1,2\n", "two columns 'close'"),
        ("1704067200,1\n1704153600,2\n", "no header line"),
        ("date,close\n2024-01-01,1,5\n2024-01-02,2,6\n", "more than the header's 2 fields"),
        ("date,close\n2024-01-01,1\n2024-01-02,2,6\n", "not a CSV table"),
        (b"\xff\xfe\x00\x01\x02", "not a CSV table"),
        ('date,close\n"2024-01-01,1\n', "not a CSV table"),
    ],
)
def test_what_is_not_a_table_is_refused(tmp_path: Path, content: str | bytes, words: str) -> None:
    file = write(tmp_path, content)
    with pytest.raises(DataSourceError, match=words) as caught:
        sources.read_csv(file)
    assert caught.value.where == str(file)


@pytest.mark.parametrize("cut", [5, 40])
def test_broken_gzip_is_refused(tmp_path: Path, cut: int) -> None:
    content = gzip.compress((GOOD + "2024-01-03,3\n" * 50).encode())
    with pytest.raises(DataSourceError, match="not a CSV table"):
        sources.read_csv(write(tmp_path, content[:cut], "p.csv.gz"))
    with pytest.raises(DataSourceError, match="not a CSV table"):
        sources.read_csv(write(tmp_path, GOOD, "q.csv.gz"))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataSourceError, match="no such file") as caught:
        sources.read_csv(tmp_path / "absent.csv")
    assert "data.path" in caught.value.hint
    with pytest.raises(DataSourceError, match="is a folder"):
        sources.read_csv(tmp_path)


def test_npz_is_read_and_pickles_are_not_run(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x_train=np.eye(2))
    assert sources.npz_names(tmp_path / "a.npz") == ["x_train"]
    assert (sources.read_npz(tmp_path / "a.npz")["x_train"] == np.eye(2)).all()
    np.savez(tmp_path / "b.npz", x_train=np.array([{}], dtype=object))
    with pytest.raises(DataSourceError, match="cannot be read"):
        sources.read_npz(tmp_path / "b.npz")


def test_what_is_not_an_npz_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "single.npy", np.eye(2))
    whole = tmp_path / "whole.npz"
    np.savez_compressed(whole, x_train=np.arange(1000.0))
    damaged = bytearray(whole.read_bytes())
    damaged[100:140] = bytes(40)
    for file in (
        write(tmp_path, GOOD, "text.npz"), write(tmp_path, whole.read_bytes()[:200], "cut.npz"),
        write(tmp_path, bytes(damaged), "damaged.npz"), tmp_path / "single.npy", tmp_path / "absent.npz",
    ):  # fmt: skip
        with pytest.raises(DataSourceError):
            sources.read_npz(file)


def test_sp500_equals_the_packages_own_loader() -> None:
    from arch.data import sp500

    table = sources.read_csv(sources.sp500_file())
    expected = sp500.load()
    assert len(table) == 5031
    for name in expected.columns:
        assert (table[name].to_numpy() == expected[name].to_numpy()).all()


def test_sp500_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataSourceError, match=r"'arch'.*missing"):
        sources.sp500_file()
    monkeypatch.undo()
    empty = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: empty)
    with pytest.raises(DataSourceError, match="does not hold this file"):
        sources.sp500_file()


def test_neither_the_check_nor_the_stage_imports_arch_or_tensorflow(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from toolchain.project import DataSection
from toolchain.data.preflight import check
assert check(DataSection(), Path()) == []
assert not {{"arch", "pandas", "tensorflow"}} & set(sys.modules)
from toolchain.data.stage import prepare
from toolchain.data.evaluation import baselines
from toolchain.results import Job
prepare(DataSection(), Job(Path({str(tmp_path)!r}), Path()))
assert not {{"arch", "tensorflow", "tf_keras", "matplotlib"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.filterwarnings("error")
def test_a_long_column_of_mixed_cells_is_read_in_silence(tmp_path: Path) -> None:
    rows = [f"2024-01-01,{'x' if i == 400_000 else i}" for i in range(400_001)]
    table = sources.read_csv(write(tmp_path, "date,close\n" + "\n".join(rows)))
    assert table["close"].iloc[-1] == "x"
