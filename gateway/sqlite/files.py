"""SQLite's files as every database here treats them: how they are named, read, and found damaged.

Without SQLAlchemy, so that a command that only reads one answers at once.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gateway.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path


def uri(path: Path, mode: str) -> str:
    """SQLite's URI of a file. ``mode``: ro | rw | rwc, and other parameters after an ``&``."""
    return f"file:{quote(str(path))}?mode={mode}"


def only_read(path: Path) -> str:
    """URI to read a file and leave nothing beside it: its log is shared only where it has one."""
    log = path.with_name(path.name + "-wal")
    return uri(path, "ro" if log.exists() else "ro&immutable=1")


def readable(text: bytes) -> str:
    """Text of a column, also where a flipped bit made it no UTF-8: its sum will say so."""
    return text.decode("utf-8", "replace")


def refuse_newer(path: Path, version: int, *, newest: int) -> None:
    """Refuse what a newer gateway wrote.

    Raises:
        StoreError: install that gateway again, or move the file away; it is untouched.
    """
    if version > newest:
        text = (
            f"{path}: schema version {version} was written by a newer gateway: this one reads"
            f" 1..{newest}; nothing was changed"
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
