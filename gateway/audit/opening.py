"""Opening control.db: create it, bring it forward, or set a damaged one aside and begin anew.

The set-aside file stays beside the new one under a name with the time in it, for people; nothing
deletes it. The first row of the new chain says what happened, and so does the fact ``TROUBLE``,
which an operator's reset removes: whatever the old file knew (a latch, a stop) is in doubt.

The order of steps survives a crash at each: the new file is complete before the old one gives up
its name, and takes that name last.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.audit import schema
from gateway.audit.backlog import Stamped
from gateway.audit.chain import TROUBLE
from gateway.audit.database import AuditDatabase, create
from gateway.audit.file import VERSION, found_version
from gateway.effects import AuditEntry
from gateway.errors import DiskFullError, StoreError
from gateway.sqlite import connection
from gateway.sqlite.files import only_read, readable, refuse_newer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.clock import Now


def open_control(path: Path, now: Now, *, kept: bool) -> AuditDatabase:
    """Open the database at ``path``, whatever state it is in.

    Args:
        path: the file; its folder must exist.
        now: both clocks.
        kept: there has been one before: if it is gone, that is trouble.

    Raises:
        StoreError: it may not be written, a newer gateway wrote it, or the disk fails.
    """
    _may_write(path)
    try:
        if not path.exists() and _next(path).exists():
            _next(path).rename(path)  # a crash came between the last two steps of ``begin_anew``
        if not path.exists():
            why = f"{path}: is gone" if kept else ""
            return begin_anew(path, now, why=why, facts={TROUBLE: why} if why else {})
        try:
            refuse_newer(path, found_version(path), newest=VERSION)
            return AuditDatabase(path, now)
        except (*connection.UNREADABLE, ValueError) as error:
            if not (schema.is_corrupt(error) or isinstance(error, ValueError)):
                raise
            why = f"{path}: {schema.reason(error)}"
        return begin_anew(path, now, why=why, facts={TROUBLE: why})
    except (*connection.UNREADABLE, OSError) as error:
        if schema.is_full(error):
            text = f"{path}: the disk is full: the audit log needs room to start"
            raise DiskFullError(text) from error
        text = f"{path}: cannot be opened: {schema.reason(error)}"
        raise StoreError(text) from error


def begin_anew(path: Path, now: Now, *, why: str, facts: Mapping[str, str]) -> AuditDatabase:
    """Begin a new chain; every connection to the old file must be closed.

    Args:
        path: the file; what is there is set aside.
        now: both clocks.
        why: what was wrong with the old one; "" where there was none.
        facts: what the new one knows from the start.

    Raises:
        sqlite3.Error, sqlalchemy.exc.DBAPIError, OSError: the disk does not allow it.
    """
    aside = _aside(path, now) if path.exists() else None
    first: dict[str, object] = {"begins": "a new chain"}
    if why:
        first |= {"why": why, "setAside": aside.name if aside else None, "before": _ended(path)}
    entry = AuditEntry("gateway", "audit", "", json.dumps(first).encode())
    fresh = path.with_name(path.name + ".new")
    _remove(fresh)
    try:
        create(fresh, [Stamped(entry, now)], facts, now)
    except BaseException:
        with suppress(OSError):
            _remove(fresh)
        raise
    fresh.rename(_next(path))
    _sync_folder(path)
    _move_log(path, aside or _aside(path, now))
    if aside is not None:
        path.rename(aside)
    _next(path).rename(path)
    _sync_folder(path)
    return AuditDatabase(path, now)


def _ended(path: Path) -> dict[str, Any] | None:
    """Where the old chain ended, as far as it can be read; for people."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(only_read(path), uri=True, timeout=0.1)) as raw:
            raw.text_factory = readable
            row = raw.execute("SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1").fetchone()
    except connection.UNREADABLE:
        return None
    return None if row is None else {"n": str(row[0]), "hash": str(row[1])}


def _may_write(path: Path) -> None:
    if not path.parent.is_dir():
        text = f"{path.parent}: is not a directory: the audit log needs one that it may write"
        raise StoreError(text)
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.W_OK):
            text = (
                f"{place}: is read-only for user {os.geteuid()}: the audit log must be able to"
                " write it"
            )
            raise StoreError(text)


def _next(path: Path) -> Path:
    return path.with_name(path.name + ".next")


def _aside(path: Path, now: Now) -> Path:
    stamp = datetime.fromtimestamp(now.unix_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    return path.with_name(f"{path.name}.corrupt-{stamp}.{now.unix_ms % 1000:03d}Z")


def _move_log(path: Path, aside: Path) -> None:
    for tail in ("-wal", "-journal"):  # SQLite would apply either to whatever takes this name
        log = path.with_name(path.name + tail)
        if log.exists():
            log.rename(aside.with_name(aside.name + tail))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)


def _remove(path: Path) -> None:
    for tail in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + tail).unlink(missing_ok=True)


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
