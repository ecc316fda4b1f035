"""What the percent of a power command are of, and how much power a map can say at all. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.control.rules.limits import Ceiling, trusted

if TYPE_CHECKING:
    from gateway.control.rules.limits import Read
    from gateway.points.mappoint import MapPoint
    from gateway.points.pointmap import PointsMap

FULL_PCT = 100.0


@dataclass(frozen=True, slots=True)
class Base:
    """What 100 % of a power command means, W > 0; None where it is not known now."""

    charge_w: float | None
    discharge_w: float | None

    def side_w(self, power_w: float) -> float | None:
        """The one for the direction of ``power_w``."""
        return self.charge_w if power_w < 0 else self.discharge_w


def base(
    points_map: PointsMap,
    read: Read,
    *,
    nameplate_w: float,
    max_charge_w: float,
    max_discharge_w: float,
) -> Base:
    """What percent are of, by the map's ``power_base``.

    Args:
        points_map: its max_charge and max_discharge points are ``max_power``, where it has them.
        read: latest value of a row with staleness applied, None if never received.
        nameplate_w: of the site.
        max_charge_w: of the site; ``max_power`` where the map has no point for it.
        max_discharge_w: likewise.
    """
    control = points_map.control
    found = control.power_base if control is not None else None
    if isinstance(found, int | float):
        return Base(float(found), float(found))
    if found != "max_power":
        return Base(nameplate_w, nameplate_w)
    sides = []
    for role, site_w in (("max_charge", max_charge_w), ("max_discharge", max_discharge_w)):
        row = points_map.row(role)
        side_w = site_w if row is None else trusted(read(row))
        sides.append(side_w if side_w is not None and side_w > 0 else None)
    return Base(sides[0], sides[1])


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
