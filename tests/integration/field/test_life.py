"""Many sessions, many lives, and the end of the process."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway import clock
from gateway.events import FragmentStored, PollDone, SessionDown, SessionUp, ThreadFault
from gateway.field.dnp3.engine import Engine
from gateway.field.dnp3.session import Dnp3Session
from gateway.field.dnp3.watch import Watch
from gateway.ports import Control, Outcome, OutcomeKind
from tests.fixtures.field import DEADLINE_S, Recorder, Sink, asset
from tests.fixtures.outstation_process import ROOT
from tests.fixtures.py1815_outstation import py1815_outstation
from tests.fixtures.tcp import silent_port
from tests.fixtures.yadnp3_outstation import yadnp3_outstation

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.points.raw import RawPoint
    from tests.fixtures.outstation_process import OutstationProcess

    Stations = Callable[..., OutstationProcess]


def test_twenty_lives_of_an_engine_in_one_process(core: Recorder, sink: Sink) -> None:
    with yadnp3_outstation() as station:
        for life in range(20):
            engine = Engine(core)
            session = Dnp3Session(
                engine,
                asset(station.port),
                critical=frozenset(),
                store=sink,
                poll_done=None,
                post=core,
            )
            mark = core.mark()
            session.start()
            if life % 2:  # every other one is closed before it is up
                core.wait(SessionUp, after=mark)
            session.close(within_s=10)
            engine.close()


def test_a_session_that_is_closed_says_so_and_is_not_tried_again(
    session_to: Callable[..., Dnp3Session], core: Recorder, outstation: Stations
) -> None:
    session = session_to(outstation().port)
    core.wait(SessionUp)
    session.close(within_s=10)
    assert core.wait(SessionDown).cause == "stopped"
    session.close(within_s=10)  # again: nothing


def test_a_session_that_was_never_started_closes(engine: Engine, core: Recorder) -> None:
    session = Dnp3Session(
        engine, asset(1), critical=frozenset(), store=Sink(), poll_done=None, post=core
    )
    session.close(within_s=1)
    assert core.seen == []


def test_eight_sessions_side_by_side_each_hear_their_own_outstation(
    session_to: Callable[..., Dnp3Session], core: Recorder
) -> None:
    makers = [yadnp3_outstation, py1815_outstation] * 4
    with contextlib.ExitStack() as stack:
        stations = [stack.enter_context(make()) for make in makers]
        for number, station in enumerate(stations):
            session_to(station.port, name=f"bess-{number}")
        for number in range(8):
            core.wait(SessionUp, lambda up, number=number: up.asset == f"bess-{number}")  # type: ignore[misc]  # bound early
        for number, station in enumerate(stations):
            station.ask("update", kind="AI", index=1, value=1000 + number)
        for number in range(8):
            core.wait(
                FragmentStored,
                lambda told, number=number: (  # type: ignore[misc]  # bound early
                    told.asset == f"bess-{number}"
                    and any((p.point, p.value) == ("AI1", 1000 + number) for p in told.points)
                ),
            )


def test_a_store_that_stalls_holds_up_its_own_connection_and_no_other(
    session_to: Callable[..., Dnp3Session], core: Recorder
) -> None:
    stuck, free = threading.Event(), threading.Event()

    def store(_asset: str, points: tuple[RawPoint, ...], /) -> None:
        if any(point.value == 666 for point in points):
            stuck.set()
            free.wait(2 * DEADLINE_S)

    answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    with yadnp3_outstation() as slow, yadnp3_outstation() as quick:
        held = session_to(slow.port, name="bess-1", store=store)
        session = session_to(quick.port, name="bess-2")
        for name in ("bess-1", "bess-2"):
            core.wait(SessionUp, lambda up, name=name: up.asset == name)  # type: ignore[misc]  # bound early
        slow.ask("update", kind="AI", index=0, value=666)
        assert stuck.wait(DEADLINE_S)
        session.operate([Control("AO0", 1)], sbo=False, done=answers.put)
        assert answers.get(timeout=DEADLINE_S).kind is OutcomeKind.SUCCESS
        # A beat that left before the store was stuck may still be told; one after it may not.
        mark, last = core.mark(), clock.now().mono_s
        core.wait(PollDone, lambda _: session.beat > last, after=mark)
        assert held.beat <= last
        free.set()


def tasks() -> int:
    """Threads of this process, opendnp3's own among them."""
    return len(list(Path("/proc/self/task").iterdir()))


def assert_gone(before: int) -> None:
    """No more threads than before; the kernel lets one go a moment after it was joined."""
    deadline_s = clock.now().mono_s + DEADLINE_S
    while tasks() > before and clock.now().mono_s < deadline_s:
        os.sched_yield()
    assert tasks() <= before


def test_engines_end_side_by_side_and_twice_is_once(core: Recorder) -> None:
    before = tasks()
    engines = [Engine(core, asset=f"bess-{number}") for number in range(4)]
    assert sys.getswitchinterval() <= 0.0005  # a busy thread must not hold a control up
    assert [engine.name for engine in engines[:2]] == ["dnp3 bess-0", "dnp3 bess-1"]
    ends = [threading.Thread(target=engine.close) for engine in engines * 2]
    for end in ends:
        end.start()
    for end in ends:
        end.join(DEADLINE_S)
        assert not end.is_alive()
    assert_gone(before)


def test_an_engine_that_ends_while_its_session_connects_leaves_no_thread(core: Recorder) -> None:
    before = tasks()
    with silent_port() as port:
        for _ in range(20):
            engine = Engine(core)
            session = Dnp3Session(
                engine, asset(port), critical=frozenset(), store=Sink(), poll_done=None, post=core
            )
            session.start()
            session.close(within_s=10)
            engine.close()
    assert_gone(before)


@pytest.mark.parametrize(("mode", "code"), [("leave", 0), ("raise", 3), ("fork", 4)])
def test_a_process_ends_though_a_session_lives(mode: str, code: int) -> None:
    with yadnp3_outstation() as station:
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fixtures.field_child", str(station.port), mode],
            cwd=ROOT,
            timeout=DEADLINE_S,
            check=False,
        )
    assert ended.returncode == code


def test_a_watch_that_fails_is_told() -> None:
    core = Recorder()

    class Broken:
        def advance(self) -> float | None:
            raise ZeroDivisionError

    watch = Watch(lambda: None, core, name="dnp3-watch bess-1", now=clock.now)
    watch.add(Broken())
    assert core.wait(ThreadFault).thread == "dnp3-watch bess-1"
    watch.close(within_s=5)
