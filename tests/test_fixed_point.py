"""Number formats against exact fractions: every rounding, every overflow, any size of word."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from toolchain.fixed_point import FixedPoint, Overflow, Rounding, parse_ap_fixed, smallest_format

formats = st.builds(
    lambda signed, width, integer, rounding, overflow: FixedPoint(
        signed, integer, width - integer - int(signed), rounding, overflow
    ),
    st.booleans(), st.integers(2, 70), st.integers(-10, 40), st.sampled_from(Rounding), st.sampled_from(Overflow),
)  # fmt: skip


def round_exactly(value: Fraction, mode: Rounding) -> int:
    """The vendor manual's words, on a fraction of the last place."""
    below = math.floor(value)
    rest = value - below
    if mode is Rounding.TRN:
        return below
    if mode is Rounding.TRN_ZERO:
        return math.trunc(value)
    if rest != Fraction(1, 2):
        return below + (rest > Fraction(1, 2))
    return {
        Rounding.RND: below + 1,
        Rounding.RND_MIN_INF: below,
        Rounding.RND_ZERO: below if value > 0 else below + 1,
        Rounding.RND_INF: below + 1 if value > 0 else below,
        Rounding.RND_CONV: below if below % 2 == 0 else below + 1,
    }[mode]


def in_range(word: int, form: FixedPoint) -> int:
    width, signed = form.width, form.signed
    low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if signed else (0, (1 << width) - 1)
    if form.overflow is Overflow.SAT_SYM and signed:
        low = -high
    if form.overflow is Overflow.WRAP:
        word %= 1 << width
        return word - (1 << width) if signed and word > high else word
    if low <= word <= high:
        return word
    if form.overflow is Overflow.SAT_ZERO:
        return 0
    return low if word < low else high


@given(formats, st.lists(st.integers(-(2**80), 2**80), min_size=1, max_size=5), st.integers(-20, 90))
def test_requantize_is_exact(form: FixedPoint, words: list[int], fractional_bits: int) -> None:
    found = form.requantize(np.array(words, dtype=object), fractional_bits)
    for word, result in zip(words, found.tolist(), strict=True):
        exact = Fraction(word) * Fraction(2) ** (form.fractional_bits - fractional_bits)
        assert int(result) == in_range(round_exactly(exact, form.rounding), form)


@given(formats, st.lists(st.integers(-(2**80), 2**80), min_size=1, max_size=5), st.integers(-20, 90))
def test_what_leaves_a_format_is_what_rounding_puts_out_of_its_range(
    form: FixedPoint, words: list[int], fractional_bits: int
) -> None:
    found = form.leaves(np.array(words, dtype=object), fractional_bits)
    steps = [round_exactly(Fraction(w) * Fraction(2) ** (form.fractional_bits - fractional_bits), form.rounding)
             for w in words]  # fmt: skip
    assert found.tolist() == [not form.min_word <= step <= form.max_word for step in steps]


@given(formats, st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=8), st.integers(0, 20))
def test_small_words_take_the_fast_path_to_the_same_words(form: FixedPoint, words: list[int], grid: int) -> None:
    fast = form.requantize(np.array(words, dtype=np.int64), grid)
    slow = form.requantize(np.array(words, dtype=object), grid)
    assert fast.tolist() == slow.tolist()


@given(formats, st.floats(-1e12, 1e12, allow_subnormal=False))
def test_words_of_a_double(form: FixedPoint, value: float) -> None:
    exact = Fraction(value) * Fraction(2) ** form.fractional_bits
    assert int(form.words_of(np.array([value]))[0]) == in_range(round_exactly(exact, form.rounding), form)


STEPS = st.one_of(st.integers(-40, 40), st.integers(-(2**52), 2**52))


