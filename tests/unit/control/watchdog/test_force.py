"""What may be in force is owed zero whatever control may do; silence, the group, and power."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from gateway.control.phases import Phase
from gateway.control.watchdog.effects import (
    Carried,
    ForgetForce,
    KeepGroup,
    KeepPhase,
    MayExit,
    PowerDrifts,
    PowerStays,
    Refuse,
    StopUnknown,
    WriteHeartbeat,
    WriteIdle,
    WriteStop,
)
from gateway.control.watchdog.events import (
    ArmOrdered,
    ControlDisabled,
    EstopOrdered,
    ForceBegun,
    ForceForgotten,
    ForceUnused,
    GroupKept,
    IdleOrdered,
    PowerRead,
    ResetByOperator,
    StopOrdered,
    WriteDone,
    ZeroChosen,
    ZeroDeclared,
)
from gateway.control.watchdog.state import Held
from gateway.control.watchdog.words import WriteKind, WriteResult
from tests.fixtures.watchdog_site import Site, default_terms
from tests.unit.control.watchdog.test_phases import of

BAND_W = 50.0


def made(**terms: float) -> Site:
    site = Site(terms=default_terms(zero_band_w=BAND_W, **terms))
    site.log = []
    return site


def phase(site: Site) -> Phase:
    return site.state.phase


def groups(site: Site) -> int:
    """How many times zero, beat, zero was ordered."""
    return len([one for one in of(site, WriteIdle) if isinstance(one, WriteIdle) and one.beat])


def force(site: Site) -> bool:
    """Whether the disk says that something is in force."""
    return site.in_force


def idled(site: Site, **rtac: object) -> Site:
    """A dispatch was in force; its zero is in the echo, its power not looked at yet."""
    site.activate()
    for name, value in rtac.items():
        setattr(site.rtac, name, value)
    site.tell(IdleOrdered("i"))
    while phase(site) is not Phase.IDLE:
        site.step()
    site.log = []
    return site


# --- in force ---------------------------------------------------------------------------------


def test_a_start_with_control_off_still_writes_the_zero_that_is_owed() -> None:
    site = made()
    site.activate()
    site.power_on(enabled=False)
    assert phase(site) is Phase.STARTUP
    site.run(20)
    assert site.rtac.remote_w == 0
    assert phase(site) is Phase.MONITOR
    assert not force(site)


def test_with_control_off_and_nothing_in_force_a_start_writes_nothing() -> None:
    site = made()
    site.power_on(enabled=False)
    site.run(30)
    assert phase(site) is Phase.MONITOR
    assert of(site, WriteIdle, WriteHeartbeat) == []


def test_what_is_in_force_is_forgotten_when_power_is_gone_and_not_with_the_echo() -> None:
    site = idled(made())
    assert force(site)
    for _ in range(8):
        site.tell(PowerRead(0.0, site.at))
        site.run(0.25)
    assert of(site, ForgetForce) == []
    site.run(12)
    assert of(site, ForgetForce) == [ForgetForce()]
    assert not force(site)


def test_until_that_is_on_the_disk_nobody_arms() -> None:
    site = made()
    site.arm()
    site.tell(ForceBegun(500.0))
    site.tell(IdleOrdered("i"))
    site.run(8)
    site.state = replace(site.state, settling=None, forgetting=True, in_force=True)
    site.tell(ArmOrdered("a"))
    site.tell(ForceForgotten(ok=False))
    site.tell(ArmOrdered("b"))
    assert [one.command_id for one in of(site, Refuse) if isinstance(one, Refuse)] == ["a", "b"]
    site.run(12)  # it is tried again
    site.tell(ArmOrdered("c"))
    assert phase(site) is Phase.ARMED


def test_what_is_tried_again_on_the_disk_looks_at_the_power_once_more() -> None:
    site = made()
    site.arm()
    site.tell(ForceBegun(500.0))
    site.tell(IdleOrdered("i"))
    site.run(8)
    site.state = replace(site.state, settling=None, forgetting=True, in_force=True)
    site.tell(ForceForgotten(ok=False))
    site.rtac.flows_w = 400.0
    site.tell(PowerRead(400.0, site.at))
    site.log = []
    site.run(12)
    assert of(site, ForgetForce) == []
    assert site.state.in_force
    site.rtac.flows_w = None
    site.run(20)
    assert not site.state.in_force


def test_a_dispatch_that_ends_before_its_first_frame_is_zeroed_all_the_same() -> None:
    site = made()
    site.arm()
    site.log = []
    site.tell(ForceBegun(500.0))
    site.tell(ForceUnused())
    assert phase(site) is Phase.IDLING
    assert len(of(site, WriteIdle)) == 1


def test_a_stop_waits_until_what_was_in_force_is_forgotten_but_not_for_ever() -> None:
    site = made()
    site.activate()
    site.tell(StopOrdered())
    while phase(site) is not Phase.IDLE:
        site.step()
    assert of(site, MayExit) == []
    site.run(15)
    assert of(site, ForgetForce, MayExit) == [ForgetForce(), MayExit(verified=True)]


def test_disabling_control_while_the_link_is_down_forgets_nothing() -> None:
    site = made()
    site.activate()
    site.cut()
    site.run(15)
    site.tell(ControlDisabled())
    site.power_on(enabled=False)
    assert phase(site) is Phase.STARTUP
    site.mend()
    site.run(20)
    assert site.rtac.remote_w == 0


def test_estop_and_idle_are_taken_in_monitor_while_something_is_in_force() -> None:
    for order in (EstopOrdered("e"), IdleOrdered("e")):
        site = made()
        site.power_on(enabled=False)
        site.run(3)
        site.tell(order)
        assert of(site, Refuse), order
        site.log = []
        site.state = replace(site.state, in_force=True)
        site.tell(order)
        assert [type(one) for one in of(site, Refuse, Carried)] == [Carried], order
        assert phase(site) is not Phase.MONITOR


# --- silence ----------------------------------------------------------------------------------


def test_a_start_is_silent_until_a_zero_is_accepted() -> None:
    site = made()
    site.rtac.refuses_zero = True
    site.run(3)
    assert of(site, WriteIdle)
    assert of(site, WriteHeartbeat) == []
    site.rtac.refuses_zero = False
    site.run(6)
    assert of(site, WriteHeartbeat)


def test_a_crash_loop_does_not_feed_the_dead_man_while_zero_is_refused() -> None:
    site = made()
    site.activate()
    site.rtac.refuses_zero = True
    for _ in range(60):
        site.power_on()
        site.run(10)
    assert site.rtac.remote_w == 0
    since = 0
    for at, one in site.log or []:
        since = since + 1 if at > 1060 and isinstance(one, WriteHeartbeat) else since
    assert since == 0
    assert groups(site) <= 1


def test_local_at_a_start_is_silent_for_w_and_5_s() -> None:
    site = made()
    site.rtac.local = True
    site.run(19)
    assert phase(site) is Phase.LOCAL
    assert of(site, WriteHeartbeat) == []
    site.run(4)
    assert of(site, WriteHeartbeat)


def test_on_the_way_back_from_local_it_is_silent_until_zero_is_accepted() -> None:
    site = made()
    site.run(30)
    site.switch(local=True)
    site.run(5)
    site.rtac.refuses_zero = True
    site.switch(local=False)
    site.run(1.5)
    site.log = []
    site.run(20)
    assert of(site, WriteHeartbeat) == []


def test_zero_beat_zero_goes_as_one_once_a_demand_and_is_kept_before() -> None:
    site = made()
    site.activate()
    site.rtac.wants_beat = True
    site.power_on()
    site.log = []
    site.run(6)
    assert site.rtac.remote_w == 0
    kept = of(site, KeepGroup, WriteIdle)
    grouped = next(i for i, one in enumerate(kept) if isinstance(one, WriteIdle) and one.beat)
    assert kept.index(KeepGroup(used=True)) < grouped
    assert KeepGroup(used=False) in kept[grouped:]  # a later demand has its own


def test_a_zero_whose_repetition_is_under_way_is_repeated_by_that_one_alone() -> None:
    """Two that order each other's successor would leave the reads no turn."""
    site = made()
    site.activate()
    site.log = []
    site.tell(IdleOrdered("i"))
    site.tell(WriteDone(WriteKind.IDLE, site.state.token, WriteResult.REFUSED))  # the retry
    site.tell(GroupKept(ok=True))  # zero, beat, zero
    _, retry, group = [one for one in of(site, WriteIdle) if isinstance(one, WriteIdle)]
    assert group.beat is not None
    site.tell(WriteDone(WriteKind.IDLE, retry.token, WriteResult.REFUSED))
    demand = site.state.demand
    assert demand is not None
    assert demand.busy_until > site.at + site.terms.idle_repeat_s
    site.tell(WriteDone(WriteKind.IDLE, group.token, WriteResult.REFUSED))
    assert site.state.demand is not None
    assert site.state.demand.busy_until < site.at < site.state.demand.write_at


