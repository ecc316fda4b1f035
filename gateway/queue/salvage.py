"""Reading what is left of a corrupt database.

Rows are read forwards from the oldest and backwards from the newest until SQLite stumbles; ids
in between are tried one by one. If the file's first page is gone, a copy gets the first page of
a fresh database of the same schema, whose tables begin on the same pages. If most of what the
counters promise is still missing, every page is searched (``rules.page_rows``); that may bring
back rows which were acknowledged before, and a consumer recognises them. A row counts only if its
CRC holds.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from gateway.errors import PayloadError
from gateway.queue import schema, wal_repair
from gateway.queue.database import COPY
from gateway.queue.rules import missing, wal_frames
from gateway.queue.rules.counters import Counters, Counts, sealed
from gateway.queue.rules.page_rows import carve, log_pages
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
Columns = tuple[object, ...]


@dataclass(slots=True)
class Salvaged:
    """What was found."""

    rows: int = 0
    readings: int = 0
    last_id: int = 0
    aged_s: int = 0
    counters: Counters | None = None
    facts: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)  # of facts
    keys: set[int] = field(default_factory=set)
    numbers: missing.Ranges = field(default_factory=dict)
    waiting: dict[Stream, Counts] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    def count(self, row: Row, aged_s: int) -> None:
        """Add a row that was carried over."""
        self.rows += 1
        self.readings += row.batch.n
        counts = self.waiting.setdefault(row.batch.stream, Counts())
        counts.add(rows=1, readings=row.batch.n, size=len(row.batch.body))
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
        into: a new, empty database; saving its counters and the facts is left to the caller.
        now: both clocks.
        least_id: the first id it may give out.
        known: the database as it was open until now, if it was.
        noted: the counters that lay beside it.
    """
    found, mended = Salvaged(), old.with_name(old.name + ".mended")
    try:
        if not _carry(old, into, found, noted):
            with suppress(OSError):  # no room for a copy: what was found is what there is
                _mend(old, mended, like=into)
                _carry(mended, into, found, noted)
    finally:
        for tail in ("", "-wal", "-shm"):
            mended.with_name(mended.name + tail).unlink(missing_ok=True)
    _agree(found, noted)
    if known is not None:
        found.counters, found.facts = known.counters, dict(known.facts)
    before = found.counters
    expected = sum(counts.rows for counts in before.streams.values()) if before else 1
    if 2 * found.rows < expected:
        _carve(old, into, found)
    counters = into.counters
    counters.next_id = max(least_id, found.last_id + 1, before.next_id if before else 1)
    counters.aged_s = max(found.aged_s, before.aged_s if before else 0)
    counters.wall_ms = before.wall_ms if before else now.unix_ms
    older = found.facts.get(missing.OLDER)
    found.gaps = missing.gaps(
        found.numbers, counters=before, older=missing.older(older), whole=_whole(found)
    )
    found.facts[missing.OLDER] = missing.ended(older, before)
    return found


def _agree(found: Salvaged, noted: Counters | None) -> None:
    """Choose between counters and noted ones, facts and copies: an old page may have come back."""
    stale = found.counters is None or found.counters.behind(noted)
    one, other = (found.copies, found.facts) if stale else (found.facts, found.copies)
    found.facts = {**one, **other}
    if stale:
        found.counters = noted


def _whole(found: Salvaged) -> set[Stream]:
    """Streams of which everything that was counted was found, to the byte."""
    counters = found.counters
    return {
        stream
        for stream in Stream
        if counters is not None
        and found.waiting.get(stream, Counts()).is_as_much_as(counters.streams[stream])
    }


def _carry(old: Path, into: QueueDatabase, found: Salvaged, noted: Counters | None) -> bool:
    """Carry rows over; False if not every table of the file can be read."""
    try:
        raw = sqlite3.connect(files.only_read(old), uri=True, timeout=schema.BUSY_S)
    except connection.UNREADABLE:
        return False
    with closing(raw):
        raw.text_factory = files.readable
        try:
            raw.execute("SELECT count(*) FROM sqlite_master").fetchone()
            raw.execute("SELECT key FROM batch LIMIT 0").fetchone()
        except connection.UNREADABLE:
            return False
        tables = _kept(raw, found)
        books = [counters for counters in (found.counters, noted) if counters is not None]
        most_id = max((counters.next_id for counters in books), default=MAX_ID)
        together: list[Columns] = []
        for columns in _readable(raw, most_id):
            if columns[0] not in found.keys:
                together.append(columns)
            if len(together) == _TOGETHER and not _adopt(together, into, found):
                return True
        _adopt(together, into, found)
    return tables


def _kept(raw: sqlite3.Connection, found: Salvaged) -> bool:
    """Read counters, facts and their copies; False if SQLite cannot read one of the tables."""
    whole = True
    for table in ("meta", "fact"):
        try:
            for key, value in _sealed(raw, table):
                if table == "fact":
                    found.facts.setdefault(key, value)
                elif key.startswith(COPY):
                    found.copies.setdefault(key.removeprefix(COPY), value)
                elif key == "book" and found.counters is None:
                    with suppress(PayloadError):
                        found.counters = Counters.parse(value)
        except connection.UNREADABLE:
            whole = False
    return whole


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
                for columns in _walk(raw, schema.FETCH.sql, (key, key)):
                    yield from _sound(columns)


def _forwards(raw: sqlite3.Connection, lo: int, hi: int) -> Generator[Columns, None, int | None]:
    """Sound rows upwards; returns the key behind the last one, or None if all were read."""
    try:
        for columns in _walk(raw, schema.FETCH.sql, (lo, hi)):
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
        for columns in _walk(raw, schema.FETCH_BACK.sql, (lo, hi)):
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


def _mend(old: Path, mended: Path, *, like: QueueDatabase) -> None:
    """Copy ``old`` with its log in it, and give the copy the first page of ``like``.

    Source: SQLite, Database File Format, 1.3: size in pages at 28, freelist at 32 and 36.
    """
    like.checkpoint()
    shutil.copyfile(old, mended)
    octets = wal_repair.read(old)
    log = wal_frames.parse(octets, page=schema.PAGE)
    page = bytearray(like.path.read_bytes()[: schema.PAGE])
    with mended.open("r+b") as file:
        for at in range(log.committed):
            number = wal_frames.page_number(octets, at, page=schema.PAGE)
            file.seek((number - 1) * schema.PAGE)
            file.write(wal_frames.page_of(octets, at, page=schema.PAGE))
        pages = file.seek(0, os.SEEK_END) // schema.PAGE
        page[28:32] = pages.to_bytes(4, "big")
        page[32:40] = bytes(8)
        file.seek(0)
        file.write(page)


def _carve(old: Path, into: QueueDatabase, found: Salvaged) -> None:
    """Look into every page for what no tree leads to."""
    log_path = old.with_name(old.name + "-wal")
    log = log_path.read_bytes() if log_path.exists() else b""
    newest = log_pages(log, page=schema.PAGE)
    with old.open("rb") as file:

        def read(number: int) -> bytes:
            if (at := newest.get(number)) is not None:
                return log[at : at + schema.PAGE]
            file.seek((number - 1) * schema.PAGE)
            return file.read(schema.PAGE)

        pages = max([old.stat().st_size // schema.PAGE, *newest])
        together: list[Columns] = []
        for columns in carve(read, pages, page=schema.PAGE):
            key = columns[0]
            if not isinstance(key, int) or key in found.keys:
                continue
            for sound in _sound(columns):
                found.keys.add(key)
                together.append(sound)
            if len(together) >= _TOGETHER and not _adopt(together, into, found):
                return
        _adopt(together, into, found)
