"""Outstations for the bench, in a process of their own: how many are asked for, on one manager.

An event's value is the microsecond of CLOCK_MONOTONIC at which it was applied (``stream``), or
its number (``burst``): whoever receives it knows its age, or whether any is missing. Analog
events travel as g32v1, 32-bit integers, so the microseconds wrap after 35 minutes.
"""

# ruff: noqa: N802, ANN401 - opendnp3 chose these names, and its objects have no types here

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from typing import Any

import opendnp3 as dnp

from tests.bench.synthetic import FIRST
from tests.fixtures.outstation_process import OutstationProcess, serve
from tests.fixtures.yadnp3_outstation import Commands

MODULE = "tests.bench.outstation"
WRAP_US = 1 << 31
CHUNK = 2000  # events in one update
ROOM = 20_000  # events that may wait in the outstation's buffer of 60000
STEADY = {
    0: 6340,
    1: -750,
    2: 10,
    3: 5000,
    4: 8000,
    5: 2000,
    6: 2000,
    7: 2,
    10: 0,
    12: 6001,
    13: 8000,
    14: 2000,
    15: 2000,
}  # generic-rtac's points, a battery that discharges
HEARTBEAT = 9
# By name, as the fixture does: the stubs have only what the gateway itself uses.
SUPPRESS, DETECT, FORCE = (getattr(dnp.EventMode, name) for name in ("Suppress", "Detect", "Force"))
QUIET_S = 0.3  # without another confirm: it was the last one
BURST_S = 120.0


def outstations(**settings: Any) -> OutstationProcess:
    """Start them. Settings: count, points, unsolicited; ports, where they are to be the same again;
    event_only, where the points shall be 0 again after each event, so that polls of static
    values show none of the streamed ones.
    """
    return OutstationProcess(MODULE, **settings)


class Application(dnp.IOutstationApplication):
    """Knows how many events the master has not confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = threading.Condition()
        self.left = 0  # at the last confirm
        self.since = 0  # applied after it
        self.confirms = 0
        self.at_s = 0.0

    def OnConfirmProcessed(self, _unsolicited: bool, left: int, _two: int, _three: int) -> None:
        """opendnp3: the master confirmed a fragment; so many events of class 1 are left."""
        with self.changed:
            self.left, self.since, self.at_s = left, 0, time.perf_counter()
            self.confirms += 1
            self.changed.notify_all()

    def Now(self) -> dnp.DNPTime:
        """opendnp3: the outstation's clock."""
        return dnp.DNPTime(int(time.time() * 1000))


class Listener(dnp.IChannelListener):
    """Nobody asks whether a master is connected."""

    def OnStateChange(self, state: Any) -> None:
        """opendnp3: the channel's state changed."""


