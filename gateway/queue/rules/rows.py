"""A row of the queue as the database holds it: its key, its columns, its CRC. Pure.

The key is ``prio`` in the high bits and ``id`` in the low 48, so the table itself is in shipping
order: no second index can disagree with it, and oldest-of-a-stream is one range of keys. The CRC
covers the body and everything that says what the body is, the key included.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

from gateway.errors import PayloadError
from gateway.streams import Batch, Codec, Gap, Row, Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

ID_BITS = 48  # 2.8e14 ids: 8900 years at 1000 commits/s
MAX_ID = (1 << ID_BITS) - 1
STREAMS = {stream.prio: stream for stream in Stream}
MOST_RANGES = 16  # gap records of one drop; the rest is covered by one wide range

Columns = tuple[int, str, str, int, int, int, int, str, str, int, int, bytes]


class RowPlace(NamedTuple):
    """What the queue needs to know of a row in order to let it go."""

    key: int
    asset: str
    seq0: int
    n: int
    size: int  # bytes of the body
    epoch: str
    aged_s: int


def key_of(stream: Stream, row_id: int) -> int:
    """Key of a row: its place in shipping order."""
    return stream.prio << ID_BITS | row_id


def keys_of(stream: Stream) -> tuple[int, int]:
    """First and last key that a stream may use."""
    return key_of(stream, 0), key_of(stream, MAX_ID)


def id_of(key: int) -> int:
    """Id within the queue, from a key."""
    return key & MAX_ID


def stream_of(key: int) -> Stream:
    """Stream of a key.

    Raises:
        PayloadError: no stream has this priority; the key is damaged.
    """
    try:
        return STREAMS[key >> ID_BITS]
    except KeyError as error:
        text = f"key {key}: priority {key >> ID_BITS}: must be 0..{max(STREAMS)}"
        raise PayloadError(text) from error


def crc_of(key: int, epoch: str, seq0: int, batch: Batch, aged_s: int) -> int:
    """CRC-32 over the body and what identifies it."""
    head = (
        f"{key}|{epoch}|{batch.stream}|{batch.asset}|{seq0}|{batch.n}"
        f"|{batch.t_min}|{batch.t_max}|{batch.codec}|{aged_s}|"
    )
    return zlib.crc32(batch.body, zlib.crc32(head.encode()))


def columns_of(row: Row, *, aged_s: int) -> Columns:
    """The columns of a row, in the order of the table.

    Args:
        row: what to store.
        aged_s: second of the queue's own clock (``retention.Ageing``) at which it is stored.
    """
    batch, key = row.batch, key_of(row.batch.stream, row.id)
    return (
        key,
        batch.stream.value,
        batch.asset,
        row.seq0,
        batch.n,
        batch.t_min,
        batch.t_max,
        batch.codec.value,
        row.epoch,
        aged_s,
        crc_of(key, row.epoch, row.seq0, batch, aged_s),
        batch.body,
    )


def row_of(columns: Sequence[object]) -> Row:
    """The row, if it is what was once stored.

    Raises:
        PayloadError: a column has a type that was never written, or the CRC does not hold.
    """
    key, stream, asset, seq0, n, t_min, t_max, codec, epoch, aged_s, crc, body = columns
    if not (
        isinstance(key, int)
        and isinstance(stream, str)
        and isinstance(codec, str)
        and isinstance(asset, str)
        and isinstance(seq0, int)
        and isinstance(n, int)
        and isinstance(t_min, int)
        and isinstance(t_max, int)
        and isinstance(epoch, str)
        and isinstance(aged_s, int)
        and isinstance(body, bytes)
    ):
        text = f"key {key}: a column has a type that was never written"
        raise PayloadError(text)
    try:
        batch = Batch(Stream(stream), asset, n, t_min, t_max, Codec(codec), body)
    except ValueError as error:
        text = f"key {key}: {error}"
        raise PayloadError(text) from error
    if stream_of(key) is not batch.stream or crc_of(key, epoch, seq0, batch, aged_s) != crc:
        text = f"key {key}: CRC is {crc!r} and does not match the row"
        raise PayloadError(text)
    return Row(id_of(key), seq0, batch, epoch)


def spans(ids: Sequence[int]) -> list[tuple[int, int]]:
    """``ids``, in any order and with repeats, as ascending runs of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for row_id in sorted(set(ids)):
        if runs and row_id == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], row_id
        else:
            runs.append((row_id, row_id))
    return runs


def gaps_of(stream: Stream, places: Sequence[RowPlace], reason: str) -> list[Gap]:
    """The fewest gaps that announce these rows, which are in sequence order per epoch.

    Neighbours join, also over assets (one sequence counts all of a stream). Beyond
    ``MOST_RANGES`` the rest becomes one wide range: what is skipped inside it had been
    acknowledged before, because rows are given up oldest first.
    """
    gaps: list[Gap] = []
    for place in places:
        first, last = place.seq0, place.seq0 + place.n - 1
        before = gaps[-1] if gaps else None
        if before is not None and before.epoch == place.epoch:
            full = len(gaps) >= MOST_RANGES and first > before.last
            if full or first == before.last + 1:
                asset = place.asset if place.asset == before.asset else ""
                gaps[-1] = Gap(stream, asset, before.first, last, reason, place.epoch)
                continue
        gaps.append(Gap(stream, place.asset, first, last, reason, place.epoch))
    return gaps


def thinned_gaps(stream: Stream, places: Sequence[RowPlace]) -> list[Gap]:
    """One wide range per epoch over rows of which every second went."""
    gaps: dict[str, Gap] = {}
    for place in places:
        last = place.seq0 + place.n - 1
        before = gaps.get(place.epoch)
        if before is None:
            gap = Gap(stream, place.asset, place.seq0, last, "thinned", place.epoch)
        else:
            asset = place.asset if place.asset == before.asset else ""
            gap = Gap(stream, asset, before.first, last, "thinned", place.epoch)
        gaps[place.epoch] = gap
    return list(gaps.values())
