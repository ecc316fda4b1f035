"""The site's parameters, and the bounds that follow from them for one battery. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.config.safety import (
    RTAC_SCAN_S,
    TICK_S,
    Bounds,
    WatchdogSettings,
    ZeroPath,
    bounds,
)
from gateway.control.rules.zero_path import zero_path

if TYPE_CHECKING:
    from gateway.points.pointmap import PointsMap

DIRECT = ZeroPath(2.0)  # how zero gets to an RTAC of a direct map


@dataclass(frozen=True, slots=True)
class Times:
    """Parameters, s; what they allow follows from them."""

    lease_s: float = 10.0
    response_s: float = 2.0
    deadman_s: float = 6.0
    verify_s: float = 10.0  # more where a map needs more
    reversion_s: float = 15.0  # the least that safety.toml allows
    refresh_s: float = 5.0
    tick_s: float = TICK_S
    scan_s: float = RTAC_SCAN_S  # of an RTAC's logic, at most
    answer_s: float = 0.0  # what the RTAC takes
    path: ZeroPath = DIRECT

    def of(self, points_map: PointsMap, *, response_s: float, answer_s: float) -> Times:
        """The same at a battery of this map; V is what it needs."""
        path = zero_path(points_map, response_s)
        least_s = max(self.verify_s, path.least_verify_s)
        return replace(self, path=path, response_s=response_s, answer_s=answer_s, verify_s=least_s)

    def at(self, answer_s: float) -> Times:
        """The same where no answer takes longer: what ``check`` prints at a measured a."""
        return replace(self, path=replace(self.path, response_s=answer_s))

    @property
    def idle_s(self) -> float:
        """From an order of zero until the RTAC has it."""
        return self.tick_s + self.path.underway_s + self.path.zero_s

    @property
    def bounds(self) -> Bounds:
        """As ``check`` prints them."""
        watchdog = WatchdogSettings(
            lease_s=self.lease_s,
            challenge_s=1.0,
            heartbeat_s=1.0,
            rtac_deadman_s=self.deadman_s,
            idle_verify_s=self.verify_s,
            reversion_s=self.reversion_s,
            reversion_refresh_s=self.refresh_s,
            max_dispatch_s=14_400.0,
            preempted="yield",
        )
        return bounds(watchdog, self.path)
