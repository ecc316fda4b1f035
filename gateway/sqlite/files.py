"""SQLite's files as every database here treats them: how they are named, read, and found damaged.

Without SQLAlchemy, so that a command that only reads one answers at once.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from gateway.errors import PayloadError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gateway.clock import Now

TAILS = ("-wal", "-journal")  # SQLite would apply either to whatever takes the name beside it
# A constraint fails only where what is counted and what is there are not of the same moment.
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT)
# Our statements fit our tables: if they do not, the text of the tables is damaged.
_SPOILT = ("no such column", "no such table", "table ", "unsupported file format")


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


def found_version(path: Path, table: str, seal: Callable[[str, str], int]) -> int:
    """Version of the schema in a file, read without changing it.

    Every version, also a newer one, keeps its sealed row ``schema`` in the same table.

    Args:
        path: the file.
        table: of keys, values and their seals.
        seal: of a key and its value.

    Raises:
        sqlite3.DatabaseError: the file cannot be read as such a database.
    """
    with closing(sqlite3.connect(only_read(path), uri=True, timeout=1.0)) as raw:
        raw.text_factory = readable
        sql = f"SELECT key, value, crc FROM {table} WHERE key = 'schema'"  # noqa: S608 - our own
        found = read_sealed(raw.execute(sql), seal).get("schema")
    if found is None:
        text = f"{table} names no schema version"
        raise corruption(text)
    return int(found)


def read_sealed(rows: Iterable[Any], seal: Callable[[str, str], int]) -> dict[str, str]:
    """Keys and values, each with the seal that belongs to it.

    Raises:
        sqlite3.DatabaseError: one is not what was written.
    """
    found = {}
    for key, value, crc in rows:
        if not isinstance(value, str) or seal(key, value) != crc:
            text = f"the value of {key!r} does not match its CRC"
            raise corruption(text)
        found[key] = value
    return found


def may_write(path: Path, *, name: str) -> None:
    """Refuse a database that cannot be written.

    Raises:
        StoreError: folder or file are not there or read-only.
    """
    if not path.parent.is_dir():
        text = f"{path.parent}: is not a directory: the {name} needs one that it may write"
        raise StoreError(text)
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.W_OK):
            mode = stat.filemode(place.stat().st_mode)
            text = (
                f"{place}: is read-only for user {os.geteuid()} (mode {mode}): the {name} must be"
                " able to write it"
            )
            raise StoreError(text)


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


def is_corrupt(error: BaseException) -> bool:
    """Whether SQLite says that the file is damaged, and not that it may not use it."""
    if isinstance(error, PayloadError | UnicodeDecodeError):
        return True
    return error_code(error) in _CORRUPT or reason(error).startswith(_SPOILT)


def is_full(error: BaseException) -> bool:
    """Whether SQLite says that there is no room."""
    return error_code(error) == sqlite3.SQLITE_FULL


def reason(error: BaseException) -> str:
    """SQLite's own sentence, without SQLAlchemy's around it."""
    return str(getattr(error, "orig", None) or error)


# --- setting a damaged file aside ------------------------------------------------------------


def aside_name(path: Path, now: Now) -> Path:
    """Under which name a damaged file stays beside the new one, for people; nothing deletes it."""
    stamp = datetime.fromtimestamp(now.unix_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    return path.with_name(f"{path.name}.corrupt-{stamp}.{now.unix_ms % 1000:03d}Z")


def take_the_place(fresh: Path, path: Path, *, aside: Path) -> None:
    """Give ``path``, if it is there, the name ``aside``, and its own name to ``fresh``.

    ``fresh`` is whole, and takes the name last: a crash in between leaves it to the next start.
    """
    move_log(path, aside)
    if path.exists():
        path.rename(aside)
    fresh.rename(path)
    sync_folder(path)


def move_log(path: Path, aside: Path) -> None:
    """Set the log of a database aside with it."""
    for tail in TAILS:
        log = path.with_name(path.name + tail)
        if log.exists():
            log.rename(aside.with_name(aside.name + tail))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a database and all that SQLite keeps beside it."""
    for tail in ("", "-shm", *TAILS):
        path.with_name(path.name + tail).unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make names durable: a file whose name is lost with the power is lost itself."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
