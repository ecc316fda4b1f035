"""Figures of the queue: goal 3 (growth), the disk half of goal 10, the distance to the floor.

Run it as a program, or call ``measure``. Ratios are made inside one run; each figure is the
median of interleaved rounds, because the machine is never quiet.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from gateway.queue.rules.retention import Space
from gateway.streams import Batch, Codec, Stream
from tests.fixtures.queues import DEADLINE_S, LARGE, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable

READINGS = 500  # a batch
FLOOR_BYTES = 500 * 120  # what a row per reading would append
ROUNDS = 11
COMMITS = 200  # a round
DRAIN = 20  # rows of one acknowledgement


def bodies(count: int) -> list[bytes]:
    """Bodies like telemetry's: columnar JSON of noisy values, compressed."""
    rng = random.Random(5)
    level = zstandard.ZstdCompressor(level=1)
    made = []
    for _ in range(count):
        points = ",".join(f'"AI{rng.randrange(60)}"' for _ in range(READINGS))
        dt = ",".join(str(rng.randrange(3)) for _ in range(READINGS))
        value = ",".join(f"{rng.randrange(-9999, 9999) / 10}" for _ in range(READINGS))
        text = f'{{"point":[{points}],"dt":[{dt}],"value":[{value}]}}'
        made.append(level.compress(text.encode()))
    return made


def roomy(_: Path) -> Space:
    """A disk that limits nothing."""
    return Space(1 << 40, 1 << 41)


def timed(work: Callable[[], object], count: int) -> tuple[float, float]:
    """Median wall seconds and mean CPU seconds of ``work``."""
    times, cpu = [], time.process_time()
    for _ in range(count):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times), (time.process_time() - cpu) / count


class Bench:
    """One store with a backlog."""

    def __init__(self, folder: Path, made: list[bytes]) -> None:
        self.made = made
        self.shelf = Shelf(folder, LARGE, space=roomy)
        self.at = 0
        self.first_id = 1

    def batch(self) -> Batch:
        self.at += 1
        body = self.made[self.at % len(self.made)]
        return Batch(Stream.TELEMETRY, "bess-1", READINGS, self.at, self.at, Codec.ZSTD, body)

    def append(self) -> None:
        self.shelf.store.append([self.batch()], within_s=DEADLINE_S)
        self.shelf.inbox.events.clear()

    def drain(self) -> None:
        """Fetch the oldest, acknowledge them, and wait until they are gone."""
        rows = self.shelf.fetch(DRAIN, after=(-1, 0))
        self.shelf.store.forget([row.id for row in rows])
        self.shelf.settle()
        self.shelf.inbox.events.clear()

    def fill(self, readings: int) -> None:
        while self.at * READINGS < readings:
            self.shelf.append(*(self.batch() for _ in range(100)))
            self.shelf.inbox.events.clear()


def floor(folder: Path) -> Callable[[], None]:
    """Append to a file and sync it: what no store can beat."""
    file = (folder / "floor").open("ab", buffering=0)
    block = os.urandom(FLOOR_BYTES)

    def work() -> None:
        file.write(block)
        os.fdatasync(file.fileno())

    return work


def measure(*, large: int = 10_000_000, small: int = 10_000) -> dict[str, float]:
    """Measure with backlogs of ``small`` and ``large`` readings; takes under a minute."""
    made = bodies(50)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        for part in ("small", "large"):
            (folder / part).mkdir()
        few, many = Bench(folder / "small", made), Bench(folder / "large", made)
        with few.shelf, many.shelf:
            few.fill(small)
            before = time.perf_counter()
            many.fill(large)
            filled_s = time.perf_counter() - before
            disk = sum(path.stat().st_size for path in (folder / "large").iterdir())
            sync = floor(folder)
            rounds: dict[str, list[float]] = {}
            for _ in range(ROUNDS):
                for key, work, count in (
                    ("floor", sync, COMMITS),
                    ("append small", few.append, COMMITS),
                    ("append large", many.append, COMMITS),
                    ("drain small", few.drain, 2),
                    ("drain large", many.drain, 6),
                ):
                    wall_s, cpu_s = timed(work, count)
                    rounds.setdefault(key, []).append(wall_s)
                    rounds.setdefault(key + " cpu", []).append(cpu_s)
        found = {key: statistics.median(values) for key, values in rounds.items()}
        pairs = list(zip(rounds["append large"], rounds["append small"], strict=True))
        cpus = list(zip(rounds["append large cpu"], rounds["append small cpu"], strict=True))
        drains = list(zip(rounds["drain large"], rounds["drain small"], strict=True))
        floors = list(zip(rounds["floor"], rounds["append small"], strict=True))
        return {
            "commit p50 at the large backlog / at the small": _ratio(pairs),
            "commit CPU at the large backlog / at the small": _ratio(cpus),
            "fetch, acknowledge and delete: large / small": _ratio(drains),
            "disk bytes per million readings": disk / large * 1e6,
            "append+fdatasync floor / commit of one batch": _ratio(floors),
            "commit of one batch, us": found["append small"] * 1e6,
            "commit CPU, us per reading": found["append small cpu"] / READINGS * 1e6,
            "readings/s, one batch a commit": READINGS / found["append small"],
            "readings/s, 100 batches a commit": large / filled_s,
            "readings/s, fetched and deleted": DRAIN * READINGS / found["drain large"],
        }


def _ratio(pairs: list[tuple[float, float]]) -> float:
    return statistics.median(a / b for a, b in pairs)


GOALS = {
    "commit p50 at the large backlog / at the small": "goal 3: <= 1.15",
    "commit CPU at the large backlog / at the small": "goal 3: <= 1.15",
    "fetch, acknowledge and delete: large / small": "goal 3: 0.75..1.25",
    "disk bytes per million readings": "goal 10: <= 15 000 000",
    "append+fdatasync floor / commit of one batch": "goal 1, this part of it: >= 0.35",
}


def main() -> int:
    """Print the table."""
    for key, value in measure().items():
        print(f"{key:52} {value:16,.2f}  {GOALS.get(key, '')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
