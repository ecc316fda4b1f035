"""How the measured power is read, as the fact keeps it: by the row of the map that wrote. Pure.

A map that came later may point power at another row, or give it wider dead bands: then a zero would
be verified by another measure than the one it was ordered under.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.points.raw import parse_point

if TYPE_CHECKING:
    from gateway.points.mappoint import MapPoint


@dataclass(frozen=True, slots=True)
class KeptMeter:
    """Power in W, + discharging, is raw * ``mul`` / ``div`` + ``bias``."""

    point: str  # "AI1"; "": nobody knows which
    mul: float
    div: float
    bias: float
    least: float | None  # W; what is outside is no power
    most: float | None
    idle_w: float  # of the idle battery, as far as commissioning had measured it
    band_w: float  # around it: nothing flows

    def is_row_of(self, other: KeptMeter | None) -> bool:
        """Whether both read the same point the same way."""
        return other is not None and self == replace(other, idle_w=self.idle_w, band_w=self.band_w)

    def watts(self, raw: float) -> float | None:
        """What the point says; None: no power."""
        found = raw * self.mul / self.div + self.bias
        low = -math.inf if self.least is None else self.least
        high = math.inf if self.most is None else self.most
        return found if math.isfinite(found) and low <= found <= high else None


UNKNOWN_METER = KeptMeter("", 1.0, 1.0, 0.0, None, None, 0.0, 0.0)


def kept_meter(row: MapPoint | None, *, idle_w: float, band_w: float) -> KeptMeter | None:
    """Keep the row of power; None where the map has none."""
    if row is None:
        return None
    return KeptMeter(row.point, row.mul, row.div, row.bias, row.min, row.max, idle_w, band_w)


def read_meter(body: object) -> KeptMeter | None:
    """What a fact says; None: it does not, as one of an older version.

    Raises:
        TypeError: it is none.
        ValueError: a figure of it is none.
    """
    if body is None:
        return None
    if not isinstance(body, dict):
        raise TypeError
    found = KeptMeter(**body)
    figures = (found.mul, found.div, found.bias, found.idle_w, found.band_w)
    ends = [one for one in (found.least, found.most) if one is not None]
    sound = all(not isinstance(one, bool) and abs(one) >= 0 for one in (*figures, *ends))
    if not sound or not found.div or found.band_w < 0:
        raise ValueError
    if found.point and parse_point(found.point) is None:
        raise ValueError
    return found
