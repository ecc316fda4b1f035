"""A start, and another master: whose is the setpoint in the echo, and who yields."""

from __future__ import annotations

import pytest

from gateway.control.phases import Phase
from gateway.control.watchdog.effects import WriteHeartbeat, WriteIdle
from gateway.control.watchdog.events import IdleOrdered, LocalSeen, ResetByOperator
from tests.fixtures.watchdog_site import Site, default_terms
from tests.unit.control.watchdog.test_phases import of

OTHERS = pytest.mark.parametrize("by", ["other_holds", "other_tells"])


def met(by: str, other_w: float = 300.0, *, in_force: bool = False) -> Site:
    """A start of the gateway, with another master's setpoint in force."""
    site = Site(terms=default_terms(zero_band_w=50.0))
    if in_force:
        site.activate()
    site.rtac.other_w = other_w
    setattr(site.rtac, by, True)
    site.power_on()
    site.log = []
    site.run(5)
    return site


def yields(site: Site) -> bool:
    return site.state.phase is Phase.LOCAL and site.state.yielded


@OTHERS
def test_another_masters_setpoint_at_a_start_is_yielded_to_and_kept(by: str) -> None:
    site = met(by)
    assert yields(site)
    assert site.kept is not None
    assert site.kept.phase is Phase.LOCAL
    ordered = len(of(site, WriteIdle))
    assert ordered == (1 if by == "other_holds" else 0)  # only a refusal tells it
    site.run(60)
    assert yields(site)
    assert len(of(site, WriteIdle)) == ordered
    assert of(site, WriteHeartbeat) == []
    site.power_on()
    site.run(60)
    assert yields(site)
    assert of(site, WriteHeartbeat) == []


@OTHERS
def test_it_ends_with_zero_when_the_other_lets_go(by: str) -> None:
    site = met(by)
    site.rtac.other_w = None
    site.run(20)
    assert site.state.phase is Phase.IDLE


def test_a_yield_is_silent_though_the_authority_is_told_to_be_anothers_later() -> None:
    site = Site(terms=default_terms())
    site.activate()
    site.tell(IdleOrdered("i"))
    site.run(20)
    site.rtac.other_w = 300.0
    site.run(10)
    assert yields(site)
    site.rtac.other_tells = True
    site.log = []
    site.run(60)
    assert yields(site)
    assert of(site, WriteHeartbeat) == []


def test_it_ends_when_the_authority_comes_back_though_the_echo_stays() -> None:
    site = met("other_tells", in_force=True, other_w=-900.0)
    assert yields(site)
    site.rtac.other_tells = False
    site.run(8)
    assert site.state.phase is not Phase.LOCAL
    assert of(site, WriteIdle)


@OTHERS
def test_a_reset_takes_over_for_a_v_of_its_own_and_does_not_yield_again(by: str) -> None:
    site = met(by)
    site.log = []
    site.tell(ResetByOperator())
    site.run(12)
    assert not yields(site)
    assert len(of(site, WriteIdle)) > 3 or by == "other_tells"


@OTHERS
@pytest.mark.parametrize("other_w", [500.0, 250.0])
def test_what_may_be_ours_or_a_step_on_the_way_is_not_yielded_to(by: str, other_w: float) -> None:
    site = met(by, other_w, in_force=True)
    assert not yields(site)
    assert site.state.phase is (Phase.IDLING if by == "other_holds" else Phase.LOCAL)


@pytest.mark.parametrize("other_w", [-100.0, 700.0])
def test_what_cannot_be_ours_is_yielded_to_though_something_is_in_force(other_w: float) -> None:
    site = met("other_holds", other_w, in_force=True)
    assert yields(site)
    assert site.in_force


def test_what_cannot_be_ours_is_yielded_to_though_the_echo_came_first() -> None:
    """The authority is told behind it, and no read follows."""
    site = Site(terms=default_terms())
    site.rtac.other_w, site.rtac.other_holds = 300.0, True
    site.rtac.loses_answers = True  # so that no refusal tells it
    site.run(2)
    assert site.state.phase is Phase.IDLING
    site.tell(LocalSeen(elsewhere=True))
    assert yields(site)


def test_where_nobody_knows_what_was_signed_any_echo_may_be_ours() -> None:
    site = Site(terms=default_terms())
    site.in_force, site.last_w, site.span_w = True, 500.0, None
    site.rtac.other_w, site.rtac.other_holds = -900.0, True
    site.power_on()
    site.run(5)
    assert site.state.phase is Phase.IDLING


def test_where_another_takes_zero_as_well_zero_is_written() -> None:
    site = met("other_w")  # neither refused nor told
    assert of(site, WriteIdle)
    assert not yields(site)


def test_later_a_refusal_is_no_yield() -> None:
    site = Site(terms=default_terms())
    site.activate()
    site.rtac.other_w, site.rtac.other_holds = -100.0, True
    site.tell(IdleOrdered("i"))
    site.run(60)
    assert site.state.phase is Phase.LATCHED
    assert not site.state.yielded


def test_the_site_itself_is_no_other_master() -> None:
    site = met("other_w")
    site.rtac.local = True
    site.power_on()
    site.run(60)
    assert site.state.phase is Phase.LOCAL
    assert not site.state.yielded