class Station:
    """One outstation on a port of its own."""

    def __init__(self, manager: Any, number: int, settings: dict[str, Any]) -> None:
        self.points: int = settings["points"]
        self._event_only: bool = settings.get("event_only", False)
        self.port = settings["ports"][number] if "ports" in settings else _free_port()
        name = f"station-{number}"
        self.application, self._listener = Application(), Listener()
        self._commands = Commands()
        channel = manager.AddTCPServer(
            name,
            dnp.LogLevels.none(),
            dnp.ServerAcceptMode.CloseExisting,
            dnp.IPEndpoint("127.0.0.1", self.port),
            self._listener,
        )
        config = dnp.OutstationStackConfig(dnp.DatabaseConfig(FIRST + self.points))
        config.outstation.eventBufferConfig = dnp.EventBufferConfig.AllTypes(60_000)
        config.outstation.params.allowUnsolicited = settings["unsolicited"]
        config.link.LocalAddr, config.link.RemoteAddr = 10, 1
        self._channel = channel
        self._outstation = channel.AddOutstation(name, self._commands, self.application, config)
        updates = dnp.UpdateBuilder()
        for index in range(FIRST + self.points):
            updates.Update(_online(dnp.Analog(0.0)), index, SUPPRESS)
        self._outstation.Apply(updates.Build())
        self.steady(0)
        self._outstation.Enable()

    def steady(self, beat: int) -> None:
        """The mapped points, as an RTAC has them each second."""
        updates = dnp.UpdateBuilder()
        for index, value in STEADY.items():
            updates.Update(_online(dnp.Analog(float(value))), index, DETECT)
        updates.Update(_online(dnp.Analog(float(beat))), HEARTBEAT, DETECT)
        self._outstation.Apply(updates.Build())

    def apply(self, first: int, values: list[float]) -> None:
        """One event for each value, on points counted from ``first`` round robin."""
        self._outstation.Apply(self.made(first, values))

    def made(self, first: int, values: list[float]) -> Any:
        """The update that ``apply`` applies."""
        updates = dnp.UpdateBuilder()
        for at, value in enumerate(values, first):
            point = FIRST + at % self.points
            updates.Update(_online(dnp.Analog(value)), point, FORCE)
            if self._event_only:
                updates.Update(_online(dnp.Analog(0.0)), point, SUPPRESS)
        return updates.Build()

    def burst(self, count: int, start: int) -> dict[str, float]:
        """``count`` events as fast as the master takes them; values are ``start`` and on."""
        began = time.perf_counter()
        chunks = [
            self.made(base, [float(base + at) for at in range(min(CHUNK, start + count - base))])
            for base in range(start, start + count, CHUNK)
        ]
        application = self.application
        made_s = time.perf_counter() - began
        began += made_s
        before = application.confirms
        for chunk in chunks:
            with application.changed:
                application.changed.wait_for(
                    lambda: application.left + application.since < ROOM, timeout=30
                )
                application.since += CHUNK
            self._outstation.Apply(chunk)
        with application.changed:
            application.changed.wait_for(lambda: application.confirms > before, timeout=30)
            while application.left or time.perf_counter() - application.at_s < QUIET_S:
                if not application.changed.wait(QUIET_S) and time.perf_counter() - began > BURST_S:
                    text = f"{application.left} events are not confirmed after {BURST_S:g} s"
                    raise TimeoutError(text)
        return {
            "seconds": application.at_s - began,
            "confirms": application.confirms - before,
            "made_s": made_s,
        }


class Site:
    """The child's side."""

    def __init__(self, settings: dict[str, Any]) -> None:
        sys.setswitchinterval(0.0002)  # under load its callbacks starve otherwise
        self.manager = dnp.DNP3Manager(1)
        self.stations = [
            Station(self.manager, number, settings) for number in range(settings["count"])
        ]

    def stream(self, size: int, every_s: float, for_s: float) -> dict[str, Any]:
        """``size`` events to each station every ``every_s`` seconds, for ``for_s`` seconds.

        Several stations take their turns evenly over the period, as real ones do not coincide.
        """
        confirms = sum(one.application.confirms for one in self.stations)
        began, steps, beat, last_us = time.perf_counter(), round(for_s / every_s), 0, 0
        pause_s = every_s / len(self.stations)
        for step in range(steps):
            if step * every_s >= beat:
                beat += 1
                for station in self.stations:
                    station.steady(beat)
            for number, station in enumerate(self.stations):
                wait_s = began + step * every_s + number * pause_s - time.perf_counter()
                if wait_s > 0:
                    time.sleep(wait_s)
                now_us = max(time.monotonic_ns() // 1000, last_us + 1)
                last_us = now_us + size - 1  # no two events have the same value
                station.apply(step * size, [float((now_us + at) % WRAP_US) for at in range(size)])
        return {
            "sent": steps * size * len(self.stations),
            "confirms": sum(one.application.confirms for one in self.stations) - confirms,
        }

    def handle(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer the bench."""
        op = asked.pop("op")
        if op == "ports":
            return {"ports": [one.port for one in self.stations]}
        if op == "burst":
            return self.stations[0].burst(**asked)
        if op == "stream":
            return self.stream(**asked)
        raise ValueError(op)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _online(value: Any) -> Any:
    value.flags = dnp.Flags(1)
    return value


if __name__ == "__main__":
    site = Site(json.loads(sys.argv[1]))
    print(json.dumps({"port": site.stations[0].port}), flush=True)
    serve(site.handle)
    site.manager.Shutdown()
