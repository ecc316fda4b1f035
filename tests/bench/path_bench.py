"""Goals 1, 5 and 10: a synthetic source through everything behind the field, in one process.

The daemon's own parts, built by its own ``Gateway``: intake, telemetry, store, core loop,
shipper, MQTT over mutual TLS. Only the DNP3 session has no outstation; a thread of ours stands
for opendnp3's, and does what its handler does: commit a fragment, then post ``FragmentStored``.
A reading counts when the broker has acknowledged it and the queue has deleted it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from gateway import clock
from gateway.app import Gateway
from gateway.effects import Publish
from gateway.events import FragmentStored, StopAsked
from gateway.site import load
from gateway.streams import Stream
from tests.bench import floor, synthetic
from tests.bench.rig import Rig, until
from tests.bench.table import Line, at_least, at_most, beside, spread

ASSET = "bess-1"
PACKET_BYTES = 60  # fixed header, message id, content type and encoding of MQTT 5
UNUSED_PORT = 9  # discard: nobody listens
WANTED_RATIO, WANTED_PER_S, WANTED_US, WANTED_WIRE = 0.35, 300_000, 2.0, 8.0


def measure(*, quick: bool) -> list[Line]:
    """Take the figures in a process of its own, so that its CPU is the path's alone."""
    rounds, readings = (3, 200_000) if quick else (7, 600_000)
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.path_bench", str(rounds), str(readings)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, list[float]] = json.loads(done.stdout)
    return [
        at_least(
            1,
            "synthetic source to PUBACK and delete",
            found["per_s"],
            least=WANTED_PER_S,
            unit="readings/s",
        ),
        at_least(
            1,
            "the same, of append + fdatasync of 500 x 120 B in the same run",
            found["ratio"],
            least=WANTED_RATIO,
            unit="x",
        ),
        beside(1, "append + fdatasync of 500 x 120 B", found["floor"], unit="records/s"),
        at_most(5, "CPU a reading, synthetic source", found["cpu_us"], most=WANTED_US, unit="us"),
        at_most(10, "payload a reading at 500 a batch", found["wire"], most=WANTED_WIRE, unit="B"),
        Line(10, "PUBLISH with topic and properties", "", spread(found["packet"], "B a reading")),
    ]


class _Source:
    """Feeds one running gateway and takes its figures."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self._gateway = gateway
        self._folder = folder
        self._made = synthetic.fragments(200, at_ms=clock.now().unix_ms)
        self._me = psutil.Process()
        self.found: dict[str, list[float]] = {
            name: [] for name in ("per_s", "ratio", "floor", "cpu_us", "wire", "packet")
        }
        self._sizes: list[tuple[int, int]] = []
        inner = gateway._doers[Publish]

        def publish(order: Publish) -> None:
            if order.topic.endswith("/telemetry"):
                self._sizes.append((len(order.payload), len(order.topic) + PACKET_BYTES))
            inner(order)

        gateway._doers[Publish] = publish

    def run(self, rounds: int, readings: int) -> None:
        """Take every round; then end the gateway."""
        gateway = self._gateway
        until(lambda: gateway._core._broker_up, within_s=20, what="the broker is up")
        until(self._empty, within_s=20, what="an empty queue")
        self._round(readings // 4)  # caches and the file are warm
        for found in self.found.values():
            found.clear()
        for _ in range(rounds):
            self._round(readings)
        gateway._post(StopAsked("measured"))

    def _round(self, readings: int) -> None:
        before = floor.records_per_s(self._folder, for_s=0.4)
        self._sizes.clear()
        cpu, began = self._cpu(), time.perf_counter()
        intake, post = self._gateway._intakes[ASSET], self._gateway._post
        sent = 0
        while sent < readings:
            points = self._made[sent // synthetic.POINTS % len(self._made)]
            intake.store(ASSET, points)
            post(FragmentStored(ASSET, points, unsolicited=True, at=clock.now()))
            sent += len(points)
        until(self._empty, within_s=120, what="the queue is empty again", every_s=0.005)
        took, used = time.perf_counter() - began, self._cpu() - cpu
        best = (before + floor.records_per_s(self._folder, for_s=0.4)) / 2
        self.found["per_s"].append(sent / took)
        self.found["floor"].append(best)
        self.found["ratio"].append(sent / took / best)
        self.found["cpu_us"].append(used / sent * 1e6)
        self.found["wire"].append(sum(size for size, _ in self._sizes) / sent)
        self.found["packet"].append(sum(size + head for size, head in self._sizes) / sent)

    def _empty(self) -> bool:
        database = self._gateway._store._writer._db
        return database is not None and database.counters.streams[Stream.TELEMETRY].readings == 0

    def _cpu(self) -> float:
        times = self._me.cpu_times()
        return times.user + times.system


def main() -> None:
    """The child: measure, and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rounds", type=int)
    parser.add_argument("readings", type=int)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bess-bench-") as name, Rig(Path(name)) as rig:
        site = load.load_site(rig.write_site([UNUSED_PORT]))
        gateway = Gateway(site, rig.site)
        source = _Source(gateway, rig.folder)
        failed: list[BaseException] = []

        def feed() -> None:
            try:
                source.run(asked.rounds, asked.readings)
            except BaseException as error:  # noqa: BLE001 - the run must end, and say why
                failed.append(error)
                gateway._post(StopAsked("failed"))

        threading.Thread(target=feed, name="dnp3-stand-in", daemon=True).start()
        gateway.run()
        if failed:
            raise failed[0]
    print(json.dumps(source.found))


if __name__ == "__main__":
    main()
