"""The core thread: waits for events, asks the core, carries out effects, feeds systemd."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Protocol

from gateway import clock
from gateway.effects import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.clock import Now

PERIOD_S = 0.25  # the core ticks at least this often


class Core(Protocol):
    """All state of the gateway, behind one pure method."""

    @property
    def wake_at(self) -> float:
        """``mono_s`` at which ``handle`` wants a tick."""
        ...

    def handle(self, event: object | None, now: Now) -> Iterable[object]:
        """Take one event (``None`` is a tick) and return effects, in order."""
        ...


class Inbox:
    """Bounded: a shell that floods the core waits, so that memory does not grow."""

    def __init__(self, *, limit: int = 10_000) -> None:
        self._queue: queue.Queue[object] = queue.Queue(limit)

    def post(self, event: object, /) -> None:
        """Hand an event to the core; waits while the inbox is full."""
        self._queue.put(event)

    def take(self, *, within_s: float) -> object | None:
        """The next event; None when none came in time."""
        try:
            return self._queue.get(timeout=within_s) if within_s > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None


def run(
    core: Core,
    inbox: Inbox,
    perform: Callable[[object], None],
    feed: Callable[[Now], None],
    *,
    now: Callable[[], Now] = clock.now,
) -> Stop:
    """Turn events into effects until the core orders ``Stop``, and return that order.

    ``perform`` only hands work to another thread, so a pass takes microseconds. ``feed`` is
    called once a pass and tells systemd that we live, if every thread made progress.
    """
    while True:
        wait_s = min(PERIOD_S, core.wake_at - now().mono_s)
        event = inbox.take(within_s=wait_s)
        at = now()
        for effect in core.handle(event, at):
            if isinstance(effect, Stop):
                return effect
            perform(effect)
        feed(at)
