"""Lifetime energy counters, differenced: through rollover, and not through a reset.

They are telemetry only. A lifetime counter says how much energy ever went by, not how much is
stored, so nothing here may feed ``charge``.

A counter that went down either rolled over or was reset. Only physics can tell: a rollover
implies an energy that the battery could have moved since the last reading. A jump in either
direction beyond that is taken as a new start, adds nothing, and is reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_SLACK_S = 3600.0  # some meters refresh their counters only every quarter of an hour
_OVERLOAD = 1.2  # of nameplate: more than any inverter delivers for long
_SLACK_COUNTS = 2.0  # rounding at both ends


@dataclass(frozen=True, slots=True)
class CounterScale:
    """What one count means, and how fast the counter can run."""

    wh_per_count: float  # > 0
    rollover: float | None  # counts at which it starts again from 0; None: it does not
    nameplate_w: float

    def most_counts(self, elapsed_s: float) -> float:
        """Counts the battery can have moved in ``elapsed_s`` (monotonic seconds)."""
        energy_wh = _OVERLOAD * self.nameplate_w * (elapsed_s + _SLACK_S) / 3600.0
        return energy_wh / self.wh_per_count + _SLACK_COUNTS


@dataclass(frozen=True, slots=True)
class Counter:
    """A lifetime total that does not fall while the gateway runs."""

    total_wh: float
    counts: float  # latest raw reading
    at_s: float  # monotonic second of that reading
    rollovers: int = 0
    resets: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether the total still is what the counter itself shows."""
        return not self.rollovers and not self.resets

    def advance(self, counts: float, now_s: float, scale: CounterScale) -> Counter:
        """Take the next raw reading.

        Args:
            counts: raw reading, finite.
            now_s: monotonic second at which it was received.
            scale: of this counter.
        """
        most = scale.most_counts(now_s - self.at_s)
        moved, rolled = counts - self.counts, 0
        if moved < 0 and scale.rollover is not None:
            moved, rolled = moved + scale.rollover, 1
        if not 0 <= moved <= most:
            return self.restart(counts, now_s)
        total_wh = self.total_wh + moved * scale.wh_per_count
        return replace(
            self, total_wh=total_wh, counts=counts, at_s=now_s, rollovers=self.rollovers + rolled
        )

    def restart(self, counts: float, now_s: float) -> Counter:
        """Difference from ``counts`` on: the counter was reset, or says it is discontinuous."""
        return replace(self, counts=counts, at_s=now_s, resets=self.resets + 1)


def begin(counts: float, now_s: float, *, shown_wh: float) -> Counter | None:
    """Start from the first reading, which shows ``shown_wh``; None if it is not finite."""
    if not (math.isfinite(counts) and math.isfinite(shown_wh)):
        return None
    return Counter(shown_wh, counts, now_s)
