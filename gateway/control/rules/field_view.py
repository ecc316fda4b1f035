"""What the field shows of one asset, in the terms of control: facts, limits, echo, authority. Pure.

Nothing here has an opinion of its own: what counts as an interlock or a limit stands in
``interlocks`` and ``limits``. What should be known and is not comes out as None, and None never
permits power.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.control.rules import limits, percent_base
from gateway.control.rules.interlocks import IIN_LOCAL, Facts, Interlock, blocks
from gateway.control.rules.least import least, permits, span
from gateway.measured import USABLE, Measured, Quality
from gateway.normalize.freshness import CRITICAL_STALE_S
from gateway.points.decode import decode_bits
from gateway.points.roles import LIMIT_ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.asset.monitor import Monitor
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.control.rules.limits import Ceiling, Read, SiteLimits, SocWindow, Span
    from gateway.control.rules.percent_base import Base
    from gateway.points.mappoint import MapPoint
    from gateway.points.pointmap import PointsMap
    from gateway.points.raw import RawPoint

LOCAL = "local"  # name in a map's enum of the authority that the site has
_AUTHORITIES = ("local", "control_authority")
_AUTHORITY = frozenset({Interlock.LOCAL, Interlock.AUTHORITY})
_TAKING = {"lockout", "estop_status", "breaker", "fault"}
_TOLD = LIMIT_ROLES | _TAKING
_FAULT = "fault:"
# Lease and session are judged by the watchdog itself: a session may be down for 10 s.
_WATCHDOGS = frozenset({Interlock.LEASE, Interlock.SESSION})


class FieldView:
    """Looks at one asset through its monitor."""

    def __init__(self, asset: AssetSettings, points_map: PointsMap, monitor: Monitor) -> None:
        self.asset = asset
        self.alone = True  # nobody else is judged at its transformer
        self.map = points_map
        self._monitor = monitor
        self._echoes = _echo_rows(points_map)
        self.echo_points = frozenset(row.point for row in self._echoes)
        self.in_percent = any(row.canonical_unit == "%" for row in self._echoes)
        rows = (points_map.row(role) for role in ("local", "control_authority"))
        self.authority_points = frozenset(row.point for row in rows if row is not None)
        beat = points_map.row("der_heartbeat")
        self.beat_point = "" if beat is None else beat.point
        power = points_map.row("power")
        self.power_point = "" if power is None else power.point
        self.dead_band_w = (power.deadband if power is not None else None) or 0.0
        feedback = {row.feedback for row in points_map.written if row.feedback}
        self.feedback_points = frozenset(
            row.point for row in points_map.points if row.name in feedback
        )
        self.points = points_map.polled_points
        self._telling_faults = tuple(row for row in points_map.points if row.tells_faults)
        self.taking_points = frozenset(
            row.point for row in points_map.points if row.role in _TAKING or row.tells_faults
        )
        self.told_points = frozenset(
            row.point for row in points_map.points if row.role in _TOLD or row.tells_faults
        )

    # --- what counts ---------------------------------------------------------------------------

    def read(self, now: Now) -> Read:
        """A reader of rows at ``now``: what permits the least of all that each may say."""

        def reader(row: MapPoint) -> Measured | None:
            found = self._possible(row, now)
            return least(row, found) if found else None

        return reader

    def static(self, now: Now) -> Read:
        """A reader of rows at ``now``: their newest static read."""
        battery, possible = self._monitor.battery, self._monitor.possible

        def reader(row: MapPoint) -> Measured | None:
            found = possible.static(row.point)
            if found is None:
                return None
            raw, read_at = found
            measured = battery.graded(row, raw, now)
            if now.mono_s - read_at < CRITICAL_STALE_S:
                return measured
            return replace(measured, quality=max(measured.quality, Quality.STALE))

        return reader

    def _possible(self, row: MapPoint, now: Now) -> tuple[Measured, ...]:
        """All that ``row`` may say: its static read, and events since; () if it was never heard.

        What no read ever said is not known, whatever events say.
        """
        told = self._monitor.possible.events(row.point)
        events = tuple(self._monitor.battery.graded(row, raw, now) for raw in told)
        static = self.static(now)(row)
        if static is None and events:
            static = replace(events[-1], quality=max(events[-1].quality, Quality.STALE))
        return events if static is None else (static, *events)

    def _span(self, role: str, now: Now) -> Span | None:
        row = self.map.row(role)
        return None if row is None else span(self._possible(row, now))

    # --- what is shown -------------------------------------------------------------------------

    def _newest(self, now: Now) -> Read:
        def reader(row: MapPoint) -> Measured | None:
            return self._monitor.battery.reading(row.point, now)

        return reader

    def echoes(self, points: Iterable[str], now: Now) -> dict[str, Measured | None]:
        """What these points ("AI8") say now."""
        return {point: self._monitor.battery.reading(point, now) for point in points}

    def raw_numbers(self) -> tuple[RawPoint, ...]:
        """Latest raw values that are numbers."""
        raw = self._monitor.battery.raw_points()
        return tuple(one for one in raw if isinstance(one.value, int | float))

    def power_w(self, now: Now) -> float | None:
        """Measured power as last heard, W, + discharging; None unless it is good and fresh."""
        return limits.trusted(self._monitor.battery.value("power", now))

    def power_read_w(self, now: Now) -> float | None:
        """Measured power of the last static read, likewise."""
        row = self.map.row("power")
        return None if row is None else limits.trusted(self.static(now)(row))

    def soc(self, now: Now) -> Span | None:
        """State of charge that may be, %; None unless all of it is good and fresh."""
        return self._span("soc", now)

    def base(self, now: Now) -> Base:
        """What percent of a power command are of, at most."""
        return self._bases(now)[1]

    def _bases(self, now: Now) -> tuple[Base, Base]:
        asset = self.asset
        return percent_base.bases(
            self.map,
            lambda row: span(self._possible(row, now)),
            nameplate_w=asset.nameplate_w,
            max_charge_w=asset.max_charge_w,
            max_discharge_w=asset.max_discharge_w,
        )

    def ceiling(self, site: SiteLimits, now: Now) -> Ceiling:
        """What may be applied now, each way."""
        found = limits.ceiling(site, self.map, self.read(now), headroom=self._headroom(now))
        return found.within(percent_base.writable(self.map, self._bases(now)[0]))

    def _headroom(self, now: Now) -> Ceiling | None:
        transformer = self.asset.transformer
        if transformer is None or not transformer.enforce or not self.alone:
            return None
        # Meter and battery are of one moment: both as read, and both as last heard.
        read, heard = (
            limits.headroom(
                transformer.rating_kva,
                cap_pct=transformer.alarm_pct,
                reactive_var=self.reactive_var(now),
                other_w=self._other_w(reader),
            )
            for reader in (self.static(now), self._newest(now))
        )
        return read.within(heard)

    def reactive_var(self, now: Now) -> float | None:
        """Through the transformer, by its meter or else the battery's: the most that it may be."""
        role = "poi_reactive" if self.map.row("poi_reactive") is not None else "reactive_power"
        found = self._span(role, now)
        return None if found is None else max(found, key=abs)

    def _other_w(self, read: Read) -> float | None:
        """What everything but the battery puts on the transformer; None: not known."""
        meter, power = self.map.row("poi_power"), self.map.row("power")
        if meter is None:
            return 0.0
        poi_w = limits.trusted(read(meter))
        power_w = None if power is None else limits.trusted(read(power))
        return None if poi_w is None or power_w is None else poi_w - power_w

    def value(self, role: str, now: Now) -> float | None:
        """What the point of ``role`` said last; None unless it is good and fresh."""
        return limits.trusted(self._monitor.battery.value(role, now))

    def facts(self, window: SocWindow, now: Now, *, lease: bool, disk_free_pct: float) -> Facts:
        """What the interlocks are judged from."""
        return Facts(
            lease=lease,
            session=self._monitor.up,
            iin=self._monitor.iin,
            map_ok=self._monitor.map_ok,
            disk_free_pct=disk_free_pct,
            faults=self._faults(now),
            points_map=self.map,
            read=self.read(now),
            soc=self.soc(now),
            window=window,
        )

    def _faults(self, now: Now) -> tuple[str, ...]:
        """Codes of faults that may be active: as last heard, and of all that a word may say."""
        battery, possible = self._monitor.battery, self._monitor.possible
        codes = set(battery.faults)
        for row in self._telling_faults:
            static = possible.static(row.point)
            read = () if static is None else static[:1]
            for raw in (*read, *possible.events(row.point)):
                if battery.graded(row, raw, now).quality <= USABLE:
                    words = decode_bits(raw, row)
                    codes |= {
                        word.removeprefix(_FAULT) for word in words if word.startswith(_FAULT)
                    }
        return tuple(sorted(codes))

    def interlocks(self, facts: Facts, power_w: float) -> tuple[str, ...]:
        """Those that do not hold, less lease and session, for power in this direction."""
        return tuple(
            f"{one.interlock}: {one.text}"
            for one in blocks(facts, power_w)
            if one.interlock not in _WATCHDOGS
        )

    def authority(self, facts: Facts) -> bool | None:
        """Whether we have it: True, False where the site says so, None where nobody knows."""
        if not any(one.interlock in _AUTHORITY for one in blocks(facts)):
            return True
        if IIN_LOCAL in facts.iin:
            return False
        # One that says so is enough, whatever the other says.
        return False if any(self._denies(role, facts) for role in _AUTHORITIES) else None

    def _denies(self, role: str, facts: Facts) -> bool:
        row = self.map.row(role)
        measured = None if row is None else facts.read(row)
        known = measured is not None and measured.quality <= Quality.DERIVED
        return known and measured is not None and not permits(role, measured.value)

    def elsewhere(self, facts: Facts) -> bool:
        """Whether another master has the authority: its point says so, and not the site."""
        row = self.map.row("control_authority")
        said = None if row is None else facts.read(row)
        at_site = IIN_LOCAL in facts.iin or self._denies("local", facts)
        at_site = at_site or (said is not None and said.value == LOCAL)
        return self._denies("control_authority", facts) and not at_site

    def echo_w(self, now: Now, base: Base) -> float | None:
        """The setpoint's echo as read, W of ``base``; None unless all is good and fresh."""
        read = self.static(now)
        values = [limits.trusted(read(row)) for row in self._echoes]
        if not values or any(value is None for value in values):
            return None
        found = [value for value in values if value is not None]
        if len(found) > 1:  # charge, discharge
            return _watts(self._echoes[1], found[1], base.discharge_w) - _watts(
                self._echoes[0], found[0], base.charge_w
            )
        return _watts(self._echoes[0], found[0], base.side_w(found[0]))

    @property
    def full_w(self) -> float:
        """What the tolerance of an echo in percent is of, W."""
        asset = self.asset
        return max(asset.nameplate_w, asset.max_charge_w, asset.max_discharge_w)

    def tolerance_w(self) -> float:
        """How far the echo may be from the setpoint, W: rounding of both, and the map's own."""
        found = 0.0
        for role in ("cmd_power", "cmd_charge", "cmd_discharge"):
            row = self.map.row(role)
            echo = self.map.by_name.get(row.feedback or "") if row is not None else None
            if row is not None and echo is not None:
                slack = max(row.tolerance or 0.0, row.step + echo.step)
                scale = self.full_w / percent_base.FULL_PCT if row.canonical_unit == "%" else 1.0
                found = max(found, slack * scale)
        return found


def _echo_rows(points_map: PointsMap) -> tuple[MapPoint, ...]:
    """The setpoint's feedback: one row, or charge and discharge; empty where one is missing."""
    split = points_map.control is not None and points_map.control.power_method == "split"
    roles = ("cmd_charge", "cmd_discharge") if split else ("cmd_power",)
    rows = [points_map.row(role) for role in roles]
    echoes = [points_map.by_name.get(row.feedback or "") for row in rows if row is not None]
    found = tuple(row for row in echoes if row is not None)
    return found if len(found) == len(roles) else ()


def _watts(row: MapPoint, value: float, base_w: float | None) -> float:
    """An echo in W; percent of a base that is not known now are not near anything but zero."""
    if row.canonical_unit != "%":
        return value
    if base_w is None:
        return math.copysign(math.inf, value) if value else 0.0
    return value / percent_base.FULL_PCT * base_w
