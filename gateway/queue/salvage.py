"""Reading what is left of a corrupt database.

Rows are read forwards from the oldest and backwards from the newest until SQLite stumbles; ids
in between are tried one by one. A row counts only if its CRC holds. Nothing is repaired by hand:
what SQLite does not find is announced as a gap (decision 0021).
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from gateway.errors import PayloadError
from gateway.queue import schema
from gateway.queue.database import GAPS
from gateway.queue.rules import missing
from gateway.queue.rules.counters import Counters, Counts, sealed
from gateway.queue.rules.rows import MAX_ID, key_of, keys_of, row_of
from gateway.sqlite import connection, files
from gateway.streams import Gap, Row, Stream

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from gateway.clock import Now
    from gateway.queue.database import QueueDatabase

_TRIES = 100_000  # ids tried one by one: about a second
_TOGETHER = 200  # rows of one commit
# Not by the columns' names: a bit may have flipped in one.
_FORWARDS = "SELECT * FROM batch WHERE rowid BETWEEN ? AND ? ORDER BY rowid LIMIT ?"
_BACKWARDS = "SELECT * FROM batch WHERE rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?"
Columns = tuple[object, ...]


@dataclass(slots=True)
class Salvaged:
    """What was found."""

    rows: int = 0
    readings: int = 0
    last_id: int = 0
    aged_s: int = 0
    counters: Counters | None = None
    notes: dict[str, str] = field(default_factory=dict)
    keys: set[int] = field(default_factory=set)
    numbers: missing.Ranges = field(default_factory=dict)
    waiting: dict[Stream, Counts] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    def count(self, row: Row, aged_s: int) -> None:
        """Add a row that was carried over."""
        self.rows += 1
        self.readings += row.batch.n
        counts = self.waiting.setdefault(row.batch.stream, Counts())
        counts.add(rows=1, readings=row.batch.n, size=len(row.batch.body), ids=0)
        self.last_id = max(self.last_id, row.id)
        self.aged_s = max(self.aged_s, aged_s)
        last = row.seq0 + row.batch.n - 1
        missing.note(self.numbers, row.batch.stream, row.epoch, first=row.seq0, last=last)


def salvage(
    old: Path,
    into: QueueDatabase,
    *,
    now: Now,
    least_id: int,
    known: QueueDatabase | None,
    noted: Counters | None,
) -> Salvaged:
    """Carry every readable row over, count them in ``into.counters``, find what is missing.

    Args:
        old: the corrupt file; it is only read.
        into: a new, empty database; saving its counters and the notes is left to the caller.
        now: both clocks.
        least_id: the first id it may give out.
        known: the database as it was open until now, if it was.
        noted: the counters that lay beside it.
    """
    found = Salvaged()
    with suppress(*connection.UNREADABLE):
        _carry(old, into, found, noted)
    if found.counters is None or found.counters.behind(noted):
        found.counters = noted
    if known is not None:
        found.counters, found.notes = known.counters, dict(known.notes)
    before = found.counters
    counters = into.counters
    counters.next_id = max(least_id, found.last_id + 1, before.next_id if before else 1)
    counters.aged_s = max(found.aged_s, before.aged_s if before else 0)
    counters.wall_ms = before.wall_ms if before else now.unix_ms
    older = found.notes.get(missing.OLDER)
    found.gaps = missing.gaps(
        found.numbers, counters=before, older=missing.older(older), whole=_whole(found)
    )
    if before is not None:
        counters.follow(before)  # its epoch ends with the next commit
    return found


def _whole(found: Salvaged) -> set[Stream]:
    """Streams of which everything that was counted was found, to the byte."""
    counters = found.counters
    return {
        stream
        for stream in Stream
        if counters is not None
        and found.waiting.get(stream, Counts()).is_as_much_as(counters.streams[stream])
    }


def _carry(old: Path, into: QueueDatabase, found: Salvaged, noted: Counters | None) -> None:
    """Carry rows over.

    Raises:
        sqlite3.Error: SQLite does not take it for a database.
    """
    with closing(sqlite3.connect(files.only_read(old), uri=True, timeout=schema.BUSY_S)) as raw:
        raw.text_factory = files.readable
        raw.execute("PRAGMA writable_schema = ON")  # reads a file that was cut off, too
        raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
        _read_notes(raw, found)
        raw.execute("SELECT rowid FROM batch LIMIT 0").fetchone()
        books = [counters for counters in (found.counters, noted) if counters is not None]
        most_id = max((counters.next_id for counters in books), default=MAX_ID)
        together: list[Columns] = []
        for columns in _readable(raw, most_id):
            if columns[0] not in found.keys:
                together.append(columns)
            if len(together) == _TOGETHER and not _adopt(together, into, found):
                return
        _adopt(together, into, found)


def _read_notes(raw: sqlite3.Connection, found: Salvaged) -> None:
    """Counters and notes, as far as SQLite can read them."""
    for table in ("meta", "fact"):  # the second in files of older gateways
        with suppress(*connection.UNREADABLE):
            for key, value in _sealed(raw, table):
                if key in (GAPS, missing.OLDER):
                    found.notes.setdefault(key, value)
                elif key == "book" and found.counters is None:
                    with suppress(PayloadError):
                        found.counters = Counters.parse(value)


def _sealed(raw: sqlite3.Connection, table: str) -> Iterator[tuple[str, str]]:
    """Keys and values whose CRC holds, until SQLite stumbles."""
    for key, value, crc in raw.execute(f"SELECT key, value, crc FROM {table}"):  # noqa: S608 - our own names
        if isinstance(key, str) and isinstance(value, str) and sealed(key, value) == crc:
            yield key, value


def _adopt(together: list[Columns], into: QueueDatabase, found: Salvaged) -> bool:
    rows = [(columns, row_of(columns)) for columns in together]
    if rows:
        try:
            into.adopt([columns for columns, _ in rows])
        except sa.exc.DBAPIError:
            return False  # the disk is full: the rest is a gap
        for columns, row in rows:
            found.keys.add(key_of(row.batch.stream, row.id))
            aged_s = columns[9]
            found.count(row, aged_s if isinstance(aged_s, int) else 0)
    together.clear()
    return True


def _readable(raw: sqlite3.Connection, most_id: int) -> Iterator[Columns]:
    for stream in sorted(Stream, key=lambda s: s.prio):
        lo, hi = keys_of(stream)
        hi = min(hi, lo + most_id)
        behind = yield from _forwards(raw, lo, hi)
        if behind is None:
            continue
        before = yield from _backwards(raw, behind, hi)
        for key in range(behind, min(before, behind + _TRIES) + 1):
            with suppress(*connection.UNREADABLE):
                for columns in _walk(raw, _FORWARDS, (key, key)):
                    yield from _sound(columns)


def _forwards(raw: sqlite3.Connection, lo: int, hi: int) -> Generator[Columns, None, int | None]:
    """Sound rows upwards; returns the key behind the last one, or None if all were read."""
    try:
        for columns in _walk(raw, _FORWARDS, (lo, hi)):
            key = columns[0]
            if not isinstance(key, int) or not lo <= key <= hi:
                return lo  # a damaged tree may lead in circles
            lo = key + 1
            yield from _sound(columns)
    except connection.UNREADABLE:
        return lo
    return None


def _backwards(raw: sqlite3.Connection, lo: int, hi: int) -> Generator[Columns, None, int]:
    """Sound rows downwards; returns the key before the last one."""
    with suppress(*connection.UNREADABLE):
        for columns in _walk(raw, _BACKWARDS, (lo, hi)):
            key = columns[0]
            if not isinstance(key, int) or not lo <= key <= hi:
                break
            hi = key - 1
            yield from _sound(columns)
    return hi


def _walk(raw: sqlite3.Connection, sql: str, bounds: tuple[int, int]) -> Iterator[Columns]:
    cursor = raw.execute(sql, (*bounds, -1))
    while (columns := cursor.fetchone()) is not None:
        yield columns


def _sound(columns: Columns) -> Iterator[Columns]:
    with suppress(PayloadError):
        row_of(columns)
        yield columns
