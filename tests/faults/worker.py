"""Puts a real queue to work on the disk of disk.c, in a forked child for every order.

    LD_PRELOAD=disk.so python -m tests.faults.worker

One JSON order a line on standard input: {"folder", "tape", "script", "seed", "arm": [at, what,
count, kind], "synchronous", "wait_s"}; the answer is {"status": wait status, "steps": n}. What
the child did and was told goes onto the tape as marks, between the steps of the disk:

    begin N TEXT        an append of this batch is about to be called
    kept TEXT           it returned: durable
    refused TEXT        it raised: not kept; the loss was reported
    row SEQ ID N EPOCH TEXT   the store showed the row: it could have been shipped
    forget ID           the broker is said to have it
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.site import QueueSettings
from gateway.errors import StoreError
from gateway.events import QueueTroubled, RowsStored
from gateway.queue.store import Store
from gateway.streams import Batch, Codec, Stream
from tests.fixtures.queues import notice_batch

if TYPE_CHECKING:
    from gateway.streams import Row

WITHIN_S = 20.0
STREAMS = (Stream.TELEMETRY,) * 6 + (Stream.AUDIT, Stream.EVENT, Stream.STATE, Stream.RESULT)


SIZES = {"short": 1 << 30, "full": 512 << 10, "tiny": 96 << 10}  # [queue] max_size, bytes


class Shim:
    """The functions of disk.c that were loaded before the C library."""

    def __init__(self) -> None:
        self._own = ctypes.CDLL(None)
        self._own.disk_arm.argtypes = [
            ctypes.c_long,
            ctypes.c_int,
            ctypes.c_long,
            ctypes.c_char,
        ]
        self._own.disk_steps.restype = ctypes.c_long

    def begin(self, folder: str, tape: str) -> None:
        """Watch this folder from now on."""
        self._own.disk_begin(folder.encode(), tape.encode())

    def arm(self, at: int, what: int, count: int, kind: str) -> None:
        """Fail ``count`` steps from step ``at`` on."""
        self._own.disk_arm(at, what, count, kind.encode() or b"\0")

    def mark(self, text: str) -> None:
        """Write on the tape."""
        self._own.disk_mark(text.encode())

    @property
    def steps(self) -> int:
        """How many there were since ``arm``."""
        return int(self._own.disk_steps())


class Load:
    """One queue at work.

    Args:
        shim: takes the marks.
        folder: of the queue.
        seed: of what is appended.
        size: of ``[queue] max_size`` in bytes.
    """

    def __init__(self, shim: Shim, folder: Path, seed: int, *, size: int) -> None:
        self._mark = shim.mark
        self._rng = random.Random(seed)
        self._seed = seed
        self._number = 0
        self._ids: list[int] = []
        self.store = Store(folder, QueueSettings(size, 1e6), post=self, notice_batch=notice_batch)

    def __call__(self, event: object, /) -> None:
        """Take what the store posts."""
        if isinstance(event, RowsStored):
            for row in event.rows:
                self._row(row)
        elif isinstance(event, QueueTroubled):
            self._mark(f"trouble {event.kind} {event.text}")

    def _row(self, row: Row) -> None:
        text = row.batch.body.rstrip().decode()
        self._mark(f"row {row.seq0} {row.id} {row.batch.n} {row.epoch} {text}")
        self._ids.append(row.id)

    def append(self, *, most: int) -> None:
        """One to three batches at once, of up to ``most`` bytes each."""
        batches, texts = [], []
        for _ in range(self._rng.choice((1, 1, 1, 2, 3))):
            stream, n = self._rng.choice(STREAMS), 1
            if stream is Stream.TELEMETRY:
                n = self._rng.randint(1, 9)
            texts.append(f"{stream}.{self._seed}.{self._number}")
            self._number += 1
            body = texts[-1].ljust(self._rng.randint(40, most)).encode()
            batches.append(Batch(stream, "bess-1", n, 1, 2, Codec.JSON, body))
        for batch, text in zip(batches, texts, strict=True):
            self._mark(f"begin {batch.n} {text}")
        try:
            self.store.append(batches, within_s=WITHIN_S)
        except StoreError:
            for batch, text in zip(batches, texts, strict=True):
                self._mark(f"refused {text}")
                self.store.lost(batch.stream, batch.asset, batch.n, "store_timeout")
            return
        for text in texts:
            self._mark(f"kept {text}")

    def forget(self, most: int) -> None:
        """Acknowledge some of the oldest."""
        gone, self._ids = self._ids[:most], self._ids[most:]
        for row_id in gone:
            self._mark(f"forget {row_id}")
        self.store.forget(gone)


def work(shim: Shim, order: dict[str, Any]) -> None:
    """Run a script.

    ``short`` appends a little; ``full`` meets checkpoints, quota and vacuum; in ``tiny`` the
    quota is so small that even events go.
    """
    full = order["script"] != "short"
    load = Load(shim, Path(order["folder"]), order["seed"], size=SIZES[order["script"]])
    try:
        load.store.start()
    except StoreError as error:
        shim.mark(f"unopened {error}")
        return
    database = load.store._writer._db
    assert database is not None
    if order.get("synchronous"):
        _between_transactions(database._raw, f"PRAGMA synchronous = {order['synchronous']}")
    database._raw.execute(f"PRAGMA wal_autocheckpoint = {20 if full else 8}")
    for turn in range(90 if full else 6):
        load.append(most=9000 if full else 500)
        if turn % 3 == 2:
            load.forget(1 if full else 6)
    load.store.close(within_s=WITHIN_S)
    shim.mark("closed")


def _between_transactions(raw: sqlite3.Connection, pragma: str) -> None:
    """Set what SQLite refuses inside a transaction: the writer may be in its first one."""
    end = time.monotonic() + WITHIN_S
    while True:
        try:
            raw.execute(pragma)
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.001)
        else:
            return


def serve() -> None:
    """Answer orders until standard input ends."""
    shim = Shim()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            try:
                shim.begin(order["folder"], order["tape"])
                shim.arm(*order.get("arm", (-1, 0, 0, "")))
                work(shim, order)
                Path(order["tape"] + ".steps").write_text(str(shim.steps))
            except BaseException as error:  # noqa: BLE001 - a forked child must not return
                shim.mark(f"failed {type(error).__name__}: {error}")
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": status}), flush=True)


if __name__ == "__main__":
    random.seed(0)
    serve()
