"""Watchdog, lane and executors of one asset together, on a whole core: what leaves, and when.

``ControlSite`` judges every output by itself; a test here adds what it is about.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway import effects, events
from gateway.control.execution.outputs import Output, Rank
from gateway.control.phases import Phase
from gateway.control.watchdog.events import HeartbeatsHeld
from gateway.measured import TimeQuality
from gateway.points.parse import parse_map
from gateway.points.raw import RawPoint
from gateway.ports import CrobOp, Outcome, OutcomeKind, Purpose
from tests.fixtures.control_site import MAP, WATCHDOG, ControlSite, site
from tests.fixtures.execution import NOT_SENT, refused
from tests.fixtures.shippedmaps import FOLDER, shipped

if TYPE_CHECKING:
    from gateway.points.pointmap import PointsMap

REVERSION = b"""\
schema = "bess.map/1"
[map]
id = "rtac-reversion"
vendor = "generic"
model = "rtac"
revision = "1.0.0"
extends = "generic-rtac@1.0.0"
source = "made for tests"
[map.match]
firmware = [">=1.0,<2.0"]
[map.control]
power_method = "watts"
idle_method = "zero"
op_setpoint = "direct"
op_mode = "direct"
order = ["reversion", "setpoint"]
[[points]]
point = "AI20"
name = "reversion_fb"
unit = "s"
[[points]]
point = "AO5"
name = "reversion"
role = "cmd_reversion_s"
variation = "int16"
unit = "s"
feedback = "reversion_fb"
"""


def reversion_map() -> PointsMap:
    text = (FOLDER / "generic" / "rtac-1.0.0.toml").read_bytes()
    return parse_map(REVERSION, file="reversion.toml", base=lambda _: ("rtac-1.0.0.toml", text))


def slow(made: ControlSite) -> None:
    """Let a control be under way for 10 s: whatever is ordered meanwhile waits."""
    made.plant.latency_s = 5.0
    made.command("reserve", percent=30)
    made.run(0.25)
    assert made.outputs[-1][2] == "AO2"
    made.plant.latency_s = 0.05


# --- a frame that waited ------------------------------------------------------------------------


def test_a_heartbeat_that_waited_does_not_leave_in_estop() -> None:
    made = ControlSite()
    made.activate()
    slow(made)
    made.run(3)  # a heartbeat waits now
    made.ask("estop")
    at = made.at
    made.run(30)
    assert made.phase() is Phase.ESTOP
    assert made.written("AO1", since=at) == []
    assert made.written("BO1", since=at) == [CrobOp.PULSE_ON]
    assert made.rtac.remote_w == 0


def test_a_zero_that_waited_does_not_leave_in_local() -> None:
    made = ControlSite()
    made.activate()
    slow(made)
    made.command("idle")
    made.rtac.local = True
    at = made.at
    made.until(lambda: made.phase() is Phase.LOCAL)
    made.run(20)
    assert made.written("AO0", since=at) == made.written("BO0", since=at) == []


def test_a_setpoint_that_waited_leaves_only_inside_the_limits_of_that_instant() -> None:
    made = ControlSite().arm()
    slow(made)
    id_ = made.command("setpoint", powerW=1_400_000)
    at = made.at
    made.run(1)
    made.plant.avail_w = 300_000.0
    made.until(lambda: made.ends(id_) == "succeeded")
    assert set(made.written("AO0", since=at)) == {300}
    assert made.phase() is Phase.ACTIVE


def test_a_command_that_expires_while_its_first_output_waits_never_starts() -> None:
    made = ControlSite().arm()
    slow(made)
    id_ = made.command("setpoint", lives_s=3.0)
    at = made.at
    made.run(20)
    assert made.ends(id_) == "expired"
    assert made.written("AO0", since=at) in ([], [0])


def test_power_that_waited_does_not_leave_after_the_lease() -> None:
    made = ControlSite().arm()
    made.cloud_alive = False
    made.until(lambda: made.lease_until - made.at < 2)
    slow(made)
    made.command("setpoint")
    made.run(20)
    assert [one for one in made.written("AO0") if one] == []
    assert made.phase() is Phase.IDLE


def test_power_that_waited_does_not_leave_while_the_session_is_down() -> None:
    made = ControlSite().arm()
    made.plant.latency_s = 3.0
    made.command("reserve", percent=30)
    made.run(0.25)
    made.plant.latency_s = 0.05
    id_ = made.command("setpoint")
    made.run(0.5)
    made.cut()  # the reserve is never answered, and while the session is down the way is free
    at = made.at
    made.run(9)
    assert [one for one in made.written("AO0", since=at) if one] == []
    assert made.ends(id_) == "aborted"


def test_power_leaves_before_the_end_of_its_lease_or_not_at_all() -> None:
    made = ControlSite().arm()
    made.cloud_alive = False
    made.until(lambda: made.lease_until - made.at < 4)
    made.command("setpoint")
    made.run(0.5)
    found = [one for one in made.operates if one.control.point == "AO0" and one.control.value]
    assert [one.by for one in found] == [made.lease_until]


def test_power_leaves_before_the_end_of_its_duration_or_not_at_all() -> None:
    made = ControlSite().arm()
    made.command("setpoint", durationS=3)
    began = made.at
    made.run(0.5)
    found = [one for one in made.operates if one.control.point == "AO0" and one.control.value]
    assert [began + 3 < one.by <= began + 3.1 for one in found] == [True]


def test_zero_and_stop_are_never_too_late() -> None:
    made = ControlSite()
    made.activate()
    made.ask("estop")
    made.run(3)
    points = {"AO0": 0, "BO1": CrobOp.PULSE_ON}
    found = [one for one in made.operates if points.get(one.control.point) == one.control.value]
    assert {one.control.point for one in found} == {"AO0", "BO1"}
    assert all(math.isinf(one.by) for one in found)


def test_an_aborted_dispatch_sends_not_one_frame_more() -> None:
    made = ControlSite().arm()
    made.plant.latency_s = 1.0
    id_ = made.command("setpoint", powerW=1_500_000)  # steps of 500 kW
    made.run(1)
    made.command("idle")
    at = made.at
    made.run(20)
    assert set(made.written("AO0", since=at)) == {0}
    assert made.ends(id_) == "aborted"


def test_idle_goes_ahead_of_power_that_waits() -> None:
    made = ControlSite()
    made.activate()
    slow(made)
    made.command("setpoint", powerW=900_000)
    made.run(0.5)
    made.command("idle")
    at = made.at
    made.run(15)
    assert made.written("AO0", since=at)[0] == 0
    assert made.rtac.remote_w == 0


def test_a_heartbeat_that_may_count_to_60_begins_anew_and_the_dispatch_goes_on() -> None:
    shipped_map = shipped(MAP)
    rows = [
        replace(row, max=60.0) if row.role == "cmd_heartbeat" else row for row in shipped_map.points
    ]
    made = ControlSite(site(map_ref=replace(shipped_map, points=tuple(rows))))
    made.activate(durationS=600)
    made.run(200)
    assert made.phase() is Phase.ACTIVE
    assert made.rtac.remote_w == 500_000
    beats = made.written("AO1")
    assert (min(beats), max(beats)) == (1, 60)
    assert all(one != other for one, other in itertools.pairwise(beats))


# --- executor and watchdog agree ------------------------------------------------------------------


def test_a_dispatch_that_prepares_does_not_go_on_after_an_idle_and_a_new_arm() -> None:
    made = ControlSite(site(map_ref=reversion_map())).arm()
    made.rtac.loses_answers = True  # the reversion timer's write: outcome unknown, echo right
    id_ = made.command("setpoint")
    made.run(3)
    made.rtac.loses_answers = False
    made.rtac.loses_requests = True  # so the one read of it has no end yet
    made.until(lambda: len(made.written("AO5")) == 1)
    made.command("idle")
    made.rtac.loses_requests = False
    made.until(lambda: made.phase() is Phase.IDLE)
    made.command("arm")
    made.run(20)
    assert made.ends(id_) == "aborted"
    assert [one for one in made.written("AO0") if one] == []


def test_a_command_that_supersedes_in_vain_leaves_the_battery_idle() -> None:
    made = ControlSite()
    first = made.activate()
    made.rtac.refuses_power = True
    second = made.command("setpoint", powerW=700_000)
    made.until(lambda: made.phase() is Phase.IDLE)
    assert (made.ends(first), made.ends(second)) == ("superseded", "failed")
    assert made.rtac.remote_w == 0


def test_a_command_that_supersedes_takes_over_without_a_zero_between() -> None:
    made = ControlSite()
    first = made.activate(400_000)
    at = made.at
    second = made.command("setpoint", powerW=-400_000)
    made.until(lambda: made.ends(second) == "succeeded")
    assert made.ends(first) == "superseded"
    assert made.rtac.remote_w == -400_000
    assert 0 not in made.written("AO0", since=at)[1:]
    assert made.phase() is Phase.ACTIVE


def test_a_dispatch_without_an_executor_is_idled() -> None:
    made = ControlSite()
    made.activate()
    made.control().controller.jobs._under.clear()
    made.run(10)
    assert made.phase() is Phase.IDLE
    assert made.rtac.remote_w == 0


def test_every_executed_command_ends_in_a_final_result_also_one_that_finds_the_site_in_local() -> (
    None
):
    made = ControlSite()
    power = made.activate()
    id_ = made.command("reserve", percent=40)
    made.rtac.local = True  # seen first in the answer to the write
    made.run(2)
    assert made.ends(id_) == "failed"
    assert made.ends(power) == "aborted"
    assert made.phase() is Phase.LOCAL


def test_a_ramp_from_charging_obeys_the_window_of_charging() -> None:
    made = ControlSite()
    made.activate(-1_000_000)
    made.plant.soc_pct = 95.2
    made.command("setpoint", powerW=500_000, rampWPerS=20_000)
    made.run(20)
    assert made.rtac.remote_w >= 0


# --- the disk ----------------------------------------------------------------------------------


def test_no_output_of_a_command_leaves_before_its_id_is_durable() -> None:
    made = ControlSite().arm()
    made.disk.delay_s = 8.0
    id_ = made.command("setpoint")
    made.run(7.5)
    assert made.written("BO0", since=made.at - 7.5) == []
    assert [one for one in made.written("AO0") if one] == []
    assert made.acks[id_] == "received"  # the receipt does not wait
    made.until(lambda: made.ends(id_) == "succeeded")


def test_a_command_that_expires_while_the_disk_stalls_never_starts() -> None:
    made = ControlSite().arm()
    made.disk.delay_s = 20.0
    id_ = made.command("setpoint", lives_s=15.0)
    made.run(60)
    assert made.ends(id_) == "expired"
    assert [one for one in made.written("AO0") if one] == []


def test_a_command_that_cannot_be_made_durable_fails_and_nothing_leaves() -> None:
    made = ControlSite().arm()
    made.disk.refuses = True
    id_ = made.command("setpoint")
    made.run(10)
    assert made.ends(id_) == "failed"
    assert [one for one in made.written("AO0") if one] == []


def test_a_command_that_waits_for_the_disk_ends_with_an_idle_and_not_with_the_disk() -> None:
    made = ControlSite().arm()
    made.disk.delay_s = 10.0
    id_ = made.command("setpoint", lives_s=120.0)
    made.run(1)
    made.command("idle")
    made.until(lambda: made.phase() is Phase.IDLE, within_s=20)
    made.command("arm")
    made.run(30)
    assert made.ends(id_) == "aborted"
    assert [one for one in made.written("AO0") if one] == []


@pytest.mark.parametrize("disk", ["silent", "refuses"])
def test_a_stop_waits_a_second_for_the_disk_and_no_longer(disk: str) -> None:
    made = ControlSite()
    made.activate()
    setattr(made.disk, disk, True)
    at = made.at
    made.ask("estop")
    made.run(1.5)
    assert made.written("BO1", since=at) == [CrobOp.PULSE_ON]
    assert made.written("AO0", since=at)[0] == 0
    assert made.phase() is Phase.ESTOP


def test_estop_is_durable_before_the_stop_that_it_orders() -> None:
    made = ControlSite()
    made.activate()
    made.disk.delay_s = 0.6
    at = made.at
    made.ask("estop")
    made.run(1.5)
    (stopped_at,) = [when for when, _, point, _ in made.outputs if point == "BO1"]
    assert at + 0.6 <= stopped_at <= at + 0.8


def test_idling_never_needs_the_disk() -> None:
    made = ControlSite()
    made.activate()
    made.disk.silent = True
    made.command("idle")
    made.run(3)
    assert made.phase() is Phase.IDLE
    assert made.rtac.remote_w == 0


# --- outcomes ------------------------------------------------------------------------------------


def test_an_unknown_outcome_is_never_sent_again_and_without_the_echo_idles() -> None:
    made = ControlSite().arm()
    made.rtac.loses_requests = True
    id_ = made.command("setpoint", powerW=400_000)
    made.run(4)
    made.rtac.loses_requests = False
    made.run(20)
    assert made.written("AO0").count(400) == 1
    assert made.ends(id_) == "failed"
    assert made.phase() is Phase.IDLE


def test_an_unknown_outcome_goes_on_where_the_feedback_shows_it() -> None:
    made = ControlSite().arm()
    made.rtac.loses_answers = True
    id_ = made.command("setpoint", powerW=400_000)
    made.run(2)
    made.rtac.loses_answers = False
    made.until(lambda: made.ends(id_) == "succeeded")
    assert made.written("AO0").count(400) == 1


def test_zero_is_sent_at_once_again_and_then_every_2_s_until_it_is_verified() -> None:
    made = ControlSite()
    made.activate()
    made.rtac.refuses_zero, made.plant.refused = True, refused(8)
    made.command("idle")
    at = made.at
    made.run(10)
    times = [when for when, _, point, _ in made.outputs if point == "AO0" and when >= at]
    assert times[2] - times[0] < 1  # again, and once right behind a heartbeat
    gaps = [b - a for a, b in itertools.pairwise(times[3:])]
    assert all(1.9 <= gap <= 2.6 for gap in gaps), gaps


def test_zero_that_is_not_verified_within_v_latches_and_withholds_the_heartbeat() -> None:
    made = ControlSite()
    made.activate()
    made.rtac.refuses_zero = True
    made.command("idle")
    at = made.at
    made.until(lambda: made.phase() is Phase.LATCHED, within_s=WATCHDOG.idle_verify_s + 1)
    latched = made.at
    made.run(20)
    assert made.written("AO1", since=latched + 0.25) == []
    assert made.rtac.remote_w == 0, "the RTAC's dead-man"
    assert made.at - at < 60
    made.rtac.refuses_zero = False
    made.run(60)
    assert made.phase() is Phase.LATCHED, "only an operator leads out"
    made.power_on()
    made.run(60)
    assert made.phase() is Phase.LATCHED, "nor does a restart"
    made.ask("reset", operator=False)
    assert made.phase() is Phase.LATCHED, "nor anybody else"
    made.ask("reset")
    made.until(lambda: made.phase() is Phase.IDLE)


def test_a_session_that_is_lost_for_10_s_is_blind_and_comes_back_with_idle_first() -> None:
    made = ControlSite()
    id_ = made.activate()
    made.cut()
    made.run(12)
    assert made.phase() is Phase.BLIND
    assert made.ends(id_) == "aborted"
    made.mend()
    at = made.at
    made.until(lambda: made.phase() is Phase.IDLE)
    assert made.written("AO0", since=at)[0] == 0


@pytest.mark.parametrize("resumes", [True, False])
def test_a_restart_of_the_outstation_idles_and_resumes_nothing(resumes: bool) -> None:
    made = ControlSite()
    id_ = made.activate()
    made.restart_rtac(resumes=resumes)
    made.until(lambda: made.phase() is Phase.IDLE, within_s=10)
    assert made.ends(id_) == "aborted"
    assert made.rtac.remote_w == 0
    made.run(60)
    assert made.phase() is Phase.IDLE


def test_the_local_switch_idles_and_on_the_way_back_idle_is_first() -> None:
    made = ControlSite()
    id_ = made.activate()
    made.rtac.local = True
    made.until(lambda: made.phase() is Phase.LOCAL, within_s=6)
    assert made.ends(id_) == "aborted"
    made.run(10)
    made.rtac.local = False
    at = made.at
    made.until(lambda: made.phase() is Phase.IDLE)
    assert made.written("AO0", since=at)[0] == 0
    assert made.rtac.remote_w == 0


def test_a_short_loss_with_an_equal_echo_keeps_the_dispatch() -> None:
    made = ControlSite()
    made.activate()
    made.cut()
    made.run(4)
    made.mend()
    made.run(10)
    assert made.phase() is Phase.ACTIVE


def test_an_answer_that_comes_after_the_session_was_lost_resumes_nothing() -> None:
    made = ControlSite().arm()
    made.plant.latency_s = 6.0
    made.command("setpoint")
    made.run(1)
    made.cut()
    made.run(14)
    assert made.phase() is Phase.BLIND
    made.plant.latency_s = 0.05
    made.mend()
    made.run(20)
    assert made.phase() is Phase.IDLE
    assert made.rtac.remote_w == 0


def test_a_wall_clock_that_jumps_alters_no_lease_and_no_duration() -> None:
    ends = []
    for jump_ms in (0, 10**10, 90_000):
        made = ControlSite()
        made.activate(durationS=20)
        began = made.at
        made.run(3)
        made.wall_ms += jump_ms
        made.until(lambda made=made: made.phase() is not Phase.ACTIVE)  # type: ignore[misc]  # bound now
        ends.append(made.at - began)
    assert len(set(ends)) == 1


def test_the_answer_to_an_older_poll_is_not_the_one_read_of_the_feedback() -> None:
    made = ControlSite().arm()
    made.rtac.loses_requests = True
    id_ = made.command("setpoint", powerW=400_000)
    made.run(2)
    made.post(events.PollDone("bess-1", "critical", ok=True, cause="", at=made.now()))
    assert made.ends(id_) == "executing"
    made.run(15)
    assert made.ends(id_) == "failed"


def test_a_loss_of_the_cloud_idles_within_bound_a() -> None:
    made = ControlSite()
    id_ = made.activate()
    made.cloud_alive = False
    last = max(made.issued.values())
    made.until(lambda: made.rtac.remote_w == 0)
    assert made.at - last <= WATCHDOG.lease_s + 0.25 + 6.0
    made.until(lambda: made.phase() is Phase.IDLE)
    assert made.ends(id_) == "aborted"
    made.cloud_alive = True
    made.run(120)
    assert made.phase() is Phase.IDLE, "a lease that comes back never arms by itself"


def test_tcp_loss_and_return_of_the_broker_are_no_life() -> None:
    made = ControlSite()
    made.activate()
    made.post(events.BrokerDown("lost", made.now()))
    made.run(2)
    assert made.phase() is Phase.ACTIVE, "a lost connection by itself ends nothing"
    made.cloud_alive = False
    until = made.lease_until
    while made.at < until + 1:
        made.post(events.BrokerUp(100, made.now()))
        made.run(1)
    made.run(2)
    assert made.lease_until == until
    assert (made.phase(), made.rtac.remote_w) == (Phase.IDLE, 0)


def test_sigterm_idles_and_verifies_before_the_process_ends() -> None:
    made = ControlSite()
    made.activate()
    made.post(events.StopAsked("SIGTERM"))
    assert not made.stopped
    made.until(lambda: made.stopped)
    assert made.rtac.remote_w == 0


def test_a_heartbeat_that_the_session_holds_gives_way_to_less_power() -> None:
    made = ControlSite()
    made.activate()
    made.plant.latency_s = 2.0
    before = made.operates[-1]
    made.until(lambda: made.operates[-1] is not before)
    beat = made.operates[-1]
    assert beat.purpose is Purpose.BEAT
    made.plant.avail_w = 300_000.0
    event_of(made, "AI6", 300.0)
    made.run(0.25)
    assert made.to_field[-1] == effects.GiveWay("bess-1")
    made.post(events.Operated("bess-1", beat.token, NOT_SENT, made.now()))
    assert made.operates[-1].control.value == 300


def test_a_heartbeat_that_the_session_holds_comes_back_once_heartbeats_are_withheld() -> None:
    made = ControlSite()
    made.activate()
    made.plant.latency_s = 2.0
    made.until(lambda: made.control().controller._outputs._out is not None)
    assert made.operates[-1].purpose is Purpose.BEAT
    out = made.control().controller.tell(HeartbeatsHeld(60.0), made.now())
    assert effects.GiveWay("bess-1", withheld=True) in out


def test_a_reduction_goes_before_reads_again_once_a_critical_read_has_ended() -> None:
    made = ControlSite()
    made.activate()

    def less(avail_kw: float) -> bool:
        made.plant.avail_w = avail_kw * 1000
        event_of(made, "AI6", avail_kw)
        made.until(lambda: made.rtac.remote_w == avail_kw * 1000, within_s=4)
        return next(one for one in reversed(made.operates) if one.control.value == avail_kw).first

    made.plant.poll_at = math.inf
    assert [less(400.0), less(380.0), less(360.0)] == [True, False, False]
    outputs = made.control().controller._outputs
    waits = Output(rank=Rank.POWER, owner="id", token=1, controls=(), reduces=True)
    for kind in ("event", "critical", "integrity", "startup"):
        outputs._unread = True
        made.post(events.PollDone("bess-1", kind, ok=False, cause="", at=made.now()))
        assert outputs.goes_first(waits, beat_first=False) is (kind != "event"), kind


# --- only the present counts -------------------------------------------------------------------


def event_of(made: ControlSite, point: str, value: float) -> None:
    """An event that was buffered at the outstation arrives."""
    wall_ms = made.wall_ms - 40_000
    raw = RawPoint(point, value, 1, wall_ms, made.wall_ms, TimeQuality.SYNCED, event=True)
    made.post(events.FragmentStored("bess-1", (raw,), unsolicited=True, at=made.now()))


def test_an_old_echo_settles_no_dispatch_and_accuses_no_other_master() -> None:
    made = ControlSite().arm()
    made.plant.latency_s = 1.4
    made.command("setpoint", powerW=400_000)
    made.run(0.5)
    event_of(made, "AI8", 400.0)  # of a dispatch before this one, 40 s ago
    made.run(0.5)
    held = made.control().controller.state.dispatch
    assert held is None or not held.settled
    made.until(lambda: made.rtac.remote_w == 400_000)
    event_of(made, "AI8", -700.0)
    made.run(12)
    assert made.phase() is Phase.ACTIVE
    assert made.control().monitor.map_ok


def test_an_event_that_says_remote_gives_no_authority_and_one_that_says_local_takes_it() -> None:
    made = ControlSite().arm()
    made.rtac.local = True
    event_of(made, "BI0", 0.0)
    made.run(0.25)
    assert made.phase() is Phase.LOCAL
    event_of(made, "BI0", 1.0)
    assert made.phase() is Phase.LOCAL


def test_an_event_asks_for_a_read_once_a_second_at_most() -> None:
    made = ControlSite().arm()
    asked = []
    for _ in range(20):
        raw = RawPoint("AI8", 0.0, 1, made.wall_ms, made.wall_ms, TimeQuality.SYNCED, event=True)
        out = made.core.handle(
            events.FragmentStored("bess-1", (raw,), unsolicited=True, at=made.now()), made.now()
        )
        asked += [one for one in out if isinstance(one, effects.Poll)]
        made.at += 0.1
    assert 1 <= len(asked) <= 3


def test_an_echo_is_believed_only_where_it_was_asked_for_behind_the_answer() -> None:
    made = ControlSite()
    made.activate()
    made.command("idle")
    made.until(lambda: made.rtac.remote_w == 0)
    state = made.control().controller.state
    assert state.demand is not None
    points = made.plant.points(made.at, made.wall_ms)
    late = events.FragmentStored("bess-1", points, False, made.now(), made.at - 1.0)  # noqa: FBT003
    made.post(late)  # asked for before the zero was answered
    assert made.phase() is Phase.IDLING


def test_the_read_right_behind_a_zero_verifies_it_though_it_began_before_the_core_was_told() -> (
    None
):
    made = ControlSite()
    made.activate()
    made.plant.latency_s = 9.0
    made.command("idle")
    made.until(lambda: made.operates[-1].purpose is Purpose.ZERO)
    made.plant.due.clear()  # what is answered and read from here on stands below
    answered, outcome = made.now(), Outcome(OutcomeKind.SUCCESS, (), "")
    made.at += 0.02
    made.plant.obey(made.operates[-1], made.at)
    made.rtac.scan(made.at + 1.0)
    for _ in ("setpoint", "mode"):
        zero = made.operates[-1]
        made.post(events.Operated("bess-1", zero.token, outcome, answered))
    points = made.plant.points(made.at, made.wall_ms)
    asked_s = answered.mono_s + 0.001
    made.post(events.FragmentStored("bess-1", points, False, made.now(), asked_s))  # noqa: FBT003
    assert made.phase() is Phase.IDLE


def test_a_ramp_does_not_begin_at_a_setpoint_that_never_left() -> None:
    made = ControlSite().arm()
    held = made.control().controller
    made.until(lambda: held._outputs._out is None)
    made.rtac.loses_requests = True
    made.until(lambda: held._outputs._out is not None)  # a heartbeat: no answer comes for 3 s
    began = made.at
    made.command("discharge", powerW=1_500_000)
    made.run(2.25)
    made.command("charge", powerW=700_000, rampWPerS=100_000)
    made.rtac.loses_requests = False
    made.run(30)
    written = [value for value in made.written(since=began) if isinstance(value, int | float)]
    assert written[0] == -200
    assert max(written) <= 0
