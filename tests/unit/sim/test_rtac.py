from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sim.battery import Ratings, charged_to
from gateway.sim.faults import Faults
from gateway.sim.rtac import Habits, Rtac, Status

HABITS = Habits(nameplate_w=2_000_000.0, deadman_s=15.0)
NEW = Rtac(habits=HABITS, started_at=0.0)


def write(rtac: Rtac, role: str, value: float, now: float, limit: float = math.inf) -> Rtac:
    after, status = rtac.order(role, value, now, point="AO0", limit=limit)
    assert status == Status.SUCCESS
    return after


def enabled(now: float = 0.0) -> Rtac:
    return write(write(NEW, "cmd_heartbeat", 1.0, now), "cmd_mode_enable", 1.0, now)


def faulty(rtac: Rtac, now: float, **faults: str) -> Rtac:
    return rtac.with_faults(Faults(faults), now)


def test_a_setpoint_is_in_force_and_echoed() -> None:
    rtac = write(enabled(), "cmd_power", -750_000.0, 1.0)
    assert rtac.target_w(1.0) == rtac.echo("cmd_power", "AO0", 1.0) == -750_000.0


def test_a_setpoint_waits_for_the_mode_enable() -> None:
    rtac = write(NEW, "cmd_power", 5e5, 1.0)
    assert (rtac.setpoint_w(1.0), rtac.target_w(1.0)) == (5e5, 0.0)
    assert write(rtac, "cmd_mode_enable", 1.0, 2.0).target_w(2.0) == 5e5


def test_the_deadman_zeroes_the_setpoint_after_w_seconds_without_a_new_heartbeat() -> None:
    rtac = write(enabled(), "cmd_power", 5e5, 10.0)
    rtac = write(rtac, "cmd_heartbeat", 2.0, 12.0)
    assert rtac.tick(26.9).setpoint_w(26.9) == 5e5
    tripped = rtac.tick(27.0)
    assert (tripped.setpoint_w(27.0), tripped.latched, tripped.last_trip) == (0.0, False, "deadman")
    assert tripped.echo("cmd_power", "AO0", 27.0) == 0.0


def test_writing_the_same_heartbeat_again_is_no_life() -> None:
    rtac = write(write(enabled(), "cmd_power", 5e5, 0.0), "cmd_heartbeat", 2.0, 1.0)
    for second in range(2, 16):
        rtac = write(rtac, "cmd_heartbeat", 2.0, float(second))
    assert rtac.setpoint_w(15.0) == 5e5
    assert rtac.tick(16.0).setpoint_w(16.0) == 0.0


def test_writing_the_setpoint_again_does_not_feed_the_deadman() -> None:
    rtac = enabled()
    for second in range(15):
        rtac = write(rtac, "cmd_power", 5e5, float(second))
    assert rtac.tick(15.0).trips == 1


def test_after_a_trip_only_a_new_setpoint_brings_power_back() -> None:
    rtac = write(enabled(), "cmd_power", 5e5, 0.0).tick(15.0)
    rtac = write(rtac, "cmd_heartbeat", 99.0, 16.0)
    assert rtac.target_w(16.0) == 0.0
    assert write(rtac, "cmd_power", 1e5, 17.0).target_w(17.0) == 1e5


def test_the_deadman_sleeps_while_the_setpoint_is_zero() -> None:
    assert write(enabled(), "cmd_power", 0.0, 0.0).tick(1000.0).trips == 0


def test_without_a_heartbeat_in_the_map_there_is_no_deadman() -> None:
    rtac = replace(NEW, habits=replace(HABITS, has_heartbeat=False, needs_enable=False))
    assert write(rtac, "cmd_power", 5e5, 0.0).tick(1000.0).target_w(1000.0) == 5e5


