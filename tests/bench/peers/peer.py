"""One peer's storage in a process of its own, with the peer's packages and nothing of ours.

    PEERS_PYTHON peer.py NAME

It lives in the current directory, and answers one JSON line for each round: seconds to put so
many readings in, seconds to take them out and acknowledge them, bytes of its files in between.
Each is called as its own gateway calls it, with its own defaults where they do not refuse records.
Making the readings' objects is not timed; turning them into what is stored is.
"""

# ruff: noqa: EM101, EM102, TRY003 - it stands alone and has no error classes

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import random
import sqlite3
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

MANY = 1 << 40
WAIT_S = 60.0
BATCH = 1000  # VOLTTRON's: records of one backup, and of one publish
POINTS = 800
HERE = Path()


class Log(logging.Logger):
    """thingsboard-gateway's loggers have one level more."""

    def trace(self, *_: object) -> None:
        """Below debug."""


class ThingsBoard:
    """One reading an event, as its gateway stores what a connector converted."""

    def __init__(self, kind: str, settings: dict[str, Any]) -> None:
        module = import_module(
            f"thingsboard_gateway.storage.{kind.lower()}.{kind.lower()}_event_storage"
        )
        self.log = Log("storage", logging.ERROR)
        self.log.addHandler(logging.StreamHandler())
        self.store = getattr(module, f"{kind}EventStorage")(settings, self.log, threading.Event())
        self.dumps = import_module("simplejson").dumps

    def make(self, readings: list[tuple[str, int, int]]) -> list[Any]:
        """What a connector hands over."""
        return [
            {
                "deviceName": "bess-1",
                "deviceType": "default",
                "attributes": {},
                "telemetry": [{"ts": at_ms, "values": {point: value}}],
            }
            for point, value, at_ms in readings
        ]

    def put(self, made: list[Any]) -> None:
        """Every event by itself, until all are where this storage keeps them."""
        dumps, put = self.dumps, self.store.put
        for event in made:
            text = dumps(event, separators=(",", ":"), skipkeys=True, ignore_nan=True)
            if not put(text):
                raise RuntimeError("an event was refused")
        self.settle(len(made))

    def settle(self, count: int) -> None:
        """Wait until the storage's own thread has written them; the others have none."""

    def take(self, count: int) -> None:
        """Packs, as its sending thread reads and discards them."""
        left, end = count, time.monotonic() + WAIT_S
        while left > 0:
            pack = self.store.get_event_pack()
            left -= len(pack)
            if pack:
                self.store.event_pack_processing_done()
            elif time.monotonic() > end:
                raise RuntimeError(f"{left} of {count} events do not come out")


class ThingsBoardSqlite(ThingsBoard):
    """Its thread commits what waits, up to 1000 events at once, with synchronous=NORMAL."""

    def settle(self, count: int) -> None:
        """Until a reader of the file sees them committed."""
        with sqlite3.connect("data/data.db") as db:
            end = time.monotonic() + WAIT_S
            while db.execute("SELECT count(*) FROM messages").fetchone()[0] < count:
                if time.monotonic() > end:
                    raise RuntimeError("the events are not written")
                time.sleep(0.005)
        db.close()


class Volttron:
    """Its historians' cache: one row a reading, synchronous=FULL with a rollback journal."""

    def __init__(self) -> None:
        module = import_module("historian.base.base_historian")
        # Its first argument is kept as a weak reference to the agent, and not used here.
        self.owner = threading.Event()
        self.database = module.BackupDatabase(self.owner, None, 0.9)

    def make(self, readings: list[tuple[str, int, int]]) -> list[Any]:
        """Records as its base historian queues them."""
        utc = dt.timezone.utc  # noqa: UP017 - as the peer writes it
        return [
            {
                "source": "scrape",
                "topic": f"site/bess-1/{point}",
                # Unique for each topic, as it takes equal ones for duplicates.
                "readings": [(dt.datetime.fromtimestamp(at_ms / 1000 + at * 1e-6, utc), value)],
                "meta": {},
                "headers": {},
            }
            for at, (point, value, at_ms) in enumerate(readings)
        ]

    def put(self, made: list[Any]) -> None:
        """Batches of 1000, each one commit."""
        for first in range(0, len(made), BATCH):
            self.database.backup_new_data(made[first : first + BATCH])

    def take(self, count: int) -> None:
        """Batches of 1000, each removed as published."""
        left = count
        while left > 0:
            found = len(self.database.get_outstanding_to_publish(BATCH))
            if not found:
                raise RuntimeError(f"{left} of {count} records do not come out")
            self.database.remove_successfully_published({None}, BATCH)
            left -= found


class PersistQueue:
    """One item a reading, one commit an item."""

    def __init__(self) -> None:
        self.queue = import_module("persistqueue").SQLiteAckQueue("queue")

    def make(self, readings: list[tuple[str, int, int]]) -> list[Any]:
        """Items."""
        return [
            {"point": point, "value": value, "at_ms": at_ms, "flags": 1}
            for point, value, at_ms in readings
        ]

    def put(self, made: list[Any]) -> None:
        """One by one."""
        for item in made:
            self.queue.put(item)

    def take(self, count: int) -> None:
        """One by one, each acknowledged."""
        for _ in range(count):
            self.queue.ack(self.queue.get(block=False))
        self.queue.clear_acked_data(max_delete=count, keep_latest=0)


def opened(name: str) -> Any:  # noqa: ANN401 - each has what main calls
    """The storage of this name."""
    if name == "persist-queue":
        return PersistQueue()
    if name == "volttron":
        return Volttron()
    os.environ.setdefault("TB_GW_LOGS_PATH", ".")
    if name == "thingsboard-sqlite":
        return ThingsBoardSqlite("SQLite", {"data_file_path": "./data/", "size_limit": 1 << 20})
    if name == "thingsboard-file":
        Path("data").mkdir(exist_ok=True)
        # One file for everything: of a backlog over several files (its template has 10 000 events
        # a file), the reader of 3.8.5 goes on to the next file after one pack and deletes the
        # one before, and most of the events never come out.
        return ThingsBoard("File", {"data_folder_path": "./data/", "max_records_per_file": MANY})
    return ThingsBoard("Memory", {"max_records_count": MANY})


def drawn(count: int) -> list[tuple[str, int, int]]:
    """Point, value and Unix ms of readings, 500 of 800 points each 100 ms."""
    chance = random.Random(1)
    values = [chance.randint(-30_000, 30_000) for _ in range(POINTS)]
    readings: list[tuple[str, int, int]] = []
    at_ms = int(time.time() * 1000)
    while len(readings) < count:
        at_ms += 100
        for at in sorted(chance.sample(range(POINTS), 500)):
            values[at] += round(chance.gauss(0, 20))
            readings.append((f"AI{100 + at}", values[at], at_ms + at % 100))
    return readings[:count]


def main() -> None:
    """Answer rounds until the parent closes the pipe."""
    storage = opened(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a package prints shall not be taken for an answer
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        count = json.loads(line)["readings"]
        made = storage.make(drawn(count))
        began = time.perf_counter()
        storage.put(made)
        put_s = time.perf_counter() - began
        size = sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file())
        began = time.perf_counter()
        storage.take(count)
        take_s = time.perf_counter() - began
        print(
            json.dumps({"put_s": put_s, "take_s": take_s, "bytes": size}), file=answers, flush=True
        )
    os._exit(0)  # threads of a storage may never end


if __name__ == "__main__":
    main()
