"""Loading of the site's transformer, and its two alarms with hysteresis."""

from __future__ import annotations

import math
from dataclasses import dataclass

HYSTERESIS_PCT = 5.0  # percentage points below the limit at which an alarm clears


def loading_pct(power_w: float, reactive_var: float, rating_kva: float) -> float:
    """Loading in percent of the rating: 100 * sqrt(P^2 + Q^2) / S.

    Args:
        power_w: active power, either direction.
        reactive_var: reactive power, either direction.
        rating_kva: > 0.
    """
    return 100.0 * math.hypot(power_w, reactive_var) / (rating_kva * 1000.0)


@dataclass(frozen=True, slots=True)
class LoadAlarm:
    """One limit: raised at it, cleared 5 % below it."""

    limit_pct: float
    raised: bool = False

    def handle(self, found_pct: float) -> LoadAlarm:
        """Take the latest loading (%); returns the next state."""
        limit_pct = self.limit_pct - (HYSTERESIS_PCT if self.raised else 0.0)
        raised = found_pct >= limit_pct
        return self if raised == self.raised else LoadAlarm(self.limit_pct, raised)
