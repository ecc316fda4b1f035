"""Which records are new, and which numbers are missing, of any number of gateways. Pure."""

from __future__ import annotations

from typing import Any

from gateway.consumer.decoding import columns_of, decode_all, is_whole, part_of, refuse, text_of
from gateway.consumer.intervals import Intervals
from gateway.errors import PayloadError

_STREAMS = {  # by schema: an event of type "gap" has a field "stream" that is not its own
    "bess.telemetry": "telemetry",
    "bess.state": "state",
    "bess.event": "event",
    "bess.result": "result",
    "bess.audit": "audit",
}
Key = tuple[str, str, str]  # gateway, stream, epoch
_Place = tuple[Key, int, int]  # and the first number, and how many


class Consumer:
    """Remembers which records it has, of any number of gateways.

    Args:
        from_start: it has listened since each epoch began, so that numbering starts at 1 and what
            is missing before the first record counts as lost.
        prefix: of the topics: [uplink] prefix of the gateways.
    """

    def __init__(self, *, from_start: bool = False, prefix: str = "bess/v1") -> None:
        self.received = 0  # new readings and other records
        self.duplicates = 0  # records that came again
        self.refused = 0  # messages on the topic of a gateway that they do not name
        self._prefix = f"{prefix}/"
        self._from_start = from_start
        self._have: dict[Key, Intervals] = {}
        self._announced: dict[Key, Intervals] = {}

    def take(
        self, topic: str, payload: bytes, *, encoding: str | None = None
    ) -> list[dict[str, Any]]:
        """Decode one message.

        Returns:
            The message, or its parts that are new; nothing if all of it came before. Of a bundle
            the same of each of its messages. Messages without a number (status, birth, map,
            challenge) are always new.

        Raises:
            PayloadError: not our messages, or those of another gateway than the topic's; it names
                the topic. Nothing of the payload was taken.
        """
        try:
            messages = decode_all(payload, encoding=encoding)
            places = [_place(message) for message in messages]
            for message in messages:
                self._believe(topic, message)
            found = zip(messages, places, strict=True)
            return [part for message, place in found for part in self._take(message, place)]
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

    def _believe(self, topic: str, message: dict[str, Any]) -> None:
        """Refuse a message that is not of the gateway whose topic it came on."""
        below = topic.removeprefix(self._prefix)
        speaker = below.partition("/")[0] if below != topic else None
        if message.get("gateway") != speaker:
            self.refused += 1
            named = message.get("gateway")
            refuse(f"names the gateway {named!r}: the topic is not one of its own")

    def _take(self, message: dict[str, Any], place: _Place | None) -> list[dict[str, Any]]:
        if place is None:
            return [message]
        key, seq, n = place
        fresh = self._have.setdefault(key, Intervals()).add(seq, seq + n - 1)
        new = sum(last - first + 1 for first, last in fresh)
        self.received += new
        self.duplicates += n - new
        if message["schema"].startswith("bess.event/") and message.get("type") == "gap":
            self._announce(key, message)
        if new == n:
            return [message]
        return [part_of(message, first - seq, last - seq + 1) for first, last in fresh]

    def _announce(self, key: Key, message: dict[str, Any]) -> None:
        first, last = message.get("from"), message.get("to")
        if not (is_whole(first) and is_whole(last) and first <= last):
            refuse(f"announces a gap from {first!r} to {last!r}: must be integers in order")
        epoch = message.get("gapEpoch") or key[2]
        given_up = (key[0], text_of(message, "stream"), str(epoch))
        self._announced.setdefault(given_up, Intervals()).add(first, last)


def _place(message: dict[str, Any]) -> _Place | None:
    """Which numbers a message has; None: it has none."""
    schema = message["schema"].partition("/")[0]
    stream = _STREAMS.get(schema)
    if stream is None or message.get("seq") is None:
        return None
    n, seq = 1, message["seq"]
    if schema == "bess.telemetry":
        n, _, seq = columns_of(message)
    key = (text_of(message, "gateway"), stream, text_of(message, "epoch"))
    if not is_whole(seq):
        refuse(f"has seq = {seq!r}: must be an integer, 0 or more")
    return key, seq, n
