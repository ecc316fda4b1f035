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
from gateway.streams import EpochEnded, Gap, QueueDepth, Stream, StreamDepth

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

    epoch: str = ""  # ULID; "": nothing was numbered yet
    start: int = 0  # of the daemon, that began it; 0: not counted yet
    closed: bool = False  # the daemon ended in order with this commit
    before: EpochEnded | None = None  # the epoch before
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

    def ended(self, *, told_in: int) -> EpochEnded:
        """This epoch as one that is over."""
        last = {str(stream): counts.next - 1 for stream, counts in self.streams.items()}
        return EpochEnded(self.epoch, self.start, last, self.closed, told_in)

    def follow(self, other: Counters) -> None:
        """Be of the same epoch as ``other``, which counted another file; what waits is our own."""
        self.epoch, self.start, self.before = other.epoch, other.start, other.before
        self.commits, self.gaps = other.commits, other.gaps
        self.quarantined, self.closed = other.quarantined, other.closed
        for stream, counts in self.streams.items():
            counts.next = other.streams[stream].next

    def begin(self, epoch: str, noted: Counters | None) -> tuple[list[Gap], list[EpochEnded]]:
        """A start of the daemon: number from 1 in a new epoch, whatever was there before.

        Args:
            epoch: its name; nobody had it before.
            noted: the counters beside the database: where they are of a later commit, what came
                between is gone.

        Returns:
            What is gone, and the epochs that are over, oldest first.
        """
        gaps, later = [], None
        if noted is not None and self.behind(noted):
            gaps += self._given_out(noted.ended(told_in=0))
            self.closed = noted.closed
        elif noted is not None and noted.epoch != self.epoch and noted.start > self.start:
            later = noted
            if noted.before is not None and noted.before.epoch == self.epoch:
                gaps += self._given_out(noted.before)
            gaps += noted.vanished()
        start = max(self.start, noted.start if noted else 0) + 1
        over = [one.ended(told_in=start) for one in (self, later) if one is not None and one.epoch]
        if noted is not None:
            self.next_id = max(self.next_id, noted.next_id)
            self.commits = max(self.commits, noted.commits)
        self.epoch, self.start, self.closed = epoch, start, False
        self.before = over[-1] if over else None
        for counts in self.streams.values():
            counts.next = 1
        return gaps, over

    def _given_out(self, ended: EpochEnded) -> list[Gap]:
        """Numbers of this epoch that were given out later than we know; they count from now on."""
        gaps = []
        for stream, counts in self.streams.items():
            last = ended.last.get(str(stream), 0)
            if last >= counts.next:
                gaps.append(Gap(stream, "", counts.next, last, "corrupt", self.epoch))
                counts.next = last + 1
        return gaps

    def vanished(self) -> list[Gap]:
        """All numbers of this epoch, whose file is not there, but of streams that nobody misses.

        A waiting event may have been a gap record; without one, a stream of which nothing waited
        has been delivered or announced.
        """
        events = self.streams[Stream.EVENT].rows
        return [
            Gap(stream, "", 1, counts.next - 1, "corrupt", self.epoch)
            for stream, counts in self.streams.items()
            if counts.next > 1 and (counts.rows or events)
        ]

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
            self.start,
            self.before.epoch if self.before else "",
        )

    def text(self) -> str:
        """As JSON. By hand: it is written with every commit, and ``asdict`` cost 75 us of it."""
        tree: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        if self.before is not None:
            tree["before"] = {name: getattr(self.before, name) for name in EpochEnded.__slots__}
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
            before = tree.get("before")
            counters = cls(
                **{
                    **tree,
                    "before": EpochEnded(**before) if before else None,
                    "streams": {stream: streams[stream] for stream in Stream},
                }
            )
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