def test_a_group_that_did_not_help_is_not_used_again_before_an_operators_word() -> None:
    site = made()
    site.activate()
    site.rtac.refuses_zero = True
    site.tell(IdleOrdered("i"))
    site.run(90)
    site.power_on()
    site.run(20)
    assert groups(site) == 1
    site.tell(ResetByOperator())
    site.run(20)
    assert groups(site) == 2


def test_a_zero_that_needs_no_heartbeat_is_grouped_at_an_operators_word_alone() -> None:
    """Commissioning saw it accepted without one; an RTAC may have changed since."""
    site = made(zero_needs_beat=False)
    site.activate()
    site.rtac.refuses_zero = True
    site.tell(IdleOrdered("i"))
    site.run(90)
    assert (phase(site), groups(site)) == (Phase.LATCHED, 0)
    site.tell(ResetByOperator())
    site.run(20)
    assert groups(site) == 1
    site.rtac.refuses_zero = False
    site.run(20)
    assert not site.state.worded


def test_a_zero_that_needs_a_heartbeat_is_grouped_at_its_first_refusal() -> None:
    site = made(zero_needs_beat=True)
    site.activate()
    site.rtac.refuses_zero = True
    site.tell(IdleOrdered("i"))
    site.run(5)
    assert groups(site) == 1


