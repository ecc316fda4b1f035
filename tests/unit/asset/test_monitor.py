"""One asset: what is said of it, and how often."""

from __future__ import annotations

from gateway import events
from gateway.effects import Log, Poll
from tests.fixtures.sites import core, later


def test_readings_that_cannot_be_stored_for_long_are_said_once_a_minute_with_their_sum() -> None:
    made = core()
    said: list[str] = []
    polls = 0
    for tenth in range(700):
        at = later(1 + tenth / 10)
        for one in made.handle(events.FragmentLost("bess-1", 20, "no room", at), at):
            if isinstance(one, Log) and "could not be stored" in one.text:
                said.append(one.text)
            polls += isinstance(one, Poll)
    assert said == [
        "bess-1: 20 readings could not be stored: no room",
        "bess-1: 12000 readings could not be stored: no room",
    ]
    assert polls == 14
