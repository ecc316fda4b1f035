"""What damage costs: rows that are counted and not found, readings that a damaged row held."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.errors import PayloadError
from gateway.queue import schema
from gateway.queue.rules import missing
from gateway.queue.rules.rows import RowPlace, key_of, keys_of, row_of, stream_of
from gateway.sqlite import files
from gateway.streams import Gap

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa

    from gateway.queue.drops import Drops
    from gateway.queue.rules.counters import Counters
    from gateway.streams import Row, Stream


def damaged_gap(core: sa.engine.Connection, key: int, counters: Counters) -> Gap | None:
    """The gap of a damaged row, if its own columns and its neighbours agree.

    Args:
        core: inside a transaction.
        key: of the damaged row, which is still there.
        counters: for what the last row may hold.

    Raises:
        sqlite3.DatabaseError: the row is not found by its key; the file is to be salvaged.
    """
    stream = stream_of(key)
    lo, hi = keys_of(stream)
    found = core.exec_driver_sql(schema.PLACES.sql, (key, key, 1)).fetchall()
    if not found:  # the tree is out of order
        text = f"key {key}: is read in passing and not found"
        raise files.corruption(text)
    own = RowPlace(*found[0])
    if not (isinstance(own.seq0, int) and isinstance(own.n, int) and own.n >= 1):
        return None
    before = _sound(core, schema.FETCH_BACK.sql, (lo, key - 1))
    behind = _sound(core, schema.FETCH.sql, (key + 1, hi))
    known = behind or before
    if known is None or own.epoch != known.epoch:
        return None
    last = own.seq0 + own.n - 1
    next_one = behind.seq0 if behind is not None else counters.streams[stream].next
    fits = last + 1 == next_one and known.epoch == (counters.epoch if behind is None else own.epoch)
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


def census(core: sa.engine.Connection, counters: Counters) -> None:
    """Count the rows, inside a transaction.

    Raises:
        sqlite3.DatabaseError: they are not those that the counters say.
    """
    for stream, counts in counters.streams.items():
        end = key_of(stream, counters.next_id)
        lo, hi = keys_of(stream)
        [(found, ids), (beyond, _)] = (
            core.exec_driver_sql(schema.COUNT.sql, bounds).fetchall()[0]
            for bounds in ((lo, end - 1), (end, hi))
        )
        if found != counts.rows or beyond:
            text = f"{counts.rows} rows of {stream} are counted and {found + beyond} are found"
            raise files.corruption(text)
        if counts.ids is None:  # as older gateways wrote them
            counts.ids = ids or 0
        if counts.ids != (ids or 0):
            text = f"the {found} rows of {stream} are not those that are counted"
            raise files.corruption(text)


def not_waiting(
    drops: Drops, streams: set[Stream], counters: Counters, older: Mapping[str, Mapping[str, int]]
) -> list[Gap]:
    """Every number of these streams that was given out and does not wait."""
    numbers: missing.Ranges = {}
    for stream in streams:
        for place in drops.places(stream):
            last = place.seq0 + place.n - 1
            missing.note(numbers, stream, place.epoch, first=place.seq0, last=last)
    gaps = missing.gaps(numbers, counters=counters, older=older, whole=set())
    return [gap for gap in gaps if gap.stream in streams]
