"""What a rude RTAC does, seen on the wire: a tap between master and simulator reads each frame."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Self

import opendnp3 as dnp3
import pytest
from py1815 import link

from gateway.sim.launch import SimProcess
from tests.fixtures.deadline import DEADLINE_S
from tests.fixtures.tcp import Proxy
from tests.integration.sim.recording_master import NEED_TIME, Outcome, RecordingMaster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

READ, SELECT, RESPONSE = 1, 3, 129
FIR, FIN, FIRST_SEGMENT = 0x80, 0x40, 0x40
CLASS_0 = [dnp3.Header.AllObjects(60, 1)]
ALL_CLASSES = [dnp3.Header.AllObjects(60, variation) for variation in (2, 3, 4, 1)]
SUCCESS = Outcome("SUCCESS", 0)
STATUS_ASKED, STATUS_TOLD = 9, 11  # functions of the link layer


class Passed(NamedTuple):
    """One fragment of the application, by its first frame; or a frame without data."""

    up: bool
    at_s: float
    link_function: int
    control: int  # of the application; 0 without data
    function: int
    indications: int
    octets: int  # of the first frame's data


class Tap:
    """Stands between a master and the outstation at ``port``, and reads what passes."""

    def __init__(self, port: int) -> None:
        self._proxy = Proxy(port)
        self._proxy.up, self._proxy.down = self._reader(up=True), self._reader(up=False)
        self.port = self._proxy.port
        self._seen: list[Passed] = []
        self._news = threading.Condition()

    def _reader(self, *, up: bool) -> Callable[[bytes], bytes]:
        frames = link.FrameReader()

        def read(octets: bytes) -> bytes:
            for frame in frames.feed(octets):
                self._note(frame, up=up)
            return octets

        return read

    def _note(self, frame: link.LinkFrame, *, up: bool) -> None:
        data = frame.payload
        if data and not data[0] & FIRST_SEGMENT:
            return
        control, function = (data[1], data[2]) if data else (0, 0)
        iin = data[3] | data[4] << 8 if data and not up else 0
        passed = Passed(
            up, time.monotonic(), int(frame.function), control, function, iin, len(data)
        )
        with self._news:
            self._seen.append(passed)
            self._news.notify_all()

    def mark(self) -> int:
        """How many have passed."""
        with self._news:
            return len(self._seen)

    def wait(self, holds: Callable[[Passed], bool], *, count: int = 1, after: int = 0) -> None:
        """Return when ``count`` for which it holds have passed since ``after``."""

        def there() -> bool:
            return sum(map(holds, self._seen[after:])) >= count

        with self._news:
            assert self._news.wait_for(there, DEADLINE_S), self._seen[-10:]

    def since(self, mark: int) -> list[Passed]:
        """What has passed since ``mark``."""
        with self._news:
            return self._seen[mark:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._proxy.close()


def is_answer(passed: Passed) -> bool:
    return passed.function == RESPONSE


def waited_s(passed: list[Passed]) -> list[float]:
    """Seconds from each octet of the master's until the answer behind it, where one is."""
    return [
        after.at_s - before.at_s
        for before, after in pairwise(passed)
        if before.up and is_answer(after)
    ]


@pytest.fixture
def sim() -> Iterator[SimProcess]:
    with SimProcess("generic-rtac", no_unsolicited=True) as process:
        yield process


@pytest.fixture
def tap(sim: SimProcess) -> Iterator[Tap]:
    with Tap(sim.port) as one:
        yield one


@pytest.fixture
def master(tap: Tap) -> Iterator[RecordingMaster]:
    with RecordingMaster(tap.port, response_timeout_ms=3000) as one:
        one.integrity()
        yield one


def test_an_answer_is_late_by_a_fixed_time_and_the_link_answers_meanwhile(
    sim: SimProcess, tap: Tap, master: RecordingMaster
) -> None:
    sim.fault("answer_delay=0.4")
    mark = tap.mark()
    master.integrity()
    assert min(waited_s(tap.since(mark))) >= 0.4
    sim.fault("answer_delay=2.5")
    mark = tap.mark()
    master.begin(CLASS_0)
    tap.wait(lambda one: one.up and one.function == READ, after=mark)
    assert master.link_answers()
    tap.wait(is_answer, after=mark)
    order = [one.link_function for one in tap.since(mark) if not one.up]
    assert order[0] == STATUS_TOLD  # before the answer that was asked for before it


def test_an_answer_is_late_by_a_time_drawn_from_a_range(
    sim: SimProcess, tap: Tap, master: RecordingMaster
) -> None:
    sim.fault("answer_delay=0.1..0.5")
    mark = tap.mark()
    for _ in range(6):
        master.integrity()
    late_s = waited_s(tap.since(mark))
    assert len(late_s) >= 6
    assert min(late_s) >= 0.1
    assert max(late_s) - min(late_s) > 0.02


