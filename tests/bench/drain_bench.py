"""Goals 4, 9 and 10: a daemon that starts with a large backlog.

The backlog is real: 500 readings a batch, encoded by ``Telemetry`` and appended by ``Store``. The
drain is seen by a subscriber behind the broker; its rate is that between the first and the last
message of history. The fill rate is what one DNP3 session takes in at most, measured before.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import clock
from gateway.config.site import QueueSettings
from gateway.consumer import Consumer
from gateway.queue.store import Store
from gateway.uplink import messages
from gateway.uplink.telemetry import Telemetry
from tests.bench import field_bench, synthetic
from tests.bench.growth_bench import WHOLE
from tests.bench.receiver import Receiver
from tests.bench.rig import GATEWAY, Daemon, Rig, until
from tests.bench.table import Line, at_least, at_most, beside, unjudged

if TYPE_CHECKING:
    from tests.bench.receiver import Arrival

ASSET = "bess-1"
UNUSED_PORT = 9  # discard: nobody listens
BATCHES = 50  # appended together
TENTHS = 10
QUIET_S = 3.0
SETTLE_S = 3.0


def measure(*, quick: bool, readings: int, goals: frozenset[int]) -> list[Line]:
    """Fill, start, drain: several times; the daemon idle without a backlog in between."""
    rounds = 1 if quick else 3
    found: dict[str, list[float]] = {
        name: []
        for name in (
            "idle",
            "waiting",
            "draining",
            "first",
            "rate",
            "tenths",
            "disk",
            "lost",
            "again",
            "more",
            "cpu",
        )
    }
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="bess-bench-") as folder, Rig(Path(folder)) as rig:
            rig.write_site([UNUSED_PORT])
            _round(rig, readings, found)
    millions = f"{readings / 1e6:g} M"
    # Each tenth as the median of the rounds: what the machine did meanwhile is not the queue's.
    tenths = [statistics.median(found["tenths"][at::TENTHS]) for at in range(TENTHS)]
    even = Line(
        3,
        f"drain rate of each tenth of {millions}, of the median tenth",
        "0.75..1.25 x",
        f"{min(tenths):.2f}..{max(tenths):.2f} x",
        min(tenths) >= 0.75 and max(tenths) <= 1.25,
    )
    lines = [
        at_most(
            4,
            f"first PUBLISH after start with {millions} waiting",
            found["first"],
            most=1.5,
            unit="s",
        ),
        beside(4, f"drain of {millions}", found["rate"], unit="readings/s"),
        beside(4, "CPU a reading drained", found["cpu"], unit="us"),
        Line(
            4,
            f"missing of {rounds * readings} readings (came twice: {sum(found['again']):.0f})",
            "0",
            f"{sum(found['lost']):.0f}",
            not any(found["lost"]),
        ),
        even if readings >= WHOLE else unjudged(even),
        at_most(9, "RSS idle, one session, broker up", found["idle"], most=96, unit="MB"),
        at_most(
            9, f"more RSS with {millions} waiting, broker down", found["more"], most=5, unit="MB"
        ),
        beside(9, "peak RSS while they drain", found["draining"], unit="MB"),
        at_most(10, "disk per million readings", found["disk"], most=15, unit="MB"),
    ]
    if 4 in goals:
        fill = field_bench.fill_rate(quick=quick)
        ratio = [rate / statistics.median(fill) for rate in found["rate"]]
        lines += [
            at_least(4, "drain of the fill rate", ratio, least=3, unit="x"),
            beside(4, "fill: what one DNP3 session takes in at most", fill, unit="readings/s"),
        ]
    return [line for line in lines if line.goal in goals]


def fill(rig: Rig, readings: int) -> float:
    """Put a backlog into the rig's queue; returns MB of disk that it takes."""
    telemetry = Telemetry(ASSET, GATEWAY, "sha256:" + "5f" * 32)
    made = synthetic.fragments(100, at_ms=clock.now().unix_ms)
    batches = [batch for points in made for batch in telemetry.take(points, mono_s=0.0)]
    rig.state.mkdir(exist_ok=True)
    store = Store(
        rig.state,
        QueueSettings(max_size=2 << 30, max_age_s=604_800),
        post=lambda _event: None,
        notice_batch=functools.partial(messages.notice_batch, gateway=GATEWAY),
    )
    store.start()
    for first in range(0, readings // synthetic.POINTS, BATCHES):
        at = first % len(batches)
        store.append(batches[at : at + BATCHES], within_s=60)
    store.close(within_s=60)
    return sum(file.stat().st_size for file in rig.state.glob("queue.db*")) / 1e6


def _round(rig: Rig, readings: int, found: dict[str, list[float]]) -> None:
    with Daemon(rig) as daemon:
        daemon.wait_connected(sessions=False)
        time.sleep(SETTLE_S)
        found["idle"].append(daemon.rss_mb())
    rig.broker.stop()
    with Daemon(rig) as daemon:
        time.sleep(SETTLE_S)
        empty = daemon.rss_mb()
    empty_mb = sum(file.stat().st_size for file in rig.state.glob("queue.db*")) / 1e6
    found["disk"].append((fill(rig, readings) - empty_mb) / (readings / 1e6))
    with Daemon(rig) as daemon:
        time.sleep(SETTLE_S)
        found["waiting"].append(daemon.rss_mb())
        found["more"].append(daemon.rss_mb() - empty)
    rig.broker.start()
    seen: list[Arrival] = []

    def heard(arrival: Arrival) -> None:
        if arrival.topic.endswith("/telemetry"):
            seen.append(arrival)

    with Receiver(rig, heard=heard), Daemon(rig) as daemon:
        until(lambda: seen, within_s=30, what="a first message")
        until(
            lambda: not daemon.ask("queue")["readings"],
            within_s=300,
            what=f"{readings} readings drained",
            every_s=0.05,
        )
        used = daemon.cpu_s()
        found["draining"].append(daemon.peak_mb())
        _wait_quiet(seen)
        found["first"].append((seen[0].at_ns - daemon.started_ns) / 1e9)
    consumer = Consumer(from_start=True)
    for arrival in seen:
        consumer.take(arrival.topic, arrival.payload)
    found["cpu"].append(used / readings * 1e6)
    found["lost"].append(float(readings - consumer.received))
    found["again"].append(float(consumer.duplicates))
    took_s = (seen[-1].at_ns - seen[0].at_ns) / 1e9
    found["rate"].append((readings - synthetic.POINTS) / took_s)
    tenth = len(seen) // TENTHS
    times = [seen[at * tenth].at_ns for at in range(TENTHS)] + [seen[TENTHS * tenth - 1].at_ns]
    rates = [1 / (end - begin) for begin, end in itertools.pairwise(times)]
    found["tenths"] += [rate / statistics.median(rates) for rate in rates]


def _wait_quiet(seen: list[Arrival]) -> None:
    """The broker acknowledges before it delivers: wait until nothing has come for a while."""
    until(
        lambda: time.monotonic_ns() - seen[-1].at_ns > QUIET_S * 1e9,
        within_s=300,
        what="the broker has delivered everything",
    )
