"""How an asset is described to others: the broker, ``status``, ``watch``. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.normalize.state import body, wire_value
from gateway.points.pointmap import control_refusals

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.normalize.fold import Battery
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
        }
        for row in points_map.points
    ]


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


def detail(battery: Battery, points_map: PointsMap, now: Now) -> dict[str, object]:
    """The asset's part of ``watch``: the state, and every point with its engineering value."""
    points = [_point(raw, battery, points_map, now) for raw in battery.raw_points()]
    return {"state": body(battery.state(now)), "points": points}


def _point(raw: RawPoint, battery: Battery, points_map: PointsMap, now: Now) -> dict[str, object]:
    row = points_map.by_point.get(raw.point)
    measured = battery.reading(raw.point, now) if row is not None else None
    return {
        "point": raw.point,
        "name": row.name if row is not None else None,
        "raw": raw.value,
        "flags": raw.flags,
        "value": wire_value(measured),
        "unit": row.canonical_unit if row is not None else None,
        "quality": measured.quality.label if measured is not None else None,
        "atMs": raw.at_ms,
    }
