"""What silence ought to end, and what a heartbeat behind it may bring back."""

from __future__ import annotations

import pytest

from gateway.control.phases import Phase
from gateway.control.watchdog.effects import DeadmanFailed, KeepForce, PowerDrifts, WriteHeartbeat
from gateway.control.watchdog.events import EstopOrdered, IdleOrdered, ResetByOperator
from gateway.control.watchdog.words import HeartbeatForm
from tests.fixtures.watchdog_site import Rtac, Site, default_terms
from tests.unit.control.watchdog.test_phases import of


def made(**rtac: object) -> Site:
    site = Site(terms=default_terms(zero_band_w=50.0))
    for name, value in rtac.items():
        setattr(site.rtac, name, value)
    return site


def phase(site: Site) -> Phase:
    return site.state.phase


def failures(site: Site) -> list[DeadmanFailed]:
    return [one for one in of(site, DeadmanFailed) if isinstance(one, DeadmanFailed)]


# --- a dead-man that failed -------------------------------------------------------------------


def refused() -> Site:
    """A start with our setpoint in force, whose zero is refused, and no dead-man acts."""
    site = made(has_deadman=False)
    site.activate()
    site.rtac.refuses_zero = True
    site.power_on()
    site.log = []
    return site


def test_a_dead_man_that_failed_is_told_once_a_demand_and_after_w_and_5_s() -> None:
    site = refused()
    began = site.at
    site.run(19.5)
    assert failures(site) == []
    while not failures(site):
        site.step()
    assert site.at - began < 15 + 5 + 6  # the group's heartbeat, and the next poll
    site.run(100)
    (found,) = failures(site)
    assert found.silent_s >= 20
    assert found.echo_w == 500.0
    assert site.state.deadman_failed
    site.tell(ResetByOperator())  # a demand of its own
    site.run(60)
    assert len(failures(site)) == 2


def test_it_is_told_of_withheld_heartbeats_and_of_power_alone() -> None:
    site = made(has_deadman=False)
    site.activate()
    site.rtac.flows_w = 450.0  # it obeys in the echo alone
    site.tell(IdleOrdered("i"))
    site.log = []
    site.run(90)
    assert site.state.ended
    (found,) = failures(site)
    assert (found.echo_w, found.power_w) == (None, 450.0)
    site.rtac.flows_w = 0.0
    site.run(20)
    assert not site.state.deadman_failed


@pytest.mark.parametrize("what", ["it acted", "no dead-man", "local", "an offset", "another's"])
def test_it_is_not_told_where(what: str) -> None:
    site = made()
    if what == "no dead-man":
        site.terms = default_terms(heartbeat=HeartbeatForm.NONE, reversion=True)
        site.rtac = Rtac(has_deadman=False)
        site.power_on()
    site.activate()
    site.rtac.refuses_zero = what != "an offset"
    site.rtac.has_deadman = what != "local" and site.rtac.has_deadman
    site.rtac.local = what == "local"
    site.rtac.offset_w = -80.0 if what == "an offset" else 0.0
    site.rtac.other_w = 900.0 if what == "another's" else None
    site.power_on()
    site.log = []
    site.run(90)
    assert failures(site) == []


# --- power that leaves zero -------------------------------------------------------------------


def rested() -> Site:
    """A dispatch was in force; its zero is verified, and heartbeats were withheld since."""
    site = made()
    site.activate()
    site.tell(EstopOrdered("e"))
    site.run(40)
    assert not site.in_force
    site.tell(ResetByOperator())
    while site.state.phase is not Phase.IDLE:
        site.step()
    site.log = []
    return site


def test_power_that_leaves_zero_soon_after_heartbeats_began_again_ends_them() -> None:
    site = rested()
    site.run(6)
    assert of(site, WriteHeartbeat)
    site.rtac.flows_w = 400.0
    site.run(6)
    assert phase(site) is Phase.LATCHED
    assert site.state.ended
    assert site.in_force
    assert of(site, KeepForce) == [KeepForce(declared=False)]
    site.log = []
    site.run(60)
    assert of(site, WriteHeartbeat) == []
    site.rtac.flows_w = None
    site.tell(ResetByOperator())
    site.run(30)
    assert phase(site) is Phase.IDLE
    assert not site.in_force


@pytest.mark.parametrize("power_w", [-400.0, 200.0])
def test_power_of_the_other_sign_or_half_the_size_is_a_warning_and_latches_nothing(
    power_w: float,
) -> None:
    site = rested()
    site.run(6)
    site.rtac.flows_w = power_w
    site.run(50)
    assert phase(site) is Phase.IDLE
    assert not site.state.ended
    assert [type(one) for one in of(site, PowerDrifts)] in ([PowerDrifts], [])


def test_power_that_comes_long_after_is_anothers_doing() -> None:
    site = rested()
    site.run(60)
    site.rtac.flows_w = 400.0
    site.run(50)
    assert of(site, PowerDrifts) == [PowerDrifts(400.0)]
    assert phase(site) is Phase.IDLE
    assert not site.state.ended


def test_a_step_that_heartbeats_bring_back_latches_at_once() -> None:
    site = rested()
    site.rtac.hidden_w = 250.0
    site.run(10)
    assert phase(site) is Phase.LATCHED
    assert site.in_force


def test_what_came_back_is_in_force_also_over_a_reset_and_a_kill() -> None:
    site = rested()
    site.run(60)
    site.rtac.remote_w, site.rtac.has_deadman = 500.0, False
    site.run(6)
    assert phase(site) is Phase.LATCHED
    site.rtac.refuses_zero = True
    site.tell(ResetByOperator())
    site.power_on(enabled=False)
    site.rtac.refuses_zero = False
    site.run(20)
    assert site.rtac.remote_w == 0
    assert phase(site) is Phase.MONITOR