@given(st.lists(st.tuples(st.floats(0.01, 10.0), st.sampled_from(["beat", "power", "tick"]))))
def test_no_power_outlives_a_dead_heartbeat(script: list[tuple[float, str]]) -> None:
    rtac, now, beat, changed_at = enabled(), 0.0, 1.0, 0.0
    forced_at: float | None = None
    for dt_s, what in script:
        now += dt_s
        if what == "beat":
            beat += 1.0
            rtac, changed_at = write(rtac, "cmd_heartbeat", beat, now), now
        elif what == "power":
            rtac = write(rtac, "cmd_power", 5e5, now)
        else:
            rtac = rtac.tick(now)
        in_force = rtac.setpoint_w(now) != 0.0
        forced_at = (now if forced_at is None else forced_at) if in_force else None
        if forced_at is not None:
            assert now - max(changed_at, forced_at) < HABITS.deadman_s


def test_the_reversion_timer_ends_the_setpoint_and_the_mode() -> None:
    rtac = write(write(enabled(), "cmd_reversion_s", 12.0, 0.0), "cmd_power", 5e5, 0.5)
    assert rtac.tick(11.9).target_w(11.9) == 5e5
    ended = rtac.tick(12.0)
    assert (ended.setpoint_w(12.0), ended.enabled, ended.last_trip) == (0.0, False, "reversion")


def test_writing_the_reversion_time_again_refreshes_it_and_zero_stops_it() -> None:
    rtac = write(enabled(), "cmd_reversion_s", 10.0, 0.0)
    assert write(rtac, "cmd_reversion_s", 10.0, 8.0).reverts_at == 18.0
    assert write(rtac, "cmd_reversion_s", 0.0, 8.0).reverts_at is None


def test_local_refuses_setpoints_takes_heartbeats_and_holds_zero() -> None:
    rtac = faulty(write(enabled(), "cmd_power", 5e5, 0.0), 1.0, local="")
    assert rtac.setpoint_w(1.0) == 0.0
    assert rtac.order("cmd_power", 0.0, 1.0, point="AO0")[1] == Status.LOCAL
    assert rtac.order("cmd_heartbeat", 9.0, 1.0, point="AO1")[1] == Status.SUCCESS


def test_back_at_remote_the_last_setpoint_is_in_force_again() -> None:
    rtac = faulty(write(enabled(), "cmd_power", 5e5, 0.0), 1.0, local="")
    assert faulty(rtac, 5.0).setpoint_w(5.0) == 5e5


