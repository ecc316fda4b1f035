"""control.db as a file: its name, its version, how it is opened for reading.

Apart from ``schema`` because it needs no SQLAlchemy: ``audit verify`` answers at once.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from typing import TYPE_CHECKING

from gateway.sqlite.files import corruption, only_read, readable

if TYPE_CHECKING:
    from pathlib import Path

VERSION = 1
FILE = "control.db"
BUSY_S = 0.5  # somebody's sqlite3 shell may hold the lock this long before a commit fails


def sealed(key: str, value: str) -> int:
    """CRC-32 of a mark."""
    return zlib.crc32(f"{key}\0{value}".encode())


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
