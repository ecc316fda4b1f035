"""Sends heartbeats that are to be late. One thread, so that a delay holds up nothing else."""

from __future__ import annotations

import heapq
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class DelayedSender:
    """Calls ``send`` with each payload when its time has come; starts its thread when needed."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, bytes]] = []
        self._count = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def add(self, payload: bytes, *, delay_s: float) -> None:
        """Send ``payload`` in ``delay_s`` seconds."""
        with self._changed:
            if self._closed:
                return
            self._count += 1
            heapq.heappush(self._due, (time.monotonic() + delay_s, self._count, payload))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="later", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Drop what is not due yet and end the thread."""
        with self._changed:
            self._closed = True
            self._due.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (payload := self._next()) is not None:
            self._send(payload)

    def _next(self) -> bytes | None:
        with self._changed:
            while not self._closed:
                wait_s = self._due[0][0] - time.monotonic() if self._due else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait_s)
        return None
