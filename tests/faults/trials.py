"""The test's end of the worker: run it on a failing disk, then open what is left and count.

The verdict is the same for every fault: every reading that an append returned for, or that the
store showed, is still there under its number, was acknowledged, or is announced in a gap; no
number names two readings.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gateway.errors import StoreError
from gateway.events import QueueTroubled
from gateway.queue import schema
from gateway.streams import Batch, Codec, Stream
from tests.faults.tape import Disk, Step, steps
from tests.fixtures.queues import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.streams import Row

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KILL_BEFORE, KILL_AFTER, KILL_HALF, EIO, ENOSPC = 1, 2, 3, 4, 5


def shim(folder: Path) -> Path:
    """disk.c, compiled."""
    built = folder / "disk.so"
    if not built.exists():
        subprocess.run(
            ["gcc", "-O2", "-fPIC", "-shared", "-o", built, HERE / "disk.c", "-ldl", "-lpthread"],
            check=True,
        )
    return built


class Worker:
    """The process of worker.py; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker"],
            cwd=ROOT,
            env={**os.environ, "LD_PRELOAD": str(shim(folder)), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._number = 0

    def run(
        self,
        folder: Path,
        *,
        script: str = "short",
        seed: int = 1,
        arm: tuple[int, int, int, str] = (-1, 0, 0, ""),
        synchronous: str = "",
    ) -> Run:
        """One child at work in ``folder``; returns when it ended or was killed."""
        self._number += 1
        tape = self._folder / f"tape-{self._number}"
        order: dict[str, Any] = {
            "folder": str(folder),
            "tape": str(tape),
            "script": script,
            "seed": seed,
            "arm": arm,
            "synchronous": synchronous,
        }
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(order) + "\n")
        self._child.stdin.flush()
        status = int(json.loads(self._child.stdout.readline())["status"])
        counted = Path(f"{tape}.steps")
        done = Run(status, list(steps(tape.read_bytes())))
        if counted.exists():
            done.count = int(counted.read_text())
            counted.unlink()
        tape.unlink()
        failed = [text for text in done.marks() if text.startswith("failed ")]
        assert not failed, failed
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(30)
        assert self._child.stdout is not None
        self._child.stdout.close()


@dataclass(slots=True)
class Run:
    """What a child did."""

    status: int  # as of waitpid
    tape: list[Step]
    count: int = 0  # steps of the disk, if it ended by itself

    def marks(self, upto: int | None = None) -> list[str]:
        """Marks among the first ``upto`` entries."""
        return [step.octets.decode() for step in self.tape[:upto] if step.kind == "M"]


@dataclass(slots=True)
class Verdict:
    """One trial."""

    batches: int = 0  # that were promised
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    announced: int = 0
    corrupt: str = ""  # what the store said of its file
    wrong: str = ""

    @property
    def clean(self) -> bool:
        """Nothing lost, nothing duplicated, nothing else wrong."""
        return not (self.lost or self.duplicated or self.wrong)


@dataclass(slots=True)
class Total:
    """Many trials."""

    trials: int = 0
    batches: int = 0
    lost: int = 0
    duplicated: int = 0
    announced: int = 0
    corrupt: int = 0
    failed: int = 0
    first: str = ""
    wrong: int = 0  # other than by loss or number
    first_wrong: str = ""

    def add(self, verdict: Verdict, where: str) -> None:
        """Count one."""
        self.trials += 1
        self.batches += verdict.batches
        self.lost += len(verdict.lost)
        self.duplicated += len(verdict.duplicated)
        self.announced += verdict.announced
        self.corrupt += bool(verdict.corrupt)
        if verdict.wrong:
            self.wrong += 1
            self.first_wrong = self.first_wrong or f"{where}: {verdict.wrong}"
        if not verdict.clean:
            self.failed += 1
            self.first = self.first or f"{where}: {verdict}"

    def row(self, name: str) -> str:
        """A row of the result table."""
        return (
            f"| {name} | {self.trials} | {self.batches} | {self.lost} | {self.duplicated}"
            f" | {self.announced} | {self.corrupt} |"
        )


