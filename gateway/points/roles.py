"""What a point may be: roles and units of ``bess.map/1``, and which of them fit together.

The tables are the contract of the map format: a role or unit that is not here is fault M01.
Charge and discharge limits are magnitudes, so only the roles in ``SIGNED_ROLES`` carry a sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from gateway.points.raw import PointType

AI, BI, DBI, CTR, AO, BO, OS, FC = PointType
BINARY = frozenset({BI, DBI, BO})
OUTPUT = frozenset({AO, BO})


class Unit(NamedTuple):
    """What it is in the canonical unit of its dimension."""

    canonical: str
    factor: Fraction = Fraction(1)
    bias: Fraction = Fraction(0)  # canonical value of 0


UNITS: dict[str, Unit] = {
    "W": Unit("W"),
    "kW": Unit("W", Fraction(1000)),
    "MW": Unit("W", Fraction(1_000_000)),
    "var": Unit("var"),
    "kvar": Unit("var", Fraction(1000)),
    "Mvar": Unit("var", Fraction(1_000_000)),
    "VA": Unit("VA"),
    "Wh": Unit("Wh"),
    "kWh": Unit("Wh", Fraction(1000)),
    "MWh": Unit("Wh", Fraction(1_000_000)),
    "%": Unit("%"),
    "permil": Unit("%", Fraction(1, 10)),
    "pu": Unit("%", Fraction(100)),
    "%/s": Unit("%/s"),
    "%/min": Unit("%/s", Fraction(1, 60)),
    "V": Unit("V"),
    "kV": Unit("V", Fraction(1000)),
    "A": Unit("A"),
    "kA": Unit("A", Fraction(1000)),
    "Hz": Unit("Hz"),
    "s": Unit("s"),
    "ms": Unit("s", Fraction(1, 1000)),
    "degC": Unit("degC"),
    "degF": Unit("degC", Fraction(5, 9), Fraction(-160, 9)),
    "bool": Unit("bool"),
    "enum": Unit("enum"),
    "count": Unit("count"),
}


@dataclass(frozen=True, slots=True)
class Role:
    """Which points can have a role."""

    types: frozenset[PointType]
    units: tuple[str, ...]
    single: bool = True  # at most one point of a map has it
    signed: bool = False  # power-like: its row must say what positive means

    @property
    def command(self) -> bool:
        """Whether it is written by the gateway."""
        return self.types <= OUTPUT


_POWER = ("W", "kW", "MW")
_VAR = ("var", "kvar", "Mvar")
_ENERGY = ("Wh", "kWh", "MWh")
_PERCENT = ("%", "permil", "pu")
_TEMPERATURE = ("degC", "degF")
_RATE = ("%/s", "%/min")
_VOLT = ("V", "kV")
_ANALOG = frozenset({AI})
_TOTAL = frozenset({CTR, AI})
_STATUS = frozenset({BI, DBI})
_STATE = Role(frozenset({AI, OS}), ("enum",))
_FLAG = Role(_STATUS, ("bool",))
_ALARM = Role(frozenset({BI, DBI, AI, CTR}), ("bool", "count"), single=False)
_LIMIT = Role(_ANALOG, _POWER)
_BEAT = Role(frozenset({AI, CTR, BI}), ("count", "bool"))
_VERSION = Role(frozenset({AI, CTR, AO, OS}), ("count",))
_SETPOINT = Role(frozenset({AO}), (*_POWER, *_PERCENT), signed=True)
_MAGNITUDE = Role(frozenset({AO}), (*_POWER, *_PERCENT))
_CROB = Role(frozenset({BO}), ("bool",))

ROLES: dict[str, Role] = {
    # state
    "soc": Role(_ANALOG, _PERCENT),
    "soc_actual": Role(_ANALOG, _PERCENT),
    "soh": Role(_ANALOG, _PERCENT),
    "energy_stored": Role(_ANALOG, _ENERGY),
    "energy_capacity": Role(_ANALOG, _ENERGY),
    "energy_charge_total": Role(_TOTAL, _ENERGY),
    "energy_discharge_total": Role(_TOTAL, _ENERGY),
    "power": Role(_ANALOG, _POWER, signed=True),
    "inverter_power": Role(_ANALOG, _POWER, single=False, signed=True),
    "reactive_power": Role(_ANALOG, _VAR, signed=True),
    "dc_voltage": Role(_ANALOG, _VOLT),
    "dc_current": Role(_ANALOG, ("A", "kA")),
    "ac_voltage": Role(_ANALOG, _VOLT),
    "frequency": Role(_ANALOG, ("Hz",)),
    "power_factor": Role(_ANALOG, ("count",)),
    "backup_reserve": Role(_ANALOG, _PERCENT),
    "max_charge": _LIMIT,
    "max_discharge": _LIMIT,
    "avail_charge": _LIMIT,
    "avail_discharge": _LIMIT,
    "bess_state": _STATE,
    "inverter_state": _STATE,
    "op_mode": _STATE,
    "temp_max": Role(_ANALOG, _TEMPERATURE),
    "temp_min": Role(_ANALOG, _TEMPERATURE),
    # binary
    "is_idle": _FLAG,
    "is_charging": _FLAG,
    "is_discharging": _FLAG,
    "started": _FLAG,
    "stopped": _FLAG,
    "local": _FLAG,
    "lockout": _FLAG,
    "estop_status": _FLAG,
    "breaker": _FLAG,
    "comm_error": _FLAG,
    "alarm": _ALARM,
    "fault": _ALARM,
    "mode_enabled": _FLAG,
    # liveness and identity
    "der_heartbeat": _BEAT,
    "cmd_heartbeat": Role(OUTPUT, ("count", "bool")),
    "heartbeat_fb": _BEAT,
    "config_revision": _VERSION,
    "profile_version": _VERSION,
    "control_authority": Role(frozenset({AI, BI, DBI}), ("enum", "bool")),
    # commands
    "cmd_power": _SETPOINT,
    "cmd_charge": _MAGNITUDE,
    "cmd_discharge": _MAGNITUDE,
    "cmd_mode_enable": _CROB,
    "cmd_reversion_s": Role(frozenset({AO}), ("s", "ms")),
    "cmd_ramp": Role(frozenset({AO}), (*_POWER, *_PERCENT, *_RATE), single=False),
    "cmd_reserve": Role(frozenset({AO}), _PERCENT),
    "cmd_stop": _CROB,
    "cmd_disconnect": _CROB,
    "cmd_estop": _CROB,
    "cmd_lockout": _CROB,
    "cmd_alarm_reset": _CROB,
    # grid
    "poi_power": Role(_ANALOG, _POWER, signed=True),
    "poi_reactive": Role(_ANALOG, _VAR, signed=True),
    "xfmr_temp": Role(_ANALOG, _TEMPERATURE),
}

SIGNED_ROLES = frozenset(name for name, role in ROLES.items() if role.signed)
COMMAND_ROLES = frozenset(name for name, role in ROLES.items() if role.command)
POWER_COMMANDS = frozenset({"cmd_power", "cmd_charge", "cmd_discharge"})
PULSED_COMMANDS = frozenset({"cmd_stop", "cmd_disconnect", "cmd_estop", "cmd_alarm_reset"})

# Read every 5 s and stale at 15 s; the feedback points of commands join them.
CRITICAL_ROLES = frozenset(
    {
        "power",
        "soc",
        "local",
        "control_authority",
        "bess_state",
        "der_heartbeat",
        "heartbeat_fb",
    }
)
LIMIT_ROLES = frozenset({"max_charge", "max_discharge", "avail_charge", "avail_discharge"})
# Take power away, or bound it: read as often where a map can be commanded.
WITHDRAWING_ROLES = LIMIT_ROLES | {
    "lockout",
    "estop_status",
    "breaker",
    "fault",
    "reactive_power",
    "poi_power",
    "poi_reactive",
}
