"""What the dispatcher heard from a gateway, as it came. Words.

Nothing is dropped, sorted or deduplicated: whoever looks for a message twice must find it twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.clock import Now

BAD_ENDS = ("rejected", "failed", "aborted", "expired", "superseded")


@dataclass(frozen=True, slots=True)
class HeardMessage:
    """One message."""

    topic: str
    payload: bytes
    retained: bool
    at: Now  # when it arrived: CLOCK_BOOTTIME s and Unix ms
    body: Mapping[str, Any] = field(default_factory=dict)  # {} where it is none of our messages

    @property
    def schema(self) -> str:
        """Such as ``bess.result/1``; "" where there is none."""
        return str(self.body.get("schema", ""))


class Challenge(NamedTuple):
    """One question whether we are alive."""

    session: str  # boot nonce
    number: int
    at: Now  # when it arrived


class DelayedHeartbeat(NamedTuple):
    """A message to send on ``hb/down``, some time from now."""

    delay_s: float  # >= 0
    payload: bytes


@dataclass(frozen=True, slots=True)
class CommandStory:
    """All that was said about one command, in the order of arrival."""

    id: str
    acks: tuple[HeardMessage, ...] = ()
    results: tuple[HeardMessage, ...] = ()

    @property
    def states(self) -> tuple[str, ...]:
        """States of the acks, then those of the results."""
        return tuple(str(one.body.get("state")) for one in (*self.acks, *self.results))

    @property
    def last(self) -> Mapping[str, Any]:
        """The newest result, else the newest ack, else {}."""
        said = (*self.acks, *self.results)
        return said[-1].body if said else {}

    @property
    def reason(self) -> str | None:
        """Why it ended badly; None as long as nothing says so."""
        found = self.last.get("reason")
        return None if found is None else str(found)

    def first(self, state: str) -> HeardMessage | None:
        """The first message with this state."""
        said = (*self.acks, *self.results)
        return next((one for one in said if one.body.get("state") == state), None)

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f"command {self.id}: {' -> '.join(self.states) or 'no answer'}{why}"