class Promises:
    """What the marks say that must hold."""

    def __init__(self, marks: Iterable[str]) -> None:
        self.sizes: dict[str, int] = {}  # of every batch begun
        self.kept: set[str] = set()
        self.refused: set[str] = set()
        self.shown: dict[tuple[str, str, int], tuple[str, int]] = {}  # number -> text, n
        self.texts: dict[int, tuple[str, str, int]] = {}  # id -> number
        self.forgotten: set[int] = set()
        for mark in marks:
            word, _, rest = mark.partition(" ")
            match word:
                case "begin":
                    n, text = rest.split(" ", 1)
                    self.sizes[text] = int(n)
                case "kept":
                    self.kept.add(rest)
                case "refused":
                    self.refused.add(rest)
                case "row":
                    seq, row_id, n, epoch, text = rest.split(" ", 4)
                    number = epoch, _stream(text), int(seq)
                    self.shown[number] = text, int(n)
                    self.texts[int(row_id)] = number
                case "forget":
                    self.forgotten.add(int(rest))
                case _:
                    pass


def _stream(text: str) -> str:
    return "event" if text.startswith("{") else text.split(".", 1)[0]


def judge(files: dict[str, bytes] | Path, marks: list[str]) -> Verdict:
    """Open the queue that is left and compare it with the marks."""
    promises, verdict = Promises(marks), Verdict()
    verdict.batches = len(promises.kept)
    with scratch() as folder:
        if isinstance(files, Path):
            shutil.copytree(files, folder, dirs_exist_ok=True)
        else:
            for path, octets in files.items():
                (folder / Path(path).name).write_bytes(octets)
        shelf = Shelf(folder)
        try:
            shelf.store.start()
        except StoreError as error:
            verdict.wrong = f"it does not open: {error}"
            return verdict
        try:
            rows = _settled(shelf)
            _count(promises, rows, verdict)
            _probe(shelf, promises, rows, verdict)
        finally:
            with contextlib.suppress(StoreError):
                shelf.store.close(within_s=30)
        troubles = shelf.inbox.of(QueueTroubled)
        verdict.corrupt = next((one.text for one in troubles if one.kind == "corrupt"), "")
    return verdict


