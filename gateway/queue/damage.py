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

_NEAR = 16  # rows looked at on either side


def damaged_gap(core: sa.engine.Connection, key: int, book: Book) -> Gap:
    """The gap of a damaged row; its own columns count only where its neighbours allow them.

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
    before = _sound(core, schema.FETCH_BACK.sql, (lo, key - 1, _NEAR))
    behind = _sound(core, schema.FETCH.sql, (key + 1, hi, _NEAR))
    known = behind or before
    epoch = known.epoch if known is not None else book.epoch
    first = before.seq0 + before.batch.n if before is not None and before.epoch == epoch else 1
    last = book.streams[stream].next - 1
    if behind is not None:
        last = behind.seq0 - 1
    elif epoch != book.epoch:
        last = max(first, own.seq0 if isinstance(own.seq0, int) else first)
    inside = (
        isinstance(own.seq0, int)
        and isinstance(own.n, int)
        and own.n >= 1
        and first <= own.seq0
        and own.seq0 + own.n - 1 <= last
    )
    if inside:
        first, last = own.seq0, own.seq0 + own.n - 1
    asset = own.asset if isinstance(own.asset, str) and own.asset.isprintable() else ""
    return Gap(stream, asset, first, max(first, last), "corrupt", epoch)


def _sound(core: sa.engine.Connection, sql: str, bounds: tuple[int, int, int]) -> Row | None:
    """The nearest row whose CRC holds: damage seldom comes alone."""
    for columns in core.exec_driver_sql(sql, bounds).fetchall():
        with suppress(PayloadError):
            return row_of(columns)
    return None
