"""When a state message is due: on change, at least 1 s apart, at least every 60 s.

A change is a number beyond its point's dead band since the last *published* state (a slow drift
adds up), or any change of a word, a quality or an alarm. Times alone are no change. The dead band
is for publication only: what is compared, controlled and shipped as telemetry is exact.

The caller computes a state only when ``wake_at`` has come, not for every fragment.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.normalize.enrichment import ENRICHMENT
from gateway.normalize.state import wire_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.measured import Measured
    from gateway.normalize.state import BatteryState
    from gateway.points.pointmap import PointsMap

APART_S = 1.0  # two state messages
AT_LEAST_S = 60.0  # a state message, changed or not
QUICK_LOOK_S = 0.25  # between two looks while fragments arrive
IDLE_LOOK_S = 1.0  # while nothing arrives: time alone makes values stale

_BANDED = {
    "soc": "chargePercentage",
    "energy_stored": "charge",
    "power": "chargeRate",
    "backup_reserve": "backupReserve",
    "max_charge": "maxChargeRate",
    "max_discharge": "maxDischargeRate",
    "avail_charge": "availableChargeRate",
    "avail_discharge": "availableDischargeRate",
    "energy_capacity": "capacity",
    "energy_charge_total": "energyChargeTotal",
    "energy_discharge_total": "energyDischargeTotal",
    **ENRICHMENT,
}
_PERCENT = 100.0


def dead_bands(points_map: PointsMap, *, capacity_wh: float) -> Mapping[str, float]:
    """Dead band of each field by its JSON name, in the field's unit; absent where none is set.

    Charge and its percentage may be calculated from one another, so each inherits the other's.
    """
    bands = {
        name: row.deadband
        for role, name in _BANDED.items()
        if (row := points_map.row(role)) is not None and row.deadband
    }
    if "chargePercentage" in bands:
        bands.setdefault("charge", bands["chargePercentage"] * capacity_wh / _PERCENT)
    elif "charge" in bands:
        bands["chargePercentage"] = bands["charge"] / capacity_wh * _PERCENT
    inverters = points_map.by_role.get("inverter_power", ())
    if "chargeRate" not in bands and inverters:
        bands["chargeRate"] = sum(row.deadband or 0.0 for row in inverters)
    return MappingProxyType(bands)


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published last, and when to look again. Times are monotonic seconds."""

    bands: Mapping[str, float]
    wake_at: float = -math.inf  # the caller shall bring a state
    last: BatteryState | None = None
    last_at: float = -math.inf  # of the last publication
    looked_at: float = -math.inf

    def noted(self, now_s: float) -> Publication:
        """Points arrived: look soon, not at once for every fragment."""
        soon = max(now_s, self.looked_at + QUICK_LOOK_S, self.last_at + APART_S)
        return replace(self, wake_at=soon) if soon < self.wake_at else self

    def handle(self, state: BatteryState, now_s: float) -> tuple[Publication, bool]:
        """Take ``state``; returns what is next, and whether to publish ``state`` now."""
        since_s = now_s - self.last_at
        if since_s >= AT_LEAST_S or (since_s >= APART_S and self._differs(state)):
            return Publication(self.bands, now_s + APART_S, state, now_s, now_s), True
        look_at = max(now_s + IDLE_LOOK_S, self.last_at + APART_S)
        look_at = min(look_at, self.last_at + AT_LEAST_S)
        return replace(self, looked_at=now_s, wake_at=look_at), False

    def forget(self) -> Publication:
        """Publish at the next look, changed or not: the broker may have lost the last one.

        Still 1 s after the one before: a broker that flaps must not multiply messages.
        """
        soon = max(self.looked_at + QUICK_LOOK_S, self.last_at + APART_S)
        return replace(self, last=None, wake_at=soon)

    def _differs(self, state: BatteryState) -> bool:
        last = self.last
        if last is None or last.alarms != state.alarms or last.faults != state.faults:
            return True
        old, new = last.wire_fields(), state.wire_fields()
        if old.keys() != new.keys():
            return True
        return any(_moved(old[name], new[name], self.bands.get(name, 0.0)) for name in new)


def _moved(before: Measured | None, after: Measured | None, band: float) -> bool:
    if before is None or after is None:
        return before is not after
    if before.quality is not after.quality or before.source != after.source:
        return True
    old, new = wire_value(before), wire_value(after)
    if isinstance(old, str | bool | None) or isinstance(new, str | bool | None):
        return old != new
    return abs(new - old) > band
