"""What a platform does with our messages: decode, drop duplicates, find gaps. Stands alone.

    consumer = Consumer()
    for message in consumer.take(topic, payload):      # whole messages, each record once
        for reading in readings(message):              # the rows of a telemetry message
            ...
    consumer.lost()                                    # 0, or something is wrong

The gateway sends a record again whenever it did not see the broker's acknowledgement, and records
never change, so (gateway, stream, epoch, seq) says whether one is new. Numbers that it gave up on
purpose are announced by an event of type "gap"; what is missing and not announced is lost.
"""

from __future__ import annotations

import io
import json
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeGuard

import zstandard

from gateway.errors import PayloadError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CONTENT = 8 << 20  # bytes after decompression; a full batch has some 10 kB
_ZSTD = b"\x28\xb5\x2f\xfd"
_STREAMS = {  # by schema: an event of type "gap" has a field "stream" that is not its own
    "bess.telemetry": "telemetry",
    "bess.state": "state",
    "bess.event": "event",
    "bess.result": "result",
    "bess.audit": "audit",
}
_COLUMNS = ("point", "dt", "value", "flags", "tq")
_WORDS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class Reading(NamedTuple):
    """One row of a telemetry message."""

    seq: int
    point: str  # "AI47"
    value: float | int | str  # raw, as the outstation sent it
    flags: int | None  # DNP3 object flags; None for variations without flags
    at_ms: int  # Unix ms, UTC
    tq: str  # synced | unsynced | skewed | gateway


def decode(payload: bytes, *, encoding: str | None = None) -> dict[str, Any]:
    """The message in ``payload``.

    Args:
        payload: as it arrived.
        encoding: the MQTT 5 user property "encoding" if there is one; without it zstd is
            recognised by its first bytes, so MQTT 3.1.1 needs nothing.

    Raises:
        PayloadError: not one of our messages; drop and report it.
    """
    if encoding not in {None, "", "zstd"}:
        _refuse(f"has the encoding {encoding!r}: must be zstd or none")
    if encoding == "zstd" or payload[:4] == _ZSTD:
        payload = _decompress(payload)
    elif len(payload) > MAX_CONTENT:
        _refuse(f"has {len(payload)} bytes: at most {MAX_CONTENT} are read")
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        _refuse(f"is not JSON: {error}")
    if not isinstance(message, dict) or not isinstance(message.get("schema"), str):
        _refuse('has no "schema": not one of our messages')
    return message


def readings(message: dict[str, Any]) -> Iterator[Reading]:
    """The rows of a telemetry message, in order.

    Raises:
        PayloadError: not a telemetry message, or its columns differ in length or hold what no
            point, time or value is.
    """
    _, t0, seq = _telemetry(message)
    rows = zip(*(message[name] for name in _COLUMNS), strict=True)
    for at, (point, dt, value, flags, tq) in enumerate(rows):
        if not (isinstance(point, str) and _whole(dt) and isinstance(value, int | float | str)):
            _refuse(f"has the row {(point, dt, value)!r}: must be a point, ms after t0, a value")
        if isinstance(value, str) and not point.startswith("OS"):
            value = _WORDS.get(value, value)  # noqa: PLW2901 - the word stands for this number
        yield Reading(seq + at, point, value, flags, t0 + dt, tq)


