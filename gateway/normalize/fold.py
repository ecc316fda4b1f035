"""One battery: what the outstation said last, and what it means.

``fold`` keeps what arrived and is cheap; ``state`` decodes what it needs. It must see *every*
point that was received, not only those that are shipped: an update is what keeps a point fresh.
Time that passes without an update (dwell, contradiction, staleness, a silent heartbeat) is
noticed when ``state`` or ``changes`` is called, so call one of them about once a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.measured import Measured, Quality, TimeQuality
from gateway.normalize import rules
from gateway.normalize.alarms import ALARM, FAULT, AlarmBook, Change
from gateway.normalize.detectors import Detectors
from gateway.normalize.enrichment import enrichment
from gateway.normalize.readings import Readings
from gateway.normalize.signals import AlarmPoints, Totals
from gateway.normalize.state import BatteryState
from gateway.points.layers import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.points.mappoint import MapPoint
    from gateway.points.pointmap import PointsMap
    from gateway.points.raw import RawPoint

_CORE_ROLES = ("power", "soc", "energy_stored", "bess_state")
_TIME_ORDER = (TimeQuality.SYNCED, TimeQuality.GATEWAY, TimeQuality.UNSYNCED, TimeQuality.SKEWED)


class Battery:
    """Latest values of one asset and what follows from them. Mutable; returns frozen values."""

    def __init__(
        self,
        points_map: PointsMap,
        asset: AssetSettings,
        *,
        soc_window_pct: tuple[float, float] = (0.0, 100.0),
    ) -> None:
        """Start with nothing known.

        Args:
            points_map: how to read the points; without roles (``raw``) only what the site's
                configuration gives is known.
            asset: the site's configuration.
            soc_window_pct: state of charge (%) at which discharging and charging end.
        """
        self._map = points_map
        self._asset = asset
        self._soc_window_pct = soc_window_pct
        self._book = AlarmBook()
        self._readings = Readings(points_map, integrity_poll_s=asset.dnp3.integrity_poll_s)
        self._alarm_points = AlarmPoints(points_map, self._book)
        self._totals = Totals(points_map, self._book, nameplate_w=asset.nameplate_w)
        self._detectors = Detectors(points_map, asset, self._readings, self._book)
        self._control: tuple[str, int] | None = None

    # --- what happened ---------------------------------------------------------------------

    def fold(self, points: Iterable[RawPoint], now: Now) -> None:
        """Keep ``points``, all that were received at ``now``, in order."""
        batch = tuple(points)
        alarms, totals, sensed = self._alarm_points.rows, self._totals.rows, self._detectors.points
        moved = False
        for raw in batch:
            point = raw.point
            if point in alarms:
                self._alarm_points.take(raw, alarms[point])
            if point in totals:
                self._totals.take(raw, totals[point], now.mono_s)
            moved = moved or point in sensed
        self._readings.hear(batch, now)
        if moved:
            self._detectors.sense(now)

    def polled(self, kind: str, *, ok: bool, now: Now) -> None:
        """Note the end of a poll: startup, integrity, event or critical."""
        if ok:
            self._readings.polled(kind, now)

    def session(self, *, up: bool, now: Now) -> None:
        """Note that the session came up or went down; staleness runs on through both."""
        if self._readings.heartbeat is not None:
            self._readings.heartbeat.session(up=up, now_s=now.mono_s)

    def suspect(self, verdict: Verdict) -> None:
        """Take the map's verdict: a doubtful map makes everything read through it questionable."""
        self._readings.is_suspect = verdict is not Verdict.OK

    def controlled(self, phase: str, now: Now) -> None:
        """Note the watchdog's phase, to be shown as ``controlState``."""
        if self._control is None or self._control[0] != phase:
            self._control = (phase, now.unix_ms)

    # --- what it means ---------------------------------------------------------------------

    @property
    def faults(self) -> tuple[str, ...]:
        """Codes of the faults that are active, as of the last look."""
        return tuple(one.code for one in self._book.active(FAULT))

    def value(self, role: str, now: Now) -> Measured | None:
        """Return the point of ``role`` with staleness applied; None if unmapped or never seen."""
        return self._readings.role(role, now)

    def reading(self, point: str, now: Now) -> Measured | None:
        """Return the mapped point printed as ``point`` ("AI8"), with or without a role."""
        return self._readings.point(point, now)

    def graded(self, row: MapPoint, raw: RawPoint, now: Now) -> Measured:
        """``raw``, an update of ``row`` that need not be the latest, graded as that would be."""
        return self._readings.graded(row, raw, now)

    def raw_points(self) -> tuple[RawPoint, ...]:
        """Latest raw value of every point received so far."""
        return self._readings.all_raw()

    def changes(self, now: Now) -> tuple[Change, ...]:
        """Alarms, faults and conflicts raised or cleared since the last call, oldest first."""
        self._detectors.tick(now)
        return self._book.collect()

    def state(self, now: Now) -> BatteryState:
        """Normalize what is known at ``now``. Never raises, whatever the outstation sent."""
        self._detectors.tick(now)
        role, at_ms, asset = self._readings.role, now.unix_ms, self._asset
        soc, stored = role("soc", now), role("energy_stored", now)
        full = self._capacity(now)
        percent = rules.charge_percentage(soc, stored, full)
        rate = self._detectors.rate(now)
        most_charge = rules.static_limit(role("max_charge", now), asset.max_charge_w, at_ms=at_ms)
        most_discharge = rules.static_limit(
            role("max_discharge", now), asset.max_discharge_w, at_ms=at_ms
        )
        known_pct = rules.number(percent)
        lowest_pct, highest_pct = self._soc_window_pct
        core = {
            "charge_pct": percent,
            "charge_wh": rules.charge(stored, soc, full),
            "charge_rate_w": rate,
            "charging_state": rules.charging_state(
                self._detectors.reported(now),
                self._detectors.settled,
                rate,
                conflict=self._detectors.conflict,
            ),
        }
        return BatteryState(
            **core,
            backup_reserve_pct=rules.reserve(
                role("backup_reserve", now), asset.backup_reserve_pct, at_ms=at_ms
            ),
            max_charge_w=most_charge,
            max_discharge_w=most_discharge,
            available_charge_w=rules.available(
                role("avail_charge", now),
                most_charge,
                percent,
                at_limit=known_pct is not None and known_pct >= highest_pct,
            ),
            available_discharge_w=rules.available(
                role("avail_discharge", now),
                most_discharge,
                percent,
                at_limit=known_pct is not None and known_pct <= lowest_pct,
            ),
            capacity_wh=full,
            operating_mode=rules.mode(role("op_mode", now), self._modes(now)),
            control_state=self._control_state(now),
            control_authority=rules.authority(role("control_authority", now), role("local", now)),
            enrichment=enrichment(self._readings, self._totals, self._detectors.loading(now), now),
            faults=self._book.active(FAULT),
            alarms=self._book.active(ALARM),
            observed_ms=max((one.at_ms for one in core.values() if one is not None), default=at_ms),
            time_quality=self._time_quality(),
        )

    # --- rows that need more than one reading ------------------------------------------------

    def _capacity(self, now: Now) -> Measured:
        ratings = (
            self._map.by_name.get(check.point)
            for check in self._map.fingerprint.nameplate
            if check.key == "capacity_wh"
        )
        rating = next((row for row in ratings if row is not None), None)
        return rules.capacity(
            self._readings.role("energy_capacity", now),
            None if rating is None else self._readings.get(rating, now),
            self._asset.capacity_wh,
            at_ms=now.unix_ms,
        )

    def _modes(self, now: Now) -> list[tuple[str, Measured]]:
        found = self._readings.roles("mode_enabled", now)
        return [(row.name, one) for row, one in found if one is not None]

    def _control_state(self, now: Now) -> Measured:
        phase, since_ms = self._control or ("MONITOR", now.unix_ms)
        return Measured(phase, Quality.GOOD, since_ms, "gateway")

    def _time_quality(self) -> TimeQuality:
        rows = (self._map.row(role) for role in _CORE_ROLES)
        raws = [self._readings.raw(row.point) for row in rows if row is not None]
        seen = [raw.tq for raw in raws if raw is not None]
        return max(seen, key=_TIME_ORDER.index, default=TimeQuality.GATEWAY)
