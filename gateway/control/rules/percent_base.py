"""What the percent of a power command are of, and how much power a map can say at all. Pure.

Where a point says it, it may move. What is written is of the largest base that may be the one of
now, or was within the last seconds; what is permitted, of the smallest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.control.rules.limits import Ceiling

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.control.rules.limits import Span
    from gateway.points.mappoint import MapPoint
    from gateway.points.pointmap import PointsMap

FULL_PCT = 100.0
BASE_S = 10.0  # so long the largest base counts: two critical polls


@dataclass(frozen=True, slots=True)
class Base:
    """What 100 % of a power command means, W > 0; None where it is not known now."""

    charge_w: float | None
    discharge_w: float | None

    def side_w(self, power_w: float) -> float | None:
        """The one for the direction of ``power_w``."""
        return self.charge_w if power_w < 0 else self.discharge_w


@dataclass(frozen=True, slots=True)
class RecentBase:
    """The bases of the last seconds: one that flaps moves no setpoint up, and down only once."""

    samples: tuple[tuple[float, Base], ...] = ()  # (monotonic s, from then on), oldest first

    def note(self, at: float, found: Base) -> RecentBase:
        """Take the base that counts from ``at`` (monotonic s) on."""
        old = sum(1 for since, _ in self.samples[1:] if since <= at - BASE_S)
        kept = self.samples[old:]
        return RecentBase(kept if kept and kept[-1][1] == found else (*kept, (at, found)))

    def largest(self) -> Base:
        """The largest of them, side by side; None where the newest is not known."""
        newest = self.samples[-1][1] if self.samples else Base(None, None)
        return Base(
            self._most(newest.charge_w, [one.charge_w for _, one in self.samples]),
            self._most(newest.discharge_w, [one.discharge_w for _, one in self.samples]),
        )

    def _most(self, newest_w: float | None, all_w: list[float | None]) -> float | None:
        return None if newest_w is None else max(one_w for one_w in all_w if one_w is not None)


def bases(
    points_map: PointsMap,
    read: Callable[[MapPoint], Span | None],
    *,
    nameplate_w: float,
    max_charge_w: float,
    max_discharge_w: float,
) -> tuple[Base, Base]:
    """What percent are of at least, and at most, by the map's ``power_base``.

    Args:
        points_map: its max_charge and max_discharge points are ``max_power``, where it has them.
        read: what a row may say now; None where that is not known.
        nameplate_w: of the site.
        max_charge_w: of the site; ``max_power`` where the map has no point for it.
        max_discharge_w: likewise.
    """
    control = points_map.control
    found = control.power_base if control is not None else None
    if found != "max_power":
        fixed_w = float(found) if isinstance(found, int | float) else nameplate_w
        return (Base(fixed_w, fixed_w),) * 2
    sides = []
    for role, site_w in (("max_charge", max_charge_w), ("max_discharge", max_discharge_w)):
        row = points_map.row(role)
        span = (site_w, site_w) if row is None else read(row)
        sides.append(span if span is not None and span[0] > 0 else (None, None))
    charge, discharge = sides
    return Base(charge[0], discharge[0]), Base(charge[1], discharge[1])


def writable(points_map: PointsMap, of: Base) -> Ceiling:
    """Largest power that the map's command points can say: part of the map's own maximum."""
    split = points_map.control is not None and points_map.control.power_method == "split"
    charge, discharge = (
        (points_map.row("cmd_charge"), points_map.row("cmd_discharge"))
        if split
        else (points_map.row("cmd_power"),) * 2
    )
    low = None if charge is None else (charge.max if split else charge.min)
    return Ceiling(
        _limit_w(charge, low, of.charge_w),
        _limit_w(discharge, None if discharge is None else discharge.max, of.discharge_w),
    )


def _limit_w(row: MapPoint | None, end: float | None, base_w: float | None) -> float:
    if row is None:
        return 0.0
    if row.canonical_unit == "%":
        return (FULL_PCT if end is None else abs(end)) / FULL_PCT * (base_w or 0.0)
    return math.inf if end is None else abs(end)
