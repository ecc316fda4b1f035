"""Bits of a word, and codes of a number: worth what the word is worth, and never guessed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from gateway.measured import Quality
from gateway.points.decode import decode, flag_quality
from gateway.points.derive import DerivedPoints
from gateway.points.raw import PointType
from tests.fixtures.batteries import points_map, raw, row

if TYPE_CHECKING:
    from gateway.points.mappoint import MapPoint

BIT = row("AI12.3", "local", unit="bool")
TOP = row("AI12.31", "lockout", unit="bool")
COUNTED = row("CTR4.0", "estop_status", unit="bool")
MADE = DerivedPoints(points_map(BIT, TOP, COUNTED))


@pytest.mark.parametrize("flags", [*range(128), None])
@pytest.mark.parametrize("made", [BIT, COUNTED], ids=["AI", "CTR"])
def test_a_bit_is_worth_what_its_word_is_worth(made: MapPoint, flags: int | None) -> None:
    word = raw(made.source, 9, flags=flags, second=7.0)
    bit = MADE.of((word,))[0]
    kind = PointType(made.source.rstrip("0123456789"))
    assert decode(bit, made).quality is flag_quality(word, kind)
    assert (bit.at_ms, bit.event, bit.tq) == (word.at_ms, word.event, word.tq)


@pytest.mark.parametrize("value", [math.nan, math.inf, 8.5, "8"])
def test_a_bit_of_what_is_no_whole_number_is_bad(value: float | str) -> None:
    bits = MADE.of((raw("AI12", value, flags=None),))
    assert [decode(bit, BIT).quality for bit in bits] == [Quality.BAD] * 2


def test_bits_are_those_of_the_word_and_of_a_negative_one_by_twos_complement() -> None:
    assert [bit.value for bit in MADE.of((raw("AI12", 8),))] == [1, 0]
    assert [bit.value for bit in MADE.of((raw("AI12", -(2**31)),))] == [0, 1]
    assert [bit.value for bit in MADE.of((raw("AI12", 2.0**31 + 8),))] == [1, 1]
    assert [bit.point for bit in MADE.of((raw("AI12", 8), raw("AI13", 8)))] == ["AI12.3", "AI12.31"]
    assert MADE.of((raw("AI3", 8),)) == ()


def test_a_code_that_is_neither_on_nor_off_is_bad() -> None:
    coded = row("AI7", "local", unit="bool", on=(1, 3), off=(0,))
    found = [decode(raw("AI7", value), coded) for value in (1, 3, 0, 2, 0.5, math.nan)]
    assert [one.value for one in found[:3]] == [True, True, False]
    assert [one.quality for one in found] == [Quality.GOOD] * 3 + [Quality.BAD] * 3
