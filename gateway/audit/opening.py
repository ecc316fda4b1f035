"""Opening control.db: create it, bring it forward, or set a damaged one aside and begin anew.

The set-aside file stays beside the new one under a name with the time in it, for people; nothing
deletes it. The first row of the new chain says what happened, and so does the fact ``TROUBLE``,
which an operator's reset removes: whatever the old file knew (a latch, a stop) is in doubt.

The order of steps survives a crash at each: the new file is complete before the old one gives up
its name, and takes that name last.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from gateway.audit.backlog import Stamped
from gateway.audit.chain import TROUBLE
from gateway.audit.database import AuditDatabase, create
from gateway.audit.file import VERSION, sealed
from gateway.effects import AuditEntry
from gateway.errors import DiskFullError, StoreError
from gateway.sqlite import connection, files

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
    files.may_write(path, name="audit log")
    try:
        if not path.exists() and _next(path).exists():
            _next(path).rename(path)  # a crash came between the last two steps of ``begin_anew``
        if not path.exists():
            why = f"{path}: is gone" if kept else ""
            return begin_anew(path, now, why=why, facts={TROUBLE: why} if why else {})
        try:
            version = files.found_version(path, "mark", sealed)
            files.refuse_newer(path, version, newest=VERSION)
            return AuditDatabase(path, now)
        except (*connection.UNREADABLE, ValueError) as error:
            if not (files.is_corrupt(error) or isinstance(error, ValueError)):
                raise
            why = f"{path}: {files.reason(error)}"
        return begin_anew(path, now, why=why, facts={TROUBLE: why})
    except (*connection.UNREADABLE, OSError) as error:
        if files.is_full(error):
            text = f"{path}: the disk is full: the audit log needs room to start"
            raise DiskFullError(text) from error
        text = f"{path}: cannot be opened: {files.reason(error)}"
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
    aside = files.aside_name(path, now) if path.exists() else None
    first: dict[str, object] = {"begins": "a new chain"}
    if why:
        first |= {"why": why, "setAside": aside.name if aside else None, "before": _ended(path)}
    entry = AuditEntry("gateway", "audit", "", json.dumps(first).encode())
    fresh = path.with_name(path.name + ".new")
    files.remove(fresh)
    try:
        create(fresh, [Stamped(entry, now)], facts, now)
    except BaseException:
        with suppress(OSError):
            files.remove(fresh)
        raise
    fresh.rename(_next(path))
    files.sync_folder(path)
    files.take_the_place(_next(path), path, aside=aside or files.aside_name(path, now))
    return AuditDatabase(path, now)


def _ended(path: Path) -> dict[str, Any] | None:
    """Where the old chain ended, as far as it can be read; for people."""
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(files.only_read(path), uri=True, timeout=0.1)) as raw:
            raw.text_factory = files.readable
            row = raw.execute("SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1").fetchone()
    except connection.UNREADABLE:
        return None
    return None if row is None else {"n": str(row[0]), "hash": str(row[1])}


def _next(path: Path) -> Path:
    return path.with_name(path.name + ".next")
