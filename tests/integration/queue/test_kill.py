"""The process is killed at any instant: what an append returned for is there, once."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.streams import Stream
from tests.fixtures.queues import DEADLINE_S, Shelf

if TYPE_CHECKING:
    from gateway.streams import Row

TIMES = 20
# Two threads append, one acknowledges what is old; each append that returned is printed.
WRITER = """
import os, sys, threading
from pathlib import Path
from gateway.streams import Stream
from tests.fixtures.queues import Shelf, batch

def work(name):
    for number in range(100000):
        text = f"{sys.argv[2]}.{name}.{number}"
        shelf.append(batch(3, text=text + " " * 2000, asset=name))
        os.write(1, f"{text}\\n".encode())

with Shelf(Path(sys.argv[1])) as shelf:
    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def run_until_killed(folder: Path, run: int, *, lines: int) -> list[str]:
    """Start the writer, kill it after so many returned appends; what it said they were."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", WRITER, str(folder), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as writer:
        assert writer.stdout is not None
        said = b""
        while said.count(b"\n") < lines:
            ready, _, _ = select.select([writer.stdout], [], [], DEADLINE_S)
            assert ready, "the writer fell silent"
            more = os.read(writer.stdout.fileno(), 65536)
            assert more, "the writer ended by itself"
            said += more
        writer.send_signal(signal.SIGKILL)
        said += writer.stdout.read()
    return said.decode().split("\n")[:-1]


def test_twenty_kills_under_load_lose_nothing_and_repeat_no_number(tmp_path: Path) -> None:
    rng = random.Random(17)
    returned: set[str] = set()
    seen: dict[tuple[str, int], str] = {}
    gone: list[int] = []
    epochs = set()

    def check(rows: list[Row]) -> None:
        for row in rows:
            text = row.batch.body.decode().strip()
            assert seen.setdefault((row.epoch, row.seq0), text) == text
        assert not [row for row in rows if row.id in gone]

    for run in range(TIMES):
        returned.update(run_until_killed(tmp_path, run, lines=rng.randrange(1, 60)))
        with Shelf(tmp_path) as shelf:
            rows = [row for row in shelf.fetch() if row.batch.stream is Stream.TELEMETRY]
            check(rows)
            epochs.add(shelf.store.epoch)
            done = [row.id for row in rows[: len(rows) // 2]]
            shelf.store.forget(done)
            gone += done
    assert returned <= set(seen.values())
    assert len(set(seen.values())) == len(seen)
    for epoch in {epoch for epoch, _ in seen}:
        own = sorted(seq for of, seq in seen if of == epoch)
        assert own == list(range(1, 3 * len(own), 3))
    assert len(epochs) == TIMES


WAITER = """
import sys, threading
from gateway.queue.pending import WaitingCaller

request = WaitingCaller()
def settle():
    sys.stdin.readline()
    request.settle()
threading.Thread(target=settle, daemon=True).start()
print("waits", flush=True)
print(request.wait(3.0), flush=True)
"""


def test_a_process_that_was_stopped_does_not_give_up_what_is_all_but_done() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", WAITER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, text=True
    ) as waiter:
        assert waiter.stdin is not None
        assert waiter.stdout is not None
        assert waiter.stdout.readline() == "waits\n"
        waiter.send_signal(signal.SIGSTOP)
        select.select([waiter.stdout], [], [], 7.0)  # while it is stopped its time runs out, twice
        waiter.send_signal(signal.SIGCONT)
        assert not select.select([waiter.stdout], [], [], 0.1)[0], "it gave up"
        waiter.stdin.write("\n")
        waiter.stdin.flush()
        assert waiter.stdout.readline() == "True\n"
