"""The RTAC's logic between master and battery, in engineering values and by role.

What a reader would get wrong: the dead-man does not restart when a setpoint is written, only
when the heartbeat's value changes; after a trip the setpoint stays 0, however alive the
heartbeat is again, until a new setpoint is written. On the way back from local to remote the
last remote setpoint is in force again, as real RTACs do it, and with ``resume_setpoint`` after a
restart too: the master must expect that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from gateway.sim.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.sim.battery import Observation, Plant

_BEATS = 30_000  # the DER heartbeat wraps here: it fits every variation
_SLACK = 1.0001  # a full-scale setpoint must survive rounding to its variation

Value = float | bool | str


class Status(IntEnum):
    """What a control is answered with. Source: IEEE 1815-2012, control status codes."""

    SUCCESS = 0
    NOT_SUPPORTED = 4
    HARDWARE_ERROR = 6
    LOCAL = 7
    AUTOMATION_INHIBIT = 10
    OUT_OF_RANGE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How this RTAC is programmed."""

    nameplate_w: float
    deadman_s: float = 15.0  # W; 0: no dead-man logic
    has_heartbeat: bool = True  # the map has a heartbeat that we write
    needs_enable: bool = True  # the map has a mode enable: setpoints act only when it is on
    of_max_power: bool = False  # setpoints are kept in percent of the largest power
    prepared: tuple[tuple[str, float], ...] = ()  # outputs that must hold this before any power
    site_cycle_s: float = 0.0  # a local programme until the first remote setpoint; 0: none


