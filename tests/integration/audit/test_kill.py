"""The process is killed at any instant: what was answered is there, and the chain holds."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from gateway.audit.chain import verify_chain
from gateway.audit.reader import reading
from tests.fixtures.audits import Ledger, entry
from tests.fixtures.queues import DEADLINE_S

TIMES = 8
# Three orders wait at any time, each with a fact; each that was answered is printed.
WRITER = """
import os, sys
from pathlib import Path
from gateway.audit.log import AuditLog
from gateway.effects import Record
from gateway.events import Recorded
from tests.fixtures.audits import entry

first = int(sys.argv[2])

def post(event):
    if isinstance(event, Recorded):
        assert event.ok, event.cause
        os.write(1, f"{event.token}\\n".encode())
        order(event.token + 3)

def order(number):
    log.record(Record(number, (entry(number), entry(number)), {f"seen.{number}": "1"}, sign=True))

log = AuditLog(Path(sys.argv[1]), gateway="gw-17", sign=lambda payload: "a.b.c", post=post)
log.start()
for number in range(3):
    order(first + number)
sys.stdin.read()
"""


def run_until_killed(folder: Path, first: int, *, lines: int) -> list[int]:
    """Start the writer, kill it after so many answers; what was answered."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", WRITER, str(folder), str(first)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as writer:
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
    return [int(line) for line in said.decode().split("\n")[:-1]]


def test_what_was_answered_survives_a_kill_with_its_facts_and_the_chain_holds(
    tmp_path: Path,
) -> None:
    answered: set[int] = set()
    for run in range(TIMES):
        answered |= set(run_until_killed(tmp_path, run * 1_000_000 + 1, lines=5 + 17 * run))
    with Ledger(tmp_path) as ledger:
        assert ledger.log.trouble == ""
        facts = set(ledger.log.facts())
        assert {f"seen.{number}" for number in answered} <= facts
        assert ledger.record(entry()).ok
    with reading(tmp_path / "control.db") as log:
        rows = log.rows()
        head = log.head("head")
    assert head is not None
    assert verify_chain([row for row, _ in rows], head) == ()
    numbers = [json.loads(body).get("number") for _, body in rows][1:-1]
    assert answered <= set(numbers)
    written = {f"seen.{number}" for number in numbers}
    assert written == facts, "rows and facts of an order are durable together"
    for number in set(numbers):
        assert numbers.count(number) == 2
