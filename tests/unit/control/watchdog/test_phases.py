"""Every transition of section 7 by a script, and what each phase writes."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from gateway.clock import Now
from gateway.control.phases import Phase
from gateway.control.watchdog import machine
from gateway.control.watchdog.effects import (
    Abort,
    Carried,
    Effect,
    IssueChallenge,
    KeepPhase,
    MayExit,
    PhaseChanged,
    ReadEcho,
    Refuse,
    WriteHeartbeat,
    WriteIdle,
    WriteSetpoint,
    WriteStop,
)
from gateway.control.watchdog.events import (
    ArmOrdered,
    ControlDisabled,
    ControlEnabled,
    DerHeartbeatRead,
    DispatchAccepted,
    DispatchFailed,
    EchoRead,
    EstopOrdered,
    HeartbeatVerified,
    IdleOrdered,
    LocalSeen,
    RemoteSeen,
    ResetByOperator,
    Restarted,
    SessionLost,
    SessionReady,
    SetpointWanted,
    StopOrdered,
    Tick,
    WriteDone,
)
from gateway.control.watchdog.force import LONGEST_ZERO
from gateway.control.watchdog.words import Cause, HeartbeatForm, WriteKind, WriteResult
from tests.fixtures.watchdog_site import OUTPUTS, Site, default_terms


def of(site: Site, *kinds: type) -> list[Effect]:
    assert site.log is not None
    return [effect for _, effect in site.log if isinstance(effect, kinds)]


def changes(site: Site) -> list[tuple[Phase, Cause]]:
    return [
        (one.after, one.cause) for one in of(site, PhaseChanged) if isinstance(one, PhaseChanged)
    ]


def phase(site: Site) -> Phase:
    return site.state.phase


def logged(site: Site) -> Site:
    site.log = []
    return site


@pytest.fixture
def fresh() -> Site:
    """Started; the session is not up yet."""
    return logged(Site(terms=default_terms()))


@pytest.fixture
def idle() -> Site:
    site = Site(terms=default_terms())
    site.run(40)
    assert phase(site) is Phase.IDLE
    return logged(site)


@pytest.fixture
def armed() -> Site:
    site = Site(terms=default_terms())
    site.arm()
    return logged(site)


@pytest.fixture
def active() -> Site:
    site = Site(terms=default_terms())
    site.activate()
    return logged(site)


# --- start ---------------------------------------------------------------------------------


def test_the_first_output_after_a_start_is_idle(fresh: Site) -> None:
    fresh.run(10)
    assert isinstance(of(fresh, *OUTPUTS, WriteHeartbeat)[0], WriteIdle)
    assert changes(fresh) == [(Phase.IDLING, Cause.STARTED), (Phase.IDLE, Cause.VERIFIED)]


def test_startup_writes_nothing_and_beats_not(fresh: Site) -> None:
    fresh.link_up = False
    fresh.run(20)
    assert phase(fresh) is Phase.STARTUP
    assert of(fresh, *OUTPUTS, WriteHeartbeat) == []


def test_startup_finds_the_site_local(fresh: Site) -> None:
    fresh.rtac.local = True
    fresh.run(5)
    assert changes(fresh) == [(Phase.LOCAL, Cause.LOCAL)]
    assert of(fresh, *OUTPUTS) == []


def test_a_start_while_a_setpoint_is_in_force_idles_it(fresh: Site) -> None:
    fresh.rtac.remote_w, fresh.rtac.heartbeat_at = 500.0, fresh.at
    fresh.run(3)
    assert fresh.rtac.remote_w == 0


def test_control_that_is_off_writes_nothing_not_even_a_heartbeat() -> None:
    site = logged(Site(terms=default_terms()))
    site.power_on(enabled=False)
    site.rtac.remote_w = 500.0
    site.run(60)
    assert phase(site) is Phase.MONITOR
    assert of(site, *OUTPUTS, WriteHeartbeat) == []
    assert of(site, IssueChallenge)


def test_control_that_is_enabled_begins_with_idle() -> None:
    site = Site(terms=default_terms())
    site.power_on(enabled=False)
    site.run(10)
    logged(site).tell(ControlEnabled())
    assert isinstance(of(site, *OUTPUTS)[0], WriteIdle)
    assert phase(site) is Phase.IDLING


def test_control_enabled_without_a_session_waits_for_it() -> None:
    site = Site(terms=default_terms())
    site.link_up = False
    site.power_on(enabled=False)
    site.run(3)
    site.tell(ControlEnabled())
    assert phase(site) is Phase.STARTUP


# --- idling and idle -----------------------------------------------------------------------


def test_idle_needs_a_zero_accepted_after_the_demand_and_then_an_echo_of_zero(
    active: Site,
) -> None:
    active.tell(IdleOrdered("i"))
    token = active.state.token
    active.tell(EchoRead(0.0, active.at))  # a zero that nobody ordered yet
    assert phase(active) is Phase.IDLING
    active.at += 1
    active.tell(WriteDone(WriteKind.IDLE, token, WriteResult.ACCEPTED))
    assert isinstance(of(active, ReadEcho)[-1], ReadEcho)
    active.tell(EchoRead(0.0, active.at - 0.5))  # read before it was accepted
    assert phase(active) is Phase.IDLING
    active.tell(EchoRead(500.0, active.at + 0.1))
    assert phase(active) is Phase.IDLING
    active.tell(EchoRead(0.5, active.at + 0.2))  # within tolerance
    assert phase(active) is Phase.IDLE


def test_the_answer_to_a_zero_of_an_older_demand_verifies_nothing(active: Site) -> None:
    active.tell(IdleOrdered("i"))
    old = active.state.token
    active.tell(Restarted())
    assert active.state.token > old
    active.tell(WriteDone(WriteKind.IDLE, old, WriteResult.ACCEPTED))
    active.tell(EchoRead(0.0, active.at))
    assert phase(active) is Phase.IDLING


def test_an_echo_that_is_overtaken_by_a_newer_one_does_not_count(active: Site) -> None:
    active.tell(EchoRead(500.0, active.at + 1))
    active.tell(EchoRead(0.0, active.at))
    assert active.state.echo_w == 500.0


def test_a_refused_idle_is_repeated_at_once_and_then_every_2_s_without_limit(active: Site) -> None:
    active.rtac.refuses_zero = True
    active.state = replace(active.state, grouped=True)  # zero, beat, zero is a test of its own
    active.tell(IdleOrdered("i"))
    active.run(600)
    assert active.log is not None
    times = [at for at, effect in active.log if isinstance(effect, WriteIdle)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] < 1
    assert {round(gap) for gap in gaps[1:]} == {2}
    assert len(times) > 290


@pytest.mark.parametrize("refuses", [False, True])
def test_a_zero_that_takes_longer_than_its_repetition_leaves_the_reads_their_turn(
    active: Site, *, refuses: bool
) -> None:
    active.rtac.refuses_zero, active.rtac.echo_error_w = refuses, 50.0
    active.state = replace(active.state, grouped=True)
    active.latency_s = 2.5  # answered when the next one is due
    active.tell(IdleOrdered("i"))
    active.run(25)
    assert active.log is not None
    times = [at for at, effect in active.log if isinstance(effect, WriteIdle)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps[1:]) >= active.latency_s + 0.5
    assert max(gaps[1:]) <= 2 * active.latency_s + 1.25  # a heartbeat goes between


def test_an_idle_that_is_never_answered_is_sent_again(idle: Site) -> None:
    idle.tell(IdleOrdered("i"))
    idle._queue.clear()
    idle.log = []
    idle.run(LONGEST_ZERO * idle.state.terms.response_s - 0.5)
    assert not of(idle, WriteIdle)  # behind one that is under way it would go before its read
    idle.run(1.0)
    assert of(idle, WriteIdle)


def test_the_read_that_verifies_goes_before_the_next_zero_however_long_that_one_took(
    idle: Site,
) -> None:
    idle.tell(IdleOrdered("i"))
    token = idle.state.token
    idle._queue.clear()
    idle.at += 9.0
    effects = idle.tell(WriteDone(WriteKind.IDLE, token, WriteResult.ACCEPTED))
    assert ReadEcho() in effects
    assert not [one for one in effects if isinstance(one, WriteIdle)]
    idle.at += 2 * idle.state.terms.response_s + 1.9
    assert not [one for one in idle.tell(Tick()) if isinstance(one, WriteIdle)]
    idle.at += 0.2
    assert [one for one in idle.tell(Tick()) if isinstance(one, WriteIdle)]


def test_a_read_that_shows_no_zero_behind_an_accepted_one_lets_the_next_go_after_2_s(
    idle: Site,
) -> None:
    idle.tell(IdleOrdered("i"))
    token = idle.state.token
    idle._queue.clear()
    accepted_at = idle.at
    idle.tell(WriteDone(WriteKind.IDLE, token, WriteResult.ACCEPTED))
    idle.at += 0.5
    idle.tell(EchoRead(400_000.0, accepted_at + 0.1))
    idle.at = accepted_at + 1.9
    assert not [one for one in idle.tell(Tick()) if isinstance(one, WriteIdle)]
    idle.at = accepted_at + 2.1
    assert [one for one in idle.tell(Tick()) if isinstance(one, WriteIdle)]


def test_an_accepted_zero_that_the_echo_does_not_show_is_repeated(active: Site) -> None:
    active.rtac.echo_error_w = 50.0
    active.tell(IdleOrdered("i"))
    active.run(9)
    assert len(of(active, WriteIdle)) >= 4


def test_idling_becomes_latched_after_v_and_is_kept(active: Site) -> None:
    active.rtac.refuses_zero = True
    active.tell(IdleOrdered("i"))
    active.run(29.75)
    assert phase(active) is Phase.IDLING
    active.run(0.5)
    assert phase(active) is Phase.LATCHED
    assert active.kept == KeepPhase(Phase.LATCHED, stop_owed=False)


def test_an_idle_order_in_idle_is_written_and_verified_afresh(idle: Site) -> None:
    idle.tell(IdleOrdered("i"))
    assert isinstance(of(idle, WriteIdle)[0], WriteIdle)
    idle.run(5)
    assert phase(idle) is Phase.IDLE


def test_idle_latches_when_the_field_resumes_our_old_setpoint(active: Site) -> None:
    active.tell(IdleOrdered("i"))
    active.run(5)
    assert phase(active) is Phase.IDLE
    active.log = []
    active.rtac.remote_w = 500.0
    active.tell(EchoRead(500.0, active.at))
    resumed = [(Phase.IDLING, Cause.RESUMED), (Phase.LATCHED, Cause.RESUMED)]
    assert changes(active) == resumed
    active.run(30)
    assert active.rtac.remote_w == 0
    assert of(active, WriteHeartbeat) == []  # a beat may be what revived it


@pytest.mark.parametrize("name", ["idle", "armed", "active"])
def test_a_restart_of_the_outstation_leads_to_idling(
    name: str, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(name)
    site.tell(Restarted())
    assert changes(site) == [(Phase.IDLING, Cause.RESTART)]
    assert isinstance(of(site, *OUTPUTS)[0], WriteIdle)


# --- arm -----------------------------------------------------------------------------------


def refused(site: Site) -> Cause:
    found = of(site, Refuse)[-1]
    assert isinstance(found, Refuse)
    return found.cause


def test_arming_needs_30_s_of_unbroken_lease() -> None:
    site = logged(Site(terms=default_terms()))
    site.run(29)
    site.tell(ArmOrdered("a"))
    assert refused(site) is Cause.LEASE
    site.run(3)
    site.tell(ArmOrdered("a"))
    assert of(site, Carried) == [Carried("a")]


def test_a_lease_that_comes_back_never_arms_by_itself_and_waits_30_s_again(armed: Site) -> None:
    armed.cloud_alive = False
    armed.run(40)
    armed.cloud_alive = True
    armed.run(29)
    armed.tell(ArmOrdered("a"))
    assert refused(armed) is Cause.LEASE
    armed.run(600)
    assert phase(armed) is Phase.IDLE


def test_arming_needs_a_live_lease(idle: Site) -> None:
    idle.cloud_alive = False
    idle.run(40)
    idle.tell(ArmOrdered("a"))
    assert refused(idle) is Cause.LEASE


def test_arming_needs_all_interlocks(idle: Site) -> None:
    idle.set_interlocks("breaker open")
    idle.tell(ArmOrdered("a"))
    assert refused(idle) is Cause.INTERLOCK


def test_arming_needs_a_session(idle: Site) -> None:
    idle.tell(SessionLost())
    idle.tell(ArmOrdered("a"))
    assert refused(idle) is Cause.SESSION


def test_arming_needs_an_echo_of_zero(idle: Site) -> None:
    idle.tell(EchoRead(300.0, idle.at))
    idle.tell(ArmOrdered("a"))
    assert refused(idle) is Cause.STATE


def test_a_stopping_gateway_is_not_armed(idle: Site) -> None:
    idle.tell(StopOrdered())
    idle.tell(ArmOrdered("a"))
    assert refused(idle) is Cause.STOPPING


@pytest.mark.parametrize("name", ["armed", "active", "fresh"])
def test_arming_needs_idle(name: str, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(name)
    site.tell(ArmOrdered("a"))
    assert refused(site) is Cause.STATE


# --- dispatch ------------------------------------------------------------------------------


def test_a_dispatch_needs_arming(idle: Site) -> None:
    idle.dispatch("c1", 500.0)
    assert refused(idle) is Cause.STATE
    assert of(idle, WriteSetpoint) == []


def test_an_accepted_dispatch_is_written_and_active(armed: Site) -> None:
    armed.dispatch("c1", -500.0)
    assert [type(one) for one in of(armed, *OUTPUTS)] == [WriteSetpoint]
    assert changes(armed) == [(Phase.ACTIVE, Cause.ORDERED)]


@pytest.mark.parametrize("power_w", [1000.1, -1000.1, float("nan"), float("inf")])
def test_a_setpoint_outside_the_limits_is_never_written(armed: Site, power_w: float) -> None:
    armed.dispatch("c1", power_w)
    assert refused(armed) is Cause.LIMIT
    armed.dispatch("c2", 500.0)
    armed.tell(SetpointWanted("c2", power_w))
    assert refused(armed) is Cause.LIMIT


@pytest.mark.parametrize("duration_s", [0.0, -1.0, 14_400.1, float("nan"), float("inf")])
def test_a_duration_outside_its_range_is_refused(armed: Site, duration_s: float) -> None:
    armed.dispatch("c1", 500.0, duration_s=duration_s)
    assert refused(armed) is Cause.PARAMS


def test_a_command_that_expired_on_its_way_is_refused(armed: Site) -> None:
    armed.tell(DispatchAccepted("c1", 500.0, 60.0, armed.at))
    assert refused(armed) is Cause.EXPIRED


def test_a_dispatch_ends_with_its_duration() -> None:
    site = logged(Site(terms=default_terms()))
    site.activate(duration_s=20)
    site.run(14.25)
    assert phase(site) is Phase.IDLING or phase(site) is Phase.IDLE
    assert Abort("c1", Cause.DURATION) in of(site, Abort)
    site.run(3)
    assert site.rtac.remote_w == 0


def test_a_newer_dispatch_supersedes_the_one_in_force(active: Site) -> None:
    active.dispatch("c2", -200.0)
    assert of(active, Abort) == [Abort("c1", Cause.SUPERSEDED)]
    active.run(2)
    assert active.rtac.remote_w == -200.0
    active.tell(SetpointWanted("c1", 600.0))
    assert refused(active) is Cause.STATE


def test_a_ramp_step_of_the_dispatch_in_force_is_written(active: Site) -> None:
    active.tell(SetpointWanted("c1", 600.0))
    active.run(2)
    assert active.rtac.remote_w == 600.0


def test_a_step_is_not_written_while_the_session_is_down(active: Site) -> None:
    active.tell(SessionLost())
    active.tell(SetpointWanted("c1", 600.0))
    assert refused(active) is Cause.SESSION


def test_limits_that_shrink_while_active_clamp_the_setpoint(active: Site) -> None:
    active.set_limits(1000.0, 300.0)
    active.run(2)
    assert active.rtac.remote_w == 300.0
    active.set_limits(1000.0, 1000.0)
    active.run(5)
    assert active.rtac.remote_w == 300.0, "limits that grow bring no power back"


@pytest.mark.parametrize(
    ("result", "cause"),
    [
        (WriteResult.UNKNOWN, Cause.UNKNOWN_OUTCOME),
        (WriteResult.REFUSED, Cause.REFUSED),
        (WriteResult.FAILED, Cause.REFUSED),
    ],
)
def test_a_power_write_of_unknown_or_bad_outcome_is_idled_and_never_resent(
    armed: Site, result: WriteResult, cause: Cause
) -> None:
    armed.dispatch("c1", 500.0)
    armed.tell(WriteDone(WriteKind.SETPOINT, armed.state.token, result))
    armed.run(60)
    assert changes(armed)[1] == (Phase.IDLING, cause)
    assert len(of(armed, WriteSetpoint)) == 1


def test_a_dispatch_that_could_not_be_verified_is_idled(active: Site) -> None:
    active.tell(DispatchFailed("another", "echo differs"))
    assert phase(active) is Phase.ACTIVE
    active.tell(DispatchFailed("c1", "echo differs"))
    assert changes(active) == [(Phase.IDLING, Cause.FAILED)]


@pytest.mark.parametrize("name", ["armed", "active"])
def test_an_interlock_that_opens_leads_to_idling(name: str, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(name)
    site.set_interlocks("fault", "soc")
    assert of(site, PhaseChanged)[0] == PhaseChanged(
        Phase.ARMED if name == "armed" else Phase.ACTIVE,
        Phase.IDLING,
        Cause.INTERLOCK,
        "fault, soc",
    )
    assert isinstance(of(site, *OUTPUTS)[0], WriteIdle)


@pytest.mark.parametrize("name", ["armed", "active"])
def test_a_lease_that_expires_leads_to_idling(name: str, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(name)
    site.cloud_alive = False
    site.run(31)
    assert changes(site)[0] == (Phase.IDLING, Cause.LEASE)


@pytest.mark.parametrize("name", ["armed", "active"])
def test_control_that_is_disabled_idles_first_and_then_monitors(
    name: str, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(name)
    site.tell(ControlDisabled())
    site.run(5)
    assert [after for after, _ in changes(site)] == [Phase.IDLING, Phase.MONITOR]
    assert site.rtac.remote_w == 0


def test_a_heartbeat_that_arrives_with_the_end_of_its_lease_is_late(active: Site) -> None:
    active.cloud_delay_s = 30.0
    active.run(40)
    assert changes(active)[0] == (Phase.IDLING, Cause.LEASE)


def test_a_step_that_comes_with_the_end_of_the_duration_is_too_late(active: Site) -> None:
    assert active.state.dispatch is not None
    active.at = active.state.dispatch.ends_at
    active.state = replace(active.state, lease=replace(active.state.lease, expires_at=math.inf))
    active.tell(SetpointWanted("c1", 600.0))
    assert of(active, WriteSetpoint) == []
    assert changes(active) == [(Phase.IDLING, Cause.DURATION)]


def test_a_core_that_slept_through_the_end_of_the_lease_idles_whatever_it_hears_first(
    active: Site,
) -> None:
    active.run(2)
    newest = active.state.lease.newest
    lease = replace(active.state.lease, answered=newest - 1, expires_at=active.at - 1)
    active.state = replace(active.state, lease=lease)
    active._lease_until = active.at - 1
    active.hear(HeartbeatVerified("boot-1", newest))
    assert changes(active) == [(Phase.IDLING, Cause.LEASE)]


# --- session -------------------------------------------------------------------------------


def test_a_loss_below_10_s_with_equal_echo_no_restart_and_a_live_lease_keeps_active(
    active: Site,
) -> None:
    active.cut()
    active.run(8)
    active.mend()
    active.run(5)
    assert phase(active) is Phase.ACTIVE
    assert of(active, WriteIdle, WriteSetpoint) == []


def test_a_short_loss_with_another_echo_idles(active: Site) -> None:
    active.cut()
    active.run(5)
    active.rtac.remote_w = 400.0
    active.mend()
    active.run(1.5)
    assert changes(active)[0] == (Phase.IDLING, Cause.SESSION)


def test_a_short_loss_without_an_echo_read_since_idles(active: Site) -> None:
    active.tell(SessionLost())
    active.at += 1
    active.tell(SessionReady())
    assert changes(active) == [(Phase.IDLING, Cause.SESSION)]


def test_a_short_loss_with_a_restart_idles(active: Site) -> None:
    active.cut()
    active.run(3)
    active.restart_rtac(resumes=True)
    active.mend()
    active.run(3)
    assert changes(active)[0] == (Phase.IDLING, Cause.RESTART)
    assert active.rtac.remote_w == 0


def test_a_lease_that_ends_during_a_short_loss_idles_on_return(active: Site) -> None:
    active.cloud_alive = False
    active.run(20)
    active.cut()
    active.run(9)
    active.mend()
    active.run(4)
    assert changes(active)[0] == (Phase.IDLING, Cause.LEASE)
    assert active.rtac.remote_w == 0


@pytest.mark.parametrize("name", ["idle", "armed", "active"])
def test_a_loss_of_10_s_is_blind_and_writes_nothing(
    name: str, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(name)
    site.cut()
    site.run(10.75)
    assert phase(site) is Phase.BLIND
    site.log = []
    site.run(30)
    assert of(site, *OUTPUTS, WriteHeartbeat) == []


def test_the_first_output_after_blind_is_idle_and_nothing_is_resumed(active: Site) -> None:
    active.cut()
    active.run(12)
    active.log = []
    active.mend()
    active.run(60)
    assert isinstance(of(active, *OUTPUTS, WriteHeartbeat)[0], WriteIdle)
    assert of(active, WriteSetpoint) == []
    assert phase(active) is Phase.IDLE


def test_after_blind_the_field_has_a_whole_v_to_obey(active: Site) -> None:
    active.cut()
    active.run(60)
    active.rtac.refuses_zero = True
    active.mend()
    active.run(30)
    assert phase(active) is Phase.IDLING
    active.run(2)
    assert phase(active) is Phase.LATCHED


# --- local ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["idle", "armed", "active"])
def test_local_stops_all_writes_but_the_heartbeat(
    name: str, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(name)
    site.tell(LocalSeen())
    site.rtac.local = True
    site.run(60)
    assert phase(site) is Phase.LOCAL
    assert of(site, *OUTPUTS) == []
    assert len(of(site, WriteHeartbeat)) >= 29


@pytest.mark.parametrize("kind", [WriteKind.SETPOINT, WriteKind.HEARTBEAT])
def test_status_7_or_13_means_local(active: Site, kind: WriteKind) -> None:
    active.tell(WriteDone(kind, active.state.token, WriteResult.LOCAL))
    assert phase(active) is Phase.LOCAL


def test_an_idle_answered_with_local_stops_writing(active: Site) -> None:
    active.rtac.local = True
    active.tell(IdleOrdered("i"))
    active.run(1)
    assert phase(active) is Phase.LOCAL
    active.run(1)
    active.rtac.local = True
    active.log = []
    active.run(20)
    assert of(active, *OUTPUTS) == []


def test_return_to_remote_writes_idle_first_because_the_rtac_may_resume(active: Site) -> None:
    active.switch(local=True)
    active.run(5)
    active.log = []
    active.switch(local=False)
    assert active.rtac.remote_w == 500.0, "the model resumes it"
    active.run(5)
    assert isinstance(of(active, *OUTPUTS)[0], WriteIdle)
    assert active.rtac.remote_w == 0
    assert changes(active)[0] == (Phase.IDLING, Cause.REMOTE)


def test_a_switch_that_chatters_does_not_stretch_v(active: Site) -> None:
    active.rtac.refuses_zero = True
    active.tell(IdleOrdered("i"))
    for _ in range(31):
        active.run(1)
        active.tell(LocalSeen())
        active.tell(RemoteSeen())
    assert phase(active) is Phase.LATCHED


def test_a_switch_that_chatters_after_a_reset_does_not_stretch_v_either(latched: Site) -> None:
    latched.tell(ResetByOperator())
    for _ in range(31):
        latched.run(1)
        latched.tell(LocalSeen())
        latched.tell(RemoteSeen())
    assert phase(latched) is Phase.LATCHED


def test_a_zero_overdue_before_local_is_overdue_after_it_and_no_heartbeat_is_written(
    latched: Site,
) -> None:
    latched.tell(ResetByOperator())
    latched.switch(local=True)
    latched.run(10)
    latched.rtac.refuses_zero, latched.rtac.echo_error_w = False, 300.0  # accepted, and not seen
    latched.switch(local=False)
    latched.run(4)
    assert phase(latched) is Phase.IDLING
    assert not latched.state.silent
    latched.log = []
    latched.run(10)
    assert of(latched, WriteHeartbeat) == []


def test_zero_refused_as_local_by_an_rtac_that_reads_remote_is_latched_and_not_fed(
    active: Site,
) -> None:
    """Status 6, 7 or 13 for ever would else stop V, our setpoint in force and fed by us."""
    active.rtac.says_local = True
    active.tell(IdleOrdered("i1"))
    began_at = active.at
    active.run(active.terms.idle_verify_s + 10)
    assert phase(active) is Phase.LATCHED
    overdue_at = began_at + active.terms.idle_verify_s
    assert [
        at for at, one in active.log or () if isinstance(one, WriteHeartbeat) and at > overdue_at
    ] == []
    active.run(active.rtac.deadman_s)
    assert active.rtac.remote_w == 0.0


def test_a_switch_at_local_halts_v_though_a_write_said_local_before(active: Site) -> None:
    active.rtac.says_local = True
    active.tell(IdleOrdered("i1"))
    active.run(active.latency_s + 1)
    assert phase(active) is Phase.LOCAL
    active.switch(local=True)
    active.run(active.terms.idle_verify_s * 3)
    assert phase(active) is Phase.LOCAL
    active.rtac.says_local = False
    active.switch(local=False)
    active.run(20)
    assert phase(active) is Phase.IDLE


def test_local_for_a_minute_does_not_use_up_v(active: Site) -> None:
    active.rtac.refuses_zero = True
    active.tell(IdleOrdered("i"))
    active.run(10)
    active.switch(local=True)
    active.run(60)
    assert phase(active) is Phase.LOCAL
    active.switch(local=False)
    active.run(15)
    assert phase(active) is Phase.IDLING
    active.run(10)
    assert phase(active) is Phase.LATCHED


# --- pre-emption ---------------------------------------------------------------------------


def test_an_echo_that_moves_away_for_3_s_is_yielded_to(active: Site) -> None:
    active.rtac.other_w = 300.0
    active.run(10)
    assert changes(active) == [(Phase.LOCAL, Cause.PREEMPTED)]
    assert of(active, *OUTPUTS) == []
    assert of(active, Abort) == [Abort("c1", Cause.PREEMPTED)]


def test_an_echo_that_moves_away_for_less_than_3_s_is_borne(active: Site) -> None:
    active.tell(EchoRead(300.0, active.at))
    active.run(2.5)
    active.tell(EchoRead(500.0, active.at))
    active.run(2)
    assert phase(active) is Phase.ACTIVE


def test_when_the_other_master_lets_go_idle_comes_first(active: Site) -> None:
    active.rtac.other_w = 300.0
    active.run(10)
    active.rtac.other_w = None
    active.run(8)
    assert changes(active)[1] == (Phase.IDLING, Cause.RESUMED)
    assert active.rtac.remote_w == 0


def test_the_policy_reassert_idle_writes_zero_against_the_other_master() -> None:
    site = Site(terms=default_terms(reassert_idle=True))
    site.activate()
    logged(site).rtac.other_w = 300.0
    site.run(10)
    assert changes(site)[0] == (Phase.IDLING, Cause.PREEMPTED)


def test_a_field_that_goes_to_zero_by_itself_ends_the_dispatch(active: Site) -> None:
    active.rtac.remote_w = 0.0
    active.run(15)
    assert changes(active)[0] == (Phase.IDLING, Cause.FIELD_ENDED)
    assert phase(active) is Phase.IDLE


def test_an_operators_reset_ends_the_yielding(active: Site) -> None:
    active.rtac.other_w = 300.0
    active.run(10)
    active.tell(ResetByOperator())
    assert phase(active) is Phase.IDLING


# --- latched and estop ---------------------------------------------------------------------


@pytest.fixture
def latched(active: Site) -> Site:
    active.rtac.refuses_zero = True
    active.tell(IdleOrdered("i"))
    active.run(31)
    assert phase(active) is Phase.LATCHED
    return logged(active)


def test_latched_withholds_the_heartbeat_and_writes_only_idle(latched: Site) -> None:
    latched.run(120)
    assert of(latched, WriteHeartbeat) == []
    assert of(latched, *OUTPUTS) == of(latched, WriteIdle)
    assert of(latched, WriteIdle)


def test_latched_stays_when_zero_is_verified_at_last(latched: Site) -> None:
    latched.rtac.refuses_zero = False
    latched.run(10)
    latched.log = []
    latched.run(60)
    assert phase(latched) is Phase.LATCHED
    assert of(latched, *OUTPUTS, WriteHeartbeat) == []
    latched.tell(EchoRead(500.0, latched.at))
    assert of(latched, WriteIdle)


def test_latched_outlasts_local_blindness_arming_and_leases(latched: Site) -> None:
    latched.switch(local=True)
    latched.run(20)
    latched.log = []
    latched.run(20)
    assert of(latched, *OUTPUTS) == [], "nothing is written while the site is local"
    latched.switch(local=False)
    latched.run(5)
    assert of(latched, WriteIdle)
    latched.cut()
    latched.run(20)
    latched.mend()
    latched.tell(ArmOrdered("a"))
    latched.tell(IdleOrdered("i"))
    latched.run(60)
    assert phase(latched) is Phase.LATCHED


def test_latched_survives_a_reboot_and_its_first_output_is_idle(latched: Site) -> None:
    latched.rtac.remote_w = 0.0  # whatever the echo shows
    latched.power_on()
    assert phase(latched) is Phase.LATCHED
    latched.run(5)
    assert isinstance(of(latched, *OUTPUTS, WriteHeartbeat)[0], WriteIdle)


def test_an_operators_reset_leads_from_latched_to_idling_and_is_kept(latched: Site) -> None:
    latched.tell(ResetByOperator())
    assert changes(latched) == [(Phase.IDLING, Cause.ORDERED)]
    assert latched.kept == KeepPhase(None, stop_owed=False)
    assert isinstance(of(latched, *OUTPUTS)[0], WriteIdle)
    latched.run(10)
    assert of(latched, WriteHeartbeat) == [], "not before zero is verified"
    latched.rtac.refuses_zero = False
    latched.run(10)
    assert phase(latched) is Phase.IDLE
    assert of(latched, WriteHeartbeat)


@pytest.mark.parametrize(
    ("local", "up", "there"), [(True, True, Phase.LOCAL), (False, False, Phase.BLIND)]
)
def test_a_reset_leads_where_the_site_is(
    latched: Site, local: bool, up: bool, there: Phase
) -> None:
    if local:
        latched.tell(LocalSeen())
    if not up:
        latched.tell(SessionLost())
    latched.tell(ResetByOperator())
    assert phase(latched) is there


@pytest.mark.parametrize("name", ["idle", "armed", "active", "latched"])
def test_estop_stops_once_then_idles_and_is_kept(name: str, request: pytest.FixtureRequest) -> None:
    site: Site = request.getfixturevalue(name)
    site.tell(EstopOrdered("e"))
    assert [type(one) for one in of(site, *OUTPUTS)] == [WriteStop, WriteIdle]
    assert site.kept == KeepPhase(Phase.ESTOP, stop_owed=False, stop_unknown=True)
    site.run(3)  # it is answered
    assert site.kept == KeepPhase(Phase.ESTOP, stop_owed=False)
    site.tell(EstopOrdered("e2"))
    site.run(60)
    assert len(of(site, WriteStop)) == 1
    assert phase(site) is Phase.ESTOP
    assert of(site, WriteHeartbeat) == []


def test_estop_survives_a_reboot_and_is_not_sent_twice(active: Site) -> None:
    active.tell(EstopOrdered("e"))
    active.power_on()
    active.run(20)
    assert phase(active) is Phase.ESTOP
    assert len(of(active, WriteStop)) == 1


def test_a_stop_ordered_without_a_session_is_sent_when_there_is_one_even_after_a_reboot(
    active: Site,
) -> None:
    active.cut()
    active.run(1)
    active.tell(EstopOrdered("e"))
    assert active.kept == KeepPhase(Phase.ESTOP, stop_owed=True)
    active.power_on()
    active.run(3)
    assert of(active, WriteStop) == []
    active.mend()
    active.run(3)
    assert len(of(active, WriteStop)) == 1


def test_a_stop_that_never_left_the_box_is_tried_again_and_one_of_unknown_outcome_is_not(
    active: Site,
) -> None:
    active.tell(EstopOrdered("e"))
    active._queue.clear()
    stop = of(active, WriteStop)[0]
    assert isinstance(stop, WriteStop)
    active.tell(WriteDone(WriteKind.STOP, stop.token, WriteResult.FAILED))
    active.run(3)
    assert len(of(active, WriteStop)) == 2
    active.tell(WriteDone(WriteKind.STOP, active.state.token, WriteResult.UNKNOWN))
    active.run(10)
    assert len(of(active, WriteStop)) == 2


def test_estop_in_monitor_writes_nothing() -> None:
    site = logged(Site(terms=default_terms()))
    site.power_on(enabled=False)
    site.run(5)
    site.tell(EstopOrdered("e"))
    assert refused(site) is Cause.STATE
    assert of(site, *OUTPUTS) == []


# --- stop ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["armed", "active"])
def test_sigterm_idles_and_verifies_before_the_exit(
    name: str, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(name)
    site.tell(StopOrdered())
    assert of(site, MayExit) == []
    assert isinstance(of(site, *OUTPUTS)[0], WriteIdle)
    site.run(5 if name == "armed" else 15)  # what was in force is over when its power is gone, too
    assert of(site, MayExit) == [MayExit(verified=True)]
    assert site.rtac.remote_w == 0


def test_sigterm_gives_up_when_zero_is_not_verified_within_v(active: Site) -> None:
    active.rtac.refuses_zero = True
    active.tell(StopOrdered())
    active.run(29)
    assert of(active, MayExit) == []
    active.run(2)
    assert of(active, MayExit) == [MayExit(verified=False)]


def test_sigterm_in_idle_may_exit_at_once(idle: Site) -> None:
    idle.tell(StopOrdered())
    assert of(idle, MayExit) == [MayExit(verified=True)]


def test_sigterm_without_a_session_may_exit_at_once_unverified(fresh: Site) -> None:
    fresh.tell(StopOrdered())
    assert of(fresh, MayExit) == [MayExit(verified=False)]


# --- heartbeat to the RTAC -----------------------------------------------------------------


def test_the_rtac_heartbeat_counts_every_2_s_and_wraps(idle: Site) -> None:
    idle.run(20)
    beats = [one.value for one in of(idle, WriteHeartbeat) if isinstance(one, WriteHeartbeat)]
    assert len(beats) == 10
    assert beats == list(range(beats[0], beats[0] + 10))


def test_an_echoed_heartbeat_is_the_rtacs_own_and_silent_when_that_stands_still() -> None:
    site = logged(Site(terms=default_terms(heartbeat=HeartbeatForm.ECHO)))
    site.run(10)
    assert of(site, WriteHeartbeat) == []
    site.tell(DerHeartbeatRead(77))
    site.run(10)
    values = [one.value for one in of(site, WriteHeartbeat) if isinstance(one, WriteHeartbeat)]
    assert values == [77]


@pytest.mark.parametrize("form", [HeartbeatForm.ECHO, HeartbeatForm.COUNTER])
def test_a_heartbeat_that_never_left_is_sent_anew_at_once_but_at_a_pace(
    form: HeartbeatForm,
) -> None:
    site = Site(terms=default_terms(heartbeat=form))
    site.tell(DerHeartbeatRead(76))
    site.run(40)
    site.tell(DerHeartbeatRead(77))
    logged(site)
    while not of(site, WriteHeartbeat):
        site.run(0.25)
    site.run(1)
    for seconds in (0, 0.25, 0.25, 2):  # given back, then refused before it leaves
        site.tell(WriteDone(WriteKind.HEARTBEAT, site.state.token, WriteResult.FAILED))
        site.run(seconds)
    values = [one.value for one in of(site, WriteHeartbeat) if isinstance(one, WriteHeartbeat)]
    assert len(values) == 4, "at once, half a second after that one, and behind the next refusal"
    first = values[0]
    assert values == ([77] * 4 if form is HeartbeatForm.ECHO else list(range(first, first + 4)))


def test_a_map_without_a_heartbeat_gets_none() -> None:
    site = logged(Site(terms=default_terms(heartbeat=HeartbeatForm.NONE)))
    site.run(20)
    assert of(site, WriteHeartbeat) == []


def test_challenges_are_issued_every_5_s_in_every_phase(fresh: Site) -> None:
    fresh.run(61)
    assert len(of(fresh, IssueChallenge)) == 12
    assert len(set(of(fresh, IssueChallenge))) == 12


# --- what is not known, and what local hides -----------------------------------------------


def test_interlocks_and_limits_that_were_never_told_forbid_power() -> None:
    state = machine.start(default_terms(), Now(0.0, 0), session="s", enabled=True)
    assert state.unready(0.0) == (Cause.SESSION, "no session")
    state = replace(state, session_up=True, lease=state.lease.issue(0.0).answer("s", 1, 0.1))
    assert state.unready(1.0) == (Cause.INTERLOCK, "interlocks not yet known")
    assert state.clamped_w(1.0) == 0.0


def test_a_setpoint_that_is_no_number_is_never_written_even_without_limits(armed: Site) -> None:
    armed.set_limits(float("inf"), float("inf"))
    armed.dispatch("c1", float("inf"))
    assert refused(armed) is Cause.LIMIT


@pytest.mark.parametrize("seen", [LocalSeen(), SessionLost()])
def test_an_idle_order_is_refused_where_nothing_may_be_written(
    idle: Site, seen: LocalSeen | SessionLost
) -> None:
    idle.rtac.local = isinstance(seen, LocalSeen)
    idle.tell(seen)
    idle.run(11 if isinstance(seen, SessionLost) else 1)
    idle.log = []
    idle.tell(IdleOrdered("i"))
    assert refused(idle) is Cause.STATE
    assert of(idle, *OUTPUTS) == []


def test_a_zero_accepted_before_a_loss_does_not_verify_after_it(active: Site) -> None:
    active.tell(IdleOrdered("i"))
    active.tell(WriteDone(WriteKind.IDLE, active.state.token, WriteResult.ACCEPTED))
    active.tell(SessionLost())
    active.at += 5
    active.log = []
    active.tell(SessionReady())
    assert of(active, WriteIdle), "at once"
    active.tell(EchoRead(0.0, active.at))
    assert phase(active) is Phase.IDLING


def test_latched_writes_idle_again_when_the_authority_returns(latched: Site) -> None:
    latched.rtac.refuses_zero = False
    latched.run(10)
    latched.tell(LocalSeen())
    latched.log = []
    latched.tell(RemoteSeen())
    assert of(latched, WriteIdle)
    latched.run(5)
    latched.log = []
    latched.tell(RemoteSeen())
    assert of(latched, WriteIdle) == [], "told again, not returned again"


def test_latched_is_not_verified_by_the_zero_that_the_site_shows_while_local(
    latched: Site,
) -> None:
    latched.tell(WriteDone(WriteKind.IDLE, latched.state.token, WriteResult.ACCEPTED))
    latched.tell(LocalSeen())
    latched.tell(EchoRead(0.0, latched.at))
    assert latched.state.demand is not None


def test_the_rtac_heartbeat_begins_anew_at_the_last_value_that_the_map_allows() -> None:
    site = logged(Site(terms=default_terms(beats=(5, 8))))
    site.run(20)
    values = [one.value for one in of(site, WriteHeartbeat) if isinstance(one, WriteHeartbeat)]
    assert values[:6] == [5, 6, 7, 8, 5, 6]
    assert set(values) == {5, 6, 7, 8}
