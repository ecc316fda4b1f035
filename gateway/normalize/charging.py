"""Charging, discharging or idle: from measured power, and against what the site says.

``Direction`` has a dead band with hysteresis and a dwell, so that noise around zero does not
flap the state. It runs even where a state point wins, because ``Conflict`` compares the two.
Power is positive when discharging.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

DWELL_S = 2.0  # a new direction must last this long
CONFLICT_S = 10.0  # a contradiction must last this long
ENTER_SHARE = 0.01  # of nameplate
LEAVE_SHARE = 0.5  # of the power at which the direction was entered


class ChargingState(StrEnum):
    """What the battery does; names on the wire."""

    CHARGING = "charging"
    DISCHARGING = "discharging"
    IDLE = "idle"
    UNKNOWN = "unknown"


def enter_w(nameplate_w: float, deadband_w: float) -> float:
    """Power (W) above which a battery of ``nameplate_w`` is not idle."""
    return max(ENTER_SHARE * nameplate_w, deadband_w)


@dataclass(frozen=True, slots=True)
class Direction:
    """The sign of power with a dead band (enter, leave at half) and 2 s of dwell."""

    enter_w: float
    settled: ChargingState = ChargingState.UNKNOWN
    candidate: ChargingState = ChargingState.UNKNOWN  # what power says at this instant
    since_s: float = 0.0  # monotonic second at which ``candidate`` began

    def handle(self, power_w: float | None, now_s: float) -> Direction:
        """Take the latest power (W, None if unusable) at ``now_s``; returns the next state.

        The first usable power settles at once: there is no earlier state to protect from noise.
        """
        if power_w is None:
            return self if self.settled is ChargingState.UNKNOWN else Direction(self.enter_w)
        now = self._instant(power_w)
        if self.settled is ChargingState.UNKNOWN:
            return replace(self, settled=now, candidate=now, since_s=now_s)
        if now is not self.candidate:
            return replace(self, candidate=now, since_s=now_s)
        if now is not self.settled and now_s - self.since_s >= DWELL_S:
            return replace(self, settled=now)
        return self

    def _instant(self, power_w: float) -> ChargingState:
        if power_w > self._limit_w(ChargingState.DISCHARGING):
            return ChargingState.DISCHARGING
        if -power_w > self._limit_w(ChargingState.CHARGING):
            return ChargingState.CHARGING
        return ChargingState.IDLE

    def _limit_w(self, towards: ChargingState) -> float:
        return self.enter_w * (LEAVE_SHARE if self.settled is towards else 1.0)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Whether the site's state has contradicted measured power for 10 s."""

    since_s: float | None = None
    raised: bool = False

    def handle(
        self, reported: ChargingState | None, sensed: ChargingState | None, now_s: float
    ) -> Conflict:
        """Compare at ``now_s``; None where a side is not known well enough to accuse the other.

        Without both sides the verdict stays as it was and the timing starts anew.
        """
        if reported is None or sensed is None:
            return self if self.since_s is None else replace(self, since_s=None)
        if reported is sensed:
            return self if self == _AGREED else _AGREED
        if self.since_s is None:
            return replace(self, since_s=now_s)
        if not self.raised and now_s - self.since_s >= CONFLICT_S:
            return replace(self, raised=True)
        return self


_AGREED = Conflict()
