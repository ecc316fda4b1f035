"""Only the present counts: what an event says, and what a static read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import effects, events
from gateway.control.phases import Phase
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from tests.fixtures.control_site import ControlSite

if TYPE_CHECKING:
    from tests.fixtures.control_site import Plant

OLD_S = 3600.0


class Unread(ControlSite):
    """A site whose polls are not answered while ``deaf``."""

    deaf = False

    def _poll(self, plant: Plant, kind: str) -> None:
        if not self.deaf:
            super()._poll(plant, kind)


def said(
    made: ControlSite, point: str, value: float, *, event: bool, asked_ago_s: float = 0.0
) -> events.FragmentStored:
    """A fragment with one point; an event is an hour old."""
    at_ms = int(made.now().unix_ms - OLD_S * 1000)
    raw = RawPoint(point, value, 1, at_ms, at_ms, TimeQuality.SYNCED, event=event)
    return events.FragmentStored("bess-1", (raw,), event, made.now(), made.at - asked_ago_s)


def asks(found: list[effects.Effect]) -> bool:
    """Whether a static read of what is critical is ordered."""
    return effects.Poll("bess-1", "critical") in found


def test_an_event_verifies_no_zero_and_asks_for_a_read() -> None:
    made = Unread()
    made.activate()
    made.deaf = True
    made.command("idle")
    made.run(2)
    assert made.rtac.remote_w == 0
    assert asks(made.post(said(made, "AI8", 0.0, event=True)))
    assert made.phase() is Phase.IDLING
    made.post(said(made, "AI8", 0.0, event=False, asked_ago_s=30.0))  # before zero was written
    assert made.phase() is Phase.IDLING
    made.post(said(made, "AI8", 0.0, event=False))
    assert made.phase() is Phase.IDLE


def test_an_event_does_not_say_that_power_is_gone() -> None:
    made = Unread()
    made.activate()
    made.plant.flows_w = 500_000.0
    made.command("idle")
    made.until(lambda: made.phase() is Phase.IDLE)
    made.deaf = True
    for _ in range(8):
        made.run(2)
        made.post(said(made, "AI1", 0.0, event=True))
    assert "bess-1/in-force" in made.disk.facts
    made.deaf, made.plant.flows_w = False, None
    made.run(15)
    assert "bess-1/in-force" not in made.disk.facts


def test_an_event_of_any_age_takes_the_authority_away_and_none_gives_it_back() -> None:
    made = Unread()
    made.ready()
    made.deaf = True
    assert asks(made.post(said(made, "BI0", 0.0, event=True)))
    assert made.phase() is Phase.LOCAL
    made.run(2)
    made.post(said(made, "BI0", 1.0, event=True))
    assert made.phase() is Phase.LOCAL
    made.post(said(made, "BI0", 1.0, event=False))
    assert made.phase() is not Phase.LOCAL


def test_events_ask_for_one_read_a_second_at_most() -> None:
    made = Unread()
    made.ready()
    made.deaf = True
    found = [asks(made.post(said(made, "AI8", 0.0, event=True))) for _ in range(5)]
    assert found == [True, False, False, False, False]
    made.run(1.25)
    assert asks(made.post(said(made, "AI8", 0.0, event=True)))


def test_an_event_does_not_accuse_another_master() -> None:
    made = Unread()
    made.ready()
    made.deaf = True
    made.post(said(made, "AI8", 300.0, event=True))
    made.run(5)
    assert made.phase() is Phase.IDLE
    made.post(said(made, "AI8", 300.0, event=False))
    made.run(5)
    assert made.phase() is Phase.LOCAL  # yielded
