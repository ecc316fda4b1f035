"""The queue's counters: numbers to give out next, and what waits, kept in the same transaction.

They live in one row of ``meta`` as JSON, under a CRC: a flipped bit in a next sequence number
would otherwise number new readings like old ones, and every consumer would throw them away.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.errors import PayloadError
from gateway.streams import Gap, QueueDepth, Stream, StreamDepth

if TYPE_CHECKING:
    from gateway.queue.rules.retention import Space


_KEY = b"book"
_IDS = 100_000  # more than one transaction gives out
_BEGIN = b'book{"epoch":'


@dataclass(slots=True)
class Counts:
    """One stream."""

    next: int = 1  # sequence number of the next reading
    rows: int = 0
    readings: int = 0
    bytes: int = 0  # of bodies

    def add(self, *, rows: int, readings: int, size: int) -> None:
        """Count what came (or, negative, what went); never below nothing."""
        self.rows = max(0, self.rows + rows)
        self.readings = max(0, self.readings + readings)
        self.bytes = max(0, self.bytes + size)

    def is_as_much_as(self, other: Counts) -> bool:
        """Whether the same waits, to the byte; whatever the next number is."""
        return (self.rows, self.readings, self.bytes) == (other.rows, other.readings, other.bytes)


@dataclass(slots=True)
class Counters:
    """Every counter of one epoch."""

    epoch: str
    next_id: int = 1
    gaps: int = 0
    quarantined: int = 0
    aged_s: int = 0  # the queue's own clock (``retention.Ageing``) at the last commit
    wall_ms: int = 0  # Unix ms of the last commit
    commits: int = 0  # so that no two commits save the same text: ``wal_repair`` relies on it
    streams: dict[Stream, Counts] = field(
        default_factory=lambda: {stream: Counts() for stream in Stream}
    )

    def copy(self) -> Counters:
        """An independent copy: what a rolled-back transaction returns to."""
        streams = {
            stream: Counts(one.next, one.rows, one.readings, one.bytes)
            for stream, one in self.streams.items()
        }
        return replace(self, streams=streams)

    def reserve(self, stream: Stream, n: int) -> int:
        """Take ``n`` sequence numbers and return the first."""
        counts = self.streams[stream]
        first = counts.next
        counts.next += n
        return first

    def behind(self, other: Counters | None) -> bool:
        """Whether ``other`` is of a later commit of the same epoch."""
        return other is not None and other.epoch == self.epoch and other.commits > self.commits

    def skip(self, other: Counters | None) -> list[Gap]:
        """Give no number out that ``other`` has given out; returns those that are left out."""
        if other is None or other.epoch != self.epoch:
            return []
        self.next_id = max(self.next_id, other.next_id)
        self.commits = max(self.commits, other.commits)
        gaps = []
        for stream, counts in self.streams.items():
            behind = other.streams[stream].next
            if behind > counts.next:
                gaps.append(Gap(stream, "", counts.next, behind - 1, "corrupt"))
                counts.next = behind
        return gaps

    def begin(self, epoch: str) -> None:
        """Number from 1 in a new epoch; what waits keeps its numbers, ids go on with room."""
        self.epoch = epoch
        self.next_id += _IDS
        for counts in self.streams.values():
            counts.next = 1

    def depth(self, streams: dict[Stream, StreamDepth], space: Space) -> QueueDepth:
        """What waits, as the core is told."""
        return QueueDepth(
            self.epoch,
            streams,
            self.next_id - 1,
            space.free_bytes,
            space.disk_bytes,
            self.gaps,
            self.quarantined,
        )

    def text(self) -> str:
        """As JSON. By hand: it is written with every commit, and ``asdict`` cost 75 us of it."""
        tree: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        tree["streams"] = {
            stream.value: {
                "next": one.next,
                "rows": one.rows,
                "readings": one.readings,
                "bytes": one.bytes,
            }
            for stream, one in self.streams.items()
        }
        return json.dumps(tree, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Counters:
        """Read ``text()`` again.

        Raises:
            PayloadError: it is not what ``text`` writes.
        """
        try:
            tree = json.loads(text)
            streams = {Stream(name): Counts(**counts) for name, counts in tree["streams"].items()}
            counters = cls(**{**tree, "streams": {stream: streams[stream] for stream in Stream}})
        except (ValueError, TypeError, KeyError) as error:
            reason = f"counters of the queue cannot be read: {error}"
            raise PayloadError(reason) from error
        return counters


def newest(*books: Counters | None) -> Counters | None:
    """The one of the latest commit; names of epochs sort by time."""
    known = [counters for counters in books if counters is not None]
    return max(known, key=lambda counters: (counters.epoch, counters.commits), default=None)


def found_in(octets: bytes) -> Counters | None:
    """The counters somewhere in a page, if their CRC holds.

    Source: SQLite, Database File Format, 2.1: the columns key, value and crc follow each other,
    an integer big-endian in 1, 2, 3, 4 or 6 bytes.
    """
    at = -1
    while (at := octets.find(_BEGIN, at + 1)) >= 0:
        try:
            text = octets[at + len(_KEY) :].decode("ascii", "replace")
            _, size = json.JSONDecoder().raw_decode(text)
        except ValueError:
            continue
        crc = sealed("book", text[:size])
        behind = octets[at + len(_KEY) + size :][:6]
        if any(int.from_bytes(behind[:n], "big", signed=True) == crc for n in (1, 2, 3, 4, 6)):
            with suppress(PayloadError):
                return Counters.parse(text[:size])
    return None


def sealed(key: str, value: str) -> int:
    """CRC-32 of a key and its value in ``meta`` or ``fact``."""
    return zlib.crc32(f"{key}={value}".encode())
