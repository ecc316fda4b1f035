"""Bounds A to D: how long a setpoint of ours outlives its cause, measured at the model RTAC."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gateway.control.phases import Phase
from gateway.control.watchdog.effects import RefreshReversion, WriteHeartbeat, WriteIdle
from gateway.control.watchdog.events import HeartbeatsHeld, ResetByOperator
from tests.fixtures.watchdog_site import Site, default_terms


def seconds_to_zero(site: Site, *, at_most_s: float) -> float:
    began = site.at
    while site.rtac.in_force_w:
        assert site.at - began <= at_most_s, f"{site.state.phase} after {site.at - began} s"
        site.step()
    return site.at - began


@pytest.fixture
def site() -> Site:
    site = Site(terms=default_terms())
    site.log = []
    site.activate()
    return site


def test_bound_a_a_dead_cloud_idles_the_battery_within_lease_tick_and_two_timeouts(
    site: Site,
) -> None:
    site.latency_s = site.terms.response_s
    site.cloud_alive = False
    took = seconds_to_zero(site, at_most_s=30 + 0.25 + 6)
    assert took > 20, "the lease was let run out"


def test_bound_a_answers_held_up_for_longer_than_a_lease_do_not_keep_the_battery_running(
    site: Site,
) -> None:
    site.cloud_delay_s = 31
    seconds_to_zero(site, at_most_s=36.25)
    site.run(300)
    assert site.rtac.remote_w == 0
    assert site.state.phase is Phase.IDLE


def test_bound_a_a_delayed_answer_is_worth_only_what_is_left_of_its_lease(site: Site) -> None:
    site.cloud_delay_s = 20.0
    site.run(25)
    assert site.state.phase is Phase.ACTIVE, "ten seconds are left of each lease"
    site.cloud_alive = False  # answers under way still arrive
    seconds_to_zero(site, at_most_s=36.25)


def test_bound_b_a_dead_gateway_is_answered_by_the_dead_man_of_the_rtac(site: Site) -> None:
    began = site.at
    while site.rtac.in_force_w:  # the gateway does nothing any more
        site.at += 0.25
        site.rtac.scan(site.at)
        assert site.at - began <= 16
    assert site.at - began > 10


def test_bound_b_a_dead_link_is_answered_by_the_dead_man_of_the_rtac(site: Site) -> None:
    site.cut()
    seconds_to_zero(site, at_most_s=16)
    site.run(30)
    assert site.state.phase is Phase.BLIND


def test_bound_c_a_refused_zero_ends_by_a_withheld_heartbeat(site: Site) -> None:
    site.rtac.refuses_zero = True
    site.cloud_alive = False
    took = seconds_to_zero(site, at_most_s=30 + 0.25 + 30 + 15)
    assert took > 45
    assert site.state.phase is Phase.LATCHED


def test_bound_c_holds_though_the_session_comes_and_goes_while_zero_is_refused(site: Site) -> None:
    """Each return would begin V anew, and each heartbeat of it would feed the dead-man."""
    site.rtac.refuses_zero = True
    site.rtac.deadman_s = 20.0  # else it would trip between two beats that are 16 s apart
    site.cloud_alive = False
    began = site.at
    while site.rtac.in_force_w:
        site.cut()
        site.run(11)
        site.mend()
        site.run(4)
        assert site.at - began < 100


def test_bound_c_holds_though_an_operator_resets_while_zero_is_still_refused(site: Site) -> None:
    site.rtac.refuses_zero = True
    site.cloud_alive = False
    began = site.at
    while site.rtac.in_force_w:
        site.tell(ResetByOperator())
        site.step()
        assert site.at - began <= 30 + 0.25 + 30 + 15


def test_bound_d_the_reversion_timer_is_refreshed_while_active_and_never_after() -> None:
    site = Site(terms=default_terms(reversion=True))
    site.log = []
    site.activate()
    site.run(60)
    times = [at for at, effect in site.log if isinstance(effect, RefreshReversion)]
    assert [later - earlier for earlier, later in pairwise(times)] == [20, 20]
    site.cloud_alive = False
    site.run(40)
    site.log.clear()
    site.run(100)
    assert not [effect for _, effect in site.log if isinstance(effect, RefreshReversion)]


def test_the_reversion_timer_is_not_refreshed_where_the_map_has_none(site: Site) -> None:
    site.run(60)
    assert site.log is not None
    assert not [effect for _, effect in site.log if isinstance(effect, RefreshReversion)]


def test_a_dead_man_test_withholds_heartbeats_with_the_lease_intact(site: Site) -> None:
    site.tell(HeartbeatsHeld(25.0))
    took = seconds_to_zero(site, at_most_s=15 + 5)
    assert took > 10
    assert site.state.lease.live(site.at)
    site.run(30)
    assert site.state.phase is Phase.IDLE, "the field ended the dispatch, and nothing resumes it"


def test_a_wrong_echo_that_looks_like_another_master_cannot_keep_our_setpoint_in_force(
    site: Site,
) -> None:
    """Yielding writes nothing, so the heartbeat is withheld: were it ours, the dead-man ends it."""
    site.rtac.echo_error_w = -50.0
    site.run(10)
    assert site.state.phase is Phase.LOCAL
    seconds_to_zero(site, at_most_s=16)
    assert site.log is not None
    site.log.clear()
    site.rtac.other_w = 300.0  # somebody really took over
    site.run(60)
    assert site.state.phase is Phase.LOCAL
    assert [one for _, one in site.log if isinstance(one, WriteHeartbeat)] == []


def test_idle_is_ordered_at_the_very_tick_at_which_the_lease_ends(site: Site) -> None:
    assert site.log is not None
    site.cloud_alive = False
    ends_at = site.state.lease.expires_at
    site.log.clear()
    site.run(40)
    first = next(at for at, effect in site.log if isinstance(effect, WriteIdle))
    assert 0 <= first - ends_at <= 0.25
