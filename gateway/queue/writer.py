"""The writer's turns: take what is pending, do it in one transaction, tell everybody.

Faults and what a turn does about them:
- full: the log is cut off, telemetry is refused, the rest is tried again; see ``room``.
- corrupt: the file is set aside and salvaged, and the same work is done on the new one.
- anything else of the disk: who waits is told, the rest is kept and tried again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.errors import DiskFullError, StoreError
from gateway.events import GapsRecorded, QueueReported, QueueTroubled, RowsFetched, RowsStored
from gateway.queue import opening
from gateway.queue.pending import PendingWork, WaitingCaller
from gateway.queue.room import QueueRoom
from gateway.queue.rules.counters import Counters
from gateway.queue.rules.losses import Losses
from gateway.queue.rules.work import Work, Written
from gateway.queue.tally import Tally
from gateway.sqlite import connection, files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.clock import Now
    from gateway.config.site import QueueSettings
    from gateway.effects import FetchRows
    from gateway.events import Post
    from gateway.queue.database import QueueDatabase
    from gateway.queue.rules.retention import Space
    from gateway.streams import Batch, Notice, Row

_REPORT_S = 0.5  # between two reports of the depth
_IDLE_S = 1.0  # without work: then the log is cut off
_SLOW_S = 1.0  # a commit that takes longer is told of
_VACUUM_PAGES = 256  # given back to the disk in one turn
_TRIES = 3


class QueueWriter:
    """Owns the database; every method is called on one thread.

    Args:
        path: the database's file.
        post: the core's inbox.
        notice_batch: builds the record of a gap, and of an epoch's end.
        now: both clocks.
        space: room on the disk of a folder.
    """

    def __init__(
        self,
        path: Path,
        *,
        post: Post,
        notice_batch: Callable[[Notice, int], Batch],
        now: Callable[[], Now],
        space: Callable[[Path], Space],
    ) -> None:
        self._path = path
        self._post = post
        self._notice_batch = notice_batch
        self._now = now
        self._space = space
        self._db: QueueDatabase | None = None
        self._tally = Tally(path)
        self._last_id = 0
        self._losses = Losses()
        self._room = QueueRoom(path, tell=self._trouble, hurry=self._losses.hurry)
        self._withdrawn: list[Row] = []
        self._failed = self._slow = False
        self._changed = self._dirty = True
        self._report_at = self._worked_at = 0.0

    @property
    def counters(self) -> Counters:
        """As they are in the file, its epoch among them."""
        return Counters() if self._db is None else self._db.counters

    @property
    def troubled(self) -> bool:
        """Whether the disk is full or fails: then turns are not made in a hurry."""
        return self._failed or self._room.is_short

    @property
    def restless(self) -> bool:
        """Whether a turn is due at once."""
        return bool(self._withdrawn) and not self.troubled

    def open(self) -> None:
        """Open the queue, or set a corrupt one aside.

        Raises:
            StoreError: it cannot be used.
        """
        opened = opening.open_queue(
            self._path,
            self._now(),
            notice_batch=self._notice_batch,
            least_id=self._last_id + 1,
        )
        self._take(opened)

    def close(self) -> None:
        """Cut the log off and close."""
        if self._db is not None:
            with suppress(*connection.UNREADABLE):
                self._db.end(self._now())
                self._db.checkpoint()
            with suppress(*connection.UNREADABLE):
                self._db.close()
        self._tally.close()

    def _take(self, opened: opening.OpenedQueue) -> None:
        self._db = opened.database
        self._db.note = self._tally.write
        self._tally.write(opened.database.counters.text())
        self._changed = self._dirty = True
        if opened.trouble:
            self._trouble("corrupt", opened.trouble)
        if opened.begun.rows:
            self._post(RowsStored(opened.begun.rows))
        if opened.begun.gaps:
            self._post(GapsRecorded(opened.begun.gaps))

    def _trouble(self, kind: str, text: str) -> None:
        self._post(QueueTroubled(kind, text, self._now()))

    # --- a turn ----------------------------------------------------------------------------

    def turn(self, taken: PendingWork, settings: QueueSettings, *, closing: bool) -> PendingWork:
        """Do what was taken; returns what has to be tried again."""
        now = self._now()
        self._room.look(self._space(self._path.parent), self._db, settings, now)
        self._losses.add(taken.losses, now.mono_s)
        taken.losses = {}
        if self._db is None:
            self._reopen()
        left = self._do(taken, settings, now, closing=closing)
        left.fetches = [order for order in taken.fetches if not self._answer(order, now)]
        if taken:
            self._worked_at = now.mono_s
        else:
            self._rest(now)
        self._report(now, closing=closing)
        return left

    def _do(
        self, taken: PendingWork, settings: QueueSettings, now: Now, *, closing: bool
    ) -> PendingWork:
        waiting, left = taken.waiting, PendingWork(later=taken.later, forget=taken.forget)
        error: Exception | None = StoreError(f"{self._path}: the queue is not open")
        for _ in range(_TRIES):
            if self._room.refused:
                waiting = [request for request in waiting if not self._refused(request)]
                left.later = [batch for batch in left.later if not self._lost(batch, now)]
            work = Work(
                groups=[*(request.batches for request in waiting), left.later],
                forget=left.forget,
                withdrawn=self._withdrawn,
                losses=self._losses.due(
                    now.mono_s,
                    full=self._room.is_short,
                    closing=closing,
                ),
            )
            if not work:
                error = None
            if self._db is None or not work:
                break
            try:
                written = self._write(self._db, work, settings, now)
            except connection.UNREADABLE as failure:
                error = failure
                if not self._mended(failure):
                    break
            else:
                self._done(written, waiting, now)
                return PendingWork()
        for request in waiting:
            request.settle(None if error is None else self._sentence(error))
        return left

    def _write(
        self, database: QueueDatabase, work: Work, settings: QueueSettings, now: Now
    ) -> Written:
        written = database.write(
            work, now=now, settings=settings, space=self._space, notice_batch=self._notice_batch
        )
        took_s = self._now().mono_s - now.mono_s
        slow = took_s >= _SLOW_S
        if slow and not self._slow:
            self._trouble("slow", f"{self._path}: a commit took {took_s:.1f} s")
        if not slow and (self._slow or self._failed):
            self._trouble("works", f"{self._path}: commits succeed again")
        self._slow, self._failed = slow, self._failed and slow
        self._room.wrote(database, written.beyond, settings)
        return written

    def _done(self, written: Written, waiting: list[WaitingCaller], now: Now) -> None:
        self._withdrawn = []
        self._losses.announced(now.mono_s)
        self._changed = self._dirty = True
        late: set[int] = set()
        for request, rows in zip(waiting, written.groups, strict=False):  # the last is ``later``
            if not request.settle() and rows:
                late.update(row.id for row in rows)
                self._losses.credit(rows, now.mono_s)
        self._withdrawn = [row for row in written.rows if row.id in late]
        rows = tuple(row for row in written.rows if row.id not in late)
        if rows:
            self._post(RowsStored(rows))
        if written.gaps:
            self._post(GapsRecorded(written.gaps))

    # --- room ------------------------------------------------------------------------------

    def _refused(self, request: WaitingCaller) -> bool:
        if not request.telemetry:
            return False
        text = f"{self._path}: {self._room.why}; nothing was kept"
        request.settle(DiskFullError(text))
        return True

    def _lost(self, batch: Batch, now: Now) -> bool:
        if batch.stream not in self._room.refused:
            return False
        self._losses.add({(batch.stream, batch.asset, "disk_full"): batch.n}, now.mono_s)
        return True

    # --- faults ----------------------------------------------------------------------------

    def _mended(self, failure: Exception) -> bool:
        """Whether the same work may be tried again at once."""
        if files.is_corrupt(failure):
            return self._recover(files.reason(failure))
        if files.is_full(failure):
            again = self._room.full()
            if self._db is not None:
                with suppress(*connection.UNREADABLE):
                    self._db.checkpoint()  # what the log took is room
            return again
        self._fail(files.reason(failure))
        return False

    def _fail(self, text: str) -> None:
        if not self._failed:
            self._failed = True
            self._trouble("failed", f"{self._path}: {text}")

    def _sentence(self, error: Exception) -> StoreError:
        if isinstance(error, StoreError):
            return error
        if files.is_full(error):
            return DiskFullError(f"{self._path}: the disk is full; nothing was kept")
        text = f"{self._path}: {files.reason(error)}; nothing was kept"
        return StoreError(text)

    def _recover(self, why: str) -> bool:
        known, self._db = self._db, None
        if known is not None:
            self._last_id = max(self._last_id, known.counters.next_id - 1)
            with suppress(*connection.UNREADABLE):
                known.close()
        try:
            now = self._now()
            opened = opening.recover(
                self._path,
                now,
                why=why,
                notice_batch=self._notice_batch,
                least_id=self._last_id + 1,
                known=known,
            )
            self._take(opened)
        except (*connection.UNREADABLE, OSError, StoreError) as error:
            self._fail(f"{why}; and it cannot be set aside: {files.reason(error)}")
            return False
        return True

    def _reopen(self) -> None:
        try:
            self.open()
        except StoreError as error:
            self._fail(str(error))

    # --- reading, resting, reporting -------------------------------------------------------

    def _answer(self, order: FetchRows, now: Now) -> bool:
        """Whether it could be read; if not, there is no answer: an empty one would mean "all"."""
        for _ in range(_TRIES):
            if self._db is None:
                return False
            try:
                rows = self._fetched(self._db, order, now)
            except connection.UNREADABLE as failure:
                if not self._mended(failure):
                    return False
            else:
                self._post(RowsFetched(order.token, tuple(rows)))
                return True
        return False

    def _fetched(self, database: QueueDatabase, order: FetchRows, now: Now) -> list[Row]:
        late = {row.id for row in self._withdrawn}
        rows, bad = database.fetch(replace(order, limit=order.limit + len(late)))
        if order.after[0] < 0 and len(rows) + len(bad) < order.limit:
            database.census()  # few, and soon done: all of them were wanted
        if bad:
            try:
                written = database.set_aside(bad, now=now, notice_batch=self._notice_batch)
            except connection.UNREADABLE as failure:
                if files.is_corrupt(failure):
                    raise
                # A full disk: met again with the next fetch.
            else:
                self._changed = self._dirty = True
                self._trouble("corrupt", f"{self._path}: in quarantine: {bad[0][1]}")
                self._post(RowsStored(written.rows))
                self._post(GapsRecorded(written.gaps))
        return [row for row in rows if row.id not in late][: order.limit]

    def _rest(self, now: Now) -> None:
        if self._db is None:
            return
        with suppress(*connection.UNREADABLE):
            if self._room.is_disk_short:
                if self._db.give_back(most=_VACUUM_PAGES):
                    self._db.checkpoint()
            elif self._dirty and now.mono_s >= self._worked_at + _IDLE_S:
                more = self._db.give_back(most=_VACUUM_PAGES)
                self._db.checkpoint()
                self._dirty = more

    def report_in_s(self, now: Now) -> float | None:
        """Seconds until a report is due, None if nothing changed."""
        return max(0.0, self._report_at - now.mono_s) if self._changed else None

    def _report(self, now: Now, *, closing: bool) -> None:
        if self._db is None or not self._changed or (now.mono_s < self._report_at and not closing):
            return
        with suppress(*connection.UNREADABLE):
            depth = self._db.depth(self._space(self._path.parent))
            self._changed = False
            self._report_at = now.mono_s + _REPORT_S
            self._post(QueueReported(depth, now))
