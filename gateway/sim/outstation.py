"""The simulated site as a DNP3 outstation: battery, RTAC, event buffers, session, listener.

One asyncio loop on the thread that calls ``serve``. ``scan`` runs every ``scan_s``: physics,
logic, then events for what changed; controls are answered between two scans.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gateway.clock import Now, now
from gateway.sim.battery import Ratings, charged_to
from gateway.sim.controls import Controls
from gateway.sim.faults import FAULTS, BadOptionError, Faults, parse_fault
from gateway.sim.identity import attributes
from gateway.sim.image import Image
from gateway.sim.ledger import SPARES, Ledger
from gateway.sim.listener import TcpListener
from gateway.sim.rtac import Habits, Rtac
from gateway.sim.session import SimSession
from gateway.sim.wiring import Wiring, changed, wire_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.points.pointmap import PointsMap
    from gateway.sim.record import Recorder
    from gateway.sim.wire import Form, RawValue


@dataclass(frozen=True, slots=True, kw_only=True)
class SimSettings:
    """What the command line chooses."""

    points_map: PointsMap
    ratings: Ratings = field(default_factory=Ratings)
    soc_pct: float = 60.0
    deadman_s: float = 15.0
    address: int = 10
    master_address: int = 1
    analog: Form | None = None  # of every analog input; None: as ``wiring`` chooses
    firmware: str = ""  # "": the first that the map accepts
    events_per_s: float = 0.0  # extra analog events on spare points
    buffer: int = 10_000  # events that each class holds
    unsolicited: bool = True
    scan_s: float = 0.1
    measure_s: float = 1.0  # between two readings of the instruments
    site_cycle_s: float = 0.0
    confirm_timeout_s: float = 5.0
    seed: int = 1


class Outstation:
    """The whole simulated site. Every method belongs to the loop's thread."""

    def __init__(
        self,
        settings: SimSettings,
        recorder: Recorder,
        *,
        maps: Mapping[str, PointsMap],
        at: Now,
    ) -> None:
        self.settings = settings
        self._recorder = recorder
        self._maps = maps
        self._random = random.Random(settings.seed)  # noqa: S311  # noise, not secrets
        self._clock_offset_ms = 0
        self.wiring = self._wired(settings.points_map)
        self.battery = charged_to(settings.ratings, settings.soc_pct)
        self.rtac = Rtac(habits=self._habits(), started_at=at.mono_s)
        self._seen = self.battery.observe(self._gauss)
        self._scanned_at, self._measured_at = at.mono_s, at.mono_s
        self._image = Image()
        self._reported: dict[str, RawValue] = {}
        self._in_force: tuple[float, float] = (0.0, 0.0)  # setpoint and target on record, W
        self.ledger = Ledger(recorder, capacity=settings.buffer, clock_ms=self._clock_ms)
        self._session = SimSession(
            self._image,
            Controls(self, recorder),
            self.ledger.buffers,
            outstation_address=settings.address,
            master_address=settings.master_address,
            time_sink=self._set_clock,
            unsolicited=settings.unsolicited,
            confirm_timeout=settings.confirm_timeout_s,
            unsolicited_confirm_timeout=settings.confirm_timeout_s,
        )
        self.listener = TcpListener(
            self._session, on_connection=self._on_connection, draw=self._random.uniform
        )
        self._refresh(at, report=False)

    # --- time ------------------------------------------------------------------------------

    def scan(self, at: Now) -> None:
        """Let the time since the last scan pass."""
        dt_s = at.mono_s - self._scanned_at
        if dt_s <= 0:
            return
        self._scanned_at = at.mono_s
        rtac = self.rtac
        self.battery = self.battery.step(
            dt_s, setpoint_w=rtac.target_w(at.mono_s), tripped=not rtac.breaker_closed
        )
        self._become(rtac.tick(at.mono_s))
        if at.mono_s - self._measured_at >= self.settings.measure_s:
            self._measured_at = at.mono_s
            self._seen = self.battery.observe(self._gauss)
        self._refresh(at, report=True)
        self.ledger.release(at.mono_s)
        for spec, raw in self.ledger.load(self.settings.events_per_s * dt_s):
            self._image.raw[spec.point] = self._reported[spec.point] = raw
        self._recorder.flush()

    def _become(self, rtac: Rtac) -> None:
        if rtac.trips != self.rtac.trips:
            self._recorder.add("rtac", cause=rtac.last_trip, setpoint_w=rtac.remote_w)
        self.rtac = rtac

    def _refresh(self, at: Now, *, report: bool) -> None:
        """Paint every point, and record an event for each that changed enough."""
        raw_values = self.wiring.raw_values(self.rtac, self.battery, self._seen, at.mono_s)
        self._image.raw.update(raw_values)
        for point, raw in raw_values.items():
            spec = self.wiring.by_point[point].spec
            before = self._reported.get(point)
            if spec.event_class and (before is None or changed(spec, before, raw)):
                self._reported[point] = raw
                if report:
                    self.ledger.record(spec, raw)
        self._image.specs = tuple(one.spec for one in self.wiring.wires)
        self._image.attributes = attributes(
            self.wiring.points_map,
            firmware=self.settings.firmware,
            serial=f"SIM-{self.settings.seed:04d}",
            lying=self.rtac.faults.active.get("wrong_firmware") == "",
        )
        self._session.force(
            local=self.rtac.local,
            trouble="device_trouble" in self.rtac.faults,
            corrupt="config_corrupt" in self.rtac.faults,
            need_time="need_time" in self.rtac.faults,
        )
        self._record_setpoint(at)
        self.listener.wake()

    def _record_setpoint(self, at: Now) -> None:
        """Put a setpoint that came into force, changed or ended on the record.

        Not the site's own programme, which changes with every scan.
        """
        rtac = self.rtac
        if rtac.habits.site_cycle_s and not rtac.ever_remote:
            return
        in_force = rtac.setpoint_w(at.mono_s), rtac.target_w(at.mono_s)
        if in_force != self._in_force:
            self._in_force = in_force
            setpoint_w, target_w = in_force
            power_w = self.battery.power_w
            self._recorder.add(
                "setpoint", setpoint_w=setpoint_w, target_w=target_w, power_w=power_w
            )

    def _clock_ms(self) -> int:
        jump_s = float(self.rtac.faults.active.get("clock_jump", 0.0))
        return now().unix_ms + self._clock_offset_ms + round(jump_s * 1000)

    def _set_clock(self, unix_ms: int) -> None:
        """The master wrote the time: the clock is right from here on."""
        self._recorder.add("time_written", written_ms=unix_ms)
        self._clock_offset_ms = unix_ms - now().unix_ms
        self._faulted(self.rtac.faults.without("clock_unsynced").without("clock_jump"))

    def _gauss(self) -> float:
        return self._random.gauss(0.0, 1.0)

    def ordered(self, rtac: Rtac, at: Now) -> None:
        """A control was carried out: show it at once."""
        self._become(rtac)
        self._refresh(at, report=True)

    # --- faults ----------------------------------------------------------------------------

    def fault(self, text: str) -> None:
        """Make something go wrong: ``NAME`` or ``NAME=ARGUMENT``.

        Raises:
            BadOptionError: no such fault, argument or map.
        """
        name, argument = parse_fault(text)
        if name == "wrong_firmware" and argument and argument not in self._maps:
            allowed = f"one of {', '.join(sorted(self._maps))}"
            raise BadOptionError(what="fault wrong_firmware: map", found=argument, allowed=allowed)
        self._recorder.add("fault", name=name, argument=argument)
        if FAULTS[name].momentary:
            self._happen(name, argument)
            return
        self._faulted(self.rtac.faults.having(name, argument))
        if name == "wrong_firmware":
            self._relay(self._maps[argument] if argument else self.settings.points_map)
        if name == "clock_unsynced":
            self._session.need_time = True
            self.ledger.buffers.synchronized = False
        if name == "refuse_connection":
            self.listener.drop()

    def clear(self, name: str) -> None:
        """End a lasting fault; "*" ends all.

        Raises:
            BadOptionError: no such fault.
        """
        if name != "*" and name not in FAULTS:
            raise BadOptionError(
                what="fault", found=name, allowed=f"one of {', '.join(sorted(FAULTS))}"
            )
        before = self.rtac.faults
        self._recorder.add("clear", name=name)
        self._faulted(before.without(name))
        if "wrong_firmware" in before and name in ("*", "wrong_firmware"):
            self._relay(self.settings.points_map)
        if "clock_unsynced" in before and name in ("*", "clock_unsynced"):
            self._session.need_time = False
            self.ledger.buffers.synchronized = True

    def _faulted(self, faults: Faults) -> None:
        at = now()
        self._become(self.rtac.with_faults(faults, at.mono_s))
        self.listener.faults = faults
        self._session.mute = "mute" in faults
        self._session.mute_controls = "mute_controls" in faults
        self._session.mute_selects = "mute_selects" in faults
        self._session.mute_link = "mute_link" in faults
        self._session.fragments_least, pause_s = faults.fragments()
        self._session.wait_longer(faults.seconds("answer_delay")[1] + pause_s)
        self.ledger.late_s = faults.seconds("late_events")[1]
        self._refresh(at, report=True)
        self._recorder.flush()

    def _happen(self, name: str, argument: str) -> None:
        if name == "restart":
            self.restart()
        elif name == "refuse_next":
            self.rtac = replace(self.rtac, refuse_next=int(argument))
        elif name == "lose_selects":
            self._session.selects_to_lose += int(argument)
        elif name == "overflow":
            spec = next(one.spec for one in self.wiring.wires if one.spec.event_class)
            self.ledger.overflow(spec, self._image.raw[spec.point], beyond=round(float(argument)))
            self.listener.wake()
        else:
            happening = {
                "drop": self.listener.drop,
                "half_open": self.listener.forget,
                "garbage": self.listener.babble,
                "half_frame": self.listener.cut_next,
            }
            happening[name]()
        self._recorder.flush()

    def restart(self) -> None:
        """Power-cycle the RTAC: its memory is gone, the battery is as it was."""
        at = now()
        self.ledger.forget()
        self.rtac = self.rtac.restarted(at.mono_s)
        self._session.restart()
        self.listener.drop()
        self._reported.clear()
        self._refresh(at, report=False)

    def _relay(self, points_map: PointsMap) -> None:
        """Serve another layout, as after a firmware update: through a restart."""
        self.wiring = self._wired(points_map)
        self.rtac = replace(self.rtac, habits=self._habits())
        self._image.raw.clear()
        self.restart()

    def _wired(self, points_map: PointsMap) -> Wiring:
        spares = SPARES if self.settings.events_per_s else 0
        return wire_up(points_map, self.settings.ratings, form=self.settings.analog, spares=spares)

    def _habits(self) -> Habits:
        points_map = self.wiring.points_map
        control = points_map.control
        return Habits(
            nameplate_w=self.settings.ratings.nameplate_w,
            deadman_s=self.settings.deadman_s,
            has_heartbeat=points_map.row("cmd_heartbeat") is not None,
            needs_enable=points_map.row("cmd_mode_enable") is not None,
            of_max_power=control is not None and control.power_base == "max_power",
            prepared=tuple((row.point, float(value)) for row, value in points_map.prepared),
            site_cycle_s=self.settings.site_cycle_s,
        )

    # --- account ---------------------------------------------------------------------------

    def _on_connection(self, what: str) -> None:
        self._recorder.add("connection", what=what)
        self._recorder.flush()

    def truth(self) -> dict[str, object]:
        """What is really so, whatever the points say: for tests and people."""
        at, battery, rtac = now(), self.battery, self.rtac
        return {
            "map": self.wiring.points_map.ref,
            "soc_pct": battery.soc_pct,
            "energy_wh": battery.energy_wh,
            "power_w": battery.power_w,
            "inverter_w": battery.inverter_w,
            "charged_wh": battery.charged_wh,
            "discharged_wh": battery.discharged_wh,
            "losses_wh": battery.losses_wh,
            "setpoint_w": rtac.setpoint_w(at.mono_s),
            "target_w": rtac.target_w(at.mono_s),
            "latched": rtac.latched,
            "enabled": rtac.enabled,
            "local": rtac.local,
            "stopped": rtac.stopped,
            "estopped": rtac.estopped,
            "locked_out": rtac.locked_out,
            "breaker_closed": rtac.breaker_closed,
            "heartbeat_in": rtac.heartbeat_in,
            "beats": rtac.beats,
            "trips": rtac.trips,
            "last_trip": rtac.last_trip,
            "alarms": sorted(rtac.alarms),
            "faults": dict(rtac.faults.active),
            "connected": self.listener.connected,
            "restart_indicated": self._session.restart_indication,
            "events_recorded": self.ledger.recorded,
            "events_confirmed": self.ledger.confirmed,
            "events_lost": self.ledger.lost,
            "events_waiting": self.ledger.buffers.total,
            "events_held": self.ledger.held,
            "load_sent": self.ledger.load_sent,
        }


async def serve(outstation: Outstation, stop: asyncio.Event) -> None:
    """Scan until ``stop``; the listener must have been started."""
    while not stop.is_set():
        outstation.scan(now())
        try:
            await asyncio.wait_for(stop.wait(), timeout=outstation.settings.scan_s)
        except TimeoutError:
            continue
