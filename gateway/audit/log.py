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

from typing import TYPE_CHECKING

from gateway import clock
from gateway.audit.backlog import AuditBacklog
from gateway.audit.chain import TROUBLE
from gateway.audit.file import FILE
from gateway.audit.writer import AuditWriter
from gateway.events import Recorded
from gateway.sqlite.lock import hold
from gateway.sqlite.thread import TURN_S, WriterThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.audit.backlog import WaitingOrder
    from gateway.audit.chain import Head
    from gateway.clock import Now
    from gateway.effects import Record
    from gateway.events import Post
    from gateway.sqlite.lock import FileLock


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
        self._post = post
        self._now = now
        self._writer = AuditWriter(self.path, gateway=gateway, sign=sign, post=post, now=now)
        self._thread = WriterThread("audit", turn=self._turn, ended=self._end, post=post, now=now)
        self._lock = self._thread.lock
        self._backlog = AuditBacklog()
        self._facts: dict[str, str] = {}
        self._failing = False
        self._held: FileLock | None = None

    @property
    def beat(self) -> float:
        """CLOCK_BOOTTIME second of the thread's last progress."""
        return self._thread.beat

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
    def recalled(self) -> dict[str, str]:
        """Facts that last and that the file did not have at the start: it may be an older copy."""
        return dict(self._writer.recalled)

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
        held = hold(self.path.with_name("control.lock"), name="audit log")
        try:
            self._writer.open(kept=held.kept)
            held.keep()
        except BaseException:
            self._writer.close()
            held.release()
            raise
        self._facts = self._writer.facts
        self._held = held
        self._thread.start()

    def record(self, order: Record) -> None:
        """Hand an order over and return at once; answered by ``Recorded`` if it has a token."""
        with self._lock:
            is_taken = self._thread.is_open
            if is_taken:
                self._backlog.put(order, self._now())
                self._thread.wake()
        if not is_taken and order.token:
            self._post(Recorded(order.token, ok=False, cause=f"{self.path}: is not open"))

    def close(self, *, within_s: float) -> None:
        """Write what waits, cut the log off, end the thread.

        Raises:
            StoreError: it took longer; what was answered is durable all the same.
        """
        self._thread.close(within_s=within_s, what=f"{self.path}: the audit log")

    # --- the log's thread ------------------------------------------------------------------

    def _end(self) -> None:
        with self._lock:
            tokens = self._backlog.refused()
        self._answer(tokens, cause=f"{self.path}: the audit log was closed")
        self._writer.close()
        if self._held is not None:
            self._held.release()

    def _turn(self) -> bool:
        with self._lock:
            self._thread.rest(self._pause_s())
            closing = self._thread.is_closing
            orders = self._backlog.take()
            given_up, self._backlog.untold = self._backlog.untold, []
        self._thread.show_life()
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
        self._thread.show_life()
        if not rest:
            told = self._writer.tend(is_sign_asked=asked, closing=closing)
            if told is not None:
                with self._lock:
                    self._backlog.put(told, self._now())
                rest = True
            self._thread.show_life()
        if rest and not cause:
            with self._lock:
                self._thread.wake()
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
            return TURN_S  # and then the disk is tried again
        return min(TURN_S, self._writer.wake_in_s(self._now()))

    def _answer(self, tokens: Sequence[int], *, cause: str) -> None:
        for token in tokens:
            self._post(Recorded(token, ok=not cause, cause=cause))
