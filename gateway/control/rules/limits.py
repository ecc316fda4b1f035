"""How much power may be applied now, and which way. Pure.

Above the site's limit or the nameplate is a contract broken, and rejected; between that and what
the battery can do now is drift, and clamped. A limit that should be known and is not is zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.measured import Quality

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.safety import SafetySettings
    from gateway.config.site import AssetSettings
    from gateway.measured import Measured
    from gateway.points.mappoint import MapPoint
    from gateway.points.pointmap import PointsMap

    Read = Callable[[MapPoint], Measured | None]

Span = tuple[float, float]  # the least and the most that a number may be now

HYSTERESIS_PCT = 1.0  # of state of charge, on the way back into the window
RATE_SPAN_S = 300.0
RATE_MOST = 150  # in that span; no site may set more
FULL_PCT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLimits:
    """What the site allows by contract; every figure >= 0."""

    nameplate_w: float
    max_charge_w: float  # the smaller of site.toml's and safety.toml's
    max_discharge_w: float
    min_soc_pct: float
    max_soc_pct: float
    ramp_w_per_s: float  # > 0
    max_dispatch_s: float  # 1..86400
    modes: tuple[str, ...] = ()  # that may be commanded
    reserve_pct: tuple[float, float] | None = None  # from, to; None: none may be commanded

    def contract_w(self, power_w: float) -> float:
        """Largest magnitude that may be asked for in the direction of ``power_w``."""
        side_w = self.max_charge_w if power_w < 0 else self.max_discharge_w
        return min(side_w, self.nameplate_w)


def site_limits(asset: AssetSettings, safety: SafetySettings) -> SiteLimits:
    """The contract of one asset: the smaller of what site.toml and safety.toml allow."""
    limits = safety.limits
    return SiteLimits(
        nameplate_w=asset.nameplate_w,
        max_charge_w=min(asset.max_charge_w, limits.max_charge_w),
        max_discharge_w=min(asset.max_discharge_w, limits.max_discharge_w),
        min_soc_pct=limits.min_soc_pct,
        max_soc_pct=limits.max_soc_pct,
        ramp_w_per_s=limits.ramp_w_per_s,
        max_dispatch_s=safety.watchdog.max_dispatch_s,
        modes=limits.modes,
        reserve_pct=limits.reserve_pct,
    )


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Largest magnitudes that may be applied now, W >= 0."""

    charge_w: float
    discharge_w: float

    def side_w(self, power_w: float) -> float:
        """The one for the direction of ``power_w``."""
        return self.charge_w if power_w < 0 else self.discharge_w

    def clamp(self, power_w: float) -> float:
        """``power_w`` brought inside: same sign, never larger.

        Raises:
            ValueError: ``power_w`` is not finite: NaN passes every comparison in silence.
        """
        if not math.isfinite(power_w):
            message = f"power {power_w} W: must be finite"
            raise ValueError(message)
        return math.copysign(min(abs(power_w), self.side_w(power_w)), power_w) + 0.0

    def within(self, other: Ceiling) -> Ceiling:
        """The smaller of both, side by side."""
        return Ceiling(min(self.charge_w, other.charge_w), min(self.discharge_w, other.discharge_w))


def ceiling(
    site: SiteLimits, points_map: PointsMap, read: Read, *, headroom: Ceiling | None = None
) -> Ceiling:
    """min(site limit, map max, available, transformer headroom), for each direction.

    Args:
        site: the contract.
        points_map: which limits the battery reports.
        read: latest value of a row with staleness applied, None if never received.
        headroom: of the transformer, where it is enforced.
    """
    found = Ceiling(
        _least(points_map, read, ("max_charge", "avail_charge"), site.contract_w(-1.0)),
        _least(points_map, read, ("max_discharge", "avail_discharge"), site.contract_w(1.0)),
    )
    return found if headroom is None else found.within(headroom)


def _least(points_map: PointsMap, read: Read, roles: tuple[str, ...], start_w: float) -> float:
    rows = (points_map.row(role) for role in roles)
    return min(
        _magnitude(start_w), *(_magnitude(trusted(read(row))) for row in rows if row), math.inf
    )


