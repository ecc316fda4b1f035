"""One asset: what is said of it, and how often."""

from __future__ import annotations

import json

from gateway import events
from gateway.asset.monitor import Monitor
from gateway.effects import Log, Poll, StoreBatch
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from tests.fixtures.batteries import points_map, row
from tests.fixtures.shippedmaps import battery, shipped
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


def test_a_point_that_the_outstation_lacks_is_named_once_in_journal_event_and_status() -> None:
    made = Monitor(
        battery(), shipped("generic-rtac@1.0.0"), gateway="gw-17", matched=True, now=START
    )

    def polled(*missing: str) -> list[object]:
        done = events.PollDone(
            "bess-1", "critical", ok=True, cause="", at=later(5), missing=frozenset(missing)
        )
        return list(made.handle(done, later(5)))

    def said(found: list[object]) -> list[str]:
        return [one.text for one in found if isinstance(one, Log)]

    assert said(polled()) == []
    found = polled("AI0")
    text = "the outstation does not have AI0 (soc, which control needs): left out of the critical"
    (line,) = said(found)
    assert text in line
    (record,) = [one for one in found if isinstance(one, StoreBatch)]
    body = json.loads(record.batch.body)
    assert (body["type"], body["code"], body["severity"]) == ("alarm", "points_missing", "warning")
    assert any(text in one for one in made.worries)
    assert said(polled("AI0")) == []
    assert said(polled()) == ["bess-1: the outstation has all points of the critical read"]
    assert not any("does not have" in one for one in made.worries)


def test_a_word_and_half_a_value_that_are_missing_are_named_by_their_rows() -> None:
    found = site()
    (asset,) = found.settings.assets
    rows = (
        row("AI40.0", "local", unit="bool"),
        row("AI40.3", "lockout", unit="bool"),
        row("AI50", "max_charge", unit="kW", low="AI51", type="uint32"),
    )
    made = Monitor(asset, points_map(*rows), gateway="gw-17", matched=True, now=START)
    missing = frozenset({"AI40", "AI51"})
    done = events.PollDone("bess-1", "critical", ok=True, cause="", at=later(5), missing=missing)
    texts = [one.text for one in made.handle(done, later(5)) if isinstance(one, Log)]
    assert "AI40 (local, lockout), AI51 (max_charge): left out" in texts[0]
    assert any("AI51" in one for one in made.worries)
