"""The core thread: waits for events, asks the core, carries out effects, feeds systemd."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

from gateway import clock
from gateway.effects import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.clock import Now

PERIOD_S = 0.25  # the core ticks at least this often


class CoreMachine(Protocol):
    """All state of the gateway, behind one pure method."""

    @property
    def wake_at(self) -> float:
        """``mono_s`` at which ``handle`` wants a tick."""
        ...

    def handle(self, event: object | None, now: Now) -> Iterable[object]:
        """Take one event (``None`` is a tick) and return effects, in order."""
        ...


class Inbox:
    """Bounded: a shell that floods the core waits, so that memory does not grow.

    The core's own thread never waits for itself: what a shell posts while it carries out an
    effect (a message that cannot be published) is kept aside and taken first.
    """

    def __init__(self, *, limit: int = 10_000) -> None:
        self._queue: queue.Queue[object] = queue.Queue(limit)
        self._own: deque[object] = deque()  # posted by the thread that takes
        self._taker: int | None = None
        self._closed = False

    def post(self, event: object, /) -> None:
        """Hand an event to the core; waits while the inbox is full, unless nobody takes."""
        if threading.get_ident() == self._taker:
            self._own.append(event)
        elif not self._closed:
            self._queue.put(event)

    def close(self) -> None:
        """Nobody takes any more: whoever waits in ``post``, or comes later, goes on at once."""
        self._closed = True
        self._taker = None
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()

    def take(self, *, within_s: float) -> object | None:
        """The next event; None when none came in time. One thread alone may take."""
        self._taker = threading.get_ident()
        if self._own:
            return self._own.popleft()
        try:
            return self._queue.get(timeout=within_s) if within_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None


def run(
    core: CoreMachine,
    inbox: Inbox,
    perform: Callable[[object], None],
    feed: Callable[[Now], None],
    *,
    now: Callable[[], Now] = clock.now,
) -> Stop:
    """Turn events into effects until the core orders ``Stop``, and return that order.

    ``perform`` only hands work to another thread, so a pass takes microseconds. ``feed`` tells
    systemd that we live, if every thread made progress; it is called each ``PERIOD_S`` and not
    each pass, because a busy site makes thousands of passes a second.
    """
    feed_at = float("-inf")
    while True:
        wait_s = min(PERIOD_S, core.wake_at - now().mono_s)
        event = inbox.take(within_s=wait_s)
        at = now()
        for effect in core.handle(event, at):
            if isinstance(effect, Stop):
                return effect
            perform(effect)
        if at.mono_s >= feed_at:
            feed_at = at.mono_s + PERIOD_S
            feed(at)
