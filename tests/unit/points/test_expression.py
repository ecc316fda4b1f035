"""Patterns of a points map: which are taken, what they match, and in what time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.points.expression import LONGEST, NotLinearError, expression

TAKEN = [
    ".*",
    "^R10[0-9]$",
    r"v?\d+\.\d+(\.\d+)?",
    r"(?i)rev[ -]?[a-f]{1,3}",
    "(R|S)[0-9]{2,}",
    "(ab)+c?",
    r"(?:R|)\w{,3}(-rc[0-9]+)?",
    r"(?P<major>\d+)\b.*\Z",
    "[]x]{2}|[^]x]",
    r"\x41\u0042.",
    "a{|{}",
    "",
]
REFUSED = [
    "(a|aa)+y",
    "(a+)+$",
    "(a*)*",
    "(.*,){20}x",
    "((ab)+)*",
    "(x+x+)+y",
    "((a|b)c){2}",
    r"(a)\1",
    "(?=a)b",
    "(?<!a)b",
    "(?P<x>a)(?P=x)",
    "(?s).*",
    "(?>a*)b",
    "a*+b",
    "(a)?(?(1)b|c)",
    "(?#comment)a",
]
ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", "ab", "", "^", "$", r"\b"])
REPEATS = st.sampled_from(["", "*", "+", "?", "{2}", "{1,2}", "{,2}", "{2,}", "*?", "+?"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A pattern of a few parts, groups and alternatives among them."""
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        atom = draw(ATOMS)
        one = f"({atom}{draw(ATOMS)})" if draw(st.booleans()) else atom
        repeat = draw(REPEATS) if one and one not in ("ab", "^", "$", r"\b") else ""
        parts.append(one + repeat)
    whole = draw(st.sampled_from(["", "|"])).join(parts)
    return f"({whole})?{draw(ATOMS)}" if draw(st.booleans()) else whole


@given(patterns(), st.text("ab \n", max_size=7))
@example("a$", "a\n")
@example("(a|ab)(bb|b)?$", "abbb")
def test_what_is_taken_matches_what_pythons_own_matching_does(pattern: str, text: str) -> None:
    found = expression(pattern)
    assert found.is_all(text) == (re.fullmatch(pattern, text) is not None)
    assert found.is_in(text) == (re.search(pattern, text) is not None)


@pytest.mark.parametrize("pattern", TAKEN)
@pytest.mark.parametrize(
    "text",
    ["", "R104", "v1.2.3", "REV-abc", "S12", "ababc", "R-rc2", "2.x", "xx", "AB3", "a{", "{}"],
)
def test_patterns_of_everyday_are_taken_and_match_as_ever(pattern: str, text: str) -> None:
    found = expression(pattern)
    assert found.is_all(text) == (re.fullmatch(pattern, text) is not None)
    assert found.is_in(text) == (re.search(pattern, text) is not None)


@pytest.mark.parametrize("pattern", REFUSED)
def test_a_pattern_that_might_take_for_ever_is_refused_with_the_part_that_does(
    pattern: str,
) -> None:
    with pytest.raises(NotLinearError, match="must be at most 64 characters") as caught:
        expression(pattern)
    part = re.match(r'has "(.*)": must', str(caught.value), re.DOTALL)
    assert part is not None
    assert part[1] in pattern


def test_a_pattern_is_as_long_as_64_characters_and_no_longer() -> None:
    assert expression("a" * LONGEST).is_all("a" * LONGEST)
    with pytest.raises(NotLinearError, match="has 65 characters"):
        expression("a" * (LONGEST + 1))


def test_a_text_is_looked_at_for_64_characters() -> None:
    assert expression(".*").is_all("a" * LONGEST)
    assert not expression(".*").is_all("a" * (LONGEST + 1))
    assert expression("b").is_in("a" * (LONGEST - 1) + "b")
    assert not expression("b").is_in("a" * LONGEST + "b")


def test_one_that_does_not_compile_says_so() -> None:
    with pytest.raises(re.error, match="unterminated"):
        expression("(a")


@pytest.mark.parametrize(
    "pattern",
    [
        "a?" * 21 + "a" * 21,  # 2 ** 21 ways
        ".*" * 31 + "x",
        "(a?)?" * 12,
        "a{64}" * 12,
        "(aa|a)?" * 9,
        ".{1,64}" * 9,
        "[ab]*" * 12,
    ],
)
def test_no_pattern_that_is_taken_takes_long(pattern: str) -> None:
    found = expression(pattern)
    began = time.process_time()
    for text in ("a" * LONGEST, "a" * (LONGEST - 1) + "!", "a" * 40):
        found.is_all(text)
        found.is_in(text)
    assert time.process_time() - began < 2.0  # a hundredth of it on an idle machine
