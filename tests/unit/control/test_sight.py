"""Only the present counts: what an event says, and what a static read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from gateway import effects, events
from gateway.control.phases import Phase
from gateway.control.watchdog.events import LocalSeen
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
    made: ControlSite,
    point: str,
    value: float,
    *,
    event: bool,
    asked_ago_s: float = 0.0,
    flags: int = 1,
    polled: bool = False,
) -> events.FragmentStored:
    """A fragment with one point; an event is an hour old, and unsolicited or ``polled``."""
    at_ms = int(made.now().unix_ms - OLD_S * 1000)
    raw = RawPoint(point, value, flags, at_ms, at_ms, TimeQuality.SYNCED, event=event)
    asked = not event or polled
    asked_at = made.at - asked_ago_s if asked else -math.inf
    return events.FragmentStored("bess-1", (raw,), not asked, made.now(), asked_at)


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
    made.post(said(made, "AI8", 0.0, event=False, asked_ago_s=30.0))  # before zero was written
    assert made.phase() is Phase.IDLING
    assert asks(made.post(said(made, "AI8", 0.0, event=True)))
    made.post(said(made, "AI8", 0.0, event=True, polled=True))
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


def test_an_event_gives_no_authority_back_that_the_answer_to_a_write_denied() -> None:
    made = Unread()
    made.ready()
    made.deaf = True
    made.control().controller.tell(LocalSeen(), made.now())
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
    made.run(2.25)  # those that came since are asked for together, a second later
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


# --- what takes power away ----------------------------------------------------------------------

UNSAFE = [  # point, value and flags of an event that takes power away, what is read of it
    ("BI3", 1.0, 1, 0.0),  # fault
    ("BI4", 1.0, 1, 0.0),  # E-stop
    ("DBI0", 1.0, 1, 2.0),  # breaker
    ("BI4", 0.0, 0, 0.0),  # one that cannot be read
]


@pytest.mark.parametrize(("point", "value", "flags", "read"), UNSAFE)
def test_an_event_that_takes_power_away_is_undone_by_no_event_and_by_a_read_that_is_younger(
    point: str, value: float, flags: int, read: float
) -> None:
    made = Unread()
    made.activate()
    made.deaf = True
    assert asks(made.post(said(made, point, value, event=True, flags=flags)))
    made.post(said(made, point, read, event=True))  # in the same burst
    made.run(0.25)
    assert made.phase() is Phase.IDLING
    came_at = made.at
    made.post(said(made, point, read, event=True))
    made.run(1)
    made.post(said(made, point, read, event=False, asked_ago_s=made.at - came_at + 2.0))
    made.run(1)
    assert made.control().controller.state.interlocks
    made.post(said(made, point, read, event=False))
    made.run(0.5)
    assert made.control().controller.state.interlocks == ()


def test_an_event_of_the_charge_closes_its_window_and_only_a_read_opens_it() -> None:
    made = Unread()
    made.activate()
    made.deaf = True
    assert asks(made.post(said(made, "AI0", 500.0, event=True)))  # 5 %
    made.post(said(made, "AI0", 5000.0, event=True))
    made.run(0.25)
    assert made.phase() is Phase.IDLING
    made.run(2)
    assert made.control().controller.window.empty
    made.post(said(made, "AI0", 5000.0, event=False))
    made.run(0.5)
    assert not made.control().controller.window.empty


def test_an_old_event_of_what_is_over_holds_an_honest_site_up_for_a_second() -> None:
    made = ControlSite()
    made.ready()
    made.post(said(made, "BI3", 1.0, event=True))
    made.run(0.5)
    assert made.control().controller.state.interlocks == ()


def test_an_event_that_comes_while_a_read_is_awaited_is_read_a_second_later() -> None:
    made = ControlSite()
    made.ready()
    assert asks(made.post(said(made, "BI3", 0.0, event=True)))
    made.run(0.25)
    assert not asks(made.post(said(made, "BI3", 1.0, event=True)))
    made.run(0.25)
    assert made.control().controller.state.interlocks
    made.run(0.75)
    assert made.control().controller.state.interlocks == ()


def test_an_event_shrinks_a_limit_at_once_and_only_a_read_widens_it() -> None:
    made = Unread()
    made.activate(1_000_000)
    made.deaf = True
    made.post(said(made, "AI6", 400.0, event=True))  # kW available
    made.run(0.5)
    assert made.written()[-1] == 400.0
    made.post(said(made, "AI6", 2000.0, event=True))
    made.run(0.5)
    assert made.control().controller.ceiling(made.now()).discharge_w == 400_000
    made.post(said(made, "AI6", 2000.0, event=False))
    made.run(0.5)
    assert made.control().controller.ceiling(made.now()).discharge_w == 1_500_000
    assert made.written()[-1] == 400.0  # nothing is given back to a dispatch


def test_an_event_shows_no_power_that_followed() -> None:
    made = Unread()
    made.arm()
    made.plant.flows_w = 0.0
    id_ = made.command(powerW=500_000)
    made.until(lambda: made.control().controller.jobs.verifying)
    made.deaf = True
    assert asks(made.post(said(made, "AI1", 500.0, event=True)))
    made.run(2)
    assert "succeeded" not in made.results[id_]
    made.post(said(made, "AI1", 500.0, event=False, asked_ago_s=60.0))  # before it was written
    made.run(0.5)
    assert "succeeded" not in made.results[id_]
    made.post(said(made, "AI1", 500.0, event=False))
    made.run(0.5)
    assert made.ends(id_) == "succeeded"


def test_events_of_power_and_charge_ask_for_no_read_where_nothing_hangs_on_them() -> None:
    made = Unread()
    made.activate()
    made.deaf = True
    assert not asks(made.post(said(made, "AI1", 498.0, event=True)))
    assert not asks(made.post(said(made, "AI0", 4990.0, event=True)))


def test_state_and_telemetry_show_the_newest_value_whatever_control_believes() -> None:
    made = Unread()
    made.activate()
    made.deaf = True
    made.post(said(made, "AI6", 400.0, event=True))
    made.post(said(made, "AI6", 1900.0, event=True))
    state = made.core._monitors["bess-1"].battery.state(made.now())
    assert state.available_discharge_w is not None
    assert state.available_discharge_w.value == 1_900_000
