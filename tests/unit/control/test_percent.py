"""A percent map's base is a control point: what is in force means other W when it moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway import events
from gateway.control.phases import Phase
from gateway.measured import TimeQuality
from gateway.points.raw import RawPoint
from tests.fixtures.control_site import ControlSite, site
from tests.fixtures.shippedmaps import percent_map

if TYPE_CHECKING:
    from collections.abc import Callable

MW = 1e6
STILL_S = 10.0  # so long the larger base counts


def made_site(base_w: float = 2 * MW) -> ControlSite:
    made = ControlSite(site(map_ref=percent_map()))
    made.plant.base_w = base_w
    return made


def tell_base(made: ControlSite, base_w: float, *, flags: int = 1) -> None:
    """An event of the base."""
    raw = RawPoint("AI15", base_w / 1000, flags, 0, 0, TimeQuality.SYNCED, event=True)
    made.post(events.FragmentStored("bess-1", (raw,), unsolicited=True, at=made.now()))


def phases(made: ControlSite, seconds: float) -> set[Phase]:
    found = set()
    for _ in range(round(seconds * 4)):
        made.step()
        found.add(made.phase())
    return found


def test_a_base_that_falls_is_followed_by_the_watts_that_were_asked_for() -> None:
    made = made_site()
    made.activate(500_000)
    assert made.written()[-1] == 250
    began = made.at
    made.plant.rebase(1 * MW)
    assert phases(made, 30) == {Phase.ACTIVE}
    assert made.written(since=began) == [500]
    assert made.rtac.in_force_w == 500_000


def test_a_base_that_rises_above_the_limit_is_answered_with_a_first_reduction() -> None:
    made = made_site()
    made.activate(1_000_000)
    made.plant.rebase(4 * MW)
    made.run(6)  # a critical poll
    assert made.rtac.in_force_w == 1_000_000
    assert made.written()[-1] == 250
    assert next(one for one in reversed(made.operates) if one.control.value == 250).first
    assert phases(made, 20) == {Phase.ACTIVE}


def test_a_base_that_rises_within_the_limit_gives_no_more_than_was_asked_for() -> None:
    made = made_site()
    made.activate(500_000)
    made.plant.rebase(2.5 * MW)
    made.run(6)
    assert made.written()[-1] == 200
    assert phases(made, 20) == {Phase.ACTIVE}


def test_a_base_within_the_tolerance_changes_nothing() -> None:
    made = made_site()
    made.activate(500_000)
    began = made.at
    for base_w in (2.001, 2.0, 1.999, 2.002):
        made.plant.rebase(base_w * MW)
        assert phases(made, 12) == {Phase.ACTIVE}
    assert made.written(since=began) == []


def test_an_event_of_the_base_reduces_at_once_and_gives_nothing() -> None:
    made = made_site()
    made.activate(500_000)
    made.rtac.loses_requests = False
    tell_base(made, 4 * MW)
    made.run(0.5)
    assert made.written()[-1] == 125
    made.run(STILL_S + 8)  # it was not so
    assert made.written()[-1] == 250
    made.until(lambda: made.rtac.in_force_w == 500_000)
    tell_base(made, 1 * MW)
    made.run(0.5)
    assert made.written()[-1] == 250


def test_a_base_that_flaps_moves_the_setpoint_down_once() -> None:
    made = made_site(1 * MW)
    made.activate(500_000)
    began = made.at
    for count in range(30):
        made.plant.rebase((2 - count % 2) * MW)
        tell_base(made, made.plant.base_w or 0.0)
        assert phases(made, 1) == {Phase.ACTIVE}
        assert made.rtac.in_force_w <= 1_000_000
    assert made.written(since=began) == [250]


def test_a_base_that_halves_within_a_ramp_neither_stops_nor_oversteps_it() -> None:
    made = made_site()
    made.arm()
    id_ = made.command(powerW=1_400_000, rampWPerS=100_000)
    made.run(6)
    made.plant.rebase(1.8 * MW)
    tell_base(made, 1.8 * MW)
    most = 0.0
    for _ in range(160):
        made.step()
        most = max(most, made.rtac.in_force_w)
    assert made.ends(id_) == "succeeded"
    assert made.rtac.in_force_w == pytest.approx(1_400_000, abs=2_000)
    assert most <= 1_400_000


def test_a_base_that_jumps_between_a_write_and_its_echo_accuses_nobody() -> None:
    made = made_site()
    made.arm()
    id_ = made.command(powerW=500_000)
    made.until(lambda: bool(made.rtac.in_force_w))
    made.plant.rebase(8 * MW)
    assert phases(made, 40) <= {Phase.ARMED, Phase.ACTIVE}
    assert made.ends(id_) == "succeeded"
    assert made.rtac.in_force_w == pytest.approx(500_000, abs=8_000)
    assert made.core._monitors["bess-1"].map_ok


def test_a_setpoint_that_waits_is_planned_anew_when_the_base_moves() -> None:
    made = made_site()
    made.activate(500_000)
    made.plant.latency_s = 1.0
    outputs = made.control().controller._outputs
    made.until(lambda: outputs._out is None)
    made.until(lambda: outputs._out is not None)  # a heartbeat
    id_ = made.command(powerW=1_000_000)
    made.until(lambda: outputs.waiting(id_) is not None)
    made.plant.rebase(4 * MW)
    tell_base(made, 4 * MW)
    made.run(8)
    written = made.written()
    assert 500 not in written
    assert written[-1] == 250
    assert made.ends(id_) != "failed"


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda made: tell_base(made, 2 * MW, flags=0), "bad"),
        (lambda made: tell_base(made, 0.0), "= 0"),
        (lambda made: tell_base(made, -1 * MW), "= -1"),
        (lambda made: setattr(made.plant, "offline", frozenset({"AI15"})), "bad"),
    ],
)
def test_an_unknown_base_leads_to_idle_and_says_so(
    spoil: Callable[[ControlSite], None], text: str
) -> None:
    made = made_site()
    made.activate(500_000)
    spoil(made)
    made.until(lambda: made.phase() is not Phase.ACTIVE, within_s=6.0)
    assert made.phase() is Phase.IDLING
    cause = made.control().controller.cause
    assert "BASE: max_discharge (AI15)" in cause
    assert text in cause
    made.run(2)
    assert made.rtac.in_force_w == 0.0  # zero needs no base


def test_a_base_that_is_not_read_any_more_leads_to_idle() -> None:
    made = made_site()
    made.activate(500_000)
    made.plant.absent = frozenset({"AI15"})
    made.until(lambda: made.phase() is not Phase.ACTIVE)
    assert "BASE: max_discharge (AI15) = 2000000.0, stale" in made.control().controller.cause
    made.run(2)
    assert made.rtac.in_force_w == 0.0


def test_nobody_dispatches_while_the_base_is_unknown() -> None:
    made = made_site()
    made.arm()
    tell_base(made, 0.0)
    id_ = made.command(powerW=500_000)
    assert made.acks[id_] == "INTERLOCK"
    id_ = made.command(powerW=-500_000)
    assert made.acks[id_] == "received"


def test_our_own_echo_is_ours_whatever_the_base_is_by_then() -> None:
    made = made_site()
    made.activate(500_000)
    made.command("idle")
    made.until(lambda: made.phase() is Phase.IDLE)
    made.plant.rebase(3 * MW)
    made.run(20)
    made.rtac.remote_w = 0.25 * 3 * MW  # what was written, by somebody's hand or by a beat
    made.until(lambda: made.phase() is not Phase.IDLE)
    assert made.phase() is Phase.LATCHED  # and not a yield


def test_what_is_read_before_the_new_percent_are_answered_accuses_nobody() -> None:
    made = made_site()
    made.activate(500_000)
    made.plant.latency_s = 1.9
    made.plant.rebase(1 * MW)
    for _ in range(30):
        tell_base(made, 1 * MW)  # asks for a read
        assert phases(made, 1) == {Phase.ACTIVE}
    assert made.rtac.in_force_w == 500_000
