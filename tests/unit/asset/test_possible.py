"""What a point may be now: a read settles what events said before it, and nothing else does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway import events
from gateway.asset.possible import MOST, PossibleValues
from gateway.clock import Now
from tests.fixtures.shippedmaps import update

if TYPE_CHECKING:
    from gateway.points.raw import RawPoint

POINT = "AI5"


def take(
    found: PossibleValues, raw: RawPoint, at: float, *, asked_at: float | None = None
) -> PossibleValues:
    """One point received at ``at`` by a request of ``asked_at``; None: nobody asked."""
    asked = -math.inf if asked_at is None else asked_at
    fragment = events.FragmentStored("bess-1", (raw,), asked_at is None, Now(at, 0), asked)
    found.take(fragment)
    return found


def told(found: PossibleValues) -> list[float | int | str]:
    return sorted(raw.value for raw in found.events(POINT))


def event(value: float, flags: int = 1) -> RawPoint:
    return update(POINT, value, flags=flags, event=True)


def test_an_event_is_possible_until_a_read_that_was_asked_for_after_it() -> None:
    found = PossibleValues(frozenset({POINT}))
    take(found, update(POINT, 5.0), 1.0, asked_at=0.9)
    take(found, event(3.0), 2.0)
    take(found, event(4.0), 2.5)
    assert told(found) == [3.0, 4.0]
    take(found, update(POINT, 5.0), 3.0, asked_at=1.9)  # under way when they came
    assert told(found) == [3.0, 4.0]
    take(found, update(POINT, 5.0), 3.1, asked_at=2.2)
    assert told(found) == [4.0]
    take(found, update(POINT, 6.0), 4.0, asked_at=3.5)
    assert told(found) == []
    static = found.static(POINT)
    assert static is not None
    assert (static[0].value, static[1]) == (6.0, 4.0)


def test_an_event_in_the_answer_itself_is_younger_than_its_request() -> None:
    found = PossibleValues(frozenset({POINT}))
    take(found, event(3.0), 1.0, asked_at=0.5)
    take(found, update(POINT, 5.0), 1.0, asked_at=0.5)
    assert told(found) == [3.0]


def test_a_static_value_that_nobody_asked_for_is_as_an_event() -> None:
    found = PossibleValues(frozenset({POINT}))
    take(found, update(POINT, 5.0), 1.0)
    assert found.static(POINT) is None
    assert told(found) == [5.0]


def test_of_many_events_the_least_and_the_largest_of_each_quality_stay() -> None:
    found = PossibleValues(frozenset({POINT}))
    for count in range(5 * MOST):
        take(found, event(float(count)), 1.0 + count)
    assert len(told(found)) <= MOST
    assert told(found)[0] == 0.0
    assert told(found)[-1] == 5 * MOST - 1
    take(found, event(7.0, flags=0), 500.0)
    for _ in range(2 * MOST):
        take(found, event(math.nan), 500.0)
    flags = {raw.flags for raw in found.events(POINT)}
    assert flags == {0, 1}
    assert len(found.events(POINT)) <= MOST
    take(found, update(POINT, 1.0), 900.0, asked_at=800.0)
    assert found.events(POINT) == ()


def test_other_points_are_not_kept() -> None:
    found = take(PossibleValues(frozenset({POINT})), update("AI6", 1.0, event=True), 1.0)
    assert found.events("AI6") == ()
