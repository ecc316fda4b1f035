"""Some outstations in a process of their own; its end (SIGKILL) is an RTAC's loss of power.

Each station numbers its events: a value is the number of the event, counted on from what the
parent says at every start. So whoever has the values knows which are missing.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

from tests.bench.outstation import Site
from tests.fixtures.outstation_process import OutstationProcess, serve

MODULE = "tests.soak.stations"
BEAT_S = 1.0


def stations(ports: list[int], *, points: int) -> OutstationProcess:
    """Start one outstation on each of ``ports``; they stream nothing before ``stream``."""
    settings = {"count": len(ports), "points": points, "ports": ports}
    return OutstationProcess(MODULE, **settings, unsolicited=True, event_only=True)


class Streaming:
    """The child's side: one thread applies events, the main thread answers the parent."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.site = Site(settings)
        self.sent = 0  # by each station
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None

    def handle(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer the soak."""
        if asked["op"] == "stream":
            arguments = (asked["first"], asked["per_s"])
            self._thread = threading.Thread(target=self._stream, args=arguments, daemon=True)
            self._thread.start()
        elif asked["op"] == "halt":
            self._halt.set()
            if self._thread is not None:
                self._thread.join()
        return {"sent": self.sent}

    def _stream(self, first: int, per_s: int) -> None:
        pause_s = BEAT_S / len(self.site.stations)
        beat, began = 0, time.monotonic()
        while not self._halt.is_set():
            for number, station in enumerate(self.site.stations):
                due = began + beat * BEAT_S + number * pause_s
                self._halt.wait(max(0.0, due - time.monotonic()))
                station.steady(beat)
                at = first + self.sent
                station.apply(at, [float(value) for value in range(at, at + per_s)])
            self.sent += per_s
            beat += 1


if __name__ == "__main__":
    streaming = Streaming(json.loads(sys.argv[1]))
    print(json.dumps({"port": streaming.site.stations[0].port}), flush=True)
    serve(streaming.handle)
    streaming.site.manager.Shutdown()
