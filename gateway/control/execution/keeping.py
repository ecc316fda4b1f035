"""What is kept of a job before its first frame: how its zero is written, and to whom. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.control.execution.plan import PlanError, idle_writes
from gateway.control.watchdog.kept_meter import kept_meter
from gateway.control.watchdog.obligation import KeptRow, Obligation
from gateway.points.decode import OFF, ON
from gateway.points.encode import encode
from gateway.points.raw import PointType

if TYPE_CHECKING:
    from gateway.config.site import AssetSettings
    from gateway.control.rules.percent_base import Base
    from gateway.control.watchdog.words import Terms
    from gateway.points.mappoint import MapPoint
    from gateway.points.pointmap import PointsMap


def kept(
    asset: AssetSettings,
    points_map: PointsMap,
    terms: Terms,
    *,
    number: str,
    of: Base,
    setpoint_w: float | None,
    span_w: tuple[float, float] | None,
) -> Obligation:
    """Put together what zero needs, whatever the files say later.

    Args:
        asset: whose.
        points_map: how zero is said.
        terms: of the watchdog.
        number: whoever takes it away names it.
        of: what percent are of.
        setpoint_w: the last one that was signed; None: only a mode or a reserve.
        span_w: least and most that was signed since nothing was in force; None: not known.
    """
    link = asset.dnp3
    found = Obligation(
        number=number,
        host=link.host,
        port=link.port,
        outstation=link.outstation_address,
        master=link.master_address,
        map_digest=points_map.digest,
        rows=_rows(points_map, of),
        setpoint_w=setpoint_w,
        span_w=span_w,
        nameplate_w=asset.nameplate_w,
        lease_s=terms.lease_s,
        verify_s=terms.idle_verify_s,
        deadman_s=terms.deadman_s,
        heartbeat_s=terms.heartbeat_s,
        response_s=terms.response_s,
        zero_needs_beat=terms.zero_needs_beat,
        meter=kept_meter(points_map.row("power"), idle_w=terms.idle_w, band_w=terms.zero_band_w),
    )
    return found.based_on((of.charge_w, of.discharge_w) if _in_percent(points_map) else None)


def _in_percent(points_map: PointsMap) -> bool:
    rows = (points_map.row(role) for role in ("cmd_power", "cmd_charge", "cmd_discharge"))
    return any(row is not None and row.canonical_unit == "%" for row in rows)


def _rows(points_map: PointsMap, of: Base) -> tuple[KeptRow, ...]:
    try:
        # In one order whichever point carries power: rows are compared with those of later.
        writes = idle_writes(points_map, of, carries_w=-1.0)
    except PlanError:
        return ()
    found = []
    for write in writes:
        echo = points_map.by_point.get(write.echo)
        raw, step = 0.0, 0.0
        if echo is not None and not isinstance(write.expected, bool):
            raw, step = float(encode(write.expected, echo) or 0.0), echo.step
        elif isinstance(write.expected, bool):
            raw = _shown(echo, on=write.expected)
        control = write.control
        value = control.value if isinstance(control.value, str) else float(control.value)
        slack = write.tolerance / step if step else 0.0
        row = KeptRow(
            control.point,
            value,
            control.variation.value,
            write.sbo,
            write.echo,
            raw,
            slack,
            control.on_ms,
            control.off_ms,
            control.count,
        )
        found.append(row)
    return tuple(found)


def _shown(echo: MapPoint | None, *, on: bool) -> float:
    """Raw value by which ``echo`` says ``on``; its codes are one each (M25)."""
    if echo is None:
        return float(on)
    codes = echo.on if on else echo.off
    if codes:
        return float(codes[0])
    raw = on is not echo.invert
    return float((ON if raw else OFF) if echo.kind is PointType.DBI else raw)
