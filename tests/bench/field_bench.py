"""Goals 5, 6 and 7: the daemon against outstations of yadnp3 in another process.

CPU is that of the daemon's process over a window, user and system. Latency is from the moment at
which the outstation applied the event (its value carries that microsecond) to the moment at which
a subscriber behind the broker has the message: one hop more than the PUBACK, so an upper bound.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from gateway.consumer import Consumer, readings
from tests.bench.outstation import WRAP_US, outstations
from tests.bench.receiver import Receiver
from tests.bench.rig import Daemon, Rig, until
from tests.bench.synthetic import FIRST, POINTS
from tests.bench.table import Line, at_least, at_most, beside, quantile, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.receiver import Arrival

SETTLE_S = 2.0
QUIET_S = 0.5
SESSIONS = 32
OLDEST_MS = 60_000.0  # a value older than this is a static point's, from before the window
FAST = 0.05  # s between fragments of 50 events: as an RTAC groups 1000 events/s
SINGLE = 0.001


class Window(NamedTuple):
    """What one window of a stream showed."""

    sent: int
    fragments: int  # that the daemon confirmed
    cpu_pct: float  # of one core
    ages_ms: list[float]
    missing: int
    took_s: float


class Burst(NamedTuple):
    """What one burst showed."""

    per_s: float  # events confirmed a second
    shipped_per_s: float  # the same, until the subscriber has the last one
    cpu_us: float  # of the daemon an event
    missing: int
    fragments: int


class Field:
    """Outstations, broker, subscriber and daemon, all connected."""

    def __init__(
        self, *, count: int = 1, unsolicited: bool = True, event_poll_s: float = 2.0
    ) -> None:
        self._count, self._unsolicited, self._event_poll_s = count, unsolicited, event_poll_s
        self._consumer = Consumer(from_start=True)
        self._next = 1
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bess-bench-"))
            self.rig = stack.enter_context(Rig(Path(folder)))
            self.station = stack.enter_context(
                outstations(count=self._count, points=POINTS, unsolicited=self._unsolicited)
            )
            self.receiver = stack.enter_context(Receiver(self.rig))
            self.rig.write_site(
                self.station.ask("ports")["ports"],
                unsolicited=self._unsolicited,
                event_poll_s=self._event_poll_s,
            )
            self.daemon = stack.enter_context(Daemon(self.rig))
            self.daemon.wait_connected()
            time.sleep(SETTLE_S)
            self._values(self.take())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take(self) -> list[Arrival]:
        """What arrived, once the queue is empty."""
        until(
            lambda: not self.daemon.ask("queue")["readings"],
            within_s=60,
            what="an empty queue",
            every_s=0.1,
        )
        # The broker acknowledges before it delivers: wait until nothing has come for a while.
        before = -1
        while before != len(self.receiver.arrivals):
            before = len(self.receiver.arrivals)
            time.sleep(QUIET_S)
        return self.receiver.take()

    def window(self, *, size: int, every_s: float, for_s: float) -> Window:
        """One stretch of a steady stream."""
        cpu, began = self.daemon.cpu_s(), time.perf_counter()
        told = self.station.ask("stream", size=size, every_s=every_s, for_s=for_s)
        took_s = time.perf_counter() - began
        used = self.daemon.cpu_s() - cpu
        time.sleep(SETTLE_S)  # the last ones wait for their poll
        values = self._values(self.take())
        ages = [(at_ns // 1000 - value) % WRAP_US / 1000 for value, at_ns in values.items()]
        ages = [age for age in ages if age < OLDEST_MS]
        missing = told["sent"] - len(ages) + self._consumer.lost()
        return Window(told["sent"], told["confirms"], 100 * used / took_s, ages, missing, took_s)

    def burst(self, count: int) -> Burst:
        """``count`` events as fast as the daemon takes them."""
        first, self._next = self._next, self._next + count
        cpu, began_ns = self.daemon.cpu_s(), time.monotonic_ns()
        told = self.station.ask("burst", count=count, start=first)
        arrivals = self.take()
        used = self.daemon.cpu_s() - cpu
        values = self._values(arrivals)
        mine = [at_ns for value, at_ns in values.items() if first <= value < first + count]
        return Burst(
            per_s=count / told["seconds"],
            shipped_per_s=count
            / ((max(mine, default=began_ns + 1) - began_ns) / 1e9 - told["made_s"]),
            cpu_us=used / count * 1e6,
            missing=count - len(mine) + self._consumer.lost(),
            fragments=told["confirms"],
        )

    def _values(self, arrivals: Sequence[Arrival]) -> dict[int, int]:
        """Values of the streamed points, with the nanosecond of their first arrival."""
        values: dict[int, int] = {}
        for arrival in arrivals:
            for message in self._consumer.take(arrival.topic, arrival.payload):
                if message["schema"] != "bess.telemetry/1":
                    continue
                for reading in readings(message):
                    if reading.point.startswith("AI") and int(reading.point[2:]) >= FIRST:
                        values.setdefault(int(reading.value), arrival.at_ns)
        return values


def measure(*, quick: bool, goals: frozenset[int]) -> list[Line]:
    """Bursts, streams and many sessions, each on a daemon of its own."""
    lines = []
    if goals & {5, 6}:
        lines += _bursts(rounds=3 if quick else 5, count=60_000 if quick else 300_000)
    if goals & {5, 7, 9}:
        lines += _streams(rounds=2 if quick else 5, for_s=2.0 if quick else 5.0)
    if 6 in goals:
        lines += _many(rounds=2 if quick else 5, for_s=4.0 if quick else 6.0)
    return [line for line in lines if line.goal in goals]


def fill_rate(*, quick: bool) -> list[float]:
    """Events a second that one session takes in at most: how fast an outage fills the queue."""
    with Field() as field:
        count = 60_000 if quick else 200_000
        return [field.burst(count).per_s for _ in range(3)]


def _bursts(*, rounds: int, count: int) -> list[Line]:
    with Field() as field:
        field.burst(count // 4)  # caches and the file are warm
        found = [field.burst(count) for _ in range(rounds)]
    missing = sum(one.missing for one in found)
    a_fragment = count / (sum(one.fragments for one in found) / rounds)
    return [
        at_least(
            6,
            f"events of one session, confirmed, bursts of {count}",
            [one.per_s for one in found],
            least=60_000,
            unit="events/s",
        ),
        beside(
            6,
            "the same, until the subscriber has the last",
            [one.shipped_per_s for one in found],
            unit="events/s",
        ),
        beside(6, "events a fragment", [a_fragment], unit="events"),
        Line(6, f"missing of {rounds * count} events", "0", f"{missing}", missing == 0),
        at_most(5, "CPU an event at full speed", [one.cpu_us for one in found], most=12, unit="us"),
    ]


def _streams(*, rounds: int, for_s: float) -> list[Line]:
    with Field() as field:
        field.window(size=50, every_s=FAST, for_s=2.0)
        rss = field.daemon.rss_mb()
        grouped, single = [], []
        for _ in range(rounds):
            grouped.append(field.window(size=50, every_s=FAST, for_s=for_s))
            single.append(field.window(size=1, every_s=SINGLE, for_s=for_s))
        grown = field.daemon.rss_mb() - rss
    lines = [
        at_most(
            5,
            "CPU at 1000 events/s, 50 a fragment",
            [one.cpu_pct for one in grouped],
            most=15,
            unit="% of a core",
        ),
        beside(
            5,
            "CPU at 1000 events/s, single events",
            [one.cpu_pct for one in single],
            unit="% of a core",
        ),
        beside(
            5,
            "fragments/s that came of single events",
            [one.fragments / one.took_s for one in single],
            unit="fragments/s",
        ),
        Line(
            9,
            "RSS growth over the streams of goals 5 and 7 (no soak)",
            "",
            f"{grown:+.1f} MB in {len(grouped + single) * for_s:.0f} s",
        ),
    ]
    for name, windows, judged in (("50 a fragment", grouped, True), ("single", single, False)):
        ages = [age for one in windows for age in one.ages_ms]
        sent, missing = sum(one.sent for one in windows), sum(one.missing for one in windows)
        for part, most in ((0.5, 5.0), (0.99, 15.0)):
            value = quantile(ages, part)
            lines.append(
                Line(
                    7,
                    f"event to subscriber, {name}, p{100 * part:.0f} of {len(ages)}",
                    f"<= {most:g} ms" if judged else "",
                    spread([value], "ms"),
                    value <= most if judged else None,
                )
            )
        lines.append(Line(7, f"missing of {sent} events, {name}", "0", f"{missing}", missing == 0))
    return lines


def _many(*, rounds: int, for_s: float) -> list[Line]:
    with Field(count=SESSIONS, unsolicited=False, event_poll_s=1.0) as field:
        field.window(size=1, every_s=1.0, for_s=3.0)
        idle, full = [], []
        for _ in range(rounds):
            idle.append(field.window(size=1, every_s=1.0, for_s=for_s))
            full.append(field.window(size=POINTS, every_s=1.0, for_s=for_s))
        rss = field.daemon.rss_mb()
    sent, missing = sum(one.sent for one in full), sum(one.missing for one in full)
    what = f"{SESSIONS} sessions of {POINTS} points, 1 s event polls"
    return [
        at_most(
            6,
            f"{what}, every point changes each second",
            [one.cpu_pct for one in full],
            most=100,
            unit="% of a core",
        ),
        beside(6, f"{what}, one point changes", [one.cpu_pct for one in idle], unit="% of a core"),
        Line(
            6, f"missing of {sent} events of {SESSIONS} sessions", "0", f"{missing}", missing == 0
        ),
        beside(9, f"RSS with {SESSIONS} sessions", [rss], unit="MB"),
    ]
