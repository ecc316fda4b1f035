"""What an attempt to connect leaves behind."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING

from gateway import clock
from gateway.events import SessionDown, SessionUp
from gateway.field.dnp3 import words as w
from gateway.field.dnp3.fragments import FragmentHandler
from gateway.field.dnp3.stack import EndedTask, Stack
from tests.fixtures.field import DEADLINE_S, Recorder, Sink, asset
from tests.fixtures.yadnp3_outstation import yadnp3_outstation

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.field.dnp3.engine import Engine
    from gateway.field.dnp3.session import Dnp3Session

UNUSED_PORT = 9  # discard: nobody listens


class Owner:
    """Waits for one kind of event."""

    def __init__(self, expected: type[w.Event]) -> None:
        self.came = threading.Event()
        self._expected = expected

    def heard(self, stack: Stack) -> None: ...

    def started(self, stack: Stack, task: str) -> None: ...

    def ended(self, stack: Stack, ended: EndedTask) -> None: ...

    def closed(self, stack: Stack) -> None: ...

    def notice(self, _stack: Stack, event: w.Event) -> None:
        if isinstance(event, self._expected):
            self.came.set()


def dropped(
    engine: Engine, core: Recorder, sink: Sink, port: int, *, expected: type[w.Event]
) -> weakref.ref[Stack]:
    """One attempt, from its beginning to its end."""
    points = FragmentHandler("bess-1", sink, core, now=clock.now, late_ms=1000)
    owner = Owner(expected)
    stack = Stack(engine, "bess-1#1", asset(port).dnp3, points=points, owner=owner, now=clock.now)
    stack.open()
    assert owner.came.wait(DEADLINE_S)
    stack.drop()
    return weakref.ref(stack)


def gone(stack: weakref.ref[Stack]) -> bool:
    """Callbacks on their way hold it for an instant."""
    end = threading.Event()
    for _ in range(100):
        gc.collect()
        if stack() is None:
            return True
        end.wait(DEADLINE_S / 100)
    return False


def test_an_attempt_that_nobody_answers_leaves_nothing_in_memory(
    engine: Engine, core: Recorder, sink: Sink
) -> None:
    assert gone(dropped(engine, core, sink, UNUSED_PORT, expected=w.ConnectFailed))


def test_a_connection_that_ended_leaves_nothing_in_memory(
    engine: Engine, core: Recorder, sink: Sink
) -> None:
    with yadnp3_outstation() as station:
        assert gone(dropped(engine, core, sink, station.port, expected=w.TcpOpened))


def test_a_session_that_was_up_leaves_nothing_of_its_connection_in_memory(
    session_to: Callable[..., Dnp3Session], core: Recorder
) -> None:
    with yadnp3_outstation() as station:
        session = session_to(station.port, link_check_s=0.5)
        core.wait(SessionUp)
        assert session._stack is not None
        stack = weakref.ref(session._stack)
    core.wait(SessionDown)
    assert gone(stack)
