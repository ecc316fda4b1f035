"""What is written to the field for one order, by the points map. Pure.

Each ``Write`` carries what must be true afterwards: the echo, its value and how far it may be off.
A setpoint is rounded toward zero, so that what the controller understands is never more than what
was permitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.control.execution.switching import LATCHES, switched
from gateway.control.rules.limits import trusted
from gateway.control.rules.percent_base import FULL_PCT
from gateway.control.rules.readiness import heartbeat_kind
from gateway.control.watchdog.words import HeartbeatForm
from gateway.measured import Quality
from gateway.points.encode import beat, encode, round_trip
from gateway.points.roles import PULSED_COMMANDS
from gateway.ports import Control, CrobOp, Variation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.control.rules.percent_base import Base
    from gateway.measured import Measured
    from gateway.points.mappoint import MapPoint
    from gateway.points.pointmap import PointsMap

REVERSION_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One control, and how to tell that it took effect."""

    role: str
    control: Control
    sbo: bool
    echo: str  # point that echoes it: "AI8"
    expected: float | bool  # canonical value that the echo must show
    tolerance: float  # how far a number may be off
    verify_s: float
    gap_s: float  # between two writes of this output
    pulse: bool = False  # leaves no lasting echo
    once: bool = False  # its control is never sent again
    in_percent: bool = False  # of a base that may move

    def agrees(self, measured: Measured | None) -> bool:
        """Whether the echo shows what was written."""
        if isinstance(self.expected, bool):
            good = measured is not None and measured.quality <= Quality.DERIVED
            return measured is not None and good and measured.value is self.expected
        value = trusted(measured)
        return value is not None and abs(value - self.expected) <= self.tolerance

    def is_contradicted(self, measured: Measured | None) -> bool:
        """Whether a good and fresh echo shows something else; an unreadable one says nothing."""
        known = measured is not None and measured.quality <= Quality.DERIVED
        return known and not self.agrees(measured)


class PlanError(ValueError):
    """The map cannot say this order; nothing was written."""


def power_writes(
    points_map: PointsMap, power_w: float, of: Base, *, carries_w: float = 0.0, same: bool = False
) -> tuple[Write, ...]:
    """Writes that make ``power_w`` (W, positive discharges) the setpoint, in order.

    With split points the other direction is zeroed first; of a zero, the point that carries power.

    Args:
        points_map: how to say it.
        power_w: the setpoint.
        of: what percent are of.
        carries_w: which way power may be flowing, by its sign; 0: nobody knows, discharging first.
        same: nothing but power of this direction may be in force: its own point goes first.

    Raises:
        PlanError: the map has no such point, or its points cannot hold the value.
    """
    control = points_map.control
    if control is not None and control.power_method == "split":
        charge = _analog(points_map, "cmd_charge", max(0.0, -power_w), of.charge_w)
        discharge = _analog(points_map, "cmd_discharge", max(0.0, power_w), of.discharge_w)
        by_charge = carries_w < 0 if power_w == 0 else (power_w > 0) is not same
        return (charge, discharge) if by_charge else (discharge, charge)
    return (_analog(points_map, "cmd_power", power_w, of.side_w(power_w)),)


def preparing_writes(
    points_map: PointsMap,
    *,
    ramp_w_per_s: float | None,
    of: Base,
    reversion_s: float = REVERSION_S,
) -> dict[str, tuple[Write, ...]]:
    """Writes for the words of the map's ``order``, less the setpoint, which the map has."""
    found: dict[str, tuple[Write, ...]] = {}
    if points_map.row("cmd_reversion_s") is not None:
        found["reversion"] = (reversion_write(points_map, reversion_s),)
    rows = points_map.by_role.get("cmd_ramp", ())
    if rows and ramp_w_per_s is not None:
        least_w = min((side for side in (of.charge_w, of.discharge_w) if side), default=None)
        found["ramp"] = tuple(_number(points_map, row, ramp_w_per_s, least_w) for row in rows)
    if points_map.row("cmd_mode_enable") is not None:
        found["mode_enable"] = (switch_write(points_map, "cmd_mode_enable", on=True),)
    return found


def prepare_writes(points_map: PointsMap) -> tuple[Write, ...]:
    """What must stand before any power is written, by the map."""
    return tuple(
        _switch(points_map, row, on=value)
        if isinstance(value, bool)
        else _number(points_map, row, value, None)
        for row, value in points_map.prepared
    )


def reversion_write(points_map: PointsMap, seconds: float = REVERSION_S) -> Write:
    """Start or refresh the device's reversion timer; also every 20 s while active."""
    return _analog(points_map, "cmd_reversion_s", seconds, None)


def reserve_write(points_map: PointsMap, percent: float) -> Write:
    """Set the backup reserve (0..100 %)."""
    return _analog(points_map, "cmd_reserve", percent, None)


