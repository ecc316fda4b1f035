"""How an asset is described to others: the broker, ``status``, ``watch``. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.normalize.state import body, wire_value
from gateway.points.mappoint import CHARGE
from gateway.points.pointmap import control_refusals

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.normalize.fold import Battery
    from gateway.normalize.state import BatteryState
    from gateway.points.mappoint import MapPoint
    from gateway.points.pointmap import PointsMap
    from gateway.points.raw import RawPoint


def uncontrolled(reasons: tuple[str, ...]) -> dict[str, object]:
    """Control of an asset without a good safety file."""
    return {
        "state": "MONITOR",
        "enabled": False,
        "reasons": list(reasons),
        "approval": None,
        "safetyDigest": None,
        "verbs": [],
    }


def birth(
    asset: AssetSettings, points_map: PointsMap, control: dict[str, object]
) -> dict[str, object]:
    """The asset's part of ``bess.birth/1``."""
    return {
        "id": asset.id,
        "name": asset.name,
        **asset.grid,
        "pathway": "dnp3",
        "map": {
            "id": points_map.id,
            "revision": points_map.revision,
            "digest": points_map.digest,
        },
        "control": control,
    }


def point_table(points_map: PointsMap) -> list[dict[str, object]]:
    """The rows of ``bess.map/1``: how to scale each column of telemetry."""
    return [
        {
            "point": row.point,
            "name": row.name,
            "role": row.role,
            "scale": row.scale,
            "offset": row.offset,
            "unit": row.unit,
            "sign": row.sign,
            "invert": row.invert,
            **_reading(row, points_map),
        }
        for row in points_map.points
    ]


def _reading(row: MapPoint, points_map: PointsMap) -> dict[str, object]:
    """How else its raw values are read, where the map says so; ends in the row's own unit."""
    ends = [None if end is None else row.own(end) for end in (row.min, row.max)]
    lo, hi = reversed(ends) if row.sign == CHARGE else ends
    found = {
        "enum": None if row.enum is None else dict(row.enum),
        "bits": None if row.bits is None else {str(bit): code for bit, code in row.bits.items()},
        "codes": None if row.codes is None else dict(row.codes),
        "on": None if row.on is None else list(row.on),
        "off": None if row.off is None else list(row.off),
        "min": lo,
        "max": hi,
        "low": row.low,
        "type": row.type,
        "how": row.how,
        "of": [points_map.by_name[name].point for name in row.of] or None,
        "weights": [
            points_map.by_name[one].point if isinstance(one, str) else one for one in row.weights
        ]
        or None,
    }
    return {key: value for key, value in found.items() if value is not None}


def summary(
    asset: AssetSettings,
    points_map: PointsMap,
    control: dict[str, object],
    *,
    session: dict[str, object],
    verdict: str,
) -> dict[str, object]:
    """The asset's part of ``status``."""
    return {
        "name": asset.name,
        "session": session,
        "map": {
            "ref": points_map.ref,
            "digest": points_map.digest,
            "verdict": verdict,
            "controlRefusals": list(control_refusals(points_map)),
        },
        "control": control,
    }


def detail(
    battery: Battery,
    points_map: PointsMap,
    now: Now,
    first: int,
    count: int,
    match: str,
) -> dict[str, object]:
    """An asset's part of ``watch``: the state, and points with their engineering values.

    Args:
        battery: what was read.
        points_map: what it means.
        now: the instant at which staleness is judged.
        first: how many of the points that match are left out before.
        count: how many are shown at most.
        match: a part of the point, or of its name or role, in any case; "" for all.
    """
    found = [one for one in battery.raw_points() if _matches(one, points_map, match.casefold())]
    shown = found[first : first + count]
    return {
        "state": body(battery.state(now)),
        "points": [_point(raw, battery, points_map, now) for raw in shown],
        "matched": len(found),
    }


def glance(state: BatteryState | None) -> dict[str, object]:
    """The battery in one line: null for what is unknown, or not to be trusted."""
    if state is None:
        return dict.fromkeys(("socPct", "powerW", "state", "quality"))
    return {
        "socPct": wire_value(state.charge_pct),
        "powerW": wire_value(state.charge_rate_w),
        "state": wire_value(state.charging_state),
        "quality": state.quality.label,
    }


def _matches(raw: RawPoint, points_map: PointsMap, match: str) -> bool:
    row = points_map.by_point.get(raw.point)
    names = (raw.point, row.name, row.role or "") if row is not None else (raw.point,)
    return any(match in one.casefold() for one in names)


def _point(raw: RawPoint, battery: Battery, points_map: PointsMap, now: Now) -> dict[str, object]:
    row = points_map.by_point.get(raw.point)
    measured = battery.reading(raw.point, now) if row is not None else None
    return {
        "point": raw.point,
        "name": row.name if row is not None else None,
        "role": row.role if row is not None else None,
        "raw": raw.value,
        "flags": raw.flags,
        "value": wire_value(measured),
        "unit": row.canonical_unit if row is not None else None,
        "quality": measured.quality.label if measured is not None else None,
        "atMs": raw.at_ms,
    }
