"""What is done with the database, each piece of work in one transaction. No threads here.

Counters are changed in memory while a transaction runs, saved with it, and put back if it fails.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.errors import PayloadError
from gateway.queue import damage, schema
from gateway.queue.limits import QueueLimits
from gateway.queue.rules import missing, retention
from gateway.queue.rules.counters import weight
from gateway.queue.rules.rows import (
    RowPlace,
    columns_of,
    id_of,
    key_of,
    keys_of,
    row_of,
    spans,
    stream_of,
)
from gateway.queue.rules.work import Work, Written
from gateway.sqlite import connection, files
from gateway.streams import NEVER_DROPPED, Gap, QueueDepth, Row, Stream, StreamDepth

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from gateway.clock import Now
    from gateway.config.site import QueueSettings
    from gateway.effects import FetchRows
    from gateway.queue.rules.counters import Counters
    from gateway.streams import Batch, Notice

GAPS = "queue:gaps"  # in ``meta``: gaps that a salvage found, until they are announced


class QueueDatabase:
    """An open queue.

    Args:
        path: the file.
        raw: sqlite3's connection, for what must run outside a transaction.
        core: SQLAlchemy's connection around it.
        counters: as they are in the file.
        notes: what else ``meta`` has to say: ``GAPS``, ``missing.OLDER``.
        ageing: the queue's own clock.
    """

    def __init__(
        self,
        path: Path,
        raw: sqlite3.Connection,
        core: sa.engine.Connection,
        *,
        counters: Counters,
        notes: dict[str, str],
        ageing: retention.Ageing,
    ) -> None:
        self.path = path
        self.counters = counters
        self.notes = notes
        self._raw = raw
        self._core = core
        self._ageing = ageing
        self.note: Callable[[str], None] | None = None  # told of every commit: ``tally``
        self.limits = QueueLimits(path, raw, core)

    # --- writing ---------------------------------------------------------------------------

    def write(
        self,
        work: Work,
        *,
        now: Now,
        settings: QueueSettings,
        space: Callable[[Path], retention.Space],
        notice_batch: Callable[[Notice, int], Batch],
    ) -> Written:
        """Do all of it or nothing, and keep the limits.

        Raises:
            sqlalchemy.exc.DBAPIError: nothing was kept.
        """
        with self._transaction(now):
            self._forget(work.forget)
            gaps = self._withdraw(work.withdrawn)
            groups = tuple(tuple(self._number(b) for b in group) for group in work.groups)
            rows = [row for group in groups for row in group]
            self._insert(rows)
            for (stream, asset, reason), count in work.losses.items():
                first = self.counters.reserve(stream, count)
                gaps.append(Gap(stream, asset, first, first + count - 1, reason))
            gone: set[int] = set()
            beyond: set[Stream] = set()
            for stream, places, drop_gaps in self.limits.drop(self.counters, now, settings, space):
                self._count_gone(stream, [(place.key, place.n, place.size) for place in places])
                gone.update(id_of(place.key) for place in places)
                gaps += drop_gaps
                beyond |= {stream} & set(NEVER_DROPPED)
                if stream is Stream.EVENT:
                    gaps += self._said_again(drop_gaps[0].reason, places)
            records = self._announce(gaps, now, notice_batch)
        stay = tuple(row for row in rows if row.id not in gone)
        return Written(groups, stay + records, tuple(gaps), frozenset(beyond))

    def begin(
        self,
        epoch: str,
        *,
        noted: Counters | None,
        now: Now,
        notice_batch: Callable[[Notice, int], Batch],
    ) -> Written:
        """Begin an epoch: announce what is gone, then how those before it ended.

        Raises:
            sqlalchemy.exc.DBAPIError: it was not begun.
        """
        kept = [Gap(Stream(of), *rest) for of, *rest in json.loads(self.notes.get(GAPS, "[]"))]
        with self._transaction(now):
            waiting = any(counts.rows for counts in self.counters.streams.values())
            gaps, over = self.counters.begin(epoch, noted)
            gaps = kept + gaps
            notes = {}
            if waiting or gaps:
                notes[missing.OLDER] = missing.with_ended(self.notes.get(missing.OLDER), over)
            for key in (GAPS, missing.OLDER):
                self._core.exec_driver_sql(schema.UNSAVE.sql, (key,))
            for key, value in notes.items():
                schema.save(self._core, key, value)
            records = self._announce(gaps, now, notice_batch)
            told = tuple(self._number(notice_batch(one, now.unix_ms)) for one in over)
            self._insert(told)
        self.notes = notes
        return Written((), records + told, tuple(gaps))

    def end(self, now: Now) -> None:
        """Say that nothing comes behind: the daemon ends in order.

        Raises:
            sqlalchemy.exc.DBAPIError: it is not said, and the epoch counts as broken off.
        """
        with self._transaction(now, closed=True):
            pass

    @contextmanager
    def _transaction(self, now: Now, *, closed: bool = False) -> Iterator[None]:
        before = self.counters.copy()
        self.counters.aged_s = int(self._ageing.read(now))
        self.counters.wall_ms = now.unix_ms
        try:
            with self._core.begin():
                yield
                self.counters.commits += 1
                self.counters.closed = closed
                text = self.counters.text()
                schema.save(self._core, "book", text)
        except BaseException:
            self.counters = before
            raise
        if self.note is not None:
            self.note(text)

    def _number(self, batch: Batch) -> Row:
        row_id = self.counters.next_id
        self.counters.next_id += 1
        return Row(row_id, self.counters.reserve(batch.stream, batch.n), batch, self.counters.epoch)

    def _insert(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        columns = [columns_of(row, aged_s=self.counters.aged_s) for row in rows]
        self._core.exec_driver_sql(schema.INSERT.sql, columns)
        for row in rows:
            self.limits.came(len(row.batch.body))
            self._count_come(row)

    def adopt(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Put salvaged rows in as they were, with their id, epoch and sequence numbers."""
        with self._core.begin():
            self._core.exec_driver_sql(schema.INSERT.sql, [*rows])
        for columns in rows:
            self._count_come(row_of(columns))

    def save(self, notes: dict[str, str]) -> None:
        """Save the counters as they are, and these notes."""
        with self._core.begin():
            for key, value in {**notes, "book": self.counters.text()}.items():
                schema.save(self._core, key, value)
        self.notes |= notes

    def _forget(self, ids: Sequence[int]) -> None:
        for first, last in spans(ids):
            for stream, counts in self.counters.streams.items():
                if counts.rows:
                    bounds = key_of(stream, first), key_of(stream, last)
                    gone = self._core.exec_driver_sql(schema.FORGET.sql, bounds).fetchall()
                    if not all(isinstance(number, int) for row in gone for number in row):
                        text = f"ids {first}..{last}: a column has a type that was never written"
                        raise files.corruption(text)
                    self._count_gone(stream, [tuple(row) for row in gone])

    def _count_come(self, row: Row) -> None:
        size, batch = len(row.batch.body), row.batch
        counts = self.counters.streams[batch.stream]
        counts.add(rows=1, readings=batch.n, size=size, ids=weight(row.id))

    def _count_gone(self, stream: Stream, gone: Sequence[tuple[int, int, int]]) -> None:
        """Count rows that went: key, readings, bytes of each."""
        self.counters.streams[stream].add(
            rows=-len(gone),
            readings=-sum(n for _, n, _ in gone),
            size=-sum(size for _, _, size in gone),
            ids=-sum(weight(key) for key, _, _ in gone),
        )

    def _withdraw(self, rows: Sequence[Row]) -> list[Gap]:
        self._forget([row.id for row in rows])
        return [
            Gap(
                row.batch.stream,
                row.batch.asset,
                row.seq0,
                row.seq0 + row.batch.n - 1,
                "store_timeout",
                row.epoch,
            )
            for row in rows
        ]

    def _announce(
        self, gaps: list[Gap], now: Now, notice_batch: Callable[[Notice, int], Batch]
    ) -> tuple[Row, ...]:
        for at, gap in enumerate(gaps):
            if gap.epoch == self.counters.epoch:
                gaps[at] = replace(gap, epoch="")
        rows = tuple(self._number(notice_batch(gap, now.unix_ms)) for gap in gaps)
        self._insert(rows)
        self.counters.gaps += len(gaps)
        return rows

    def _said_again(self, reason: str, gone: Sequence[RowPlace]) -> list[Gap]:
        """What records among dropped events may have said, as one range for each stream and epoch.

        They spoke of their own epoch and of the one before. A range begins with the first number:
        what was shipped of it a consumer has and keeps. It ends before the oldest row that waits.
        """
        order = missing.older(self.notes.get(missing.OLDER))
        order[self.counters.epoch] = {
            str(stream): counts.next for stream, counts in self.counters.streams.items()
        }
        names = list(order)
        places = {names.index(one.epoch) for one in gone if one.epoch in order}
        places |= {max(0, at - 1) for at in places}
        gaps = []
        for stream in Stream:
            found = self._core.exec_driver_sql(schema.PLACES.sql, (*keys_of(stream), 1)).fetchall()
            oldest = RowPlace(*found[0]) if found else None
            for at in sorted(places):
                last = order[names[at]].get(str(stream), 1) - 1
                if oldest is not None and oldest.epoch == names[at]:
                    last = oldest.seq0 - 1
                elif oldest is not None and oldest.epoch in names[:at]:
                    continue
                if last >= 1:
                    gaps.append(Gap(stream, "", 1, last, reason, names[at]))
        return gaps

    # --- reading ---------------------------------------------------------------------------

    def fetch(self, order: FetchRows) -> tuple[list[Row], list[tuple[int, str]]]:
        """Rows for an order, and what could not be read: key and why.

        Raises:
            sqlalchemy.exc.DBAPIError: the file is damaged beyond one row.
        """
        rows: list[Row] = []
        bad: list[tuple[int, str]] = []
        prio, after_id = order.after
        with self._core.begin():
            for stream in sorted(Stream, key=lambda s: s.prio):
                if stream.prio < prio or not self.counters.streams[stream].rows:
                    continue
                lo = key_of(stream, after_id + 1 if stream.prio == prio else 0)
                hi = key_of(stream, max(0, order.before_id - 1))
                while len(rows) < order.limit and lo <= hi:
                    most = order.limit - len(rows)
                    found = self._core.exec_driver_sql(schema.FETCH.sql, (lo, hi, most)).fetchall()
                    for columns in found:
                        if not lo <= columns[0] <= hi:  # a damaged tree may lead in circles
                            text = f"key {columns[0]}: comes after {lo - 1}"
                            raise files.corruption(text)
                        lo = columns[0] + 1
                        try:
                            rows.append(row_of(columns))
                        except PayloadError as error:
                            bad.append((columns[0], str(error)))
                    if len(found) < most:
                        break
        return rows, bad

    def set_aside(
        self,
        bad: Sequence[tuple[int, str]],
        *,
        now: Now,
        notice_batch: Callable[[Notice, int], Batch],
    ) -> Written:
        """Move damaged rows to the quarantine and announce what they held."""
        with self._transaction(now):
            gaps: list[Gap] = []
            unsure: set[Stream] = set()
            for key, why in bad:
                stream, gap = stream_of(key), damage.damaged_gap(self._core, key, self.counters)
                if gap is not None:
                    gaps.append(gap)
                if gap is None or stream is Stream.EVENT:  # an event may have recorded a gap
                    unsure.add(stream)
                self._core.exec_driver_sql(schema.SET_ASIDE.sql, (now.unix_ms, why, key))
                gone = self._core.exec_driver_sql(schema.FORGET.sql, (key, key)).fetchall()
                if not gone:
                    text = f"key {key}: is found and cannot be deleted"
                    raise files.corruption(text)
                _, n, size = (each if isinstance(each, int) else 0 for each in gone[0])
                self._count_gone(stream, [(key, n, size)])
            if unsure:
                every = set(Stream) if Stream.EVENT in unsure else unsure
                older = missing.older(self.notes.get(missing.OLDER))
                gaps += damage.not_waiting(self.limits.drops, every, self.counters, older)
            self._core.exec_driver_sql(schema.TRIM.sql, (schema.QUARANTINE,))
            self.counters.quarantined += len(bad)
            records = self._announce(gaps, now, notice_batch)
        return Written((), records, tuple(gaps))

    def census(self) -> None:
        """Count the rows: a damaged page can hide some, and SQLite says nothing.

        Raises:
            sqlite3.DatabaseError: they are not as many as the counters say.
        """
        with self._core.begin():
            damage.census(self._core, self.counters)

    def depth(self, space: retention.Space) -> QueueDepth:
        """What waits, from the counters; the oldest from the first row of each stream."""
        streams = {}
        with self._core.begin():
            for stream, counts in self.counters.streams.items():
                row = None
                if counts.rows:
                    row = self._core.exec_driver_sql(schema.OLDEST.sql, keys_of(stream)).fetchone()
                streams[stream] = StreamDepth(
                    counts.rows, counts.readings, counts.bytes, None if row is None else row[0]
                )
        return self.counters.depth(streams, space)

    # --- the file --------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """See ``sqlite.connection.checkpoint``."""
        connection.checkpoint(self._raw)

    def give_back(self, *, most: int) -> bool:
        """Return up to ``most`` free pages to the disk; whether there were any."""
        used, whole = self.limits.pages()
        if used == whole:
            return False
        self._raw.execute(f"PRAGMA incremental_vacuum({int(most)})").fetchall()
        return True

    def close(self) -> None:
        """Close both connections; SQLite checkpoints with the last one."""
        connection.disconnect(self._raw, self._core)