@given(formats, STEPS, st.sampled_from([-2, -1, 0, 1, 2]), st.integers(0, 30))
def test_words_of_ties_and_of_what_lies_next_to_them(form: FixedPoint, step: int, neighbour: int, shift: int) -> None:
    """Halves of the last place, and the doubles just below and just above: the nearest one is no tie."""
    value = math.ldexp(step, -1 - form.fractional_bits + max(0, shift - 20))
    for _ in range(abs(neighbour)):
        value = math.nextafter(value, math.inf if neighbour > 0 else -math.inf)
    exact = Fraction(value) * Fraction(2) ** form.fractional_bits
    assert int(form.words_of(np.array([value]))[0]) == in_range(round_exactly(exact, form.rounding), form)


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("fractional_bits", [-30, -1, 0, 10, 60])
def test_words_of_doubles_at_the_ends(rounding: Rounding, overflow: Overflow, fractional_bits: int) -> None:
    form = FixedPoint(True, 40 - fractional_bits, fractional_bits, rounding, overflow)
    ends = [1.7e308, 5e-324, 3e-310, 2.3e-308, 2.0**63, 2.0**58, math.nextafter(0.5, 0), math.nextafter(0.5, 1), 0.5]
    values = [sign * end * scale for end in ends for sign in (1, -1) for scale in (1, form.lsb)]
    values = [value for value in values if math.isfinite(value)]
    for value in values:  # alone: one huge value must not decide how the others are computed
        exact = Fraction(value) * Fraction(2) ** fractional_bits
        assert int(form.words_of(np.array([value]))[0]) == in_range(round_exactly(exact, rounding), form), value
    together = form.words_of(np.array(values)).tolist()
    assert together == [int(form.words_of(np.array([value]))[0]) for value in values]


@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("signed", [True, False])
def test_every_mode_on_every_word(signed: bool, rounding: Rounding, overflow: Overflow) -> None:
    form = FixedPoint(signed, 3 - signed, 1, rounding, overflow)
    words = np.arange(-200, 200)
    expected = [in_range(round_exactly(Fraction(int(word), 8), rounding), form) for word in words]
    assert form.requantize(words, 4).tolist() == expected


@given(formats, st.integers(-(2**40), 2**40))
def test_values_of_is_the_inverse(form: FixedPoint, word: int) -> None:
    inside = in_range(word, form)
    if abs(inside) < 2**53:
        assert int(form.words_of(form.values_of(np.array([inside], dtype=object)))[0]) == inside


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_has_no_word(value: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        FixedPoint(True, 3, 4).words_of(np.array([value]))


@given(formats)
def test_ap_fixed_reads_back(form: FixedPoint) -> None:
    assert parse_ap_fixed(form.ap_fixed()) == form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("ap_fixed<16,6>", FixedPoint(True, 5, 10)),
        ("ap_ufixed<8,0,AP_RND_CONV,AP_SAT,0>", FixedPoint(False, 0, 8, Rounding.RND_CONV, Overflow.SAT)),
        ("ap_uint<1>", FixedPoint(False, 1, 0)),
        ("ap_int<5>", FixedPoint(True, 4, 0)),
        (" ap_fixed< 4, -2 > ", FixedPoint(True, -3, 6)),
    ],
)
def test_types_as_they_are_written(text: str, form: FixedPoint) -> None:
    assert parse_ap_fixed(text) == form


@pytest.mark.parametrize("text", ["float", "ap_fixed<16>", "ap_fixed<16,6,AP_RND,AP_SAT,3>", "ap_fixed<16,6", ""])
def test_what_is_not_a_type(text: str) -> None:
    with pytest.raises(ValueError, match="not an ap_fixed type"):
        parse_ap_fixed(text)


def test_a_format_needs_a_bit() -> None:
    with pytest.raises(ValueError, match="at least one bit"):
        FixedPoint(False, 2, -2)


@example(-1, 0, 0)
@example(-8, 0, 3)
@given(st.integers(-(2**70), 2**70), st.integers(0, 2**70), st.integers(-5, 40))
def test_the_smallest_format_holds_both_ends_and_is_the_smallest(low: int, span: int, fractional_bits: int) -> None:
    high = low + span
    form = smallest_format(low, high, fractional_bits)
    assert form.min_word <= low
    assert high <= form.max_word
    if form.width > 1:
        narrower = FixedPoint(form.signed, form.integer_bits - 1, fractional_bits)
        assert low < narrower.min_word or high > narrower.max_word