@dataclass(slots=True)
class Intervals:
    """A set of integers as sorted, disjoint, closed intervals: compact if there are few gaps."""

    firsts: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)

    def add(self, first: int, last: int) -> list[tuple[int, int]]:
        """Add ``first..last``; returns the parts of it that are new."""
        if self.lasts and first == self.lasts[-1] + 1:  # the next in order: nearly always
            self.lasts[-1] = last
            return [(first, last)]
        low = bisect_right(self.lasts, first - 2)  # first interval that touches or follows
        high = bisect_right(self.firsts, last + 1)  # past the last interval that touches
        fresh, begin = [], first
        for at in range(low, high):
            if begin < self.firsts[at]:
                fresh.append((begin, min(last, self.firsts[at] - 1)))
            begin = max(begin, self.lasts[at] + 1)
        if begin <= last:
            fresh.append((begin, last))
        merged_first = min([first, *self.firsts[low:high][:1]])
        merged_last = max([last, *self.lasts[low:high][-1:]])
        self.firsts[low:high] = [merged_first]
        self.lasts[low:high] = [merged_last]
        return fresh

    def holes(self) -> list[tuple[int, int]]:
        """What is missing between the first and the last."""
        pairs = zip(self.lasts, self.firsts[1:], strict=False)
        return [(last + 1, first - 1) for last, first in pairs]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The parts of ``first..last`` that are not in the set."""
        if first > last:
            return []
        return Intervals(list(self.firsts), list(self.lasts)).add(first, last)

    @property
    def count(self) -> int:
        """How many integers are in it."""
        return sum(self.lasts) - sum(self.firsts) + len(self.firsts)


Key = tuple[str, str, str]  # gateway, stream, epoch


class Consumer:
    """Remembers which records it has, of any number of gateways.

    Args:
        from_start: it has listened since each epoch began, so that numbering starts at 1 and what
            is missing before the first record counts as lost.
    """

    def __init__(self, *, from_start: bool = False) -> None:
        self.received = 0  # new readings and other records
        self.duplicates = 0  # records that came again
        self._from_start = from_start
        self._have: dict[Key, Intervals] = {}
        self._announced: dict[Key, Intervals] = {}

    def take(
        self, topic: str, payload: bytes, *, encoding: str | None = None
    ) -> list[dict[str, Any]]:
        """Decode one message.

        Returns:
            The message, or its parts that are new; nothing if all of it came before. Messages
            without a number (status, birth, map, challenge) are always new.

        Raises:
            PayloadError: not one of our messages; it names the topic.
        """
        try:
            message = decode(payload, encoding=encoding)
            return self._take(message)
        except PayloadError as error:
            wrong = f"{topic}: {error}"
            raise PayloadError(wrong) from error

    def keys(self) -> list[Key]:
        """Every (gateway, stream, epoch) that was seen or announced."""
        return sorted({*self._have, *self._announced})

    def lost(self) -> int:
        """Records that are missing and were not announced."""
        return sum(last - first + 1 for key in self.keys() for first, last in self.gaps(key))

    def announced(self) -> int:
        """Records that the gateway gave up, said so, and that did not arrive all the same."""
        total = 0
        for key, given_up in self._announced.items():
            have = self._have.get(key, Intervals())
            for first, last in zip(given_up.firsts, given_up.lasts, strict=True):
                total += sum(end - begin + 1 for begin, end in have.missing(first, last))
        return total

    def gaps(self, key: Key) -> list[tuple[int, int]]:
        """The numbers of one stream that are missing and were not announced, as intervals."""
        known = Intervals()
        for part in (self._have.get(key), self._announced.get(key)):
            if part is not None:
                for first, last in zip(part.firsts, part.lasts, strict=True):
                    known.add(first, last)
        if self._from_start and known.firsts and known.firsts[0] > 1:
            return [(1, known.firsts[0] - 1), *known.holes()]
        return known.holes()

    def _take(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        schema = message["schema"].partition("/")[0]
        stream = _STREAMS.get(schema)
        if stream is None or message.get("seq") is None:
            return [message]
        n, seq = 1, message["seq"]
        if schema == "bess.telemetry":
            n, _, seq = _telemetry(message)
        key = (_text(message, "gateway"), stream, _text(message, "epoch"))
        if not _whole(seq):
            _refuse(f"has seq = {seq!r}: must be an integer, 0 or more")
        fresh = self._have.setdefault(key, Intervals()).add(seq, seq + n - 1)
        new = sum(last - first + 1 for first, last in fresh)
        self.received += new
        self.duplicates += n - new
        if schema == "bess.event" and message.get("type") == "gap":
            self._announce(key, message)
        if new == n:
            return [message]
        return [_part(message, first - seq, last - seq + 1) for first, last in fresh]

    def _announce(self, key: Key, message: dict[str, Any]) -> None:
        first, last = message.get("from"), message.get("to")
        if not (_whole(first) and _whole(last) and first <= last):
            _refuse(f"announces a gap from {first!r} to {last!r}: must be integers in order")
        epoch = message.get("gapEpoch") or key[2]
        given_up = (key[0], _text(message, "stream"), str(epoch))
        self._announced.setdefault(given_up, Intervals()).add(first, last)


def _decompress(payload: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(payload)
        if size > MAX_CONTENT:
            _refuse(f"claims {size} bytes after decompression: at most {MAX_CONTENT} are read")
        reader = zstandard.ZstdDecompressor(max_window_size=MAX_CONTENT).stream_reader(
            io.BytesIO(payload)
        )
        content = reader.read(MAX_CONTENT + 1)
    except zstandard.ZstdError as error:
        _refuse(f"is not zstd: {error}")
    if len(content) > MAX_CONTENT or (size >= 0 and len(content) != size):
        _refuse(f"holds {len(content)} bytes where its frame says {size}")
    return content


def _telemetry(message: dict[str, Any]) -> tuple[int, int, int]:
    """``n``, ``t0`` and ``seq`` of a telemetry message whose columns fit together."""
    if not message["schema"].startswith("bess.telemetry/"):
        _refuse(f"has the schema {message['schema']!r}: must be bess.telemetry")
    n, t0, seq = message.get("n"), message.get("t0"), message.get("seq")
    if not (_whole(n) and n and _whole(t0) and _whole(seq)):
        _refuse(f"has n = {n!r}, t0 = {t0!r}, seq = {seq!r}: must be integers, n 1 or more")
    for name in _COLUMNS:
        column = message.get(name)
        if not isinstance(column, list) or len(column) != n:
            found = len(column) if isinstance(column, list) else "no"
            _refuse(f"has {found} entries in {name!r}: must be n = {n}")
    return n, t0, seq


def _part(message: dict[str, Any], begin: int, end: int) -> dict[str, Any]:
    """Some rows of a telemetry message, as a message."""
    columns = {name: message[name][begin:end] for name in _COLUMNS}
    return {**message, **columns, "seq": message["seq"] + begin, "n": end - begin}


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str):
        _refuse(f"has {name} = {value!r}: must be text")
    return value


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _refuse(text: str) -> NoReturn:
    wrong = f"the payload {text}"
    raise PayloadError(wrong)
