"""The queue's counters: numbers to give out next, and what waits, kept in the same transaction.

They live in one row of ``meta`` as JSON, under a CRC: a flipped bit in a next sequence number
would otherwise number new readings like old ones, and every consumer would throw them away.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.errors import PayloadError
from gateway.streams import Gap, QueueDepth, Stream, StreamDepth

if TYPE_CHECKING:
    from gateway.queue.rules.retention import Space


_ID = 0xFFFFFFFF  # of an id, what is summed: a million rows fit into 64 bits


@dataclass(slots=True)
class Counts:
    """One stream."""

    next: int = 1  # sequence number of the next reading
    rows: int = 0
    readings: int = 0
    bytes: int = 0  # of bodies
    ids: int | None = 0  # sum of ``weight`` of what waits; None: not known, an older file

    def add(self, *, rows: int, readings: int, size: int, ids: int) -> None:
        """Count what came (or, negative, what went); never below nothing."""
        self.ids = None if self.ids is None else max(0, self.ids + ids)
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
    commits: int = 0  # says which of two is newer
    streams: dict[Stream, Counts] = field(
        default_factory=lambda: {stream: Counts() for stream in Stream}
    )

    def copy(self) -> Counters:
        """An independent copy: what a rolled-back transaction returns to."""
        streams = {
            stream: Counts(one.next, one.rows, one.readings, one.bytes, one.ids)
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
                "ids": one.ids,
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
            streams = {
                Stream(name): Counts(**{"ids": None, **counts})
                for name, counts in tree["streams"].items()
            }
            counters = cls(**{**tree, "streams": {stream: streams[stream] for stream in Stream}})
        except (ValueError, TypeError, KeyError) as error:
            reason = f"counters of the queue cannot be read: {error}"
            raise PayloadError(reason) from error
        return counters


def weight(row_id: int) -> int:
    """What a row adds to the sum over the ids that wait, which tells one row from another."""
    return row_id & _ID


def sealed(key: str, value: str) -> int:
    """CRC-32 of a key and its value in ``meta``."""
    return zlib.crc32(f"{key}={value}".encode())
