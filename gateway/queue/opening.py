"""Opening the queue: create, bring forward, or set a corrupt file aside and salvage it.

Each opening begins an epoch, so that a file that is older than it should be gives no number out
twice. A row keeps its id, epoch and sequence numbers, also where it is salvaged: whatever a
consumer already has of it is recognised. The set-aside
file stays beside the queue under a name with the time in it, for people; nothing deletes it.

The order of steps survives a crash at each: the salvage is complete in a file of its own before
the corrupt one gives up its name, and takes that name last.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.errors import DiskFullError, PayloadError, StoreError
from gateway.queue import schema, tally
from gateway.queue.database import GAPS, QueueDatabase
from gateway.queue.rules import retention
from gateway.queue.rules.counters import Counters, sealed
from gateway.queue.salvage import salvage
from gateway.sqlite import connection, files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.clock import Now
    from gateway.queue.rules.work import Written
    from gateway.streams import Batch, Notice

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_LENGTH = 26
_CENSUS = 256 << 20  # bytes of a file whose rows are counted when it is opened: a second at most


@dataclass(frozen=True, slots=True)
class OpenedQueue:
    """An open queue, and what opening it cost."""

    database: QueueDatabase
    begun: Written  # what the first commit announced: gaps, and how epochs ended
    trouble: str = ""  # what was set aside and salvaged, for people


def open_queue(
    path: Path, now: Now, *, notice_batch: Callable[[Notice, int], Batch], least_id: int = 1
) -> OpenedQueue:
    """Open the queue at ``path``, whatever state it is in, and begin an epoch.

    Args:
        path: the file; its folder must exist.
        now: both clocks.
        notice_batch: builds the record of a gap, and of an epoch's end.
        least_id: the first id that a new database may give out.

    Raises:
        StoreError: it may not be written, a newer gateway wrote it, or the disk fails.
    """
    files.may_write(path, name="queue")
    rescued = path.with_name(path.name + ".salvaged")
    if not path.exists() and rescued.exists():
        rescued.rename(path)  # a crash came between the last two steps of ``recover``
    noted = tally.read(path)
    try:
        if not path.exists():
            files.move_log(
                path, files.aside_name(path, now)
            )  # a log without its database belongs to nobody
            return _begun(_create(path, now), now, notice_batch, noted=noted)
        version = files.found_version(path, "meta", sealed)
        files.refuse_newer(path, version, newest=schema.VERSION)
        database = _load(path, now, version)
        _count(database)
        return _begun(database, now, notice_batch, noted=noted)
    except (*connection.UNREADABLE, PayloadError, OSError) as error:
        if not files.is_corrupt(error):
            raise _unusable(path, error) from error
        why = files.reason(error)
    try:
        return recover(
            path, now, why=why, notice_batch=notice_batch, least_id=least_id, noted=noted
        )
    except (*connection.UNREADABLE, OSError) as error:
        raise _unusable(path, error) from error


def recover(
    path: Path,
    now: Now,
    *,
    why: str,
    notice_batch: Callable[[Notice, int], Batch],
    least_id: int = 1,
    known: QueueDatabase | None = None,
    noted: Counters | None = None,
) -> OpenedQueue:
    """Set a corrupt file aside; every connection to it must be closed.

    Args:
        path: the file.
        now: both clocks.
        why: what SQLite or a CRC said, for people.
        notice_batch: builds the record of a gap, and of an epoch's end.
        least_id: the first id that the new database may give out.
        known: the database as it was open until now: its counters and notes are the best there are.
        noted: the counters that lay beside it, for where they are newer than its own.

    Raises:
        sqlite3.Error, sqlalchemy.exc.DBAPIError, OSError: the disk does not allow it.
    """
    rescued = path.with_name(path.name + ".salvaged")
    files.remove(rescued)
    fresh = _create(rescued, now)
    found = salvage(path, fresh, now=now, least_id=least_id, known=known, noted=noted)
    gaps = [
        (str(one.stream), one.asset, one.first, one.last, one.reason, one.epoch)
        for one in found.gaps
    ]
    fresh.save(found.notes | {GAPS: json.dumps(gaps)})
    fresh.close()
    aside = files.aside_name(path, now)
    files.take_the_place(rescued, path, aside=aside)
    text = (
        f"{path}: {why}; set aside as {aside.name}; {found.rows} batches with"
        f" {found.readings} readings salvaged, a new epoch begins"
    )
    database = _load(path, now, schema.VERSION)
    return _begun(database, now, notice_batch, noted=noted, trouble=text)


def _create(path: Path, now: Now) -> QueueDatabase:
    """Make an empty queue; it takes its name when it is whole, so that no crash leaves half of it.

    Half of a database would be called corrupt at the next start, and SQLite would roll its
    journal back into whatever has its name by then.
    """
    fresh = path.with_name(path.name + ".new")
    files.remove(fresh)
    try:
        _fill(fresh, now)
        fresh.rename(path)
    except BaseException:
        files.remove(fresh)
        raise
    files.sync_folder(path)
    return _load(path, now, schema.VERSION)


def _fill(path: Path, now: Now) -> None:
    raw, core = schema.connect(path)
    try:
        connection.migrate(core, 0, steps=schema.MIGRATIONS, save=schema.save)
        with core.begin():
            schema.save(core, "book", Counters(wall_ms=now.unix_ms).text())
        connection.checkpoint(raw)  # the log has another name
    finally:
        connection.disconnect(raw, core)


def _load(path: Path, now: Now, version: int) -> QueueDatabase:
    raw, core = schema.connect(path)
    try:
        connection.migrate(core, version, steps=schema.MIGRATIONS, save=schema.save)
        with core.begin():
            notes = files.read_sealed(core.exec_driver_sql(schema.LOAD.sql).fetchall(), sealed)
        counters = Counters.parse(notes.pop("book", ""))
        ageing = retention.Ageing.resume(aged_s=counters.aged_s, wall_ms=counters.wall_ms, now=now)
        return QueueDatabase(path, raw, core, counters=counters, notes=notes, ageing=ageing)
    except BaseException:
        connection.disconnect(raw, core)
        raise


def _unusable(path: Path, error: BaseException) -> StoreError:
    if files.is_full(error):
        return DiskFullError(f"{path}: the disk is full: the queue needs room to start")
    return StoreError(f"{path}: cannot be opened: {files.reason(error)}")


def _begun(
    database: QueueDatabase,
    now: Now,
    notice_batch: Callable[[Notice, int], Batch],
    *,
    noted: Counters | None,
    trouble: str = "",
) -> OpenedQueue:
    """Begin an epoch: from here on no number is given out twice, however old the file is."""
    try:
        epoch = new_epoch(now.unix_ms)
        begun = database.begin(epoch, noted=noted, now=now, notice_batch=notice_batch)
    except BaseException:
        database.close()
        raise
    return OpenedQueue(database, begun, trouble)


def _count(database: QueueDatabase) -> None:
    """Look whether SQLite finds every row; a file that takes long is looked at while it drains."""
    try:
        if database.path.stat().st_size <= _CENSUS:
            database.census()
    except connection.UNREADABLE as error:
        if files.is_corrupt(error):
            database.close()
            raise
        # A sector that cannot be read, or somebody's lock: met again when the rows are read.


def new_epoch(unix_ms: int) -> str:
    """A new ULID: 48 bits of ``unix_ms`` and 80 random bits, 26 characters.

    Source: the ULID specification, github.com/ulid/spec.
    """
    number = unix_ms << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> 5 * at & 31] for at in reversed(range(_LENGTH)))
