"""Where on the broker each message goes: ``{prefix}/{gateway}/...``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Iterable

_TAILS = {
    Stream.AUDIT: "audit",
    Stream.RESULT: "cmd/result",
    Stream.EVENT: "event",
    Stream.STATE: "state",
    Stream.TELEMETRY: "telemetry",
}


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one gateway."""

    prefix: str  # 1..3 levels, as in [uplink] prefix
    gateway: str

    @property
    def status(self) -> str:
        """Online or not; retained, also the last will."""
        return self.own("status")

    @property
    def birth(self) -> str:
        """Who we are since this connection; retained."""
        return self.own("birth")

    @property
    def challenge(self) -> str:
        """Asks the dispatch application whether it is alive."""
        return self.own("hb/up")

    def own(self, tail: str) -> str:
        """A topic of the gateway itself."""
        return f"{self.prefix}/{self.gateway}/{tail}"

    def map(self, asset: str) -> str:
        """The point table of an asset; retained."""
        return self.own(f"{asset}/map")

    def ack(self, asset: str) -> str:
        """Receipts of commands."""
        return self.own(f"{asset}/cmd/ack")

    def of(self, stream: Stream, asset: str, *, backfill: bool) -> str:
        """The topic of a numbered record; ``asset`` "" where it is the gateway's own.

        History of the state has a topic of its own: ``{asset}/state`` is retained and must not
        go back in time.
        """
        tail = _TAILS[stream]
        if backfill and stream is Stream.STATE:
            tail = "state/backfill"
        return self.own(f"{asset}/{tail}" if asset and stream is not Stream.AUDIT else tail)

    def inbound(self, assets: Iterable[str]) -> dict[str, int]:
        """What we subscribe to: topic -> QoS."""
        commands = {self.own(f"{asset}/cmd"): 1 for asset in assets}
        return {**commands, self.own("hb/down"): 0, self.own("mgmt/req"): 1}


def topic(prefix: str, gateway: str, asset: str, stream: Stream, *, backfill: bool) -> str:
    """``Topics.of`` for callers that need one topic only."""
    return Topics(prefix, gateway).of(stream, asset, backfill=backfill)


def retained(stream: Stream, *, backfill: bool) -> bool:
    """Whether the broker keeps the newest record of this stream: live state alone."""
    return stream is Stream.STATE and not backfill
