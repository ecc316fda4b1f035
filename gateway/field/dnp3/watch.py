"""One small thread that keeps the time of a connection's sessions and proves opendnp3 alive.

opendnp3 may only be enabled, disabled and shut down from a thread that is not its own (from a
callback it crashes, yadnp3 3.2.1.4), so everything that sessions order happens here.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Protocol

from gateway.events import ThreadFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.clock import Now
    from gateway.events import Post

log = logging.getLogger(__name__)

PULSE_S = 0.5  # the service watchdog wants progress within 2 s


class Member(Protocol):
    """Somebody whose time is kept."""

    def advance(self) -> float | None:
        """Do what is due; return the CLOCK_BOOTTIME second of the next deadline, if any."""
        ...


class Watch:
    """Runs ``advance`` of its members when woken or when a deadline passed.

    Args:
        pulse: asks opendnp3's thread for a sign of life; called every 0.5 s.
        post: takes the ``ThreadFault`` if anything here fails; the thread then ends.
        name: of the thread.
        now: both clocks.
    """

    def __init__(
        self,
        pulse: Callable[[], None],
        post: Post,
        *,
        name: str = "dnp3-watch",
        now: Callable[[], Now],
    ) -> None:
        self._pulse, self._post, self._now = pulse, post, now
        self._members: tuple[Member, ...] = ()
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._guarded, name=name, daemon=True)
        self._thread.start()

    def add(self, member: Member) -> None:
        """Keep this member's time from now on."""
        with self._lock:
            self._members += (member,)
        self._woken.set()

    def remove(self, member: Member) -> None:
        """Forget this member."""
        with self._lock:
            self._members = tuple(other for other in self._members if other is not member)

    def wake(self) -> None:
        """Something happened: let every member look."""
        self._woken.set()

    def close(self, *, within_s: float) -> None:
        """End the thread; return when it ended or after ``within_s`` seconds."""
        self._over = True
        self._woken.set()
        self._thread.join(within_s)

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:
            log.exception("the DNP3 watch failed")
            self._post(ThreadFault(self._thread.name, f"{type(error).__name__}: {error}"))

    def _run(self) -> None:
        pulse_at_s = 0.0
        while not self._over:
            self._woken.clear()
            now_s = self._now().mono_s
            if now_s >= pulse_at_s:
                self._pulse()
                pulse_at_s = now_s + PULSE_S
            due = [pulse_at_s]
            due += [at_s for member in self._members if (at_s := member.advance()) is not None]
            self._woken.wait(max(0.0, min(due) - self._now().mono_s))
