"""Which points are stale, and whether the RTAC's logic lives: scripts on monotonic seconds."""

from __future__ import annotations

from gateway.normalize.freshness import Freshness, RtacHeartbeat
from tests.fixtures.batteries import raw


def start(*critical: str) -> Freshness:
    return Freshness(frozenset(critical), integrity_poll_s=300.0)


def test_a_point_that_never_came_is_stale() -> None:
    assert start().is_stale("AI0", 0.0)


def test_a_critical_point_is_stale_at_15_seconds() -> None:
    fresh = start("AI0")
    fresh.hear([raw("AI0", 1)], 0.0)
    assert not fresh.is_stale("AI0", 14.9)
    assert fresh.is_stale("AI0", 15.0)


def test_another_point_is_stale_at_three_integrity_periods() -> None:
    fresh = start("AI0")
    fresh.hear([raw("AI1", 1)], 0.0)
    assert not fresh.is_stale("AI1", 899.9)
    assert fresh.is_stale("AI1", 900.0)


def test_a_quiet_event_driven_point_is_kept_fresh_by_event_polls() -> None:
    fresh = start("AI0")
    fresh.hear([raw("AI0", 1, event=True), raw("AI1", 1, event=True)], 0.0)
    for second in range(2, 4000, 2):
        fresh.polled("event", float(second))
    assert not fresh.is_stale("AI0", 4000.0)
    assert not fresh.is_stale("AI1", 4000.0)


def test_a_quiet_static_point_is_kept_fresh_by_each_read_that_brings_it() -> None:
    fresh = start()
    for second in range(0, 3001, 300):
        fresh.hear([raw("AI1", 1)], float(second))
    assert not fresh.is_stale("AI1", 3899.0)


def test_a_point_that_vanished_from_the_outstation_goes_stale_though_polls_succeed() -> None:
    fresh = start("AI0")
    fresh.hear([raw("AI0", 1)], 0.0)
    for second in (5, 10, 15):
        fresh.polled("critical", float(second))
        fresh.polled("event", float(second))
    assert fresh.is_stale("AI0", 15.0)


def test_a_critical_read_says_nothing_about_events() -> None:
    fresh = start("AI0")
    fresh.hear([raw("AI0", 1, event=True)], 0.0)
    fresh.polled("critical", 14.0)
    assert fresh.is_stale("AI0", 15.0)


def test_a_heartbeat_that_changes_is_alive() -> None:
    beat = RtacHeartbeat()
    beat.session(up=True, now_s=0.0)
    for second in range(0, 60, 5):
        beat.beat(second, float(second))
    assert not beat.is_silent(69.9)
    assert beat.is_silent(70.0)


def test_a_heartbeat_that_is_read_but_does_not_change_is_dead_after_15_seconds() -> None:
    beat = RtacHeartbeat()
    beat.session(up=True, now_s=0.0)
    for second in range(15):
        beat.beat(7, float(second))
    assert not beat.is_dead(14.9)
    assert beat.is_dead(15.0)
    beat.beat(8, 16.0)
    assert not beat.is_dead(16.0)


def test_a_heartbeat_that_never_came_is_silent_15_seconds_after_the_session() -> None:
    beat = RtacHeartbeat()
    assert not beat.is_silent(1e9)
    beat.session(up=True, now_s=100.0)
    assert not beat.is_silent(114.9)
    assert beat.is_silent(115.0)


def test_without_a_session_the_heartbeat_is_silent_but_the_logic_is_not_accused() -> None:
    beat = RtacHeartbeat()
    beat.session(up=True, now_s=0.0)
    beat.beat(1, 1.0)
    beat.session(up=False, now_s=2.0)
    assert beat.is_silent(100.0)
    assert not beat.is_dead(100.0)
    beat.session(up=True, now_s=100.0)
    assert not beat.is_dead(114.0)
    assert beat.is_dead(115.0)
