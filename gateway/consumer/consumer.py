"""Which records are new, and which numbers are missing, of any number of gateways. Pure."""

from __future__ import annotations

from typing import Any

from gateway.consumer.decoding import columns_of, decode_all, is_whole, part_of, refuse, text_of
from gateway.consumer.epochs import GatewayEpochs, WentBack
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
    """Remembers which records it has, of any number of gateways, of the newest 64 epochs of each.

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
        self._gateways: dict[str, GatewayEpochs] = {}

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
        """Every (gateway, stream, epoch) that something is known of."""
        return sorted(
            (gateway, stream, name)
            for gateway, epochs in self._gateways.items()
            for name, epoch in epochs.known.items()
            for stream in epoch.streams()
        )

    def lost(self) -> int:
        """Records that are missing and were not announced; of epochs that ended, to their end."""
        return sum(
            epochs.past_lost
            + sum(one.lost(from_start=self._from_start) for one in epochs.known.values())
            for epochs in self._gateways.values()
        )

    def announced(self) -> int:
        """Records that the gateway gave up, said so, and that did not arrive all the same."""
        return sum(
            epochs.past_announced + sum(one.announced() for one in epochs.known.values())
            for epochs in self._gateways.values()
        )

    def gaps(self, key: Key) -> list[tuple[int, int]]:
        """The numbers of one stream that are missing and were not announced, as intervals."""
        gateway, stream, name = key
        epoch = self._gateways.get(gateway, GatewayEpochs()).known.get(name)
        return [] if epoch is None else epoch.gaps(stream, from_start=self._from_start)

    def went_back(self) -> list[WentBack]:
        """Numbers that came though the gateway says that their epoch ended before them.

        Its store was put back, or lost what it had kept: what it read between is with nobody but
        us, and what of it we do not have is gone.
        """
        return [
            WentBack(gateway, name, stream, last, epoch.highest(stream))
            for gateway, epochs in self._gateways.items()
            for name, epoch in epochs.known.items()
            for stream, last in epoch.known_to_the_gateway().items()
            if epoch.highest(stream) > last
        ]

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
            start = message.get("start")
            if message["schema"].startswith("bess.birth/") and is_whole(start):
                self._epochs_of(message).be_at(text_of(message, "epoch"), start)
            return [message]
        (_, stream, name), seq, n = place
        epochs = self._epochs_of(message)
        epoch = epochs.of(name)
        fresh = epoch.add(stream, seq, seq + n - 1)
        new = sum(last - first + 1 for first, last in fresh)
        self.received += new
        self.duplicates += n - new
        if fresh:
            epoch.collapse()
            if message["schema"].startswith("bess.event/"):
                self._learn(epochs, name, message)
        epochs.let_go(name, from_start=self._from_start)
        if new == n:
            return [message]
        return [part_of(message, first - seq, last - seq + 1) for first, last in fresh]

    def _epochs_of(self, message: dict[str, Any]) -> GatewayEpochs:
        return self._gateways.setdefault(text_of(message, "gateway"), GatewayEpochs())

    def _learn(self, epochs: GatewayEpochs, name: str, message: dict[str, Any]) -> None:
        if message.get("type") == "gap":
            first, last = message.get("from"), message.get("to")
            if not (is_whole(first) and is_whole(last) and first <= last):
                refuse(f"announces a gap from {first!r} to {last!r}: must be integers in order")
            given_up = epochs.of(str(message.get("gapEpoch") or name))
            of = text_of(message, "stream")
            given_up.given_up.setdefault(of, Intervals()).add(first, last)
            given_up.collapse()
        elif message.get("type") == "epoch":
            start, ended_start = message.get("start"), message.get("endedStart")
            last = message.get("last")
            if not (
                is_whole(start)
                and is_whole(ended_start)
                and isinstance(last, dict)
                and all(is_whole(each) for each in last.values())
            ):
                refuse("announces the end of an epoch: start, endedStart, last must be integers")
            epochs.begin(name, start)
            known = {of: last[of] for of in _STREAMS.values() if of in last}
            epochs.end(text_of(message, "ended"), ended_start, known, by=name)


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
