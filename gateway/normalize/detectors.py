"""What the gateway itself finds out by watching readings over time.

The sign of power with its dead band, a state that contradicts power, an RTAC whose logic is dead,
a loaded transformer. Each is timed by monotonic seconds and ends in an ``AlarmBook``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from gateway.measured import USABLE, Measured, Quality
from gateway.normalize import rules
from gateway.normalize.alarms import ALARM, CRITICAL, WARNING, AlarmBook, Notice
from gateway.normalize.charging import ChargingState, Conflict, Direction, enter_w
from gateway.normalize.grid import LoadAlarm, loading_pct

if TYPE_CHECKING:
    from gateway.clock import Now
    from gateway.config.site import AssetSettings
    from gateway.normalize.readings import Readings
    from gateway.points.pointmap import PointsMap

_STATE_BITS = {
    ChargingState.IDLE: "is_idle",
    ChargingState.CHARGING: "is_charging",
    ChargingState.DISCHARGING: "is_discharging",
}
_SENSED_ROLES = ("der_heartbeat", "power", "inverter_power", "bess_state", *_STATE_BITS.values())
_POI_ROLES = ("poi_power", "poi_reactive")
_CONFLICT = Notice(ALARM, "state_power_conflict", WARNING)
_LOGIC_DEAD = Notice(ALARM, "rtac_logic_dead", CRITICAL)
_LOAD_WARN = Notice(ALARM, "transformer_load_warn", WARNING)
_LOAD_ALARM = Notice(ALARM, "transformer_load_alarm", CRITICAL)


class Detectors:
    """Watches one asset's readings. Mutable; ``tick`` lets time pass without a new value."""

    def __init__(
        self, points_map: PointsMap, asset: AssetSettings, readings: Readings, book: AlarmBook
    ) -> None:
        self._map = points_map
        self._asset = asset
        self._readings = readings
        self._book = book
        self._sensed = frozenset(
            row.point for role in _SENSED_ROLES for row in points_map.by_role.get(role, ())
        )
        power = points_map.row("power")
        deadband_w = (power.deadband or 0.0) if power is not None else 0.0
        self._direction = Direction(enter_w(asset.nameplate_w, deadband_w))
        self._conflict = Conflict()
        self._loads = _load_alarms(asset)

    @property
    def points(self) -> frozenset[str]:
        """Points whose every update must be followed by ``sense``."""
        return self._sensed

    @property
    def settled(self) -> ChargingState:
        """What the sign of power says, behind dead band and dwell."""
        return self._direction.settled

    @property
    def conflict(self) -> bool:
        """Whether the site's own state has contradicted power for 10 s."""
        return self._conflict.raised

    def tick(self, now: Now) -> None:
        """Let time pass: everything that may change without a new value."""
        self.sense(now)
        beat = self._readings.heartbeat
        if beat is not None:
            dead, text = beat.is_dead(now.mono_s), "the RTAC answers but its logic does not run"
            self._put(_LOGIC_DEAD, on=dead, now=now, text=text)
        loading = self.loading(now)
        found_pct = rules.number(loading)
        if loading is None or found_pct is None or loading.quality >= Quality.STALE:
            return
        for notice, alarm in list(self._loads.items()):
            after = self._loads[notice] = alarm.handle(found_pct)
            text = f"transformer at {found_pct:.1f} % of its rating, limit {alarm.limit_pct:g} %"
            self._put(notice, on=after.raised, now=now, text=text)

    def _put(self, notice: Notice, *, on: bool, now: Now, text: str) -> None:
        said = text if on else ""
        self._book.put(notice, on=on, point="", at_ms=now.unix_ms, text=said)

    def _beat(self, now: Now) -> None:
        beat = self._readings.heartbeat
        row = self._map.row("der_heartbeat")
        if beat is None or row is None:
            return
        measured = self._readings.decoded(row)
        if measured is not None and measured.quality <= USABLE:
            beat.beat(measured.value, now.mono_s)

    def sense(self, now: Now) -> None:
        """Run the heartbeat, the dead band and the contradiction on the latest values."""
        self._beat(now)
        rate, reported = self.rate(now), self.reported(now)
        self._direction = self._direction.handle(rules.number(rate), now.mono_s)
        self._conflict = self._conflict.handle(
            ChargingState(str(reported.value)) if _is_current(reported) else None,
            self._direction.candidate if _is_current(rate) else None,
            now.mono_s,
        )
        text = "the state point has contradicted measured power for 10 s"
        self._put(_CONFLICT, on=self._conflict.raised, now=now, text=text)

    def rate(self, now: Now) -> Measured | None:
        """Active power (W, + discharges) by the first usable rule."""
        inverters = [one for _, one in self._readings.roles("inverter_power", now)]
        return rules.charge_rate(self._readings.role("power", now), inverters)

    def reported(self, now: Now) -> Measured | None:
        """Charging state by the site's own word; None where it says nothing usable."""
        bits = {state: self._readings.role(role, now) for state, role in _STATE_BITS.items()}
        return rules.reported_state(self._readings.role("bess_state", now), bits)

    def loading(self, now: Now) -> Measured | None:
        """Transformer loading (%), from the point of interconnection if it is measured there."""
        transformer = self._asset.transformer
        if transformer is None:
            return None
        if self._map.row("poi_power") is not None:
            power, reactive = (self._readings.role(role, now) for role in _POI_ROLES)
        else:
            power, reactive = self.rate(now), self._readings.role("reactive_power", now)
        power_w, reactive_var = rules.number(power), rules.number(reactive)
        if power is None or power_w is None:
            return None
        found_pct = loading_pct(power_w, reactive_var or 0.0, transformer.rating_kva)
        if reactive is None or reactive_var is None:  # a lower bound only
            loading = rules.derive(found_pct, power)
            return None if loading is None else rules.worse(loading, Quality.QUESTIONABLE)
        return rules.derive(found_pct, power, reactive)


def _is_current(measured: Measured | None) -> TypeGuard[Measured]:
    """Whether ``measured`` is known well enough to contradict another reading."""
    return measured is not None and measured.quality < Quality.STALE


def _load_alarms(asset: AssetSettings) -> dict[Notice, LoadAlarm]:
    if asset.transformer is None:
        return {}
    return {
        _LOAD_WARN: LoadAlarm(asset.transformer.warn_pct),
        _LOAD_ALARM: LoadAlarm(asset.transformer.alarm_pct),
    }
