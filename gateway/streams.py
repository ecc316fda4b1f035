"""The queue's words: streams and their fate, batches going in, rows coming out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stream(StrEnum):
    """A numbered sequence of records; ``seq`` is strictly +1 per stream and epoch."""

    AUDIT = "audit"  # never dropped, up to an eighth of max_size
    RESULT = "result"  # as audit
    EVENT = "event"  # dropped last, with a gap record
    STATE = "state"  # thinned before it is dropped
    TELEMETRY = "telemetry"  # dropped first

    @property
    def prio(self) -> int:
        """Shipping order of history: lower first. Also the reverse order of dropping."""
        return _PRIO[self]


_PRIO = {
    Stream.AUDIT: 0,
    Stream.RESULT: 1,
    Stream.EVENT: 2,
    Stream.STATE: 3,
    Stream.TELEMETRY: 4,
}


NEVER_DROPPED = (Stream.AUDIT, Stream.RESULT)


class Codec(StrEnum):
    """How a body is encoded; the wire's content encoding."""

    JSON = "json"
    ZSTD = "json+zstd"  # one zstd frame with content size and without checksum


@dataclass(frozen=True, slots=True)
class Batch:
    """What is appended: ``n`` readings encoded once, still without epoch and seq.

    ``body`` is the published payload less the fields that are known only when it is shipped
    (epoch, seq, publishedAt, backfill): ``uplink.messages.wire`` puts them in front.
    """

    stream: Stream
    asset: str  # "" where the record is the gateway's own
    n: int  # sequence numbers it takes: readings of a telemetry batch, 1 elsewhere
    t_min: int  # Unix ms of the oldest reading
    t_max: int  # Unix ms of the newest reading
    codec: Codec
    body: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """A batch with its place in the queue.

    ``epoch`` is the one its ``seq0`` counts in, and goes into its payload. It is nearly always
    the queue's own; rows salvaged from a corrupt database keep theirs, so that a consumer, who
    dedupes on (gateway, stream, epoch, seq), recognises one that it already has.
    """

    id: int  # strictly increasing, never reused within an epoch
    seq0: int  # sequence number of its first reading, from 1
    batch: Batch
    epoch: str = ""  # ULID; the store always fills it in


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequence numbers ``first..last`` of a stream that will not be shipped any more.

    A consumer that already has one of them keeps it. With reason ``thinned`` only every second
    record of the range was given up: what is missing there is missing on purpose.
    """

    stream: Stream
    asset: str  # "" where the range spans several assets
    first: int
    last: int
    reason: str  # quota | age | corrupt | disk_full | store_timeout | thinned
    epoch: str = ""  # the epoch of these numbers; "": that of the gap record itself


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """An epoch that is over. Epochs are ordered by ``start``, never by their names.

    A consumer that misses a number up to ``last`` has lost it, unless a gap says so; one that has
    a number above it knows that the store went back in time.
    """

    epoch: str  # ULID
    start: int  # which start of the daemon it was, 0 where that was not counted yet
    last: Mapping[str, int]  # the last number given out, by stream; 0: none
    closed: bool  # the daemon ended in order: nothing came behind
    told_in: int  # start of the epoch that tells it


Notice = Gap | EpochEnded  # what the store itself has to say, as a record of stream ``event``


@dataclass(frozen=True, slots=True)
class StreamDepth:
    """What waits in one stream."""

    rows: int
    readings: int
    bytes: int
    oldest_ms: int | None


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What waits in the queue, from counters kept in the same transactions (never counted)."""

    epoch: str
    streams: dict[Stream, StreamDepth]
    last_id: int
    free_bytes: int  # left on the disk
    disk_bytes: int  # size of the disk
    gaps: int  # gap records written in the database's life
    quarantined: int
    start: int = 0  # which start of the daemon began the epoch
    epoch_before: str = ""  # ULID of the one before; "": there was none

    @property
    def rows(self) -> int:
        """Rows in all streams."""
        return sum(depth.rows for depth in self.streams.values())

    @property
    def readings(self) -> int:
        """Readings in all streams."""
        return sum(depth.readings for depth in self.streams.values())

    @property
    def bytes(self) -> int:
        """Body bytes in all streams."""
        return sum(depth.bytes for depth in self.streams.values())
