"""Many sessions, many lives, and the end of the process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway import clock
from gateway.events import FragmentStored, SessionDown, SessionUp, ThreadFault
from gateway.field.dnp3.engine import Engine
from gateway.field.dnp3.session import Dnp3Session
from gateway.field.dnp3.watch import Watch
from tests.fixtures.field import DEADLINE_S, Recorder, Sink, asset
from tests.fixtures.outstation_process import ROOT
from tests.fixtures.py1815_outstation import py1815_outstation
from tests.fixtures.yadnp3_outstation import yadnp3_outstation

if TYPE_CHECKING:
    from collections.abc import Callable

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


@pytest.mark.parametrize(("mode", "code"), [("leave", 0), ("raise", 3)])
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

    watch = Watch(lambda: None, core, now=clock.now)
    watch.add(Broken())
    assert core.wait(ThreadFault).thread == "dnp3-watch"
    watch.close(within_s=5)