def trusted(measured: Measured | None) -> float | None:
    """A number that control may be built on: good and fresh; else None."""
    if measured is None or measured.quality > Quality.DERIVED:
        return None
    value = measured.value
    if isinstance(value, bool | str) or not math.isfinite(value):
        return None
    return float(value)


def _magnitude(value_w: float | None) -> float:
    return max(0.0, value_w) if value_w is not None and not math.isnan(value_w) else 0.0


def headroom(
    rating_kva: float,
    *,
    cap_pct: float,
    reactive_var: float | None,
    other_w: float | None,
) -> Ceiling:
    """What the transformer leaves to the battery.

    Args:
        rating_kva: > 0.
        cap_pct: loading that must not be exceeded; more than 100 counts as 100.
        reactive_var: through the transformer; None where it should be known and is not.
        other_w: active power of everything but the battery, positive toward
            the grid; None as above.
    """
    if reactive_var is None or other_w is None:
        return Ceiling(0.0, 0.0)
    apparent_va = rating_kva * 1000.0 * min(cap_pct, FULL_PCT) / FULL_PCT
    square = apparent_va**2 - reactive_var**2
    if not square > 0.0:
        return Ceiling(0.0, 0.0)
    most_w = math.sqrt(square)
    return Ceiling(max(0.0, most_w + other_w), max(0.0, most_w - other_w))


@dataclass(frozen=True, slots=True)
class SocWindow:
    """State of charge inside which power may flow, with 1 % hysteresis on the way back."""

    min_pct: float
    max_pct: float
    empty: bool = False  # reached the lower end and has not come back by 1 %
    full: bool = False

    def handle(self, soc: Span) -> SocWindow:
        """Take what the state of charge (%) may be; returns the next state."""
        least, most = soc
        if math.isnan(least) or math.isnan(most):
            return self
        low = self.min_pct + (HYSTERESIS_PCT if self.empty else 0.0)
        high = self.max_pct - (HYSTERESIS_PCT if self.full else 0.0)
        return replace(
            self,
            empty=least < low or least <= self.min_pct,
            full=most > high or most >= self.max_pct,
        )

    def narrowed(self, min_pct: float | None, max_pct: float | None) -> SocWindow:
        """The window of a command: it may only be narrower than the site's."""
        return replace(
            self,
            min_pct=max(self.min_pct, self.min_pct if min_pct is None else min_pct),
            max_pct=min(self.max_pct, self.max_pct if max_pct is None else max_pct),
        )

    def refusal(self, power_w: float, soc: Span | None) -> str:
        """Why power may not flow in the direction of ``power_w``; "" if it may."""
        if power_w == 0:
            return ""
        if soc is None or math.isnan(sum(soc)):
            return "state of charge is unknown"
        now = self.handle(soc)
        if power_w > 0 and now.empty:
            return f"state of charge {soc[0]:g} %: discharging ends at {self.min_pct:g} %"
        if power_w < 0 and now.full:
            return f"state of charge {soc[1]:g} %: charging ends at {self.max_pct:g} %"
        return ""


@dataclass(frozen=True, slots=True)
class RateWindow:
    """When power commands were taken, and how many the site takes."""

    gap_s: float = 2.0  # between two of them, at least
    count: int = 30  # in 5 min, at most
    taken_at: tuple[float, ...] = ()  # monotonic s, oldest first, within the span

    def refusal(self, now_s: float) -> str:
        """Why one more would be too many at ``now_s``; "" if it is not."""
        recent = [at for at in self.taken_at if now_s - at < RATE_SPAN_S]
        if recent and now_s - recent[-1] < self.gap_s:
            return f"the last was {now_s - recent[-1]:.1f} s ago: one per {self.gap_s:g} s"
        if len(recent) >= self.count:
            return f"{len(recent)} in {RATE_SPAN_S:g} s: at most {self.count}"
        return ""

    def held_to(self, gap_s: float, count: int) -> RateWindow:
        """The same commands, judged by these settings."""
        return replace(self, gap_s=gap_s, count=count)

    def take(self, now_s: float) -> RateWindow:
        """Count one at ``now_s``."""
        kept = tuple(at for at in self.taken_at if now_s - at < RATE_SPAN_S)
        return replace(self, taken_at=(*kept[-RATE_MOST:], now_s))