def test_lost_answers_to_selects_are_counted_and_the_next_one_is_answered(
    sim: SimProcess, tap: Tap, master: RecordingMaster
) -> None:
    sim.fault("lose_selects=2")
    for _ in range(2):
        mark = tap.mark()
        assert master.operate(dnp3.AnalogOutputInt16(100), 0, sbo=True).summary != "SUCCESS"
        passed = tap.since(mark)
        assert [one.function for one in passed if one.up and one.function == SELECT] == [SELECT]
        assert not any(is_answer(one) for one in passed)
    assert [one["status"] for one in sim.controls("AO0", "SELECT")] == [0, 0]  # it took them
    assert master.operate(dnp3.AnalogOutputInt16(100), 0, sbo=True) == SUCCESS
    assert len(sim.controls("AO0", "OPERATE")) == 1


def test_an_answer_in_slow_fragments_has_so_many_so_far_apart(
    sim: SimProcess, tap: Tap, master: RecordingMaster
) -> None:
    before = set(master.integrity())
    sim.fault("slow_fragments=4:0.3")
    mark = tap.mark()
    assert set(master.integrity()) == before  # the same points, one fragment after the other
    passed = tap.since(mark)
    answers = [one for one in passed if is_answer(one)]
    assert [bool(one.control & FIR) for one in answers] == [True, False, False, False]
    assert [bool(one.control & FIN) for one in answers] == [False, False, False, True]
    assert min(waited_s(passed)[1:]) >= 0.3


def test_an_answer_that_never_says_fin_goes_on_until_it_is_cleared(
    sim: SimProcess, tap: Tap, master: RecordingMaster
) -> None:
    sim.fault("never_fin=0.02")
    mark = tap.mark()
    master.begin(CLASS_0)
    tap.wait(is_answer, count=40, after=mark)
    answers = [one for one in tap.since(mark) if is_answer(one)]
    assert not any(one.control & FIN for one in answers)
    assert [one for one in answers if one.control & FIR] == answers[:1]
    assert min(one.octets for one in answers) > 10  # each with objects
    sim.clear("never_fin")
    tap.wait(lambda one: is_answer(one) and bool(one.control & FIN), after=mark)


def test_events_are_told_late_with_the_time_at_which_they_happened(
    sim: SimProcess, tap: Tap
) -> None:
    with RecordingMaster(tap.port) as master:
        closed = master.integrity()["DBI0"].raw.value
        sim.fault("late_events=600")
        sim.fault("breaker_open")
        opened = master.integrity()["DBI0"].raw  # the present is told at once
        assert opened.value != closed
        assert sim.wait_until(lambda state: state["events_held"] > 0)["events_waiting"] == 0
        assert not any(one.raw.event for one in master.scan(ALL_CLASSES))
        sim.clear("late_events")
        sim.wait_until(lambda state: state["events_held"] == 0)
        master.scan(ALL_CLASSES)
        event = next(one for one in master.events("DBI0") if one.value == opened.value)
        assert event.at_ms <= opened.rt_ms <= event.rt_ms
        sim.fault("late_events=0.5")
        sim.clear("breaker_open")
        state = sim.wait_until(lambda state: state["events_held"] == 0)
        assert state["events_waiting"] > 0


def test_a_battery_echoes_zero_and_its_power_goes_on_and_then_runs_away(
    sim: SimProcess, master: RecordingMaster
) -> None:
    master.operate(dnp3.ControlRelayOutputBlock(dnp3.OperationType.LATCH_ON), 0)
    master.operate(dnp3.AnalogOutputInt16(500), 0)
    sim.wait_until(lambda _: float(master.integrity()["AI1"].raw.value) > 450)
    sim.fault("hold_power")
    assert master.operate(dnp3.AnalogOutputInt16(0), 0) == SUCCESS
    assert sim.state()["setpoint_w"] == 0.0
    shown = master.integrity()
    assert shown["AO0"].raw.value == 0
    assert float(shown["AI1"].raw.value) > 450
    sim.fault("runaway=1500000")
    sim.wait_until(lambda _: float(master.integrity()["AI1"].raw.value) > 1300)
    assert master.integrity()["AO0"].raw.value == 0
    sim.clear()
    sim.wait_until(lambda _: float(master.integrity()["AI1"].raw.value) < 100)


def test_need_time_stays_set_however_often_the_time_is_written(sim: SimProcess, tap: Tap) -> None:
    sim.fault("need_time")
    with RecordingMaster(tap.port, time_sync=True) as master:
        master.wait(lambda: len(sim.records("time_written")) > 2, why="the time")
        mark = tap.mark()
        tap.wait(is_answer, count=2, after=mark)
        answers = [one for one in tap.since(mark) if is_answer(one)]
        assert all(one.indications & NEED_TIME for one in answers)
        sim.clear("need_time")
        tap.wait(lambda one: is_answer(one) and not one.indications & NEED_TIME)


def test_a_link_status_request_is_not_answered_and_a_read_is(
    sim: SimProcess, tap: Tap, master: RecordingMaster
) -> None:
    assert master.link_answers()
    sim.fault("mute_link")
    mark = tap.mark()
    assert not master.link_answers()
    passed = tap.since(mark)
    assert [one.link_function for one in passed if one.up and not one.function] == [STATUS_ASKED]
    assert not any(one.link_function == STATUS_TOLD and not one.up for one in passed)
    assert master.integrity()
    sim.clear("mute_link")
    assert master.link_answers()
