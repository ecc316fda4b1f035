"""A session against both outstations: it polls, hears, stores, reads the clock."""

from __future__ import annotations

import math
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from gateway import clock
from gateway.errors import StoreError
from gateway.events import (
    AttributesRead,
    FragmentLost,
    FragmentStored,
    IinReceived,
    PollDone,
    SessionUp,
)
from gateway.field.dnp3.headers import COUNT
from gateway.measured import TimeQuality
from tests.fixtures.field import DEADLINE_S, Recorder, Sink
from tests.fixtures.py1815_outstation import py1815_outstation
from tests.fixtures.raw_rtac import Function, RawRtac
from tests.fixtures.yadnp3_outstation import yadnp3_outstation

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.field.dnp3.session import Dnp3Session
    from gateway.points.raw import RawPoint
    from tests.fixtures.outstation_process import OutstationProcess

    Stations = Callable[..., OutstationProcess]
    Sessions = Callable[..., Dnp3Session]


NEED_TIME = 0x0010
TIME_FUNCTIONS = (Function.DELAY_MEASURE, Function.RECORD_CURRENT_TIME)


def holds(point: str, value: float) -> Callable[[FragmentStored], bool]:
    return lambda told: any(p.point == point and p.value == value for p in told.points)


def event_of(told: FragmentStored, point: str) -> RawPoint:
    return next(p for p in told.points if p.point == point and p.event)


def test_the_startup_poll_stores_every_point_and_then_the_session_is_up(
    outstation: Stations, session_to: Sessions, core: Recorder, sink: Sink
) -> None:
    session_to(outstation().port)
    core.wait(SessionUp)
    names = {point.point for point in sink.points}
    assert {f"{kind}{index}" for kind in ("AI", "BI") for index in range(10)} <= names
    assert {"DBI0", "CTR0", "AO0", "BO0", "OS0"} <= names
    assert core.wait(PollDone).kind == "startup"
    assert core.wait(IinReceived).names == {"DEVICE_RESTART"}  # then opendnp3 cleared it


def test_an_unsolicited_event_is_stored(
    outstation: Stations, session_to: Sessions, core: Recorder, settled: Callable[[], None]
) -> None:
    station = outstation()
    session_to(station.port, event_poll_s=60)
    settled()
    station.ask("update", kind="AI", index=3, value=42)
    told = core.wait(FragmentStored, holds("AI3", 42))
    assert told.unsolicited
    assert event_of(told, "AI3").flags == 1


def test_an_event_poll_brings_what_an_outstation_without_unsolicited_holds(
    outstation: Stations, session_to: Sessions, core: Recorder, settled: Callable[[], None]
) -> None:
    station = outstation(unsolicited=False)
    session_to(station.port)
    settled()
    station.ask("update", kind="BI", index=2, value=1)
    told = core.wait(FragmentStored, holds("BI2", 1))
    assert not told.unsolicited
    assert event_of(told, "BI2").value == 1


def test_a_burst_of_events_is_read_in_pieces_and_is_one_poll(
    session_to: Sessions, core: Recorder, settled: Callable[[], None]
) -> None:
    with yadnp3_outstation(unsolicited=False, events=5000) as station:
        session = session_to(station.port, event_poll_s=60)
        settled()
        mark, count = core.mark(), 3 * COUNT
        station.ask("burst", count=count, points=10)
        session.poll("event")
        core.wait(PollDone, lambda done: done.kind == "event", after=mark)
    told = [one for one in core.seen[mark:] if isinstance(one, FragmentStored)]
    assert sum(point.event for one in told for point in one.points) >= count
    assert len({one.asked_at for one in told}) >= 3


def test_an_outstation_that_refuses_to_count_is_asked_for_all_its_events(
    session_to: Sessions, core: Recorder
) -> None:
    with RawRtac() as rtac:
        rtac.refused = lambda one: 4 if bytes([60, 2, 8]) in one.objects else 0
        session_to(rtac.port, event_poll_s=0.2)
        for _ in range(2):
            done = core.wait(PollDone, lambda done: done.kind == "event", after=core.mark())
            assert (done.ok, done.cause) == (True, "")
        reads = [one.objects for one in rtac.asked if one.function == Function.READ]
    assert len([one for one in reads if bytes([60, 2, 8]) in one]) == 1
    assert bytes([60, 2, 6, 60, 3, 6, 60, 4, 6]) in reads


