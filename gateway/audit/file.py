"""control.db as a file: its name, its version, how it is opened for reading.

Apart from ``schema`` because it needs no SQLAlchemy: ``audit verify`` answers at once.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gateway.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1
FILE = "control.db"
BUSY_S = 0.5  # somebody's sqlite3 shell may hold the lock this long before a commit fails


def sealed(key: str, value: str) -> int:
    """CRC-32 of a mark."""
    return zlib.crc32(f"{key}\0{value}".encode())


def uri(path: Path, mode: str) -> str:
    """SQLite's URI of a file. ``mode``: ro | rw | rwc, and other parameters after an ``&``."""
    return f"file:{quote(str(path))}?mode={mode}"


def only_read(path: Path) -> str:
    """URI to read a file and leave nothing beside it: its log is shared only where it has one."""
    log = path.with_name(path.name + "-wal")
    return uri(path, "ro" if log.exists() else "ro&immutable=1")


def readable(text: bytes) -> str:
    """Text of a column, also where a flipped bit made it no UTF-8: its hash will say so."""
    return text.decode("utf-8", "replace")


def found_version(path: Path) -> int:
    """Version of the schema in a file, read without changing it.

    Every version, also a newer one, keeps the table ``mark`` and its sealed row ``schema``.

    Raises:
        sqlite3.DatabaseError: the file cannot be read as a database of a gateway.
    """
    with closing(sqlite3.connect(only_read(path), uri=True, timeout=BUSY_S)) as raw:
        raw.text_factory = readable
        row = raw.execute("SELECT value, crc FROM mark WHERE key = 'schema'").fetchone()
    if row is None or not isinstance(row[0], str) or sealed("schema", row[0]) != row[1]:
        text = f"schema version {row!r} does not match its CRC"
        raise corruption(text)
    return int(row[0])


def refuse_newer(path: Path, version: int) -> None:
    """Refuse what a newer gateway wrote.

    Raises:
        StoreError: install that gateway again, or move the file away; it is untouched.
    """
    if version > VERSION:
        text = (
            f"{path}: schema version {version} was written by a newer gateway: this one reads"
            f" 1..{VERSION}; nothing was changed"
        )
        raise StoreError(text)


def corruption(text: str) -> sqlite3.DatabaseError:
    """What SQLite would have raised, had it seen what we see."""
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def error_code(error: BaseException) -> int:
    """SQLite's primary result code of an error, 0 if it has none."""
    origin: Any = getattr(error, "orig", None) or error
    return int(getattr(origin, "sqlite_errorcode", 0) or 0) & 0xFF
