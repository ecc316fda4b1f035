"""Looking into a queue without changing it: for the ``queue`` command while no daemon runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from gateway.errors import PayloadError, StoreError
from gateway.queue import schema
from gateway.queue.opening import read_sealed
from gateway.queue.rules.counters import Counters
from gateway.queue.rules.rows import keys_of
from gateway.queue.space import disk_space
from gateway.sqlite import connection, files
from gateway.streams import QueueDepth, StreamDepth

if TYPE_CHECKING:
    from pathlib import Path


_NO_LOG = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def peek(folder: Path) -> QueueDepth:
    """Depth of the queue in ``folder``, from its counters; also while a daemon writes to it.

    Raises:
        StoreError: there is none, it is damaged, or it may not be read.
    """
    path = folder / schema.FILE
    if not path.exists():
        text = f"{path}: there is no queue"
        raise StoreError(text)
    try:
        # Without permission to write, SQLite cannot share the log: the file alone is read.
        try:
            return _peek(path, files.only_read(path))
        except sqlite3.OperationalError as error:
            if files.error_code(error) not in _NO_LOG:
                raise
            return _peek(path, files.uri(path, "ro&immutable=1"))
    except (*connection.UNREADABLE, PayloadError) as error:
        text = f"{path}: cannot be read: {error}"
        raise StoreError(text) from error


def _peek(path: Path, uri: str) -> QueueDepth:
    space = disk_space(path.parent)
    with closing(sqlite3.connect(uri, uri=True, timeout=schema.BUSY_S)) as raw:
        raw.text_factory = files.readable
        raw.execute("BEGIN")  # one state of the file for all that follows
        meta = read_sealed(raw.execute(schema.LOAD.sql).fetchall())
        files.refuse_newer(path, int(meta.get("schema", "0")), newest=schema.VERSION)
        counters = Counters.parse(meta.get("book", ""))
        streams = {}
        for stream, counts in counters.streams.items():
            row = raw.execute(schema.OLDEST.sql, keys_of(stream)).fetchone()
            streams[stream] = StreamDepth(
                counts.rows, counts.readings, counts.bytes, None if row is None else row[0]
            )
    return counters.depth(streams, space)