@dataclass(frozen=True, slots=True, kw_only=True)
class Rtac:
    """The registers and timers; ``order`` and ``tick`` are all that changes them."""

    habits: Habits
    started_at: float  # monotonic s
    remote_w: float = 0.0  # the last remote setpoint, + discharging
    latched: bool = False  # the remote setpoint counts
    ever_remote: bool = False
    in_force_since: float | None = None  # monotonic s; None while no remote power is in force
    enabled: bool = False
    heartbeat_in: float = 0.0
    heartbeat_at: float = -math.inf  # monotonic s of the last change
    beats: int = 0
    reserve_pct: float = 10.0
    reversion_s: float = 0.0
    reverts_at: float | None = None
    stopped: bool = False
    disconnected: bool = False
    locked_out: bool = False
    tripped_remotely: bool = False
    alarms: frozenset[str] = frozenset()
    trips: int = 0  # how often the dead-man or the reversion timer ended a setpoint
    last_trip: str = ""
    stuck_echo_w: float | None = None
    stuck_target_w: float | None = None  # what the inverter goes on with, whatever is ordered
    refuse_next: int | None = None  # status for the next control but a heartbeat
    registers: Mapping[str, float] = field(default_factory=dict)  # other outputs, by point
    faults: Faults = field(default_factory=Faults)

    # --- what is true now ------------------------------------------------------------------

    @property
    def local(self) -> bool:
        """The switch at the RTAC takes the authority from every master."""
        return "local" in self.faults

    @property
    def estopped(self) -> bool:
        """Pressed on site, or ordered from remote."""
        return "estop" in self.faults or self.tripped_remotely

    @property
    def breaker_closed(self) -> bool:
        """Whether the battery is connected."""
        return not (self.disconnected or self.estopped or "breaker_open" in self.faults)

    @property
    def running(self) -> bool:
        """Whether the inverter may follow a setpoint."""
        halted = self.stopped or self.locked_out or "trip" in self.faults
        return self.breaker_closed and not halted

    def setpoint_w(self, now: float) -> float:
        """The setpoint in force, W, + discharging."""
        if self.local:
            return 0.0
        if "preempt" in self.faults:
            return float(self.faults.argument("preempt"))
        if self.latched:
            return self.remote_w
        return 0.0 if self.ever_remote else self._site_programme_w(now)

    def target_w(self, now: float) -> float:
        """What the inverter does: nothing unless enabled and running, or it does not obey."""
        if "runaway" in self.faults:
            return float(self.faults.argument("runaway"))
        if self.stuck_target_w is not None:
            return self.stuck_target_w
        remote = self.latched and not self.local
        if not self.running or "ignore_setpoint" in self.faults:
            return 0.0
        if remote and self.habits.needs_enable and not self.enabled:
            return 0.0
        return self.setpoint_w(now)

    def _site_programme_w(self, now: float) -> float:
        """Charge and discharge in turns at half of nameplate, as a site's own plan might."""
        period = self.habits.site_cycle_s
        if not period:
            return 0.0
        return 0.5 * self.habits.nameplate_w * math.sin(math.tau * (now - self.started_at) / period)

    # --- time ------------------------------------------------------------------------------

    def tick(self, now: float) -> Rtac:
        """One scan of the logic at ``now`` (monotonic s)."""
        beats = self.beats
        if "dead_heartbeat" not in self.faults:
            beats = int(now - self.started_at) % _BEATS
        named = {self.faults.argument("alarm")} if "alarm" in self.faults else set()
        in_force = self.latched and self.remote_w != 0.0 and not self.local
        since = (now if self.in_force_since is None else self.in_force_since) if in_force else None
        after = replace(self, beats=beats, alarms=self.alarms | named, in_force_since=since)
        if _heartbeat_is_dead(after, now):
            return _ended(after, "deadman")
        if after.reverts_at is not None and now >= after.reverts_at:
            return replace(_ended(after, "reversion"), enabled=False, reverts_at=None)
        return after

    def restarted(self, now: float) -> Rtac:
        """After a power cycle: nothing remembered but what the fuses hold.

        With ``resume_setpoint`` the setpoint was kept, and whether it was enabled.
        """
        fresh = Rtac(
            habits=self.habits,
            started_at=now,
            ever_remote=self.ever_remote,
            locked_out=self.locked_out,
            stuck_target_w=self.stuck_target_w,
            faults=self.faults,
        )
        if "resume_setpoint" not in self.faults:
            return fresh
        kept = replace(fresh, remote_w=self.remote_w, latched=self.latched, enabled=self.enabled)
        return kept.tick(now)

    def with_faults(self, faults: Faults, now: float) -> Rtac:
        """With other faults in force; echo and power stick where they are now."""
        stuck = None
        if "stuck_echo" in faults:
            held = self.stuck_echo_w
            stuck = self.setpoint_w(now) if held is None else held
        target_w = None
        if "hold_power" in faults:
            target_w = self.target_w(now) if self.stuck_target_w is None else self.stuck_target_w
        after = replace(self, faults=faults, stuck_echo_w=stuck, stuck_target_w=target_w)
        if self.habits.of_max_power:
            rated_w = self.habits.nameplate_w
            moved = after.max_power_w(rated_w) / self.max_power_w(rated_w)
            after = replace(after, remote_w=self.remote_w * moved)
        return after.tick(now)

    def max_power_w(self, rated_w: float) -> float:
        """The largest power of now, W."""
        return float(self.faults.active.get("max_power", rated_w))

    # --- controls --------------------------------------------------------------------------

    def refusal(self, role: str, value: float, *, limit: float) -> Status | int:
        """What ``order`` would answer, without doing it (the answer to SELECT).

        Args:
            role: role of the output ("" for one without).
            value: engineering value in canonical units; 0 and 1 for binaries.
            limit: largest magnitude allowed; infinite where there is none.
        """
        refused = self.faults.status("refuse_controls")
        if self.refuse_next is not None and role != "cmd_heartbeat":
            refused = self.refuse_next
        if refused is not None:
            return refused
        if math.isnan(value) or abs(value) > limit * _SLACK:
            return Status.OUT_OF_RANGE
        if self.local and role not in _ALWAYS:
            return Status.LOCAL
        return self._power_refusal(value) if role in _POWER else Status.SUCCESS

    def _power_refusal(self, power_w: float) -> Status | int:
        zero = self.faults.status("refuse_zero")
        if power_w == 0.0:
            return Status.SUCCESS if zero is None else zero
        if self.estopped:
            return Status.HARDWARE_ERROR
        if any(self.registers.get(point, 0.0) != wanted for point, wanted in self.habits.prepared):
            return Status.AUTOMATION_INHIBIT
        return Status.AUTOMATION_INHIBIT if self.locked_out else Status.SUCCESS

    def answered(self, role: str) -> Rtac:
        """After a control of ``role`` was answered."""
        spent = self.refuse_next is not None and role != "cmd_heartbeat"
        return replace(self, refuse_next=None) if spent else self

    def order(
        self, role: str, value: float, now: float, *, point: str, limit: float = math.inf
    ) -> tuple[Rtac, int]:
        """Carry out one control; ``value`` as in ``refusal``. Returns the status with it."""
        status = self.refusal(role, value, limit=limit)
        if status != Status.SUCCESS:
            return self, int(status)
        return _obeyed(self, role, value, now, point=point).tick(now), int(status)

    # --- what is shown ---------------------------------------------------------------------

    def echo(self, role: str, point: str, now: float) -> float | bool:
        """What the feedback of an output shows, in the units of ``order``."""
        setpoint = self.setpoint_w(now) if self.stuck_echo_w is None else self.stuck_echo_w
        shown: dict[str, float | bool] = {
            "cmd_power": setpoint,
            "cmd_charge": max(0.0, -setpoint),
            "cmd_discharge": max(0.0, setpoint),
            "cmd_heartbeat": 0.0 if "deaf_heartbeat" in self.faults else self.heartbeat_in,
            "cmd_mode_enable": self.enabled,
            "cmd_reversion_s": self.reversion_s,
            "cmd_reserve": self.reserve_pct,
            "cmd_stop": self.stopped,
            "cmd_disconnect": self.disconnected,
            "cmd_estop": self.estopped,
            "cmd_lockout": self.locked_out,
        }
        return shown.get(role, self.registers.get(point, 0.0))

    def values(self, battery: Plant, seen: Observation, now: float) -> dict[str, Value]:
        """Every role's engineering value in canonical units (W, Wh, %, V, A, Hz, degC)."""
        sign = -1.0 if "lie_power_sign" in self.faults else 1.0
        ratings = battery.ratings
        state = _state(battery)
        apparent = math.hypot(seen.power_w, seen.reactive_var)
        return {
            "soc": battery.soc_pct,
            "soc_actual": battery.soc_pct,
            "soh": 100.0,
            "energy_stored": battery.energy_wh,
            "energy_capacity": ratings.capacity_wh,
            "energy_charge_total": battery.charged_wh,
            "energy_discharge_total": battery.discharged_wh,
            "power": sign * seen.power_w,
            "poi_power": sign * seen.power_w,
            "reactive_power": seen.reactive_var,
            "poi_reactive": seen.reactive_var,
            "dc_voltage": seen.dc_voltage_v,
            "dc_current": seen.dc_current_a,
            "ac_voltage": seen.ac_voltage_v,
            "frequency": seen.frequency_hz,
            "power_factor": abs(seen.power_w) / apparent if apparent else 1.0,
            "backup_reserve": self.reserve_pct,
            "max_charge": self.max_power_w(ratings.max_charge_w),
            "max_discharge": self.max_power_w(ratings.max_discharge_w),
            "avail_charge": battery.available_charge_w,
            "avail_discharge": battery.available_discharge_w,
            "bess_state": state,
            "inverter_state": "running" if self.running else "stopped",
            "op_mode": "remote" if self.latched and not self.local else "local",
            "control_authority": "local" if self.local else "remote",
            "temp_max": seen.temp_max_degc,
            "temp_min": seen.temp_min_degc,
            "xfmr_temp": seen.temp_max_degc + 20.0,
            "is_idle": state == "idle",
            "is_charging": state == "charging",
            "is_discharging": state == "discharging",
            "started": self.running,
            "stopped": not self.running,
            "local": self.local,
            "lockout": self.locked_out,
            "estop_status": self.estopped,
            "breaker": self.breaker_closed,
            "comm_error": False,
            "alarm": bool(self.alarms),
            "fault": "trip" in self.faults,
            "mode_enabled": self.enabled,
            "der_heartbeat": float(self.beats),
            "heartbeat_fb": float(self.echo("cmd_heartbeat", "", now)),
        }

    def conditions(self) -> frozenset[str]:
        """What bit fields show: "alarm:NAME" and "fault:NAME"."""
        found = {f"alarm:{name}" for name in self.alarms}
        if "trip" in self.faults:
            found.add(f"fault:{self.faults.argument('trip')}")
        return frozenset(found)


