"""The one thread that owns a database: it takes turns until it is closed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gateway.errors import StoreError
from gateway.events import ThreadFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.clock import Now
    from gateway.events import Post

TURN_S = 0.5  # the thread shows that it lives at least this often


class WriterThread:
    """Runs ``turn`` until it returns False; an error that ends it is told to the core.

    Args:
        name: of the thread.
        turn: takes what waits and does it; whether another turn follows.
        ended: closes what the thread owns.
        post: the core's inbox.
        now: both clocks.
    """

    def __init__(
        self,
        name: str,
        *,
        turn: Callable[[], bool],
        ended: Callable[[], None],
        post: Post,
        now: Callable[[], Now],
    ) -> None:
        self.lock = threading.Condition()  # over what is handed to the thread
        self.beat = now().mono_s  # CLOCK_BOOTTIME second of its last progress
        self.is_closing = False
        self._is_running = self._is_woken = False
        self._turn, self._ended, self._post, self._now = turn, ended, post, now
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def is_open(self) -> bool:
        """Whether work may be handed over; asked under the lock."""
        return self._is_running and not self.is_closing

    def start(self) -> None:
        """Begin; everything that the thread owns is open."""
        self._is_running = True
        self._thread.start()

    def wake(self) -> None:
        """Something was handed over; called under the lock."""
        self._is_woken = True
        self.lock.notify()

    def rest(self, pause_s: float) -> None:
        """Wait until something is handed over or the time is over; called under the lock."""
        if not self.is_closing and not self._is_woken:
            self.lock.wait(pause_s)
        self._is_woken = False

    def show_life(self) -> None:
        """The thread came this far."""
        self.beat = self._now().mono_s

    def close(self, *, within_s: float, what: str) -> None:
        """Let it do what waits, and wait for its end.

        Raises:
            StoreError: it took longer; what was said to be durable is so all the same.
        """
        with self.lock:
            self.is_closing = True
            self.wake()
            running = self._is_running
        if running:
            self._thread.join(within_s)
            if self._thread.is_alive():
                text = f"{what} did not end within {within_s:g} s"
                raise StoreError(text)

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:  # noqa: BLE001 - the top of a thread
            self._post(ThreadFault(self._thread.name, f"{type(error).__name__}: {error}"))
        finally:
            with self.lock:
                self._is_running = False
            self._ended()
