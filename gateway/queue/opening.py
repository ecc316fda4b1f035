"""Opening the queue: create, bring forward, or set a corrupt file aside and salvage it.

A salvaged row keeps its id, epoch and sequence numbers, so whatever a consumer already has of
it is recognised. Only what is appended from then on counts in the new epoch. The set-aside
file stays beside the queue under a name with the time in it, for people; nothing deletes it.

The order of steps survives a crash at each: the salvage is complete in a file of its own before
the corrupt one gives up its name, and takes that name last.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.errors import DiskFullError, PayloadError, StoreError
from gateway.queue import schema, tally, wal_repair
from gateway.queue.database import COPY, QueueDatabase
from gateway.queue.epoch import new_epoch
from gateway.queue.rules import retention, wal_frames
from gateway.queue.rules.counters import Counters, newest, sealed
from gateway.queue.salvage import salvage
from gateway.sqlite import connection, files
from gateway.streams import Gap, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gateway.clock import Now

# A constraint fails only where the counters and the rows are not of the same moment.
CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT)
FULL = (sqlite3.SQLITE_FULL,)
# Our statements fit our tables: if they do not, the text of the tables is damaged.
SPOILT = (
    *("no such column", "no such table", "table batch has no column", "table meta has no col"),
    "unsupported file format",  # one octet of the first page
)
GAPS = "queue:gaps"  # a fact: gaps that a salvage found, until they are announced
_CENSUS = 256 << 20  # bytes of a file whose rows are counted when it is opened: a second at most


@dataclass(frozen=True, slots=True)
class OpenedQueue:
    """An open queue, and what opening it cost."""

    database: QueueDatabase
    trouble: str = ""  # what was set aside and salvaged, for people
    gaps: tuple[Gap, ...] = ()  # to be announced with the first commit


def is_corrupt(error: BaseException) -> bool:
    """Whether SQLite says that the file is damaged, and not that it may not use it."""
    if isinstance(error, PayloadError | UnicodeDecodeError):
        return True
    text = str(getattr(error, "orig", error))
    return files.error_code(error) in CORRUPT or text.startswith(SPOILT)


def is_full(error: BaseException) -> bool:
    """Whether SQLite says that there is no room."""
    return files.error_code(error) in FULL


def open_queue(path: Path, now: Now, *, least_id: int = 1) -> OpenedQueue:
    """Open the queue at ``path``, whatever state it is in.

    Args:
        path: the file; its folder must exist.
        now: both clocks.
        least_id: the first id that a new database may give out.

    Raises:
        StoreError: it may not be written, a newer gateway wrote it, or the disk fails.
    """
    _may_write(path)
    rescued = path.with_name(path.name + ".salvaged")
    if not path.exists() and rescued.exists():
        rescued.rename(path)  # a crash came between the last two steps of ``recover``
    octets, log, noted = b"", wal_frames.NONE, tally.read(path)
    mend_to: int | None = None  # the frame of the log that ends what was kept, -1 if only it knows
    try:
        if not path.exists():
            _move_log(path, _aside(path, now))  # a log without its database belongs to nobody
            return OpenedQueue(_create(path, now))
        octets = wal_repair.read(path)
        log = wal_frames.parse(octets, page=schema.PAGE)
        mend_to = -1 if log.cut_off else None
        version, sealed_counters = schema.found_version(path)
        if version:
            files.refuse_newer(path, version, newest=schema.VERSION)
            torn = wal_repair.torn_books(octets, log)
            shown = Counters.parse(sealed_counters)
            vanished = torn is not None and shown.behind(noted)
            if vanished or wal_repair.is_in_the_file(path, octets, log, shown):
                mend_to = wal_repair.end_of(octets, log, noted)
            if mend_to is None:
                opened = _load_torn(path, now, version, torn, noted)
                noted = newest(noted, *(torn or ()))
                return _counted(opened)
        why = "it is not a database of this gateway"
    except (*connection.UNREADABLE, PayloadError, OSError) as error:
        if not is_corrupt(error):
            raise _unusable(path, error) from error
        why = str(getattr(error, "orig", error))
    try:
        if mend_to is not None:
            why = f"frame {log.end + 1} of its log is damaged"
            wal_repair.mend(path, octets, log, aside=_aside(path, now), last=mend_to)
        return recover(path, now, why=why, least_id=least_id, noted=noted)
    except (*connection.UNREADABLE, OSError) as error:
        raise _unusable(path, error) from error


def recover(
    path: Path,
    now: Now,
    *,
    why: str,
    least_id: int = 1,
    known: QueueDatabase | None = None,
    noted: Counters | None = None,
) -> OpenedQueue:
    """Set a corrupt file aside; every connection to it must be closed.

    Args:
        path: the file.
        now: both clocks.
        why: what SQLite or a CRC said, for people.
        least_id: the first id that the new database may give out.
        known: the database as it was open until now: its counters and facts are the best there are.
        noted: the counters that lay beside it, for where they are newer than its own.

    Raises:
        sqlite3.Error, sqlalchemy.exc.DBAPIError, OSError: the disk does not allow it.
    """
    rescued = path.with_name(path.name + ".salvaged")
    _remove(rescued)
    fresh = _create(rescued, now)
    found = salvage(path, fresh, now=now, least_id=least_id, known=known, noted=noted)
    gaps = [
        (str(one.stream), one.asset, one.first, one.last, one.reason, one.epoch)
        for one in found.gaps
    ]
    fresh.save(found.facts | {GAPS: json.dumps(gaps)})
    fresh.close()
    aside = _aside(path, now)
    _move_log(path, aside)
    path.rename(aside)
    rescued.rename(path)
    wal_repair.sync_folder(path)
    text = (
        f"{path}: {why}; set aside as {aside.name}; {found.rows} batches with"
        f" {found.readings} readings salvaged, a new epoch begins"
    )
    return _opened(_load(path, now, schema.VERSION), trouble=text)


def _create(path: Path, now: Now) -> QueueDatabase:
    """Make an empty queue; it takes its name when it is whole, so that no crash leaves half of it.

    Half of a database would be called corrupt at the next start, and SQLite would roll its
    journal back into whatever has its name by then.
    """
    fresh = path.with_name(path.name + ".new")
    _remove(fresh)
    try:
        _fill(fresh, now)
        fresh.rename(path)
    except BaseException:
        _remove(fresh)
        raise
    wal_repair.sync_folder(path)
    return _load(path, now, schema.VERSION)


def _fill(path: Path, now: Now) -> None:
    raw, core = schema.connect(path)
    try:
        schema.migrate(core, 0)
        text = Counters(new_epoch(now.unix_ms), wall_ms=now.unix_ms).text()
        with core.begin():
            core.exec_driver_sql(schema.SAVE.sql, ("book", text, sealed("book", text)))
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # the log has another name
    finally:
        core.close()
        core.engine.dispose()
        raw.close()


def _load(path: Path, now: Now, version: int, *, write: bool = True) -> QueueDatabase:
    raw, core = schema.connect(path)
    try:
        schema.migrate(core, version)
        with core.begin():
            meta = core.exec_driver_sql(schema.LOAD.sql).fetchall()
            kept = core.exec_driver_sql(schema.KEPT.sql).fetchall()
            if write:  # fails now, not at the first fragment, where only reading is allowed
                core.exec_driver_sql(
                    schema.SAVE.sql,
                    ("schema", str(schema.VERSION), sealed("schema", str(schema.VERSION))),
                )
        sealed_counters, facts = read_sealed(meta), read_sealed(kept)
        counters = Counters.parse(sealed_counters.get("book", ""))
        copies = {
            key.removeprefix(COPY): value
            for key, value in sealed_counters.items()
            if key.startswith(COPY)
        }
        if copies and copies != facts:
            text = f"the facts {sorted(facts)} and their copies {sorted(copies)} differ"
            raise PayloadError(text)  # noqa: TRY301 - as a damaged one is treated
        ageing = retention.Ageing.resume(aged_s=counters.aged_s, wall_ms=counters.wall_ms, now=now)
        database = QueueDatabase(path, raw, core, counters=counters, facts=facts, ageing=ageing)
        if facts and not copies and write:  # as older gateways wrote them
            database.save(facts)
    except BaseException:
        with suppress(*connection.UNREADABLE):
            core.close()
        core.engine.dispose()
        raw.close()
        raise
    return database


def read_sealed(rows: object) -> dict[str, str]:
    """Keys and values whose CRC holds.

    Raises:
        PayloadError: one does not.
    """
    found = {}
    assert isinstance(rows, list)
    for key, value, crc in rows:
        if not isinstance(value, str) or sealed(key, value) != crc:
            text = f"the value of {key!r} does not match its CRC"
            raise PayloadError(text)
        found[key] = value
    return found


def _may_write(path: Path) -> None:
    folder = path.parent
    if not folder.is_dir():
        text = f"{folder}: is not a directory: the queue needs one that it may write"
        raise StoreError(text)
    for place in (folder, path):
        if place.exists() and not os.access(place, os.W_OK):
            mode = stat.filemode(place.stat().st_mode)
            text = (
                f"{place}: is read-only for user {os.geteuid()} (mode {mode}): the queue must be"
                " able to write it"
            )
            raise StoreError(text)


def _unusable(path: Path, error: BaseException) -> StoreError:
    if is_full(error):
        return DiskFullError(f"{path}: the disk is full: the queue needs room to start")
    return StoreError(f"{path}: cannot be opened: {getattr(error, 'orig', error)}")


def _aside(path: Path, now: Now) -> Path:
    stamp = datetime.fromtimestamp(now.unix_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    name = f"{path.name}.corrupt-{stamp}.{now.unix_ms % 1000:03d}Z"
    return path.with_name(name)


def _load_torn(
    path: Path, now: Now, version: int, torn: list[Counters] | None, noted: Counters | None
) -> OpenedQueue:
    """Load, and give no number out again that a commit which is not there may have given out.

    If a power cut tore it, nobody was told of its numbers, and a gap is announced too many. If a
    bit flipped in it, it had been kept. Where its counters are damaged as well, a new epoch
    begins, unless those beside the database show that it never ended. Nothing is written here:
    numbers and gaps are kept with the next commit, or the torn transaction is found again.
    """
    if torn is None:
        database = _load(path, now, version)
        return _opened(database, gaps=database.counters.skip(noted))
    database = _load(path, now, version, write=False)
    if torn:
        return _opened(database, gaps=database.counters.skip(torn[-1]))
    if noted is None or noted.text() != database.counters.text():
        database.counters.begin(new_epoch(now.unix_ms))
    return _opened(database)


def _opened(database: QueueDatabase, *, trouble: str = "", gaps: Iterable[Gap] = ()) -> OpenedQueue:
    """With the gaps that a salvage left to be announced: a crash may have come before."""
    kept = json.loads(database.facts.get(GAPS, "[]"))
    found = tuple(Gap(Stream(stream), *rest) for stream, *rest in kept)
    return OpenedQueue(database, trouble, (*found, *gaps))


def _counted(opened: OpenedQueue) -> OpenedQueue:
    """Look whether SQLite finds every row; a file that takes long is looked at while it drains."""
    database = opened.database
    try:
        if database.path.stat().st_size <= _CENSUS:
            database.census()
    except connection.UNREADABLE as error:
        if is_corrupt(error):
            database.close()
            raise
        # A sector that cannot be read, or somebody's lock: met again when the rows are read.
    return opened


def _move_log(path: Path, aside: Path) -> None:
    for tail in ("-wal", "-journal"):  # SQLite would apply either to whatever takes this name
        log = path.with_name(path.name + tail)
        if log.exists():
            log.rename(aside.with_name(aside.name + tail))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)


def _remove(path: Path) -> None:
    for tail in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + tail).unlink(missing_ok=True)
