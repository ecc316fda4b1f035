"""Firmware forms, the order of versions, and the choice of a map."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.points.choose import ambiguities, choose
from gateway.points.firmware import overlap, read_form, version
from gateway.points.pointmap import PointsMap, raw_map

NUMBERS = st.lists(st.integers(0, 10**10 - 1), min_size=1, max_size=8)


def text_of(numbers: list[int]) -> str:
    return ".".join(map(str, numbers))


@given(NUMBERS, NUMBERS)
def test_versions_order_as_their_numbers(a: list[int], b: list[int]) -> None:
    padded_a, padded_b = (numbers + [0] * (8 - len(numbers)) for numbers in (a, b))
    mine, other = version(text_of(a)), version("v" + text_of(b))
    assert mine is not None
    assert other is not None
    assert (mine < other) == (padded_a < padded_b)
    assert (mine == other) == (padded_a == padded_b)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_range_holds_what_lies_between_its_ends(
    lo: list[int], hi: list[int], found: list[int]
) -> None:
    low, high, at = version(text_of(lo)), version(text_of(hi)), version(text_of(found))
    assert low is not None
    assert high is not None
    assert at is not None
    if low >= high:
        with pytest.raises(ValueError, match="<"):
            read_form(f">={text_of(lo)},<{text_of(hi)}")
        return
    form = read_form(f">={text_of(lo)},<{text_of(hi)}")
    assert form.accepts(text_of(found)) == (low <= at < high)


@pytest.mark.parametrize(
    ("form", "accepted", "refused"),
    [
        ("=2.3.1", ["2.3.1"], ["2.3.1.0", "v2.3.1", "2.3.10", ""]),
        (">=2.0,<2.4", ["2.0", "v2.3.99", "2.0.0"], ["2.4", "1.9", "2.4-rc1", "2.1b", "R2.1", ""]),
        (">2.9", ["2.10", "3"], ["2.9.0", "2.9"]),
        ("<= 2.0", ["2", "1.99"], ["2.0.1"]),
        ("re:^R10[0-9]$", ["R104"], ["R1044", "XR104", "R10", "R104\n"]),
        ("re:R10", ["R10"], ["R104"]),  # the whole string, or nothing
    ],
)
def test_forms_accept_what_they_say(form: str, accepted: list[str], refused: list[str]) -> None:
    read = read_form(form)
    assert [text for text in accepted if not read.accepts(text)] == []
    assert [text for text in refused if read.accepts(text)] == []


@pytest.mark.parametrize(
    "form", ["", "2.3", "=", ">=2.x", "~2.0", ">=2,", ">=3,<2", ">2,<2", "=>2"]
)
def test_other_texts_are_no_forms(form: str) -> None:
    if form == "=>2":  # an exact string, odd as it is
        assert read_form(form).accepts(">2")
        return
    with pytest.raises(ValueError, match=r".*"):
        read_form(form)


def test_a_broken_regex_is_another_error() -> None:
    with pytest.raises(re.error):
        read_form("re:(")


@given(st.sampled_from(["=2.1", ">=2.0,<2.4", ">=2.2", "<2.1", "re:^2[.]1$", "re:x"]), st.data())
def test_overlap_is_symmetrical(a: str, data: st.DataObject) -> None:
    b = data.draw(st.sampled_from(["=2.1", "=2.4", ">=2.4", ">2.0,<=2.1", "re:^2[.][0-9]$"]))
    assert overlap(read_form(a), read_form(b)) == overlap(read_form(b), read_form(a))


def a_map(ref: str, *match: str, model: str = "One") -> PointsMap:
    ident, _, revision = ref.partition("@")
    return replace(raw_map(), id=ident, revision=revision, vendor="Acme", model=model, match=match)


def test_choice_is_by_vendor_model_and_firmware() -> None:
    maps = [a_map("a@1", "=1.0"), a_map("a@2", ">=2.0"), a_map("b@1", "=1.0", model="Two")]
    found = choose(maps, vendor="acme", model="ONE", firmware=" 2.5 ")
    assert found is maps[1]
    assert choose(maps, vendor="acme", model="Two", firmware="1.0") is maps[2]
    assert choose(maps, vendor="acme", model="Three", firmware="1.0") is None
    assert choose(maps, vendor="acme", model="One", firmware="1.5") is None
    assert choose(maps, vendor="acme", model="One", firmware="") is None


def test_two_maps_that_accept_a_firmware_are_no_choice() -> None:
    maps = [a_map("a@1", "re:^2.*"), a_map("a@2", "re:.*5$")]
    assert ambiguities(maps) == []  # cannot be shown from the forms alone
    with pytest.raises(ConfigError, match=r'M19 firmware "2\.5" is also accepted by a@2'):
        choose(maps, vendor="Acme", model="One", firmware="2.5")
    assert choose(maps, vendor="Acme", model="One", firmware="2.4") is maps[0]
