"""``make soak MINUTES=60``: an hour of a site with 32 sessions that goes wrong every few minutes.

The daemon as systemd runs it; 32 outstations of 500 points in four processes; mosquitto with
mutual TLS; a recorder that counts. Every few minutes the broker is down for 5 to 20 s, or an
RTAC loses its power. What must not grow is sampled every ten seconds. See README.md here.
"""

from __future__ import annotations

import argparse
import functools
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.bench import table
from tests.bench.rig import BenchError, Daemon, Rig, until
from tests.soak import samples, verdict
from tests.soak.plant import Plant
from tests.soak.recorder import Recorder

RTACS, EACH, POINTS, PER_S = 4, 8, 500, 100
EVERY_S = 10.0  # between samples
SESSION_S = 120.0  # for a session to be back: the daemon's own retry has pauses
DRAIN_S = 300.0
SETTLE_S = 3.0  # for what static polls still bring, and for confirms on their way
FLAP_S, FLAP_EVERY_S = (5.0, 20.0), (90.0, 240.0)
POWERLESS_S, POWER_EVERY_S = (2.0, 15.0), (120.0, 300.0)


class Soak:
    """One run; ``faults`` threads make trouble while the main thread takes samples."""

    def __init__(self, into: Path, rig: Rig, plant: Plant, *, seed: int) -> None:
        self.flaps = self.restarts = 0
        self.failed: Exception | None = None
        self._csv = into / "soak.csv"
        self._rig, self._plant = rig, plant
        self._chance = random.Random(seed)
        self._ending = threading.Event()
        self._broker_up = True
        self._threads: list[threading.Thread] = []

    def run(self, daemon: Daemon, recorder: Recorder, *, minutes: float) -> None:
        """Sample for so long, then let everything come home."""
        for rtac in self._plant.all:
            self._plant.stream(rtac)
        for work in (self._flap, self._cut_power):
            # Two generators, so that the order of the threads does not change what they draw.
            chance = random.Random(self._chance.random())
            thread = threading.Thread(target=self._guard, args=(work, daemon, chance), daemon=True)
            thread.start()
            self._threads.append(thread)
        began = time.monotonic()
        for number in range(round(minutes * 60 / EVERY_S) + 1):
            time.sleep(max(0.0, began + number * EVERY_S - time.monotonic()))
            self._sample(time.monotonic() - began, daemon, recorder)
            if (wrong := self.failed or recorder.failed) is not None:
                raise wrong
        self._ending.set()
        for thread in self._threads:
            thread.join(SESSION_S + 60)
        if self.failed is not None:
            raise self.failed
        for rtac in self._plant.all:
            self._plant.end(rtac, powerless=False)
        time.sleep(SETTLE_S)
        until(lambda: not daemon.ask("queue")["readings"], within_s=DRAIN_S, what="an empty queue")
        _wait_quiet(recorder)
        self._sample(time.monotonic() - began, daemon, recorder)

    def _sample(self, at_s: float, daemon: Daemon, recorder: Recorder) -> None:
        sample = samples.take(
            at_s=at_s,
            daemon=daemon,
            rig=self._rig,
            readings=recorder.readings,
            broker_up=self._broker_up,
        )
        samples.append(self._csv, sample)

    def _guard(self, work: object, daemon: Daemon, chance: random.Random) -> None:
        assert callable(work)
        try:
            work(daemon, chance)
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self.failed = error

    def _flap(self, _daemon: Daemon, chance: random.Random) -> None:
        while not self._ending.wait(chance.uniform(*FLAP_EVERY_S)):
            self._broker_up = False
            self._rig.broker.stop()
            self._ending.wait(chance.uniform(*FLAP_S))
            self._rig.broker.start()
            self._broker_up = True
            self.flaps += 1

    def _cut_power(self, daemon: Daemon, chance: random.Random) -> None:
        while not self._ending.wait(chance.uniform(*POWER_EVERY_S)):
            rtac = self._plant.all[self.restarts % RTACS]
            self._plant.end(rtac, powerless=True)
            until(
                functools.partial(_down, daemon, rtac.assets),
                within_s=SESSION_S,
                what="sessions of an RTAC without power are down",
                every_s=0.5,
            )
            self._ending.wait(chance.uniform(*POWERLESS_S))
            self._plant.power(rtac)
            until(
                functools.partial(_up, daemon, rtac.assets),
                within_s=SESSION_S,
                what="sessions of an RTAC with power are up",
                every_s=0.5,
            )
            self._plant.stream(rtac)
            self.restarts += 1


def main() -> int:
    """Run, and write soak.csv, soak.md and soak.png; exit 1 if something grew or was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="0.5..1440 (60)")
    parser.add_argument("--into", type=Path, default=Path("build/soak"), help="(build/soak)")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    asked.into.mkdir(parents=True, exist_ok=True)
    (asked.into / "soak.csv").unlink(missing_ok=True)
    machine = table.environment(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix="bess-soak-") as folder,
        Rig(Path(folder)) as rig,
        Recorder(rig) as recorder,
        Plant(RTACS, EACH, POINTS, PER_S) as plant,
    ):
        for rtac in plant.all:
            plant.power(rtac)
        rig.write_site(plant.ports)
        with Daemon(rig) as daemon:
            daemon.wait_connected()
            time.sleep(SETTLE_S)
            soak = Soak(asked.into, rig, plant, seed=asked.seed)
            soak.run(daemon, recorder, minutes=asked.minutes)
            exit_code = daemon.stop()
        holes, taken = map(sum, zip(*map(recorder.missing, plant.boots), strict=True))
        counted = verdict.Counted(
            flaps=soak.flaps,
            restarts=soak.restarts,
            sent=sum(boot.sent * len(boot.assets) for boot in plant.boots),
            events=recorder.events,
            holes=holes,
            taken=taken,
            again=recorder.again,
            received=recorder.consumer.received,
            lost=recorder.consumer.lost(),
            announced=recorder.consumer.announced(),
            twice=recorder.consumer.duplicates,
            exit_code=exit_code,
        )
    text, good = verdict.table(samples.read(asked.into / "soak.csv"), counted, machine=machine)
    (asked.into / "soak.md").write_text(text)
    print(text)
    verdict.plot(samples.read(asked.into / "soak.csv"), asked.into / "soak.png")
    return 0 if good else 1


def _up(daemon: Daemon, assets: tuple[str, ...]) -> bool:
    return all(_sessions(daemon, assets))


def _down(daemon: Daemon, assets: tuple[str, ...]) -> bool:
    return not any(_sessions(daemon, assets))


def _sessions(daemon: Daemon, assets: tuple[str, ...]) -> list[bool]:
    """Whether the session of each of ``assets`` is up, as the daemon has it."""
    found = daemon.ask("status")["assets"]
    return [bool(found[name]["session"]["up"]) for name in assets]


def _wait_quiet(recorder: Recorder) -> None:
    """The broker acknowledges before it delivers: wait until nothing has come for a while."""
    before, end = -1, time.monotonic() + DRAIN_S
    while before != recorder.readings:
        if time.monotonic() > end:
            raise BenchError("readings come for ever")  # noqa: EM101, TRY003
        before = recorder.readings
        time.sleep(SETTLE_S)


if __name__ == "__main__":
    sys.exit(main())
