"""The battery as the platform sees it, whatever the vendor calls things: ``bess.state/1``.

A field that is ``None`` was never reported. One that the outstation calls bad keeps its last value
here, for people, but goes out as null: neither may ever be taken for 0 W or 0 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.clock import rfc3339
from gateway.measured import USABLE, Quality, TimeQuality

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.measured import Measured
    from gateway.normalize.alarms import Alarm

# Python field -> JSON name, in the order of the message.
WIRE = {
    "charge_pct": "chargePercentage",
    "charge_wh": "charge",
    "charge_rate_w": "chargeRate",
    "charging_state": "chargingState",
    "backup_reserve_pct": "backupReserve",
    "max_charge_w": "maxChargeRate",
    "max_discharge_w": "maxDischargeRate",
    "available_charge_w": "availableChargeRate",
    "available_discharge_w": "availableDischargeRate",
    "capacity_wh": "capacity",
    "operating_mode": "operatingMode",
    "control_state": "controlState",
    "control_authority": "controlAuthority",
}
# The fields whose worst quality is the state's: what the battery measures of itself. Limits,
# capacity and reserve may come from the site's configuration, which says nothing about the link.
CORE = ("charge_pct", "charge_wh", "charge_rate_w", "charging_state")
_DECIMALS = 4  # finer than any point; hides 63.400000000000006


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryState:
    """Latest known state of one battery. Power is positive when discharging.

    ``enrichment`` and ``faults`` and ``alarms`` are what else the site reports; the names of
    ``enrichment`` are those on the wire.
    """

    charge_pct: Measured | None  # 0..100
    charge_wh: Measured | None
    charge_rate_w: Measured | None  # + discharges
    charging_state: Measured | None  # ChargingState's value
    backup_reserve_pct: Measured | None
    max_charge_w: Measured | None  # >= 0: static limits
    max_discharge_w: Measured | None  # >= 0
    available_charge_w: Measured | None  # >= 0: now
    available_discharge_w: Measured | None  # >= 0: now
    capacity_wh: Measured | None
    operating_mode: Measured | None  # the map's name of it
    control_state: Measured | None  # the watchdog's phase
    control_authority: Measured | None  # local | remote, or the map's name of who has it
    enrichment: Mapping[str, Measured]
    faults: tuple[Alarm, ...]
    alarms: tuple[Alarm, ...]
    observed_ms: int  # Unix ms, UTC, of the newest measured field; now where nothing is measured
    time_quality: TimeQuality  # the worst of the measured fields

    @property
    def quality(self) -> Quality:
        """The worst of the core fields."""
        return max(quality_of(getattr(self, name)) for name in CORE)

    def wire_fields(self) -> dict[str, Measured | None]:
        """Every field and enrichment by its JSON name, faults and alarms left out."""
        found = {json: getattr(self, name) for name, json in WIRE.items()}
        return {**found, **self.enrichment}


def quality_of(measured: Measured | None) -> Quality:
    """Quality of a field; MISSING where nothing was reported."""
    return Quality.MISSING if measured is None else measured.quality


def body(state: BatteryState) -> dict[str, object]:
    """``state`` as the JSON of ``bess.state/1``, without the common header.

    Missing and bad values are null, never 0; ``fields`` says of each where it comes from and how
    far to trust it.
    """
    found: dict[str, object] = {
        json: wire_value(getattr(state, name)) for name, json in WIRE.items()
    }
    found["fields"] = {name: _field(value) for name, value in state.wire_fields().items()}
    found["enrichment"] = {
        **{name: wire_value(value) for name, value in state.enrichment.items()},
        "timeQuality": state.time_quality.value,
        "faults": [_alarm(fault) for fault in state.faults],
        "alarms": [_alarm(alarm) for alarm in state.alarms],
    }
    return found


def wire_value(measured: Measured | None) -> float | bool | str | None:
    """Value to publish: null unless it is usable and, for numbers, finite."""
    if measured is None or measured.quality > USABLE:
        return None
    value = measured.value
    if isinstance(value, bool | str):
        return value
    if not math.isfinite(value):
        return None
    rounded = round(float(value), _DECIMALS)
    return int(rounded) if rounded.is_integer() else rounded


def _field(measured: Measured | None) -> dict[str, object]:
    if measured is None:
        return {"quality": Quality.MISSING.label, "observedAt": None, "source": None}
    field: dict[str, object] = {
        "quality": measured.quality.label,
        "observedAt": rfc3339(measured.at_ms),
        "source": measured.source,
    }
    return {**field, "flagless": True} if measured.flagless else field


def _alarm(alarm: Alarm) -> dict[str, object]:
    return {"code": alarm.code, "since": rfc3339(alarm.since_ms), "priority": alarm.priority}
