"""Every change that changes a word is caught, and its layer named; the judge of "changes a word" is proven too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toolchain.selftest.candidate import draw_candidate
from toolchain.selftest.mutants import STALE, differ, run_mutants, seen_at
from toolchain.selftest.mutations import SOURCE_MUTATIONS
from toolchain.selftest.sources import Sources
from toolchain.selftest.word_mutations import WORD_MUTATIONS


@pytest.mark.slow  # half a minute of two cores
def test_mutants_are_caught_and_named() -> None:
    found = run_mutants(40, seed=3, samples=200, jobs=2)
    assert found.mutants == 40
    assert found.effective >= 8
    assert found.caught == found.effective
    assert found.missed == ()
    assert found.layer_named_right >= 0.95 * (found.caught - found.stopped), found.misnamed
    assert found.cause_named_right >= 0.9 * (found.caught - found.stopped), found.other_causes


def test_there_are_more_than_twenty_kinds() -> None:
    assert len({*SOURCE_MUTATIONS, *WORD_MUTATIONS, STALE}) >= 35


def test_every_kind_finds_a_place(tmp_path: Path) -> None:
    """A change that never applies would be a kind in name only."""
    found: set[str] = set()
    rng = np.random.default_rng(0)
    for number in range(60):
        candidate = draw_candidate(0, number, 60, tmp_path / str(number))
        try:
            candidate.write()
        except Exception:
            continue
        sources = Sources(candidate.project)
        for kind, mutate in SOURCE_MUTATIONS.items():
            edit = mutate(sources, candidate.network, rng)
            if edit is not None:
                assert any(text != sources.text(name) for name, text in edit.texts.items()), kind
                assert candidate.hls is not None
                assert seen_at(candidate.network, candidate.hls.formats, edit.layer) in candidate.hls.formats, kind
                found.add(kind)
        if len(found) == len(SOURCE_MUTATIONS):
            return
    raise AssertionError(f"nowhere: {set(SOURCE_MUTATIONS) - found}")


def test_words_on_another_grid_are_no_difference(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "same", "other")]
    for folder, bits, rows in zip(folders, (2, 3, 2), ("1 -2", "2 -4", "1 -3"), strict=True):
        folder.mkdir()
        (folder / "formats.txt").write_text(f"y ap_fixed<{5 + bits},5,AP_TRN,AP_WRAP,0>\n")
        (folder / "y.txt").write_text(rows + "\n")
    assert not differ(folders[0], folders[1])
    assert differ(folders[0], folders[2])
    (folders[1] / "y.txt").write_text("")
    assert differ(folders[0], folders[1])
