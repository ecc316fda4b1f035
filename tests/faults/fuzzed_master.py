"""A master in a process of its own, for a hostile outstation: session, telemetry, no queue.

    python -m tests.faults.fuzzed_master PORT...

Prints a JSON line a second: {"rss": bytes, "threads", "points", "batches", "ups", "polls",
"fault"}; ends when standard input does.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil

from gateway import consumer
from gateway.events import FragmentLost, PollDone, SessionUp, ThreadFault
from gateway.field.dnp3.engine import Engine
from gateway.field.dnp3.session import Dnp3Session
from gateway.streams import Row
from gateway.uplink.messages import wire
from gateway.uplink.telemetry import Telemetry
from tests.fixtures.field import asset

if TYPE_CHECKING:
    from gateway.points.raw import RawPoint
    from gateway.streams import Batch


class Master:
    """Its sessions and what became of it."""

    def __init__(self, ports: list[int]) -> None:
        self.points = self.batches = self.ups = self.polls = 0
        self.fault = ""
        self._telemetry = Telemetry("bess-1", "gw-17", "sha256:0")
        self._seq = 1
        self._engine = Engine(self)
        self._sessions = [
            Dnp3Session(
                self._engine,
                asset(port, event_poll_s=0.05, response_timeout_s=0.3, integrity_poll_s=0.5),
                critical=frozenset({"AI0", "AI3", "BI7"}),
                store=self.store,
                poll_done=self.flush,
                post=self,
            )
            for port in ports
        ]
        for session in self._sessions:
            session.start()

    def __call__(self, event: object, /) -> None:
        """Take what is posted."""
        match event:
            case ThreadFault():
                self.fault = f"{event}"
            case FragmentLost():
                self.fault = f"{event}"
            case SessionUp():
                self.ups += 1
            case PollDone():
                self.polls += event.ok
            case _:
                pass

    def store(self, _asset: str, points: tuple[RawPoint, ...], /) -> None:
        """Encode as the gateway does, and decode as a platform does."""
        self.points += len(points)
        self._check(self._telemetry.take(points, mono_s=time.monotonic()))

    def flush(self, _asset: str, _kind: str) -> None:
        """A poll ended."""
        self._check(self._telemetry.flush())

    def _check(self, batches: list[Batch]) -> None:
        for batch in batches:
            self.batches += 1
            row = Row(self._seq, self._seq, batch, "01J")
            message = consumer.decode(wire(row, published_ms=0, backfill=False))
            assert len(list(consumer.readings(message))) == batch.n
            self._seq += batch.n

    def close(self) -> None:
        """End."""
        for session in self._sessions:
            session.close(within_s=10)
        self._engine.close()


def main() -> None:
    """Report until standard input ends."""
    master = Master([int(port) for port in sys.argv[1:]])
    over = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=listen, daemon=True).start()
    me = psutil.Process()
    while not over.wait(1.0):
        said = {
            "rss": me.memory_info().rss,
            "threads": me.num_threads(),
            "points": master.points,
            "batches": master.batches,
            "ups": master.ups,
            "polls": master.polls,
            "fault": master.fault,
        }
        print(json.dumps(said), flush=True)
    master.close()


if __name__ == "__main__":
    main()
