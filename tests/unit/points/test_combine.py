"""What is combined of several units: the value, its worth, and whether it was read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.measured import Quality
from gateway.points.decode import decode
from gateway.points.derive import DerivedPoints
from tests.fixtures.batteries import points_map, raw, row

if TYPE_CHECKING:
    from gateway.points.raw import RawPoint

SOCS = (
    row("AI0", None, name="soc_1", unit="%", scale=0.1),
    row("AI1", None, name="soc_2", unit="%"),
    row("AI2", None, name="size_1", unit="kWh"),
)
LOCALS = (row("BI0", None, name="local_1", unit="bool"), row("AI9.0", None, name="local_2"))


def made_of(how: str, *names: str, **fields: object) -> DerivedPoints:
    found = row("@whole", "soc", unit="%", how=how, of=names, **fields)
    return DerivedPoints(points_map(*SOCS, *LOCALS, found))


def said(made: tuple[RawPoint, ...]) -> list[tuple[float | int | str, Quality, bool]]:
    whole = row("@whole", "soc", unit="%", how="sum", of=("soc_1",))
    return [
        (one.value, decode(one, whole).quality, one.event) for one in made if one.point == "@whole"
    ]


@pytest.mark.parametrize(
    ("how", "weights", "value"),
    [
        ("sum", (), 60.0),
        ("mean", (), 30.0),
        ("min", (), 20.0),
        ("max", (), 40.0),
        ("weighted", (1.0, 3.0), 25.0),
        ("weighted", ("size_1", 1000.0), 37.5),
    ],
)
def test_numbers_are_combined(how: str, weights: tuple[str | float, ...], value: float) -> None:
    made = made_of(how, "soc_1", "soc_2", weights=weights)
    points = (raw("AI0", 400), raw("AI1", 20), raw("AI2", 7))
    assert said(made.of(points, asked_at=5.0, at_s=5.1)) == [(value, Quality.DERIVED, False)]


@pytest.mark.parametrize(("how", "value"), [("any", 1.0), ("all", 0.0)])
def test_flags_are_combined(how: str, value: float) -> None:
    found = row("@whole", "local", unit="bool", how=how, of=("local_1", "local_2"))
    made = DerivedPoints(points_map(*LOCALS, found))
    points = made.of((raw("BI0", 0), raw("AI9", 1)), asked_at=5.0, at_s=5.1)
    whole = next(one for one in points if one.point == "@whole")
    assert (whole.value, decode(whole, found).value) == (value, bool(value))


def test_a_part_that_is_bad_or_missing_makes_it_bad_and_a_doubtful_one_doubtful() -> None:
    made = made_of("mean", "soc_1", "soc_2")
    assert said(made.of((raw("AI0", 400),), asked_at=1.0))[0][1] is Quality.BAD
    bad = made.of((raw("AI0", 400), raw("AI1", 20, flags=0)), asked_at=2.0)
    assert said(bad)[0][1] is Quality.BAD
    forced = made.of((raw("AI0", 400, flags=0x11), raw("AI1", 20)), asked_at=3.0)
    assert said(forced) == [(30.0, Quality.QUESTIONABLE, False)]


def test_with_at_least_the_others_count() -> None:
    made = made_of("mean", "soc_1", "soc_2", at_least=1)
    found = made.of((raw("AI0", 400), raw("AI1", 20, flags=0)), asked_at=2.0)
    assert said(found) == [(40.0, Quality.DERIVED, False)]
    none = made.of((raw("AI0", 400, flags=0), raw("AI1", 20, flags=0)), asked_at=3.0)
    assert said(none)[0][1] is Quality.BAD


def test_it_is_read_when_each_part_was_and_an_event_when_one_was() -> None:
    made = made_of("sum", "soc_1", "soc_2")
    assert said(made.of((raw("AI0", 400), raw("AI1", 20)), asked_at=1.0, at_s=1.1))
    # A read of several requests says nothing until its last part is there.
    assert said(made.of((raw("AI0", 500),), asked_at=2.0, at_s=2.1)) == []
    assert said(made.of((raw("AI1", 21),), asked_at=2.2, at_s=2.3)) == [
        (71.0, Quality.DERIVED, False)
    ]
    assert said(made.of((raw("AI0", 100, event=True),), at_s=3.0)) == [
        (31.0, Quality.DERIVED, True)
    ]
    # Asked before that event came: it may be older than it, and is no read of the whole.
    late = made.of((raw("AI0", 500), raw("AI1", 21)), asked_at=2.9, at_s=3.1)
    assert said(late) == []
    assert said(made.of((raw("AI0", 110), raw("AI1", 21)), asked_at=3.2, at_s=3.3)) == [
        (32.0, Quality.DERIVED, False)
    ]
    # What nobody asked for is no read.
    assert said(made.of((raw("AI0", 120), raw("AI1", 21)), at_s=4.0)) == [
        (33.0, Quality.DERIVED, True)
    ]


def test_a_pulse_that_one_fragment_brings_whole_is_said() -> None:
    found = row("@whole", "estop_status", unit="bool", how="any", of=("local_1", "local_2"))
    made = DerivedPoints(points_map(*LOCALS, found))
    made.of((raw("BI0", 0), raw("AI9", 0)), asked_at=1.0, at_s=1.1)

    def values(*points: RawPoint) -> list[tuple[float | int | str, bool]]:
        out = made.of(points, asked_at=2.0, at_s=2.1)
        return [(one.value, one.event) for one in out if one.point == "@whole"]

    on, off = raw("BI0", 1, event=True), raw("BI0", 0, event=True)
    assert values(on, off) == [(1.0, True), (0.0, True)]
    assert values(on, raw("BI0", 0)) == [(1.0, True), (0.0, True)]  # of an integrity poll
    bit = raw("AI9", 1, event=True)
    assert values(bit, on, off, raw("AI9", 0, event=True)) == [
        (1.0, True),
        (1.0, True),
        (0.0, True),
    ]
    assert values(on, bit) == [(1.0, True)]
