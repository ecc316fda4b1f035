"""Which readings a damaged row held."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.errors import PayloadError
from gateway.queue import schema
from gateway.queue.rows import Place, keys_of, row_of, stream_of
from gateway.streams import Gap

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway.queue.book import Book
    from gateway.streams import Row


def damaged_gap(core: sa.engine.Connection, key: int, book: Book) -> Gap | None:
    """The gap of a damaged row, if its own columns and its neighbours agree.

    Args:
        core: inside a transaction.
        key: of the damaged row, which is still there.
        book: the counters, for what the last row may hold.

    Raises:
        sqlite3.DatabaseError: the row is not found by its key; the file is to be salvaged.
    """
    stream = stream_of(key)
    lo, hi = keys_of(stream)
    found = core.exec_driver_sql(schema.PLACES.sql, (key, key, 1)).fetchall()
    if not found:  # the tree is out of order
        text = f"key {key}: is read in passing and not found"
        raise schema.corruption(text)
    own = Place(*found[0])
    if not (isinstance(own.seq0, int) and isinstance(own.n, int) and own.n >= 1):
        return None
    before = _sound(core, schema.FETCH_BACK.sql, (lo, key - 1))
    behind = _sound(core, schema.FETCH.sql, (key + 1, hi))
    known = behind or before
    if known is None or own.epoch != known.epoch:
        return None
    last = own.seq0 + own.n - 1
    next_one = behind.seq0 if behind is not None else book.streams[stream].next
    fits = last + 1 == next_one and known.epoch == (book.epoch if behind is None else own.epoch)
    if before is not None:
        fits = fits and before.epoch == own.epoch and before.seq0 + before.batch.n == own.seq0
    if not fits:
        return None
    asset = own.asset if isinstance(own.asset, str) and own.asset.isprintable() else ""
    return Gap(stream, asset, own.seq0, last, "corrupt", own.epoch)


def _sound(core: sa.engine.Connection, sql: str, bounds: tuple[int, int]) -> Row | None:
    """The next row, if its CRC holds."""
    for columns in core.exec_driver_sql(sql, (*bounds, 1)).fetchall():
        with suppress(PayloadError):
            return row_of(columns)
    return None