def heartbeat_write(points_map: PointsMap, count: int) -> Write:
    """Feed the RTAC's dead-man with ``count``: raw where we count, else what the RTAC's own says.

    Our own count is raw, so that each value differs from the one before, whatever the scale.
    """
    row = _row(points_map, "cmd_heartbeat")
    if row.is_flag:
        return switch_write(points_map, "cmd_heartbeat", on=bool(count % 2))
    counted = heartbeat_kind(points_map) is HeartbeatForm.COUNTER
    value = beat(count, row) * row.mul / row.div + row.bias if counted else float(count)
    return _number(points_map, row, value, None)


def idle_writes(
    points_map: PointsMap, of: Base, *, release: bool = False, carries_w: float = 0.0
) -> tuple[Write, ...]:
    """Zero, and with ``zero_then_disable`` (or to release) the mode off. Zero comes first.

    ``carries_w`` as in ``power_writes``.
    """
    writes = list(power_writes(points_map, 0.0, of, carries_w=carries_w))
    control = points_map.control
    disable = release or (control is not None and control.idle_method == "zero_then_disable")
    if disable and points_map.row("cmd_mode_enable") is not None:
        writes.append(switch_write(points_map, "cmd_mode_enable", on=False))
    return tuple(writes)


def stop_writes(points_map: PointsMap) -> tuple[Write, ...]:
    """The E-stop's pulse: ``cmd_estop``, else ``cmd_stop``; empty if the map has neither."""
    for role in ("cmd_estop", "cmd_stop"):
        if points_map.row(role) is not None:
            return (switch_write(points_map, role, on=True),)
    return ()


def switch_write(points_map: PointsMap, role: str, *, on: bool) -> Write:
    """Set an output that is on or off, as its row says; a role that is a pulse is only ever on."""
    return _switch(points_map, _row(points_map, role), on=on)


def _switch(points_map: PointsMap, row: MapPoint, *, on: bool) -> Write:
    output = switched(row, on=on)
    if output is None:
        message = f"{row.name} ({row.point}) has no {'on' if on else 'off'}"
        raise PlanError(message)
    pulse = row.role in PULSED_COMMANDS
    control = points_map.control
    way = None if control is None else (control.op_setpoint if row.on else control.op_mode)
    return Write(
        role=row.role or "",
        control=output,
        sbo=way == "sbo",
        echo=_echo(points_map, row).point,
        expected=on,
        tolerance=0.0,
        verify_s=row.verify_s,
        gap_s=row.min_interval_s,
        pulse=pulse,
        once=pulse or (isinstance(output.value, CrobOp) and output.value not in LATCHES),
    )


def _analog(points_map: PointsMap, role: str, value: float, base_w: float | None) -> Write:
    return _number(points_map, _row(points_map, role), value, base_w)


def _number(points_map: PointsMap, row: MapPoint, value: float, base_w: float | None) -> Write:
    in_percent = row.canonical_unit in ("%", "%/s") and row.role not in (None, "cmd_reserve")
    if in_percent:
        if base_w is None and value != 0:
            message = f"{row.name} ({row.point}) is in percent, and of what is not known now"
            raise PlanError(message)
        value = value / base_w * FULL_PCT if base_w is not None else 0.0
    raw, understood = toward_zero(value, row)
    echo, control = _echo(points_map, row), points_map.control
    return Write(
        role=row.role or "",
        control=Control(row.point, raw, Variation(row.variation or Variation.INT32)),
        sbo=control is not None and control.op_setpoint == "sbo",
        echo=echo.point,
        expected=understood,
        tolerance=max(row.step, echo.step) if row.tolerance is None else row.tolerance,
        verify_s=row.verify_s,
        gap_s=row.min_interval_s,
        in_percent=in_percent,
    )


def toward_zero(value: float, row: MapPoint) -> tuple[float | int, float]:
    """Raw value and what the controller understands by it: nearest, but never more than ``value``.

    Raises:
        PlanError: the row's variation or range cannot hold it.
    """
    for wanted in _nearing(value, row):
        raw, understood = encode(wanted, row), round_trip(wanted, row)
        if raw is None or understood is None:
            break
        if abs(understood) <= abs(value) and understood * value >= 0:
            if not _in_range(understood, row):
                break
            return raw, understood
    message = f"{value:g} {row.canonical_unit} cannot be written to {row.name} ({row.point})"
    raise PlanError(message)


def _nearing(value: float, row: MapPoint) -> Iterator[float]:
    yield value
    if row.variation in ("int16", "int32"):
        yield math.copysign(max(0.0, abs(value) - row.step), value)
    else:
        yield value * (1 - 2.0**-22)  # one step of a 32-bit float and a bit
    yield 0.0


def _in_range(value: float, row: MapPoint) -> bool:
    slack = row.step * 1e-6
    return not (
        (row.min is not None and value < row.min - slack)
        or (row.max is not None and value > row.max + slack)
    )


def _row(points_map: PointsMap, role: str) -> MapPoint:
    row = points_map.row(role)
    if row is None:
        message = f"map {points_map.ref} has no {role}"
        raise PlanError(message)
    return row


def _echo(points_map: PointsMap, row: MapPoint) -> MapPoint:
    echo = points_map.by_name.get(row.feedback or "")
    if echo is None:
        message = f"{row.name} ({row.point}) has no feedback"
        raise PlanError(message)
    return echo