# --- power ------------------------------------------------------------------------------------


def test_zero_in_the_echo_and_power_that_flows_is_told_and_nobody_arms() -> None:
    site = idled(made(), flows_w=400.0)
    site.run(50)
    assert of(site, PowerStays) == [PowerStays(400.0, withheld=True)]
    site.tell(ArmOrdered("a"))
    assert phase(site) is Phase.IDLE
    site.log = []
    site.run(20)
    assert of(site, WriteHeartbeat) == []
    assert force(site)
    site.rtac.flows_w = 0.0
    site.run(20)
    assert not force(site)
    assert of(site, WriteHeartbeat)


def test_a_meters_offset_does_not_end_the_heartbeats() -> None:
    site = idled(made(), offset_w=-80.0)
    site.run(50)
    assert of(site, PowerStays) == [PowerStays(-80.0, withheld=False)]
    assert not site.state.ended
    site.log = []
    site.run(20)
    assert of(site, WriteHeartbeat)


def test_power_that_cannot_be_read_stays_unknown_until_it_is() -> None:
    site = idled(made(), blind=True)
    site.state = replace(site.state, power_at=-1e9)
    site.run(80)
    assert of(site, PowerStays) == [PowerStays(None, withheld=False)]
    assert force(site)
    site.rtac.blind = False
    site.run(20)
    assert not force(site)


def test_power_that_comes_up_in_idle_is_told_after_a_while_and_nobody_arms() -> None:
    site = made()
    site.run(60)
    site.log = []
    site.rtac.flows_w = 300.0
    site.run(40)
    assert of(site, PowerDrifts, PowerStays) == [PowerDrifts(300.0)]
    assert not site.state.ended
    site.tell(ArmOrdered("a"))
    assert phase(site) is Phase.IDLE
    site.rtac.flows_w = 0.0
    site.run(20)
    site.tell(ArmOrdered("b"))
    assert phase(site) is Phase.ARMED


def test_power_that_comes_up_in_idle_forbids_to_arm_at_once() -> None:
    site = made()
    site.run(60)
    site.rtac.flows_w = 300.0
    site.run(6)
    assert of(site, PowerDrifts) == []
    site.tell(ArmOrdered("a"))
    assert phase(site) is Phase.IDLE


# --- an operator's word -------------------------------------------------------------------------


def test_where_the_rows_are_others_nothing_is_written_until_an_operator_chooses() -> None:
    site = made()
    site.activate()
    site.power_on()
    site.state = replace(site.state, blocked=True)
    site.run(40)
    assert phase(site) is Phase.LATCHED
    assert site.kept == KeepPhase(Phase.LATCHED, stop_owed=False)
    site.log = []
    site.run(10)
    assert of(site, WriteIdle, WriteHeartbeat) == []
    site.tell(ZeroChosen())
    site.run(20)
    assert site.rtac.remote_w == 0
    assert phase(site) is Phase.IDLE


def test_while_the_rows_are_others_no_stop_and_no_beat_is_written_and_a_reset_is_no_choice() -> (
    None
):
    site = made()
    site.activate()
    site.power_on()
    site.state = replace(site.state, blocked=True)
    site.run(40)
    assert phase(site) is Phase.LATCHED
    site.log = []
    site.tell(ResetByOperator())
    site.tell(EstopOrdered("e"))
    site.run(40)
    site.switch(local=True)
    site.run(40)
    assert of(site, WriteIdle, WriteHeartbeat, WriteStop) == []
    site.switch(local=False)
    site.run(2)
    site.tell(ZeroChosen())
    site.run(10)
    assert len(of(site, WriteStop)) == 1
    assert site.rtac.remote_w == 0