def _heartbeat_is_dead(rtac: Rtac, now: float) -> bool:
    habits = rtac.habits
    if rtac.in_force_since is None or not habits.has_heartbeat or habits.deadman_s <= 0:
        return False
    silent_s = now - max(rtac.heartbeat_at, rtac.in_force_since)
    return silent_s >= habits.deadman_s and "no_deadman" not in rtac.faults


def _ended(rtac: Rtac, cause: str) -> Rtac:
    return replace(
        rtac,
        remote_w=0.0,
        latched=False,
        in_force_since=None,
        alarms=rtac.alarms | {cause},
        trips=rtac.trips + 1,
        last_trip=cause,
    )


def _obeyed(rtac: Rtac, role: str, value: float, now: float, *, point: str) -> Rtac:
    on = value != 0.0
    beat_at = now if value != rtac.heartbeat_in else rtac.heartbeat_at
    changes: dict[str, dict[str, Any]] = {
        "cmd_power": _latch(value),
        "cmd_charge": _latch(-abs(value) if on else max(0.0, rtac.remote_w)),
        "cmd_discharge": _latch(abs(value) if on else min(0.0, rtac.remote_w)),
        "cmd_heartbeat": {"heartbeat_in": value, "heartbeat_at": beat_at},
        "cmd_mode_enable": {"enabled": on, "stopped": rtac.stopped and not on},
        "cmd_reversion_s": {"reversion_s": value, "reverts_at": now + value if on else None},
        "cmd_reserve": {"reserve_pct": value},
        "cmd_stop": {"stopped": on},
        "cmd_disconnect": {"disconnected": on},
        "cmd_estop": {"tripped_remotely": rtac.tripped_remotely or on},
        "cmd_lockout": {"locked_out": on},
        "cmd_alarm_reset": {"alarms": frozenset() if on else rtac.alarms},
    }
    registers = {**rtac.registers, point: value}
    return replace(rtac, **changes.get(role, {}), registers=registers)


def _latch(power_w: float) -> dict[str, Any]:
    return {"remote_w": power_w, "latched": True, "ever_remote": True}


_POWER = frozenset({"cmd_power", "cmd_charge", "cmd_discharge"})
_ALWAYS = frozenset({"cmd_heartbeat", "cmd_estop"})  # taken at local too: they only make safe


def _state(battery: Plant) -> str:
    """Idle within 1 % of nameplate."""
    if abs(battery.inverter_w) <= 0.01 * battery.ratings.nameplate_w:
        return "idle"
    return "discharging" if battery.inverter_w > 0.0 else "charging"
