"""Words and numbers: the same on every surface, and none that flatters."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_cases import (
    HOSTILE,
    arm_results,
    build_results,
    hostile_results,
    interval,
    mismatch,
    mismatch_results,
    over_budget_results,
    verify_result,
)

from toolchain.report import numerals
from toolchain.report.assemble import assemble
from toolchain.report.notebook import html_table
from toolchain.report.statements import best_baseline, headline, key_figures, loss_words
from toolchain.report.text import summary
from toolchain.results import VerifyResult


def test_headlines() -> None:
    found = {name: headline(assemble(case())) for name, case in _CASES.items()}
    assert [(name, item.tone, item.words) for name, item in found.items()] == [
        ("good", "good", "Bit-exact"),
        ("mismatch", "bad", "Not bit-exact"),
        ("arm", "open", "Not verified"),
    ]
    assert found["mismatch"].mismatch == mismatch()
    assert "2,311 of 173,740 words" in found["mismatch"].sentence


_CASES = {"good": build_results, "mismatch": mismatch_results, "arm": arm_results}


def test_exact_hardware_of_another_model_is_no_good_news() -> None:
    found = verify_result()
    model = found.model.model_copy(
        update={"verdict": "mismatch", "mismatched_words": 1, "first_mismatch": mismatch(), "layers": {"dense": 1}}
    )
    report = assemble(replace(build_results(), verified=VerifyResult(hardware=found.hardware, model=model)))
    assert headline(report).tone == "bad"
    assert headline(report).mismatch == mismatch()
    assert "BIT-EXACT" not in summary(report)


def test_exact_hardware_with_an_unchecked_model_says_so() -> None:
    found = verify_result()
    model = found.model.model_copy(update={"verdict": "not_run", "words": 0, "samples": 0, "reason": "no QKeras model"})
    report = assemble(replace(build_results(), verified=VerifyResult(hardware=found.hardware, model=model)))
    assert headline(report).words == "Bit-exact"
    assert "was not compared with the QKeras model: no QKeras model" in summary(report)


def test_the_summary_has_the_verdict_first_and_every_number() -> None:
    lines = summary(assemble(build_results())).splitlines()
    assert lines[0] == "spx_forecast for alveo_u250: BIT-EXACT"
    text = "\n".join(lines)
    for part in ("173,740 words", "DSP 495", "17 cycles", "persistence 20.83", "83.7 %", "14.3 kB", "grade A"):
        assert part in text
    assert not text.endswith("\n")


def test_the_summary_of_a_mismatch_has_layer_sample_element_words_and_cause() -> None:
    text = summary(assemble(mismatch_results()))
    assert "layer 'dense', sample 17, element [42]" in text
    assert "expected word -1219 (-1.1904296875), found -1220 (-1.19140625)" in text
    assert "rounding TRN instead of RND_CONV" in text


def test_the_summary_of_an_exceeded_budget_says_what_to_change() -> None:
    assert "next: hls.reuse_factor = 28" in summary(assemble(over_budget_results()))


def test_the_notebook_table_escapes_and_shows_the_verdict() -> None:
    table = html_table(assemble(hostile_results()))
    assert "Not bit-exact" in table
    assert HOSTILE not in table
    assert not re.search(r"<(script|img)", table)
    assert assemble(build_results())._repr_html_() == html_table(assemble(build_results()))


def test_loss_is_told_in_the_metrics_own_direction() -> None:
    results = build_results()
    assert loss_words(assemble(results)) == "0.5 % worse than the float model"
    better = {**results.accuracies, "hls": interval(10.97, 1)}
    assert loss_words(assemble(replace(results, accuracies=better))) == "50.0 % better than the float model"
    data = results.data.model_copy(update={"metric": "accuracy", "task": "binary"})
    hits = {"float": interval(0.5, 0.01), "hls": interval(0.55, 0.01)}
    chance = {"majority class": interval(0.51, 0.01), "last direction": interval(0.48, 0.01)}
    report = assemble(replace(results, data=data, accuracies=hits, baselines=chance))
    assert loss_words(report) == "10.0 % better than the float model"
    best = best_baseline(report)
    assert best is not None
    assert best[0] == "majority class"
    assert key_figures(report)[0].text == "55.00 %"
    assert "majority class: 51.00 %" in key_figures(report)[0].note


def test_a_baseline_that_beats_the_model_is_called_better() -> None:
    assert "persistence is better: 20.83" in key_figures(assemble(build_results()))[0].note


@given(st.floats(min_value=0, max_value=1))
def test_a_share_is_never_rounded_to_none_or_all(fraction: float) -> None:
    assert (numerals.percent(fraction) == "0.0 %") == (fraction == 0)
    assert (numerals.percent(fraction) == "100.0 %") == (fraction == 1)


@given(st.floats(min_value=-1e12, max_value=1e12).filter(lambda x: x == 0 or abs(x) > 1e-6))
def test_plain_numbers_are_within_half_a_percent(value: float) -> None:
    assert float(numerals.plain(value).replace(",", "")) == pytest.approx(value, rel=5e-3)


@given(st.integers(-(2**52), 2**52), st.integers(-20, 40))
def test_a_words_value_is_written_in_full(word: int, fractional_bits: int) -> None:
    assert float(numerals.word_value(word, fractional_bits)) == word * 2.0**-fractional_bits


def test_words_beyond_a_double_and_missing_words() -> None:
    assert numerals.word_value(2**60 + 1, 10) == "1152921504606846977 × 2^-10"
    assert numerals.word_value(None, 3) == "no word"


def test_sizes_and_durations() -> None:
    assert [numerals.file_size(size) for size in (999, 1000, 14_264, 2_500_000)] == [
        "999 B",
        "1.0 kB",
        "14.3 kB",
        "2.5 MB",
    ]
    assert [numerals.duration(time) for time in (0.004, 44.9, 152.7)] == ["0.00 s", "45 s", "2 min 32 s"]
    assert [numerals.counted(1, "cycle"), numerals.counted(17, "cycle")] == ["1 cycle", "17 cycles"]