def test_idle_is_taken_in_every_phase_while_something_is_in_force() -> None:
    for cut in (True, False):
        site = made()
        site.activate()
        site.power_on()
        if cut:
            site.link_up = False
        else:
            site.rtac.local = True
        site.run(5)
        assert phase(site) in (Phase.STARTUP, Phase.LOCAL)
        site.log = []
        site.tell(IdleOrdered("i"))
        assert of(site, WriteIdle) == []
        (carried,) = of(site, Carried)
        assert isinstance(carried, Carried)
        assert "as soon as it may be" in carried.warning


def test_declared_zero_is_forgotten_and_lets_nobody_arm_until_a_zero_is_verified() -> None:
    site = made()
    site.activate()
    site.power_on()
    site.rtac.remote_w = 0.0
    site.rtac.refuses_zero = True
    site.run(4)
    site.tell(ZeroDeclared())
    site.run(1)
    assert not force(site)
    site.tell(ArmOrdered("a"))
    assert phase(site) is not Phase.ARMED
    site.rtac.refuses_zero = False
    site.run(20)
    assert not site.state.declared


# --- the stop ---------------------------------------------------------------------------------


def test_a_stop_in_local_is_owed_and_follows_on_remote() -> None:
    site = made()
    site.run(30)
    site.switch(local=True)
    site.run(3)
    site.log = []
    site.tell(EstopOrdered("e"))
    site.run(20)
    assert of(site, WriteStop) == []
    assert of(site, KeepPhase) == [KeepPhase(Phase.ESTOP, stop_owed=True)]
    (carried,) = of(site, Carried)
    assert isinstance(carried, Carried)
    assert "hard-wired" in carried.warning
    site.switch(local=False)
    site.run(5)
    assert len(of(site, WriteStop)) == 1
    assert site.kept == KeepPhase(Phase.ESTOP, stop_owed=False)


@pytest.mark.parametrize("result", [WriteResult.REFUSED, WriteResult.FAILED])
def test_a_stop_that_certainly_did_not_operate_is_repeated(result: WriteResult) -> None:
    site = made()
    site.run(30)
    site.log = []
    site.tell(EstopOrdered("e"))
    times: list[float] = []
    for _ in range(400):
        before = len(of(site, WriteStop))
        site.step()
        found = of(site, WriteStop)
        if len(found) > before or (before and not times):
            times.append(site.at)
            stop = found[-1]
            assert isinstance(stop, WriteStop)
            site._queue = [one for one in site._queue if not isinstance(one, WriteStop)]
            site.tell(WriteDone(WriteKind.STOP, stop.token, result))
    gaps = [round(b - a) for a, b in pairwise(times)]
    assert gaps[:10] == [2] * 10
    assert gaps[-1] >= 30
    assert site.kept == KeepPhase(Phase.ESTOP, stop_owed=True)


def test_a_stop_of_unknown_outcome_is_told_and_not_repeated() -> None:
    site = made()
    site.run(30)
    site.tell(EstopOrdered("e"))
    site._queue.clear()
    (stop,) = of(site, WriteStop)
    assert isinstance(stop, WriteStop)
    site.tell(WriteDone(WriteKind.STOP, stop.token, WriteResult.UNKNOWN))
    site.run(60)
    assert of(site, StopUnknown) == [StopUnknown()]
    assert len(of(site, WriteStop)) == 1
    site.power_on()
    assert site.state.stop_unknown
    site.run(10)
    site.tell(ResetByOperator())
    site.power_on()
    assert not site.state.stop_unknown


def test_of_a_stop_that_was_under_way_at_a_kill_nobody_knows() -> None:
    site = made()
    site.run(30)
    site.tell(EstopOrdered("e"))
    assert of(site, WriteStop)
    site.power_on()
    assert site.state.stop_unknown
    site.log = []
    site.run(20)
    assert of(site, WriteStop) == []


def test_a_stop_that_was_answered_is_known_after_a_kill() -> None:
    site = made()
    site.run(30)
    site.tell(EstopOrdered("e"))
    site.run(5)
    site.power_on()
    assert not site.state.stop_unknown


def test_a_start_knows_what_was_signed_last() -> None:
    site = made()
    site.in_force, site.last_w = True, 500.0
    site.power_on()
    assert Held(in_force=site.state.in_force, last_w=site.state.last_w) == Held(
        in_force=True, last_w=500.0
    )
