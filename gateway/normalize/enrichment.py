"""What else the site measures, by its name on the wire."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.normalize.signals import TOTALS, Totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.clock import Now
    from gateway.measured import Measured
    from gateway.normalize.readings import Readings

ENRICHMENT = {
    "reactive_power": "reactivePower",
    "dc_voltage": "dcVoltage",
    "dc_current": "dcCurrent",
    "ac_voltage": "acVoltage",
    "frequency": "frequency",
    "power_factor": "powerFactor",
    "soh": "stateOfHealth",
    "soc_actual": "stateOfChargeActual",
    "temp_max": "temperatureMax",
    "temp_min": "temperatureMin",
    "inverter_state": "inverterState",
    "breaker": "breakerClosed",
    "poi_power": "poiPower",
    "poi_reactive": "poiReactivePower",
    "xfmr_temp": "transformerTemperature",
}


def enrichment(
    readings: Readings, totals: Totals, loading: Measured | None, now: Now
) -> Mapping[str, Measured]:
    """Every enrichment field that was reported; ``loading`` is the transformer's (%)."""
    found: dict[str, Measured | None] = {
        name: readings.role(role, now) for role, name in ENRICHMENT.items()
    }
    for role, name in TOTALS.items():
        for row, latest in readings.roles(role, now):
            found[name] = totals.total(row, latest)
    found["transformerLoading"] = loading
    return MappingProxyType({name: one for name, one in found.items() if one is not None})
