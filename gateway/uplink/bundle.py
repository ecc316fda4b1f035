"""Several stored telemetry bodies as one payload: zstd frame after zstd frame. Pure.

Nothing is compressed again: a stored frame gets its prefix (``frame.splice``), and a body that is
plain JSON becomes a frame of raw blocks. Each frame is one message, so what unpacks all of them
finds one JSON object after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import PayloadError
from gateway.streams import Codec, Stream
from gateway.uplink import frame
from gateway.uplink.messages import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.streams import Row

HEAD = 200  # bytes that a row's prefix and frame add at most


def size(row: Row) -> int:
    """Bytes that ``row`` takes in a payload, at most."""
    return len(row.batch.body) + HEAD


def joins(first: Row, row: Row) -> bool:
    """Whether ``row`` may go together with ``first``."""
    one, other = first.batch, row.batch
    return one.stream is other.stream is Stream.TELEMETRY and one.asset == other.asset


def payload(
    rows: Sequence[Row],
    *,
    epoch: str,
    published_ms: int,
    backfill: bool,
    bad: Callable[[Row, Exception], None],
) -> tuple[bytes, str, list[Row]]:
    """One payload of ``rows``.

    Args:
        rows: one, or several of which all ``joins`` the first.
        epoch: the queue's, for rows that do not name theirs.
        published_ms: now, Unix ms.
        backfill: they are history, not live.
        bad: is told of each row that cannot be encoded.

    Returns:
        The payload, its encoding, and the rows that are in it; those may be none.
    """
    parts: list[bytes] = []
    taken: list[Row] = []
    for row in rows:
        try:
            parts.append(wire(row, epoch=epoch, published_ms=published_ms, backfill=backfill))
        except PayloadError as error:
            bad(row, error)
        else:
            taken.append(row)
    if len(parts) == 1:
        return parts[0], "zstd" if taken[0].batch.codec is Codec.ZSTD else "", taken
    framed = (
        part if row.batch.codec is Codec.ZSTD else frame.raw(part)
        for row, part in zip(taken, parts, strict=True)
    )
    return b"".join(framed), "zstd", taken
