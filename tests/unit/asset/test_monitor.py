"""One asset: what is said of it, and how often."""

from __future__ import annotations

from gateway import events
from gateway.asset.monitor import Monitor
from gateway.effects import Log, Poll
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from tests.fixtures.sites import START, core, later, site


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


def monitor(*, up: bool) -> Monitor:
    """An asset that was read, and whose session is up or has gone again."""
    found = site()
    (asset,) = found.settings.assets
    made = Monitor(asset, found.maps[asset.id], gateway="gw-17", matched=True, now=START)
    named = frozenset({"LOCAL_CONTROL"})
    made.handle(events.IinReceived("bess-1", 0x20, named, later(1)), later(1))
    points = tuple(
        RawPoint(point, value, 1, 0, 0, TimeQuality.SYNCED, event=False)
        for point, value in (("AI0", 500.0), ("AI1", 0.0))
    )
    made.handle(events.FragmentStored("bess-1", points, unsolicited=False, at=later(2)), later(2))
    made.handle(events.SessionUp("bess-1", later(3)), later(3))
    if not up:
        made.handle(events.SessionDown("bess-1", "lost", later(4)), later(4))
    return made


def test_whoever_looks_on_later_is_told_what_the_session_has_said() -> None:
    indicated, read, up = monitor(up=True).present(later(9))
    assert indicated == events.IinReceived(
        "bess-1", 0x20, frozenset({"LOCAL_CONTROL"}), at=later(9)
    )
    assert isinstance(read, events.FragmentStored)
    assert {raw.point: raw.value for raw in read.points} == {"AI0": 500, "AI1": 0}
    assert read.at == later(9)
    assert up == events.SessionUp("bess-1", later(9))


def test_whoever_looks_on_while_there_is_no_session_is_told_nothing() -> None:
    assert monitor(up=False).present(later(9)) == ()
