"""Layer names: what C++ and a file name can carry, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.model.names import RESERVED, check_name, free_name


@pytest.mark.parametrize("name", ["dense", "conv1d_1", "Hidden", "a", "x" * 64])
def test_usual_names_are_taken(name: str) -> None:
    assert check_name(name, {}, "m") == []


@pytest.mark.parametrize(
    "name",
    ["", "1st", "_x", "a b", "a/b", "..", "../../x", "a.b", "a-b", "größe", "名", "x" * 65, "class", "Class",
     "co_await", "and_eq", "main", "input", "a\n", "a\0", "$(x)", 'a"b'],
)  # fmt: skip
def test_unusable_names_are_refused_with_the_layer_and_what_is_allowed(name: str) -> None:
    (problem,) = check_name(name, {}, "file: layer 'x'")
    assert problem.exit_code == 3
    assert problem.where == "file: layer 'x'"
    assert repr(name) in problem.problem
    assert "letters" in problem.allowed


def test_names_that_lower_case_makes_equal_are_refused() -> None:
    seen: dict[str, str] = {}
    assert check_name("Dense", seen, "m") == []
    (problem,) = check_name("dense", seen, "m")
    assert "'Dense' again but for its case" in problem.problem


@given(st.text(max_size=80))
def test_whatever_is_taken_is_a_plain_identifier(name: str) -> None:
    if not check_name(name, {}, ""):
        assert re.fullmatch("[A-Za-z][A-Za-z0-9_]{0,63}", name)
        assert name.isascii()
        assert name.lower() not in RESERVED


def test_free_name_never_returns_a_taken_one() -> None:
    taken = {"d_relu": "d_relu", "d_relu2": "D_relu2"}
    assert free_name("d_relu", taken) == "d_relu3"
    assert free_name("d_relu", taken) == "d_relu4"
    assert free_name("x" * 70, taken) == "x" * 60
