"""When history of an outage may go: not at once, and not as fast as it could. Pure.

After an outage a whole fleet is back within a minute, and each gateway has a backlog. Live data and
what people wait for (results, events, the audit's heads) go at once. Readings and states of the
outage begin at a random moment of the first minute, and go at a bound rate. A start of the process
is no outage: nobody else starts with it.
"""

from __future__ import annotations

import math

from gateway.streams import Stream

OUTAGE_S = 60.0  # shorter ones are no outage
SPREAD_S = 60.0  # over which the gateways of a fleet begin
LIVE_TIMES, LEAST_PER_S = 4.0, 2000.0  # readings a second, where the site says nothing
SLOW = frozenset({Stream.STATE, Stream.TELEMETRY})  # what is bound
_SLOT_S = 10.0


class Outage:
    """Bounds the history of one connection.

    Args:
        per_s: readings a second; None: four times what is live, and ``LEAST_PER_S`` at least.
    """

    def __init__(self, per_s: float | None = None) -> None:
        self.per_s = per_s
        self._began_s: float | None = None
        self._bound = False
        self._from_s = -math.inf
        self._left, self._at_s = 0.0, 0.0
        self._slot_s, self._slot, self._live_per_s = -math.inf, 0, 0.0

    def begin(self, mono_s: float) -> None:
        """The connection ended."""
        if self._began_s is None:
            self._began_s = mono_s

    def over(self, mono_s: float, *, chance: float) -> None:
        """There is a connection; ``chance`` (0..1): where in the first minute history begins."""
        lasted_s = 0.0 if self._began_s is None else mono_s - self._began_s
        self._began_s = None
        self._bound = lasted_s > OUTAGE_S
        self._from_s = mono_s + chance * SPREAD_S if self._bound else -math.inf
        self._left, self._at_s = 0.0, self._from_s

    def done(self) -> None:
        """The history of the outage has gone."""
        self._bound, self._from_s = False, -math.inf

    def live(self, n: int, mono_s: float) -> None:
        """Note ``n`` readings that were just stored."""
        if mono_s - self._slot_s >= _SLOT_S:
            elapsed_s = mono_s - self._slot_s
            self._live_per_s = self._slot / elapsed_s
            self._slot_s, self._slot = mono_s, 0
        self._slot += n

    def at(self, mono_s: float) -> float:
        """Monotonic second at which the next record may go, as of ``mono_s``; past: now."""
        if not self._bound or mono_s < self._from_s:
            return self._from_s
        rate = self._rate
        self._left = min(rate / 10, self._left + (mono_s - self._at_s) * rate)
        self._at_s = mono_s
        return mono_s - min(0.0, self._left) / rate

    @property
    def most(self) -> float:
        """Readings that one message may hold: no more than go in a second; inf: any."""
        return self._rate if self._bound else math.inf

    def sent(self, readings: int) -> None:
        """Note that so many readings of history went."""
        if self._bound:
            self._left -= readings

    @property
    def _rate(self) -> float:
        if self.per_s is not None:
            return self.per_s
        return max(LEAST_PER_S, LIVE_TIMES * self._live_per_s)