def test_with_unsolicited_off_an_event_waits_for_the_poll_that_is_ordered(
    outstation: Stations, session_to: Sessions, core: Recorder, settled: Callable[[], None]
) -> None:
    station = outstation()
    session = session_to(station.port, unsolicited=False, event_poll_s=60)
    settled()
    # opendnp3 switches it on after the integrity poll; ours switches it off before these polls
    for _ in range(2):
        mark = core.mark()
        session.poll("critical")
        session.poll("event")
        core.wait(PollDone, lambda done: done.kind == "event", after=mark)
    station.ask("update", kind="AI", index=3, value=42)
    session.poll("event")
    told = core.wait(FragmentStored, holds("AI3", 42))
    assert not told.unsolicited
    assert not any(stored.unsolicited for stored in core.all(FragmentStored))


def test_the_integrity_poll_comes_at_its_period_and_unchanged_points_are_told(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    session_to(outstation().port, integrity_poll_s=0.3)
    core.wait(SessionUp)
    mark = core.mark()
    core.wait(PollDone, lambda done: done.kind == "integrity" and done.ok, after=mark)
    stored = core.wait(FragmentStored, after=mark)
    assert len(stored.points) > 20


def test_critical_points_are_read_alone_at_their_period(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    session_to(outstation().port, critical=frozenset({"AI1", "AI2", "AI5", "BI3"}))
    core.wait(SessionUp)
    mark = core.mark()
    core.wait(PollDone, lambda done: done.kind == "critical" and done.ok, after=mark)
    stored = core.wait(FragmentStored, after=mark)
    assert {point.point for point in stored.points} == {"AI1", "AI2", "AI5", "BI3"}


def test_a_fragment_says_when_what_it_answers_was_asked_for(
    outstation: Stations, session_to: Sessions, core: Recorder, settled: Callable[[], None]
) -> None:
    station = outstation()
    session = session_to(station.port, event_poll_s=60, critical=frozenset({"AI1"}))
    settled()
    assert core.wait(FragmentStored).asked_at > -math.inf  # the startup poll
    mark, asked_s = core.mark(), clock.now().mono_s
    session.poll("integrity")
    told = core.wait(FragmentStored, lambda one: len(one.points) > 1, after=mark)
    assert asked_s <= told.asked_at <= told.at.mono_s
    station.ask("update", kind="AI", index=3, value=42)
    assert core.wait(FragmentStored, lambda one: one.unsolicited).asked_at == -math.inf


def test_critical_points_that_take_two_requests_are_one_poll(
    session_to: Sessions, core: Recorder
) -> None:
    kinds = ("AI", "BI", "CTR", "AO")
    points = frozenset(f"{kind}{at}" for kind in kinds for at in (0, 2, 4, 6, 8))
    with yadnp3_outstation() as station:
        session = session_to(station.port, critical=points, critical_poll_s=60)
        core.wait(PollDone, lambda done: done.kind == "event")
        mark = core.mark()
        session.poll("critical")
        core.wait(PollDone, lambda done: done.kind == "critical" and done.ok, after=mark)
    told = [one for one in core.seen[mark:] if isinstance(one, FragmentStored)]
    assert {point.point for one in told for point in one.points} >= points


def test_the_link_is_not_checked_while_answers_arrive(session_to: Sessions, core: Recorder) -> None:
    with RawRtac() as rtac:
        rtac.mute_link = True
        session_to(rtac.port, event_poll_s=0.2, link_check_s=1)
        for _ in range(12):
            core.wait(PollDone, lambda done: done.kind == "event", after=core.mark())
        stalls = [b.at_s - a.at_s > 0.9 for a, b in pairwise(rtac.asked)]  # a busy machine's
        assert rtac.link_checks <= sum(stalls)


def test_a_critical_point_that_the_outstation_lacks_makes_the_poll_fail_and_says_why(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    session_to(outstation().port, critical=frozenset({"AI1", "AI777"}))
    done = core.wait(PollDone, lambda done: done.kind == "critical")
    assert not done.ok
    assert "PARAMETER_ERROR" in done.cause
    done = core.wait(PollDone, lambda done: done.kind == "critical" and done.ok)
    assert done.missing == {"AI777"}


def test_a_point_that_the_outstation_lacks_makes_no_other_one_of_its_request_stale(
    session_to: Sessions, core: Recorder
) -> None:
    lacking = bytes([30, 0, 0])
    with RawRtac() as rtac:
        # AI7 is in the range that is asked for: nothing of that request is answered.
        rtac.refused = lambda one: (
            4
            * any(
                one.objects[at : at + 3] == lacking
                and one.objects[at + 3] <= 7 <= one.objects[at + 4]
                for at in range(0, len(one.objects) - 4, 5)
            )
        )
        points = frozenset(f"AI{index}" for index in range(20))
        session_to(rtac.port, critical=points, critical_poll_s=0.2)
        done = core.wait(PollDone, lambda done: done.kind == "critical" and done.ok)
        assert done.missing == {"AI7"}
        rtac.wait(lambda one: one.objects == bytes([30, 0, 0, 0, 6, 30, 0, 0, 8, 19]))


def test_a_critical_request_that_is_refused_is_named_and_keeps_the_next_from_nothing(
    session_to: Sessions, core: Recorder
) -> None:
    first, last = bytes([30, 0, 0, 0, 0]), bytes([30, 0, 0, 38, 38])  # AI0, AI38
    with RawRtac() as rtac:
        rtac.refused = lambda one: 4 if first in one.objects else 0
        points = frozenset(f"AI{index}" for index in range(0, 40, 2))  # 20 ranges, 16 a request
        session_to(rtac.port, critical=points)
        done = core.wait(PollDone, lambda done: done.kind == "critical")
        rtac.wait(lambda one: last in one.objects)
    assert not done.ok
    assert done.cause.startswith("the outstation refuses AI0, AI2, AI4, ")
    assert done.cause.endswith(", AI30: PARAMETER_ERROR")


def test_a_restart_of_the_outstation_orders_an_integrity_poll(
    outstation: Stations, session_to: Sessions, core: Recorder, settled: Callable[[], None]
) -> None:
    station = outstation()
    session_to(station.port)
    settled()
    mark = core.mark()
    restart(station)
    core.wait(IinReceived, lambda told: "DEVICE_RESTART" in told.names, after=mark)
    core.wait(PollDone, lambda done: done.kind == "integrity" and done.ok, after=mark)
    core.wait(IinReceived, lambda told: "DEVICE_RESTART" not in told.names, after=mark)


def test_an_outstation_that_claims_a_restart_for_ever_is_not_stormed_with_polls(
    session_to: Sessions, core: Recorder, settled: Callable[[], None]
) -> None:
    with py1815_outstation() as station:
        session_to(station.port, event_poll_s=0.2)
        settled()
        station.ask("stuck_restart")
        mark = core.mark()
        core.wait(IinReceived, lambda told: "DEVICE_RESTART" in told.names, after=mark)
        for _ in range(10):
            mark = core.mark()
            core.wait(PollDone, lambda done: done.kind == "event", after=mark)
        polls = [done for done in core.all(PollDone) if done.kind == "integrity"]
        assert len(polls) <= 2


def test_after_a_restart_unsolicited_events_come_again(
    outstation: Stations, session_to: Sessions, core: Recorder, settled: Callable[[], None]
) -> None:
    station = outstation()
    session = session_to(station.port, event_poll_s=60)
    settled()
    core.wait(IinReceived, lambda told: "DEVICE_RESTART" not in told.names)
    restart(station)
    mark = core.mark()
    session.poll("event")  # so that the indication is seen
    core.wait(PollDone, lambda done: done.kind == "integrity" and done.ok, after=mark)
    core.wait(IinReceived, lambda told: "DEVICE_RESTART" not in told.names, after=mark)
    station.ask("update", kind="AI", index=3, value=42)
    assert core.wait(FragmentStored, holds("AI3", 42), after=mark).unsolicited


def restart(station: OutstationProcess) -> None:
    try:
        station.ask("restart_iin")  # yadnp3's
    except RuntimeError:
        station.ask("restart")  # py1815's


def test_an_event_buffer_overflow_orders_an_integrity_poll(
    outstation: Stations, session_to: Sessions, core: Recorder, settled: Callable[[], None]
) -> None:
    station = outstation(events=5, unsolicited=False)
    session = session_to(station.port, event_poll_s=60)
    settled()
    mark = core.mark()
    for value in range(20):
        station.ask("update", kind="AI", index=1, value=value + 100)
    session.poll("event")
    core.wait(IinReceived, lambda told: "EVENT_BUFFER_OVERFLOW" in told.names, after=mark)
    core.wait(PollDone, lambda done: done.kind == "integrity" and done.ok, after=mark)


def test_every_variation_of_an_integrity_poll_is_kept_as_sent(
    session_to: Sessions, core: Recorder, sink: Sink
) -> None:
    with py1815_outstation(floats=[1.5, math.nan, math.inf, -math.inf]) as station:
        session_to(station.port)
        core.wait(SessionUp)
    got = {point.point: point for point in sink.points}
    assert got["AI1000"].value == 1.5
    assert math.isnan(float(got["AI1001"].value))
    assert (got["AI1002"].value, got["AI1003"].value) == (math.inf, -math.inf)
    assert (got["DBI0"].value, got["DBI0"].flags) == (2, 1)
    assert (got["DBI1"].value, got["DBI1"].flags) == (3, 1)
    assert (got["AI2000"].value, got["AI2000"].flags) == (-7, None)
    assert (got["CTR0"].value, got["CTR0"].flags) == (4_000_000_000, None)
    assert got["OS0"].value == "A\\xff"
    assert (got["AO0"].value, type(got["AO0"].value)) == (2**31 - 1, int)
    assert (got["BO0"].value, got["BO0"].flags) == (1, 1)
    assert {point.tq for point in sink.points} == {TimeQuality.GATEWAY}


def test_the_time_of_an_event_is_the_outstations_and_its_quality_is_told(
    session_to: Sessions, core: Recorder, settled: Callable[[], None]
) -> None:
    now_ms = clock.now().unix_ms
    with py1815_outstation(clock_set=False) as station:
        # what waited at the outstation is old and not skewed
        station.ask("update", kind="AI", index=1, value=11, at_ms=now_ms - 86_400_000)
        session_to(station.port)
        waited = event_of(core.wait(FragmentStored, holds("AI1", 11)), "AI1")
        assert (waited.tq, waited.at_ms) == (TimeQuality.SYNCED, now_ms - 86_400_000)
        settled()
        station.ask("update", kind="AI", index=1, value=12, at_ms=now_ms - 60_000)
        skewed = event_of(core.wait(FragmentStored, holds("AI1", 12)), "AI1")
        assert (skewed.tq, skewed.at_ms) == (TimeQuality.SKEWED, now_ms - 60_000)
        station.ask("update", kind="BI", index=1, value=1, at_ms=now_ms)
        unset = event_of(core.wait(FragmentStored, holds("BI1", 1)), "BI1")
        assert (unset.tq, unset.at_ms) == (TimeQuality.UNSYNCED, now_ms)


@pytest.mark.parametrize("mode", ["lan", "serial"])
def test_time_is_written_when_asked_for_and_allowed_and_it_is_the_present(
    session_to: Sessions, core: Recorder, mode: str
) -> None:
    with py1815_outstation(need_time=True) as station:
        began_ms = clock.now().unix_ms
        session_to(station.port, time_sync=mode)
        core.wait(IinReceived, lambda told: "NEED_TIME" in told.names)
        core.wait(IinReceived, lambda told: "NEED_TIME" not in told.names)
        written_ms = station.ask("time")["time_ms"]
        # Over a serial line half the round trip is added, of which a part was the outstation's.
        early_ms = 1000 if mode == "serial" else 0
        assert began_ms <= written_ms <= clock.now().unix_ms + early_ms


@pytest.mark.parametrize(("mode", "variation"), [("lan", 3), ("serial", 1)])
def test_the_time_that_is_written_is_that_of_the_instant_which_the_standard_names(
    session_to: Sessions, core: Recorder, mode: str, variation: int
) -> None:
    slow_s = 0.4
    with RawRtac() as rtac:
        rtac.iin, rtac.delay_s = NEED_TIME, {Function.DELAY_MEASURE: slow_s}
        session_to(rtac.port, time_sync=mode)
        first = rtac.wait(lambda one: one.function in TIME_FUNCTIONS)
        write = rtac.wait(lambda one: one.function == Function.WRITE)
        rtac.iin = 0
        core.wait(PollDone, lambda done: done.kind == "event", after=core.mark())
    assert first.function == TIME_FUNCTIONS[mode == "lan"]
    assert write.objects[:4] == bytes([50, variation, 7, 1])
    written_ms = int.from_bytes(write.objects[4:], "little")
    meant = first if mode == "lan" else write
    way_s = 0 if mode == "lan" else slow_s / 2
    assert written_ms / 1000 == pytest.approx(meant.unix_s + way_s, abs=0.1)


def test_an_outstation_that_needs_time_for_ever_is_not_stormed(
    session_to: Sessions, core: Recorder
) -> None:
    with RawRtac() as rtac:
        rtac.iin = NEED_TIME
        session_to(rtac.port, time_sync="lan", event_poll_s=0.2)
        for _ in range(10):
            core.wait(PollDone, lambda done: done.kind == "event", after=core.mark())
        asked = [one.function for one in rtac.asked if one.function in TIME_FUNCTIONS]
        assert 1 <= len(asked) <= 2


def test_a_clock_whose_functions_are_refused_is_asked_for_again_at_a_pace(
    session_to: Sessions, core: Recorder
) -> None:
    with RawRtac() as rtac:
        rtac.iin, rtac.refused = NEED_TIME, lambda one: one.function in TIME_FUNCTIONS
        session_to(rtac.port, time_sync="lan", event_poll_s=0.2)
        for _ in range(10):
            core.wait(PollDone, lambda done: done.kind == "event", after=core.mark())
        asked = [one.function for one in rtac.asked]
        assert 1 <= asked.count(Function.RECORD_CURRENT_TIME) <= 2
        assert Function.WRITE not in asked


def test_time_is_not_written_by_default(session_to: Sessions, core: Recorder) -> None:
    with py1815_outstation(need_time=True) as station:
        session_to(station.port)
        core.wait(PollDone, lambda done: done.kind == "event")
        assert station.ask("time")["time_ms"] is None
    with yadnp3_outstation() as station:
        station.ask("iin", needTime=True)
        session_to(station.port, name="bess-2")
        core.wait(PollDone, lambda done: done.asset == "bess-2" and done.kind == "event")
        assert station.ask("time")["time_ms"] is None


def test_device_attributes_are_read_where_there_are_any(
    session_to: Sessions, core: Recorder
) -> None:
    with py1815_outstation(attributes={"252": "ACME", "242": "R10"}) as station:
        session_to(station.port)
        assert core.wait(AttributesRead).attributes == {252: "ACME", 242: "R10"}


def test_no_device_attributes_is_no_fault(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    session_to(outstation().port)
    done = core.wait(PollDone, lambda done: done.kind == "attributes")
    assert done.ok
    assert core.all(AttributesRead) == []


def test_a_store_that_fails_is_a_loss_that_is_told_and_the_session_goes_on(
    outstation: Stations,
    session_to: Sessions,
    core: Recorder,
    sink: Sink,
    settled: Callable[[], None],
) -> None:
    station = outstation()
    session_to(station.port)
    settled()
    sink.fault = StoreError("no space left on device")
    station.ask("update", kind="AI", index=3, value=42)
    lost = core.wait(FragmentLost)
    assert (lost.count, lost.reason) == (1, "no space left on device")
    sink.fault = None
    station.ask("update", kind="AI", index=3, value=43)
    core.wait(FragmentStored, holds("AI3", 43))


def test_the_end_of_every_poll_is_told_on_the_dnp3_thread_after_its_fragments(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    seen: list[tuple[str, str, int]] = []
    stored_by: set[int] = set()

    def store(_asset: str, _points: tuple[RawPoint, ...], /) -> None:
        stored_by.add(threading.get_ident())

    def poll_done(name: str, kind: str) -> None:
        seen.append((name, kind, threading.get_ident()))

    session_to(
        outstation().port,
        store=store,
        poll_done=poll_done,
        critical=frozenset({"AI1"}),
        integrity_poll_s=0.4,
    )
    for kind in ("startup", "event", "critical", "integrity"):
        core.wait(PollDone, lambda done, kind=kind: done.kind == kind)  # type: ignore[misc]  # bound early
    assert {kind for _, kind, _ in seen} == {"startup", "event", "critical", "integrity"}
    assert {name for name, _, _ in seen} == {"bess-1"}
    assert {thread for _, _, thread in seen} == stored_by


def test_a_flush_that_fails_is_a_loss_that_is_told(
    outstation: Stations, session_to: Sessions, core: Recorder
) -> None:
    def poll_done(_name: str, _kind: str) -> None:
        raise StoreError("disk I/O error")  # noqa: EM101, TRY003 - as a store would

    session_to(outstation().port, poll_done=poll_done)
    lost = core.wait(FragmentLost)
    assert "disk I/O error" in lost.reason
    core.wait(SessionUp)


def test_the_beat_stops_while_the_dnp3_thread_is_stuck_and_goes_on_after(
    outstation: Stations, session_to: Sessions, settled: Callable[[], None]
) -> None:
    stuck, free = threading.Event(), threading.Event()

    def store(_asset: str, points: tuple[RawPoint, ...], /) -> None:
        if any(point.value == 666 for point in points):
            stuck.set()
            free.wait(DEADLINE_S)

    station = outstation()
    session = session_to(station.port, store=store)
    settled()
    before = session.beat
    assert wait_until(lambda: session.beat > before)
    station.ask("update", kind="AI", index=0, value=666)
    assert stuck.wait(DEADLINE_S)
    last = session.beat
    # the watch goes on and asks: three of its periods pass without an answer
    assert wait_until(lambda: clock.now().mono_s > last + 1.5)
    assert session.beat == last
    free.set()
    assert wait_until(lambda: session.beat > last)


def wait_until(holds_now: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    tick = threading.Event()
    while time.monotonic() < deadline:
        if holds_now():
            return True
        tick.wait(0.02)
    return False