@pytest.mark.parametrize(
    ("faults", "value", "status"),
    [
        ({"refuse_controls": "9"}, 1e5, 9),
        ({"refuse_zero": "6"}, 0.0, 6),
        ({"refuse_zero": "6"}, 1e5, 0),
        ({"estop": ""}, 1e5, Status.HARDWARE_ERROR),
        ({"estop": ""}, 0.0, Status.SUCCESS),
        ({}, 3e6, Status.OUT_OF_RANGE),
        ({}, math.nan, Status.OUT_OF_RANGE),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(
    faults: dict[str, str], value: float, status: int
) -> None:
    rtac = faulty(write(enabled(), "cmd_power", 2e5, 0.0), 1.0, **faults)
    after, found = rtac.order("cmd_power", value, 1.0, point="AO0", limit=2e6)
    assert found == status
    assert status == Status.SUCCESS or after == rtac


def test_a_lockout_refuses_power_and_takes_zero() -> None:
    rtac = write(enabled(), "cmd_lockout", 1.0, 0.0)
    assert rtac.order("cmd_power", 1e5, 0.0, point="AO0")[1] == Status.AUTOMATION_INHIBIT
    assert rtac.order("cmd_power", 0.0, 0.0, point="AO0")[1] == Status.SUCCESS


@pytest.mark.parametrize("role", ["cmd_stop", "cmd_disconnect", "cmd_estop", "cmd_lockout"])
def test_whatever_stops_the_plant_stops_its_power(role: str) -> None:
    running = write(enabled(), "cmd_power", 5e5, 0.0)
    assert write(running, role, 1.0, 1.0).target_w(1.0) == 0.0


def test_charge_and_discharge_outputs_of_a_split_map_are_magnitudes() -> None:
    charging = write(enabled(), "cmd_charge", 4e5, 0.0)
    assert charging.setpoint_w(0.0) == -4e5
    assert charging.echo("cmd_charge", "AO0", 0.0) == 4e5
    discharging = write(charging, "cmd_discharge", 3e5, 1.0)
    assert discharging.setpoint_w(1.0) == 3e5
    assert write(discharging, "cmd_discharge", 0.0, 2.0).setpoint_w(2.0) == 0.0


def test_a_restart_forgets_the_setpoint() -> None:
    assert write(enabled(), "cmd_power", 5e5, 0.0).restarted(5.0).target_w(5.0) == 0.0


def test_the_der_heartbeat_counts_seconds_until_it_dies() -> None:
    assert NEW.tick(3.5).beats == 3
    assert faulty(NEW.tick(3.5), 3.6, dead_heartbeat="").tick(60.0).beats == 3


def test_faults_of_the_logic_show_where_they_should() -> None:
    rtac = write(enabled(), "cmd_power", 5e5, 0.0)
    assert faulty(rtac, 1.0, ignore_setpoint="").target_w(1.0) == 0.0
    assert faulty(rtac, 1.0, ignore_setpoint="").echo("cmd_power", "AO0", 1.0) == 5e5
    assert faulty(rtac, 1.0, preempt="100").setpoint_w(1.0) == 100.0
    assert faulty(rtac, 1.0, deaf_heartbeat="").echo("cmd_heartbeat", "AO1", 1.0) == 0.0
    stuck = write(faulty(rtac, 1.0, stuck_echo=""), "cmd_power", 1e5, 2.0)
    assert (stuck.echo("cmd_power", "AO0", 2.0), stuck.target_w(2.0)) == (5e5, 1e5)


def test_a_battery_that_does_not_obey_echoes_and_its_power_goes_on_or_runs_away() -> None:
    rtac = write(enabled(), "cmd_power", 5e5, 0.0)
    held = write(faulty(rtac, 1.0, hold_power=""), "cmd_power", 0.0, 2.0)
    assert (held.echo("cmd_power", "AO0", 2.0), held.target_w(2.0)) == (0.0, 5e5)
    assert write(held, "cmd_stop", 1.0, 3.0).restarted(4.0).target_w(4.0) == 5e5
    assert faulty(held, 3.0).target_w(3.0) == 0.0
    away = write(faulty(rtac, 1.0, runaway="-1e6"), "cmd_power", 0.0, 2.0)
    assert (away.echo("cmd_power", "AO0", 2.0), away.target_w(2.0)) == (0.0, -1e6)


def test_alarms_stay_until_they_are_reset() -> None:
    rtac = faulty(faulty(NEW, 1.0, alarm="over_temp"), 2.0)
    assert rtac.conditions() == {"alarm:over_temp"}
    assert write(rtac, "cmd_alarm_reset", 1.0, 3.0).conditions() == frozenset()


def test_the_power_sign_lies_only_in_what_is_measured() -> None:
    battery = charged_to(Ratings(), 50.0)
    seen = battery.observe(lambda: 0.0)
    honest = NEW.values(battery, seen, 0.0)["power"]
    assert faulty(NEW, 0.0, lie_power_sign="").values(battery, seen, 0.0)["power"] == -float(honest)


def test_the_sites_own_programme_ends_with_the_first_remote_setpoint() -> None:
    rtac = replace(NEW, habits=replace(HABITS, site_cycle_s=100.0))
    assert rtac.target_w(25.0) == pytest.approx(1_000_000.0)
    remote = write(rtac, "cmd_power", 5e5, 26.0)
    assert remote.tick(60.0).target_w(60.0) == 0.0  # tripped: it does not come back either
