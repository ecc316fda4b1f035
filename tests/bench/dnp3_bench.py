"""Goals 5 and 6, the DNP3 part: events a second of one session, and their CPU in our process.

The outstation is yadnp3's, in a process of its own. Events come in rounds that fit its buffer,
so that a loss would be ours. The store only counts: what a commit costs is another bench's.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

from gateway.events import PollDone
from gateway.field.dnp3.engine import Engine
from gateway.field.dnp3.session import Dnp3Session
from tests.fixtures.field import DEADLINE_S, Recorder, asset
from tests.fixtures.yadnp3_outstation import yadnp3_outstation

if TYPE_CHECKING:
    from gateway.points.raw import RawPoint

ROUNDS, EVENTS, POINTS = 7, 20_000, 100


class Count:
    """A store that counts events and checks that they come once and in order."""

    def __init__(self) -> None:
        self.events = self.fragments = self.disorder = 0
        self.expected = 0
        self.first_s = self.last_s = 0.0
        self._last = -1.0
        self.complete = threading.Event()

    def __call__(self, _asset: str, points: tuple[RawPoint, ...], /) -> None:
        values = [point.value for point in points if point.event]
        if not values:
            return
        if not self.events:
            self.first_s = time.perf_counter()
        for value in values:
            assert not isinstance(value, str)
            self.disorder += value != self._last + 1
            self._last = value
        self.fragments += 1
        self.events += len(values)
        self.last_s = time.perf_counter()
        if self.events >= self.expected:
            self.complete.set()

    def begin(self, expected: int) -> None:
        """A new round."""
        self.events = self.fragments = 0
        self.expected = expected
        self.complete.clear()


def measure() -> dict[str, Any]:
    """Figures by name: rates in events/s (median and least of the rounds), CPU in microseconds."""
    core, count = Recorder(), Count()
    engine = Engine(core)
    rates, cpus, fragments, lost = [], [], [], 0
    with yadnp3_outstation(points=POINTS, events=2 * EVENTS) as station:
        session = Dnp3Session(
            engine,
            asset(station.port, event_poll_s=2, response_timeout_s=3, link_check_s=10),
            critical=frozenset(),
            store=count,
            poll_done=None,
            post=core,
        )
        session.start()
        core.wait(PollDone, lambda done: done.kind == "event" and done.ok)
        for number in range(ROUNDS):
            count.begin(EVENTS)
            cpu_s = time.process_time()
            station.ask("burst", count=EVENTS, points=POINTS, chunk=1000, start=number * EVENTS)
            count.complete.wait(DEADLINE_S)
            cpus.append((time.process_time() - cpu_s) / EVENTS * 1e6)
            rates.append(count.events / (count.last_s - count.first_s))
            fragments.append(count.events / count.fragments)
            lost += EVENTS - count.events
            core.seen.clear()
        session.close(within_s=5)
    engine.close()
    return {
        "events_per_s": round(statistics.median(rates)),
        "events_per_s_least": round(min(rates)),
        "cpu_us_per_event": round(statistics.median(cpus), 2),
        "events_per_fragment": round(statistics.median(fragments)),
        "events": ROUNDS * EVENTS,
        "lost": lost,
        "out_of_order": count.disorder,
    }


if __name__ == "__main__":
    print(json.dumps(measure()))
