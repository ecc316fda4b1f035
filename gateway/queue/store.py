"""The durable queue: everything that is to be shipped waits here until the broker has it.

One writer thread owns the database. It takes whatever is pending (appends of several threads,
acknowledged ids, facts, losses) into one transaction, so that they share one sync of the disk.

What a caller may rely on:
- ``append`` returns: durable. It raises: nothing of it will be shipped. If the commit it was in
  succeeds after its caller has given up, the very next transaction deletes the rows again and
  announces their numbers as a gap; ``RowsStored`` never shows them. A crash between the two
  leaves them in: then they are shipped although they were called lost.
- A sequence number is used once. Readings that got lost after they were counted have numbers too,
  and a gap record that names them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gateway import clock
from gateway.errors import StoreError
from gateway.events import ThreadFault
from gateway.queue import lock, schema
from gateway.queue.pending import PendingWork, WaitingCaller
from gateway.queue.space import disk_space
from gateway.queue.writer import QueueWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.clock import Now
    from gateway.config.site import QueueSettings
    from gateway.effects import FetchRows
    from gateway.events import Post
    from gateway.queue.rules.retention import Space
    from gateway.streams import Batch, Gap, Stream

_TURN_S = 0.5  # the writer shows that it lives at least this often


class Commit:
    """What was handed over, on its way to the disk. Any thread may wait for it or end the wait.

    Args:
        request: what was handed over.
        path: of the database.
        withdraw: takes back what the writer has not taken.
    """

    def __init__(
        self, request: WaitingCaller, path: Path, withdraw: Callable[[WaitingCaller], None]
    ) -> None:
        self._request, self._path, self._withdraw = request, path, withdraw
        self._ended = False

    def wait(self, within_s: float) -> None:
        """Return when it is durable.

        Args:
            within_s: how long the caller can wait, in seconds.

        Raises:
            DiskFullError: there is no room for it; nothing was kept.
            StoreError: the disk failed or was too slow, or the wait was ended; nothing was kept.
        """
        if not self._request.wait(within_s):
            self._withdraw(self._request)
            why = "the wait was ended" if self._ended else f"not durable within {within_s:g} s"
            text = f"{self._path}: {why}; nothing was kept"
            raise StoreError(text)

    def end(self) -> None:
        """Whoever waits for it goes on now, as if the time were over."""
        self._ended = True
        self._request.give_up()


class Store:
    """The queue in ``folder``. Every method may be called from any thread.

    Args:
        folder: where ``queue.db`` lies; it must exist.
        settings: how much may wait.
        post: the core's inbox.
        gap_batch: builds the record of a gap, a batch of stream ``event``, at a Unix ms.
        now: both clocks.
        space: room on the disk of a folder.
    """

    def __init__(
        self,
        folder: Path,
        settings: QueueSettings,
        *,
        post: Post,
        gap_batch: Callable[[Gap, int], Batch],
        now: Callable[[], Now] = clock.now,
        space: Callable[[Path], Space] = disk_space,
    ) -> None:
        self.path = folder / schema.FILE
        self.beat = now().mono_s  # CLOCK_BOOTTIME second of the writer's last progress
        self._settings = settings
        self._post = post
        self._now = now
        self._writer = QueueWriter(self.path, post=post, gap_batch=gap_batch, now=now, space=space)
        self._lock = threading.Condition()
        self._pending = PendingWork()
        self._fresh = False  # something was handed over since the writer last took
        self._open = False
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def epoch(self) -> str:
        """ULID of the database; a new one after a corrupt file was set aside."""
        return self._writer.epoch

    def start(self) -> None:
        """Open the queue, salvaging a corrupt one, and start the writer.

        Raises:
            StoreError: it cannot be used; the message says why and what would be needed.
        """
        held = lock.hold(self.path.with_name("queue.lock"))
        try:
            self._writer.open()
        except BaseException:
            held.release()
            raise
        self._open = True
        self._thread = threading.Thread(target=self._run, args=(held,), name="store", daemon=True)
        self._thread.start()

    def append(self, batches: Sequence[Batch], *, within_s: float) -> None:
        """Make ``batches`` durable together, in order.

        Args:
            batches: of any streams.
            within_s: how long the caller can wait, in seconds.

        Raises:
            DiskFullError: there is no room for it; nothing was kept.
            StoreError: the disk failed or was too slow; nothing was kept.
        """
        self.begin(batches).wait(within_s)

    def begin(self, batches: Sequence[Batch]) -> Commit:
        """Hand ``batches`` over, to be made durable together and in order, and do not wait.

        Raises:
            StoreError: the queue is not open; nothing was kept.
        """
        return self._begin(WaitingCaller(tuple(batches)))

    def append_later(self, batch: Batch) -> None:
        """Make ``batch`` durable with the next commit; nobody waits.

        While the disk does not take it, it is kept in memory up to ``pending.LATER_BYTES``, then
        counted as lost. What must not be lost is appended with ``append``.
        """
        with self._lock:
            self._pending.put_later(batch, reason=self._reason())
            self._wake()

    def fetch(self, order: FetchRows) -> None:
        """Read rows; answered by ``RowsFetched`` with the order's token."""
        with self._lock:
            self._pending.fetches.append(order)
            self._wake()

    def forget(self, ids: Sequence[int]) -> None:
        """Delete what the broker has. Unknown ids are ignored: acknowledgements repeat."""
        with self._lock:
            self._pending.forget.extend(ids)
            self._wake()

    def lost(self, stream: Stream, asset: str, count: int, reason: str) -> None:
        """Announce ``count`` readings that reached us and could not be stored.

        Call it once for every ``append`` that raised, with the readings that it held.
        """
        if count < 1:
            return
        with self._lock:
            self._pending.lose((stream, asset, reason), count)
            self._wake()

    def keep(self, key: str, value: str | None, *, within_s: float = 1.0) -> None:
        """Make a fact durable that survives restarts; ``None`` removes it.

        Raises:
            StoreError: it is not durable. One that was too slow may still be kept.
        """
        self._begin(WaitingCaller(facts={key: value})).wait(within_s)

    def kept(self, key: str) -> str | None:
        """The fact as last made durable."""
        return self._writer.kept(key)

    def resize(self, settings: QueueSettings) -> None:
        """Use other limits from the next commit on."""
        with self._lock:
            self._settings = settings

    def close(self, *, within_s: float) -> None:
        """Write what is pending, cut the log off, end the thread.

        Raises:
            StoreError: it took longer; what was appended is durable all the same.
        """
        with self._lock:
            self._closing = True
            self._wake()
        if self._thread is not None:
            self._thread.join(within_s)
            if self._thread.is_alive():
                text = f"{self.path}: the writer did not end within {within_s:g} s"
                raise StoreError(text)

    def _begin(self, request: WaitingCaller) -> Commit:
        with self._lock:
            if self._closing or not self._open:
                text = f"{self.path}: the queue is not open; nothing was kept"
                raise StoreError(text)
            self._pending.waiting.append(request)
            self._wake()
        return Commit(request, self.path, self._withdraw)

    def _withdraw(self, request: WaitingCaller) -> None:
        with self._lock:
            if request in self._pending.waiting:
                self._pending.waiting.remove(request)

    def _wake(self) -> None:
        self._fresh = True
        self._lock.notify()

    def _reason(self) -> str:
        return "disk_full" if self._writer.troubled else "store_timeout"

    # --- the writer's thread ---------------------------------------------------------------

    def _run(self, held: lock.QueueLock) -> None:
        try:
            while self._turn():
                pass
        except Exception as error:  # noqa: BLE001 - the top of a thread
            self._post(ThreadFault("store", f"{type(error).__name__}: {error}"))
        finally:
            with self._lock:
                self._open = False
                waiting, self._pending = self._pending.waiting, PendingWork()
            for request in waiting:
                request.settle(StoreError(f"{self.path}: the queue was closed"))
            self._writer.close()
            held.release()

    def _turn(self) -> bool:
        with self._lock:
            if not self._closing and not self._fresh:
                self._lock.wait(self._pause_s())
            taken, self._pending, self._fresh = self._pending, PendingWork(), False
            closing, settings = self._closing, self._settings
        self.beat = self._now().mono_s
        left = self._writer.turn(taken, settings, closing=closing)
        with self._lock:
            self._pending.put_back(left, reason=self._reason())
        self.beat = self._now().mono_s
        return not closing

    def _pause_s(self) -> float:
        if self._writer.restless:
            return 0.0
        due_s = self._writer.report_in_s(self._now())
        return _TURN_S if due_s is None else min(_TURN_S, due_s)