def _settled(shelf: Shelf) -> list[Row]:
    """All rows, once reading finds no more damage: its gap records come with the next fetch."""
    rows, before = shelf.fetch(), None
    while before != (before := [(row.epoch, row.id) for row in rows]):
        rows = shelf.fetch()
    return rows


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory: what is synced is known from the tape, and nobody waits for a disk."""
    with tempfile.TemporaryDirectory(dir=_memory()) as name:
        yield Path(name)


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _announced(texts: Iterable[tuple[str, str]]) -> dict[tuple[str, str], set[int]]:
    """By epoch and stream, from the epoch and text of gap records."""
    found: dict[tuple[str, str], set[int]] = {}
    for own, text in texts:
        if text.startswith("{"):
            gap = json.loads(text)
            if "stream" not in gap:
                continue
            key = gap["epoch"] or own, gap["stream"]
            found.setdefault(key, set()).update(range(gap["from"], gap["to"] + 1))
    return found


def _count(  # noqa: C901 - one book, compared line by line
    promises: Promises, rows: list[Row], verdict: Verdict
) -> None:
    there: dict[tuple[str, str, int], tuple[str, int]] = {}
    for row in rows:
        text = row.batch.body.rstrip().decode()
        number = row.epoch, str(row.batch.stream), row.seq0
        if number in there:
            verdict.duplicated.append(f"{number} twice")
        there[number] = text, row.batch.n
        if not text.startswith("{") and text != "probe" and text not in promises.sizes:
            verdict.wrong = f"{text!r} was never appended"
    delivered = {promises.texts[i] for i in promises.forgotten if i in promises.texts}
    reached = {number: promises.shown[number] for number in delivered} | there
    announced = _announced((number[0], text) for number, (text, _) in reached.items())
    verdict.announced = sum(len(numbers) for numbers in announced.values())
    for number, (text, _) in promises.shown.items():
        found = there.get(number)
        if found is not None and found[0] != text:
            verdict.duplicated.append(f"{number} was {text!r} and is {found[0]!r}")
        if found is None and number not in delivered:
            given_up = announced.get(number[:2], set())
            if number[2] not in given_up:
                verdict.lost.append(text)
    texts = [text for text, _ in reached.values() if not text.startswith("{")]
    if len(set(texts)) != len(texts):
        verdict.duplicated.append(f"{len(texts) - len(set(texts))} texts under two numbers")
    for stream in {_stream(text) for text in promises.kept}:
        kept = {text for text in promises.kept if _stream(text) == stream}
        missing = sum(promises.sizes[text] for text in kept - set(texts))
        room = sum(len(numbers) for key, numbers in announced.items() if key[1] == stream)
        if missing > room:
            verdict.lost += sorted(kept - set(texts))
    if resurrected := promises.refused & set(texts):
        verdict.wrong = f"{sorted(resurrected)[:3]} were refused and are there"
    _holes(reached, announced, verdict)


def _holes(
    reached: dict[tuple[str, str, int], tuple[str, int]],
    announced: dict[tuple[str, str], set[int]],
    verdict: Verdict,
) -> None:
    """A consumer sees every number, or its gap."""
    seen: dict[tuple[str, str], set[int]] = {}
    for (epoch, stream, seq), (_, n) in reached.items():
        numbers = set(range(seq, seq + n))
        taken = seen.setdefault((epoch, stream), set())
        if taken & numbers:
            verdict.duplicated.append(f"{stream} {seq}: overlaps")
        taken |= numbers
    ended: dict[tuple[str, str], int] = {}
    for text, _ in reached.values():
        if text.startswith('{"epoch"'):
            told = json.loads(text)
            ended |= {(told["epoch"], stream): last for stream, last in told["last"].items()}
    for key in {*seen, *announced, *ended}:
        known = seen.get(key, set()) | announced.get(key, set())
        if holes := set(range(1, max(known | {ended.get(key, 0)}) + 1)) - known:
            verdict.lost.append(f"{key}: holes {sorted(holes)[:5]}")


def _probe(shelf: Shelf, promises: Promises, rows: list[Row], verdict: Verdict) -> None:
    """Numbers given out now must be new."""
    probes = [Batch(stream, "bess-1", 1, 1, 2, Codec.JSON, b"probe") for stream in Stream]
    shelf.append(*probes)
    used: dict[tuple[str, str], int] = {}
    for (epoch, stream, seq), (_, n) in promises.shown.items():
        used[epoch, stream] = max(used.get((epoch, stream), 0), seq + n - 1)
    known = {row.id for row in rows} | set(promises.texts)
    for row in shelf.fetch():
        if row.batch.body == b"probe":
            if row.seq0 <= used.get((row.epoch, str(row.batch.stream)), 0):
                verdict.duplicated.append(f"{row.batch.stream} {row.seq0} is used again")
            if row.id in known:
                verdict.duplicated.append(f"id {row.id} is used again")


# --- what is done to a queue: each returns the total of its trials ---------------------------


def powercuts(worker: Worker, folder: Path, *, trials: int, synchronous: str = "") -> Total:
    """Cut the power at random steps of several scripts, and open what may be left."""
    total, rng = Total(), random.Random(trials)
    plans = [("full", seed) for seed in range(1, 5)] + [("short", 5)]
    for script, seed in plans:
        place = folder / f"power-{synchronous}-{script}-{seed}"
        place.mkdir()
        run = worker.run(place, script=script, seed=seed, synchronous=synchronous)
        cuts = sorted(rng.randint(1, len(run.tape)) for _ in range(trials // len(plans)))
        disk, at = Disk(), 0
        for cut in cuts:
            while at < cut:
                disk.do(run.tape[at])
                at += 1
            verdict = judge(disk.cut(rng), run.marks(cut))
            if verdict.corrupt and not verdict.wrong:
                verdict.wrong = "power loss alone must not damage the file"
            total.add(verdict, f"{script} {seed}, cut at {cut}")
    return total


def kills(worker: Worker, folder: Path, *, every: int = 1, script: str = "short") -> Total:
    """Kill the process before, in the middle of and after every ``every``-th step."""
    total = Total()
    whole = worker.run(_fresh(folder, "whole"), script=script)
    for at in range(0, whole.count, every):
        for what in (KILL_BEFORE, KILL_HALF, KILL_AFTER):
            place = _fresh(folder, "killed")
            run = worker.run(place, script=script, arm=(at, what, 1, ""))
            assert run.status in (0, signal.SIGKILL), run.status
            total.add(judge(place, run.marks()), f"{script}, step {at} of {whole.count}, {what}")
    return total


def kills_while_salvaging(worker: Worker, folder: Path, *, every: int = 1) -> Total:
    """Kill the process at every step of setting a damaged file aside and starting anew."""
    total, rng = Total(), random.Random(3)
    damaged = folder / "damaged"
    damaged.mkdir()
    first = worker.run(damaged, script="short", seed=7)
    path = damaged / "queue.db"
    octets = bytearray(path.read_bytes())
    octets[: schema.PAGE] = rng.randbytes(schema.PAGE)
    path.write_bytes(octets)
    shutil.copytree(damaged, folder / "salvaged")
    whole = worker.run(folder / "salvaged", seed=8)
    for at in range(0, whole.count, every):
        for what in (KILL_BEFORE, KILL_HALF, KILL_AFTER):
            place = folder / "killed"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(damaged, place)
            run = worker.run(place, seed=8, arm=(at, what, 1, ""))
            verdict = judge(place, first.marks() + run.marks())
            total.add(verdict, f"salvage, step {at} of {whole.count}, {what}")
    return total


def errors(worker: Worker, folder: Path, *, every: int = 1, script: str = "short") -> Total:
    """Let writes, syncs and truncations fail with EIO or ENOSPC at every ``every``-th step."""
    total = Total()
    whole = worker.run(_fresh(folder, "whole"), script=script)
    counts = {kind: sum(step.kind == kind for step in whole.tape) for kind in "WST"}
    for kind, what, count in itertools.product("WST", (EIO, ENOSPC), (1, 7)):
        if kind == "S" and what == ENOSPC:
            continue
        for at in range(0, counts[kind], every):
            place = _fresh(folder, "failed")
            run = worker.run(place, script=script, arm=(at, what, count, kind))
            assert run.status == 0, run.status
            where = f"{script}, {kind} {at}..{at + count - 1} fails with {what}"
            total.add(judge(place, run.marks()), where)
    return total


def flips(worker: Worker, folder: Path, *, trials: int, tail: str) -> Total:
    """Flip one to eight bits in the file whose name ends with ``tail``, and read the queue."""
    total, rng = Total(), random.Random(trials)
    for seed in range(1, 5):
        place = _fresh(folder, f"flip-{seed}")
        run = worker.run(place, script="full", seed=seed)
        disk, states = Disk(), []
        marks = []
        for at, step in enumerate(run.tape, 1):
            disk.do(step)
            if at % 97 == 0 and at > 300:
                states.append(disk.killed())  # with a log beside the database
                marks.append(run.marks(at))
        for _ in range(trials // 4):
            which = rng.randrange(len(states))
            files = dict(states[which])
            name = next((name for name in files if name.endswith(tail)), "")
            if not files.get(name):
                continue
            octets = bytearray(files[name])
            for _ in range(rng.choice((1, 1, 2, 8))):
                octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
            files[name] = bytes(octets)
            total.add(judge(files, marks[which]), f"seed {seed}, state {which}, {Path(name).name}")
    return total


def _fresh(folder: Path, name: str) -> Path:
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    return place
