"""Our queue in a process of its own, answering as ``peer.py`` does: encode, then commit FULL.

Goal 2 compares what each gateway does with one fragment of 500 readings: ours makes one batch of
it and commits it, as the session's thread does before it confirms.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from gateway import clock
from gateway.streams import Stream
from gateway.uplink.telemetry import Telemetry
from tests.bench import synthetic
from tests.bench.queue_bench import roomy
from tests.fixtures.queues import DEADLINE_S, LARGE, Shelf

ROWS = 100  # the window: rows that are shipped and acknowledged together


def main() -> None:
    """Answer rounds until the parent closes the pipe."""
    here = Path()
    with Shelf(here, LARGE, space=roomy) as shelf:
        print("{}", flush=True)
        for line in sys.stdin:
            count = json.loads(line)["readings"]
            # As a session does: a new Telemetry would make the same batches.
            telemetry = Telemetry("bess-1", "gw-17", "sha256:" + "5f" * 32)
            made = synthetic.fragments(count // synthetic.POINTS, at_ms=clock.now().unix_ms)
            began = time.perf_counter()
            for points in made:
                batches = telemetry.take(points, mono_s=0.0)
                shelf.store.append(batches, within_s=DEADLINE_S)
            put_s = time.perf_counter() - began
            size = sum(path.stat().st_size for path in here.glob("queue.db*"))
            began = time.perf_counter()
            left = count
            while left:
                rows = shelf.fetch(ROWS, after=(-1, 0))
                left -= sum(row.batch.n for row in rows if row.batch.stream is Stream.TELEMETRY)
                shelf.store.forget([row.id for row in rows])
                shelf.settle()
                shelf.inbox.events.clear()
            take_s = time.perf_counter() - began
            print(json.dumps({"put_s": put_s, "take_s": take_s, "bytes": size}), flush=True)


if __name__ == "__main__":
    main()
