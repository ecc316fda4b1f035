"""Reading control.db without changing it, while a daemon writes to it or without one."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.audit import file
from gateway.audit.chain import Head
from gateway.audit.rows import SignedHead, body_of, read_head, row_of
from gateway.audit.seal import seal_of
from gateway.errors import NoInputError, StoreError
from gateway.sqlite import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.audit.chain import AuditRow

_SELECT = "SELECT n, ts, mono, actor, event, payload, prev, hash, asset, body FROM audit"
_NO_LOG = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


class AuditReader:
    """One state of a log: what is written meanwhile is not seen."""

    def __init__(self, path: Path, raw: sqlite3.Connection) -> None:
        self.path = path
        self._raw = raw

    def rows(
        self, *, last: int | None = None, since_ms: int | None = None, asset: str | None = None
    ) -> list[tuple[AuditRow, bytes]]:
        """Rows and their texts, oldest first.

        Args:
            last: at most so many, the newest; None: all.
            since_ms: none older, Unix ms.
            asset: only about this one.
        """
        sql = f"{_SELECT} WHERE ts >= ?1 AND (?2 IS NULL OR asset = ?2) ORDER BY n DESC LIMIT ?3"
        least_ms = -(1 << 62) if since_ms is None else since_ms
        found = self._raw.execute(sql, (least_ms, asset, -1 if last is None else last)).fetchall()
        return [(row_of(columns), body_of(columns)) for columns in reversed(found)]

    def chain(self) -> Iterator[tuple[AuditRow, bytes]]:
        """Every row and its text, oldest first, one at a time."""
        for columns in self._raw.execute(f"{_SELECT} ORDER BY n"):
            yield row_of(columns), body_of(columns)

    def row(self, n: int) -> AuditRow | None:
        """The row with this number."""
        columns = self._raw.execute(f"{_SELECT} WHERE n = ?", (n,)).fetchone()
        return None if columns is None else row_of(columns)

    def head(self, name: str) -> Head | None:
        """The mark ``head`` or ``anchor``; None where it is missing or was changed."""
        text = self._mark(name)
        try:
            return None if text is None else read_head(text)
        except (ValueError, KeyError, TypeError):
            return None

    def facts(self) -> dict[str, str]:
        """Every fact.

        Raises:
            sqlite3.DatabaseError: one was changed or is missing.
        """
        found: dict[str, str] = dict(self._raw.execute("SELECT key, value FROM fact"))
        if self._mark("facts") != f"{seal_of(found):x}":
            text = "a fact was changed or is missing"
            raise files.corruption(text)
        return found

    def _mark(self, name: str) -> str | None:
        sql = "SELECT value, crc FROM mark WHERE key = ?"
        row = self._raw.execute(sql, (name,)).fetchone()
        if row is None or not isinstance(row[0], str) or file.sealed(name, row[0]) != row[1]:
            return None
        return row[0]

    def signed(self) -> list[SignedHead]:
        """Every signed head that is kept, oldest first."""
        found = self._raw.execute("SELECT n, hash, ts, jws FROM signed ORDER BY n").fetchall()
        return [SignedHead(Head(n, str(hash_)), ts, str(jws)) for n, hash_, ts, jws in found]


@contextmanager
def reading(path: Path) -> Iterator[AuditReader]:
    """Open the log at ``path`` for reading.

    Raises:
        NoInputError: there is none.
        StoreError: it is damaged, or may not be read.
    """
    try:
        path.stat()
    except FileNotFoundError:
        text = f"{path}: there is no audit log: the daemon makes it when it first starts"
        raise NoInputError(text) from None
    except OSError as error:
        text = f"{path}: cannot be read by user {os.geteuid()}: {error.strerror}: ask as root"
        raise StoreError(text) from None
    try:
        with _opened(path) as raw:
            yield AuditReader(path, raw)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        text = f"{path}: cannot be read: {error}"
        raise StoreError(text) from error


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        raw = _connect(path, files.only_read(path))
    except sqlite3.OperationalError as error:
        # Without permission to write, SQLite cannot share the log: the file alone is read.
        if files.error_code(error) not in _NO_LOG:
            raise
        raw = _connect(path, files.uri(path, "ro&immutable=1"))
    try:
        yield raw
    finally:
        raw.close()


def _connect(path: Path, uri: str) -> sqlite3.Connection:
    raw = sqlite3.connect(uri, uri=True, timeout=file.BUSY_S, isolation_level=None)
    try:
        raw.text_factory = files.readable
        raw.execute("BEGIN")  # one state of the file for all that follows
        row = raw.execute("SELECT value FROM mark WHERE key = 'schema'").fetchone()
        files.refuse_newer(path, int(row[0]) if row else 0, newest=file.VERSION)
    except ValueError:
        raw.close()
        text = f"schema version {row[0]!r} is no number"
        raise files.corruption(text) from None
    except BaseException:
        raw.close()
        raise
    return raw
