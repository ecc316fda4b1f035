"""A value in two points: both halves, or none."""

from __future__ import annotations

import math
import struct

import pytest

from gateway.measured import Quality
from gateway.points.decode import decode
from gateway.points.derive import DerivedPoints
from gateway.points.halves import split
from tests.fixtures.batteries import points_map, raw, row


def values(
    type_: str, *fragments: tuple[tuple[str, float, bool], ...]
) -> list[tuple[float | int | str, Quality]]:
    cut = row("AI10", None, low="AI11", type=type_)
    made = DerivedPoints(points_map(cut))
    found = []
    for fragment in fragments:
        points = tuple(raw(point, value, event=event) for point, value, event in fragment)
        whole, _ = made.completed(points, asked_at=1.0)
        found += [(one.value, decode(one, cut).quality) for one in whole if one.point == "AI10"]
    return found


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("uint32", 0),
        ("uint32", 2**32 - 1),
        ("uint32", 65_536),
        ("int32", -1),
        ("int32", -(2**31)),
        ("int32", 2**31 - 1),
        ("float32", -750.5),
        ("float32", struct.unpack(">f", struct.pack(">f", 1e-3))[0]),
    ],
)
def test_both_halves_are_the_value(type_: str, value: float) -> None:
    high, low = split(type_, value)
    assert values(type_, (("AI10", high, False), ("AI11", low, False))) == [(value, Quality.GOOD)]
    signed = [half - 65_536 if half > 32_767 else half for half in (high, low)]
    assert values(type_, (("AI11", signed[1], False), ("AI10", signed[0], False))) == [
        (value, Quality.GOOD)
    ]


def test_half_a_value_is_none_and_never_joined_with_an_old_half() -> None:
    high, low = ("AI10", 1.0, False), ("AI11", 2.0, False)
    told = ("AI11", 9.0, True)
    assert values("uint32", (high,)) == []
    assert values("uint32", (high,), (low,)) == [(65_538, Quality.GOOD)]
    assert values("uint32", (high,), (), (low,)) == []
    assert values("uint32", (high, low), (told,)) == [(65_538, Quality.GOOD)]
    assert values("uint32", (high,), (told,)) == []


@pytest.mark.parametrize("half", [65_536.0, -32_769.0, 0.5, math.nan])
def test_what_is_no_half_makes_it_bad(half: float) -> None:
    ((_, quality),) = values("uint32", (("AI10", half, False), ("AI11", 1.0, False)))
    assert quality is Quality.BAD
