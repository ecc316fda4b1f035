"""The cloud's right to command: challenges that we issue, answered in time.

What a reader would get wrong: the lease runs from the instant at which the newest answered
challenge was *issued*, not from its answer. So an answer that was held up, by a broker or on
purpose, brings only what is left of its own lease; and none that we did not ask for brings any.
Nor can answers be collected in advance: the broker may ask the dispatch application anything, but
what we shall ask next it cannot guess, since the numbers rise by steps that only we can tell.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from dataclasses import dataclass, field, replace

STEP_BITS = 30  # the numbers stay below 2**53 for 190 days of a challenge each second


@dataclass(frozen=True, slots=True)
class Lease:
    """Challenges of one boot and what their answers are worth."""

    session: str  # boot nonce: an answer recorded before a restart is worth nothing
    lease_s: float
    newest: int = 0  # number of the newest challenge issued
    issued: tuple[tuple[int, float], ...] = ()  # (number, issued at), each younger than a lease
    answered: int = 0  # number of the newest one answered
    expires_at: float = -math.inf  # monotonic s
    held_since: float = math.inf  # monotonic s at which the present unbroken lease began
    secret: bytes = field(default=b"", repr=False)  # of this boot; empty: numbers rise by one

    def issue(self, at: float) -> Lease:
        """Issue challenge ``newest`` at ``at`` (monotonic s)."""
        number = self.newest + 1 + self._jump()
        young = tuple(one for one in self.issued if at - one[1] < self.lease_s)
        return replace(self, newest=number, issued=(*young, (number, at)))

    def _jump(self) -> int:
        if not self.secret:
            return 0
        text = f"{self.session}/{self.newest}".encode()
        found = hmac.digest(self.secret, text, hashlib.sha256)
        return int.from_bytes(found[:4], "big") >> (32 - STEP_BITS)

    def answer(self, session: str, challenge: int, at: float) -> Lease:
        """Take a verified answer, received at ``at`` (monotonic s)."""
        if session != self.session:
            return self
        if challenge <= self.answered:  # a replay, or overtaken on its way
            return self
        issued_at = next((one[1] for one in self.issued if one[0] == challenge), None)
        if issued_at is None:
            return self
        expires_at = issued_at + self.lease_s
        if at >= expires_at:
            return self
        held_since = self.held_since if self.live(at) else at
        return replace(self, answered=challenge, expires_at=expires_at, held_since=held_since)

    def live(self, at: float) -> bool:
        """Whether the cloud may command at ``at`` (monotonic s)."""
        return at < self.expires_at

    def unbroken_s(self, at: float) -> float:
        """For how long the lease has been live without a gap, s; 0 when it is not."""
        return at - self.held_since if self.live(at) else 0.0

    def knows(self, session: str, challenge: int, at: float) -> bool:
        """Whether a command may quote this challenge: issued by this boot within one lease."""
        return session == self.session and any(
            number == challenge and at - issued_at <= self.lease_s
            for number, issued_at in self.issued
        )
