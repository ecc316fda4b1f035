"""The audit log: what was decided about control, and the facts that survive restarts.

One thread owns ``control.db``. It takes every waiting order into one transaction, so that they
share one sync of the disk; the core never waits. The database is not the queue's, so nothing that
happens to the queue (a backlog that drains, a stall, a full quota, damage) reaches it.

What a caller may rely on:
- ``Recorded`` with ``ok``: rows and facts are durable, together. Without: they are not now. They
  stay in memory, in order, and are written once the disk takes them; a command must not go on.
- ``trouble`` stays until its fact is removed, across restarts, however early the next one is.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gateway import clock
from gateway.audit import lock
from gateway.audit.backlog import AuditBacklog
from gateway.audit.chain import TROUBLE
from gateway.audit.file import FILE
from gateway.audit.writer import AuditWriter
from gateway.errors import StoreError
from gateway.events import Recorded, ThreadFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.audit.backlog import WaitingOrder
    from gateway.audit.chain import Head
    from gateway.clock import Now
    from gateway.effects import Record
    from gateway.events import Post

_TURN_S = 0.5  # the thread shows that it lives at least this often, and tries a failing disk


class AuditLog:
    """The log in ``folder``. Every method may be called from any thread.

    Args:
        folder: where ``control.db`` lies; it must exist.
        gateway: id of this gateway, as signed.
        sign: makes a compact JWS of a payload (``audit.device.Device.sign``); it may raise
            ``GatewayError`` or ``OSError`` and is then tried again. None: heads are not signed.
        post: the core's inbox.
        now: both clocks.
    """

    def __init__(
        self,
        folder: Path,
        *,
        gateway: str,
        sign: Callable[[bytes], str] | None,
        post: Post,
        now: Callable[[], Now] = clock.now,
    ) -> None:
        self.path = folder / FILE
        self.beat = now().mono_s  # CLOCK_BOOTTIME second of the thread's last progress
        self._post = post
        self._now = now
        self._writer = AuditWriter(self.path, gateway=gateway, sign=sign, post=post, now=now)
        self._lock = threading.Condition()
        self._backlog = AuditBacklog()
        self._facts: dict[str, str] = {}
        self._fresh = False  # something was handed over since the thread last took
        self._failing = False
        self._open = False
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def head(self) -> Head:
        """The last durable row of the chain."""
        return self._writer.head

    @property
    def latest_ms(self) -> int | None:
        """Unix ms of the newest row at the start; None: there was none."""
        return self._writer.latest_ms

    @property
    def trouble(self) -> str:
        """Why the old file was set aside; "" if none was.

        It is the fact ``TROUBLE``: record that with None once an operator has reset the latch.
        """
        with self._lock:
            return self._facts.get(TROUBLE, "")

    @property
    def waiting(self) -> tuple[int, int]:
        """Entries that are in memory only, and entries that were given up for want of room."""
        with self._lock:
            return self._backlog.entries, self._backlog.lost

    def facts(self) -> dict[str, str]:
        """Every fact as last made durable."""
        with self._lock:
            return dict(self._facts)

    def start(self) -> None:
        """Open the log, check its newest rows and its facts, start the thread.

        A damaged file is set aside and a new chain begins: see ``trouble``.

        Raises:
            StoreError: it cannot be used; the message says why and what would be needed.
        """
        held = lock.hold(self.path.with_name("control.lock"))
        try:
            self._writer.open(kept=held.kept)
            held.keep()
        except BaseException:
            self._writer.close()
            held.release()
            raise
        self._facts = self._writer.facts
        self._open = True
        self._thread = threading.Thread(target=self._run, args=(held,), name="audit", daemon=True)
        self._thread.start()

    def record(self, order: Record) -> None:
        """Hand an order over and return at once; answered by ``Recorded`` if it has a token."""
        with self._lock:
            is_taken = self._open and not self._closing
            if is_taken:
                self._backlog.put(order, self._now())
                self._fresh = True
                self._lock.notify()
        if not is_taken and order.token:
            self._post(Recorded(order.token, ok=False, cause=f"{self.path}: is not open"))

    def close(self, *, within_s: float) -> None:
        """Write what waits, cut the log off, end the thread.

        Raises:
            StoreError: it took longer; what was answered is durable all the same.
        """
        with self._lock:
            self._closing = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join(within_s)
            if self._thread.is_alive():
                text = f"{self.path}: the audit log did not end within {within_s:g} s"
                raise StoreError(text)

    # --- the log's thread ------------------------------------------------------------------

    def _run(self, held: lock.AuditLock) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:  # noqa: BLE001 - the top of a thread
            self._post(ThreadFault("audit", f"{type(error).__name__}: {error}"))
        finally:
            with self._lock:
                self._open = False
                tokens = self._backlog.refused()
            self._answer(tokens, cause=f"{self.path}: the audit log was closed")
            self._writer.close()
            held.release()

    def _turn(self) -> bool:
        with self._lock:
            if not self._closing and not self._fresh:
                self._lock.wait(self._pause_s())
            self._fresh = False
            closing = self._closing
            orders = self._backlog.take()
            given_up, self._backlog.untold = self._backlog.untold, []
        self.beat = self._now().mono_s
        self._answer(given_up, cause=f"{self.path}: too much waits already")
        cause = self._writer.write(orders) if orders else ""
        tokens = [order.token for order in orders if order.token]
        with self._lock:
            self._failing = bool(cause)
            if cause:
                self._backlog.put_back(orders)
                tokens += self._backlog.refused()
            elif orders:
                self._learn(orders)
            rest = bool(self._backlog)
            asked = self._backlog.is_sign_asked and not rest
            self._backlog.is_sign_asked = self._backlog.is_sign_asked and rest
        self._answer(tokens, cause=cause)
        self.beat = self._now().mono_s
        if not rest:
            told = self._writer.tend(is_sign_asked=asked, closing=closing)
            if told is not None:
                with self._lock:
                    self._backlog.put(told, self._now())
                    rest = self._fresh = True
            self.beat = self._now().mono_s
        if rest and not cause:
            with self._lock:
                self._fresh = True
            return True
        return not closing

    def _learn(self, orders: Sequence[WaitingOrder]) -> None:
        for order in orders:
            for key, value in order.facts.items():
                if value is None:
                    self._facts.pop(key, None)
                else:
                    self._facts[key] = value

    def _pause_s(self) -> float:
        if self._failing:
            return _TURN_S
        return min(_TURN_S, self._writer.wake_in_s(self._now()))

    def _answer(self, tokens: Sequence[int], *, cause: str) -> None:
        for token in tokens:
            self._post(Recorded(token, ok=not cause, cause=cause))
