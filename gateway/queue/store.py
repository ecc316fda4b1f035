"""The durable queue: everything that is to be shipped waits here until the broker has it.

One writer thread owns the database. It takes whatever is pending (appends of several threads,
acknowledged ids, losses) into one transaction, so that they share one sync of the disk.

What a caller may rely on:
- ``append`` returns: durable. It raises: nothing of it will be shipped. If the commit it was in
  succeeds after its caller has given up, the very next transaction deletes the rows again and
  announces their numbers as a gap; ``RowsStored`` never shows them. A crash between the two
  leaves them in: then they are shipped although they were called lost.
- A sequence number is used once. Readings that got lost after they were counted have numbers too,
  and a gap record that names them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway import clock
from gateway.errors import StoreError
from gateway.queue import schema
from gateway.queue.pending import PendingWork, WaitingCaller
from gateway.queue.rules.retention import Space
from gateway.queue.writer import QueueWriter
from gateway.sqlite.lock import hold
from gateway.sqlite.thread import TURN_S, WriterThread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.clock import Now
    from gateway.config.site import QueueSettings
    from gateway.effects import FetchRows
    from gateway.events import Post
    from gateway.sqlite.lock import FileLock
    from gateway.streams import Batch, Notice, Stream


def disk_space(folder: Path) -> Space:
    """Room on the disk of ``folder`` for a process that is not root."""
    disk = os.statvfs(folder)
    return Space(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)


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
        notice_batch: builds the record of a gap, or of an epoch that ended, a batch of stream
            ``event``, at a Unix ms.
        now: both clocks.
        space: room on the disk of a folder.
    """

    def __init__(
        self,
        folder: Path,
        settings: QueueSettings,
        *,
        post: Post,
        notice_batch: Callable[[Notice, int], Batch],
        now: Callable[[], Now] = clock.now,
        space: Callable[[Path], Space] = disk_space,
    ) -> None:
        self.path = folder / schema.FILE
        self._settings = settings
        self._post = post
        self._now = now
        self._writer = QueueWriter(
            self.path, post=post, notice_batch=notice_batch, now=now, space=space
        )
        self._thread = WriterThread("store", turn=self._turn, ended=self._end, post=post, now=now)
        self._lock = self._thread.lock
        self._pending = PendingWork()
        self._held: FileLock | None = None

    @property
    def beat(self) -> float:
        """CLOCK_BOOTTIME second of the writer's last progress."""
        return self._thread.beat

    @property
    def epoch(self) -> str:
        """ULID in which new rows count; another one after a corrupt file was set aside."""
        return self._writer.counters.epoch

    @property
    def start_number(self) -> int:
        """Which start of the daemon began the epoch."""
        return self._writer.counters.start

    @property
    def epoch_before(self) -> str:
        """ULID of the epoch before; "" where there was none."""
        before = self._writer.counters.before
        return before.epoch if before else ""

    def start(self) -> None:
        """Open the queue, salvaging a corrupt one, and start the writer.

        Raises:
            StoreError: it cannot be used; the message says why and what would be needed.
        """
        held = hold(self.path.with_name("queue.lock"), name="queue")
        try:
            self._writer.open()
        except BaseException:
            held.release()
            raise
        self._held = held
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
            self._thread.wake()

    def fetch(self, order: FetchRows) -> None:
        """Read rows; answered by ``RowsFetched`` with the order's token."""
        with self._lock:
            self._pending.fetches.append(order)
            self._thread.wake()

    def forget(self, ids: Sequence[int]) -> None:
        """Delete what the broker has. Unknown ids are ignored: acknowledgements repeat."""
        with self._lock:
            self._pending.forget.extend(ids)
            self._thread.wake()

    def lost(self, stream: Stream, asset: str, count: int, reason: str) -> None:
        """Announce ``count`` readings that reached us and could not be stored.

        Call it once for every ``append`` that raised, with the readings that it held.
        """
        if count < 1:
            return
        with self._lock:
            self._pending.lose((stream, asset, reason), count)
            self._thread.wake()

    def resize(self, settings: QueueSettings) -> None:
        """Use other limits from the next commit on."""
        with self._lock:
            self._settings = settings

    def close(self, *, within_s: float) -> None:
        """Write what is pending, cut the log off, end the thread.

        Raises:
            StoreError: it took longer; what was appended is durable all the same.
        """
        self._thread.close(within_s=within_s, what=f"{self.path}: the writer")

    def _begin(self, request: WaitingCaller) -> Commit:
        with self._lock:
            if not self._thread.is_open:
                text = f"{self.path}: the queue is not open; nothing was kept"
                raise StoreError(text)
            self._pending.waiting.append(request)
            self._thread.wake()
        return Commit(request, self.path, self._withdraw)

    def _withdraw(self, request: WaitingCaller) -> None:
        with self._lock:
            if request in self._pending.waiting:
                self._pending.waiting.remove(request)

    def _reason(self) -> str:
        return "disk_full" if self._writer.troubled else "store_timeout"

    # --- the writer's thread ---------------------------------------------------------------

    def _end(self) -> None:
        with self._lock:
            waiting, self._pending = self._pending.waiting, PendingWork()
        for request in waiting:
            request.settle(StoreError(f"{self.path}: the queue was closed"))
        self._writer.close()
        if self._held is not None:
            self._held.release()

    def _turn(self) -> bool:
        with self._lock:
            self._thread.rest(self._pause_s())
            taken, self._pending = self._pending, PendingWork()
            closing, settings = self._thread.is_closing, self._settings
        self._thread.show_life()
        left = self._writer.turn(taken, settings, closing=closing)
        with self._lock:
            self._pending.put_back(left, reason=self._reason())
        self._thread.show_life()
        return not closing

    def _pause_s(self) -> float:
        if self._writer.restless:
            return 0.0
        due_s = self._writer.report_in_s(self._now())
        return TURN_S if due_s is None else min(TURN_S, due_s)
