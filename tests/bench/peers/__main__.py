"""``make bench-peers``: goal 2, our queue beside other gateways' storages, in turns on one disk.

Every round measures each of them once, and the floor, so that a ratio is made of neighbours. A
peer whose package cannot be installed or started is named with the reason, and has no figure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.bench import floor, table

ROOT = Path(__file__).resolve().parents[3]
OURS = "bess-gateway"


@dataclass(frozen=True, slots=True)
class Peer:
    """A storage to measure."""

    name: str
    what: str
    readings: int  # of one round
    kept: str  # what survives a loss of power
    least: float | None = None  # goal: ours / its rate of putting in


PEERS = (
    Peer(OURS, "Store, 500 readings a batch", 100_000, "all (FULL)"),
    Peer(
        "thingsboard-sqlite",
        "thingsboard-gateway 3.8.5 SQLiteEventStorage, one reading an event",
        50_000,
        "not the last seconds (NORMAL; written by a thread later)",
        3.0,
    ),
    Peer(
        "thingsboard-file",
        "thingsboard-gateway 3.8.5 FileEventStorage, one reading an event",
        10_000,
        "not the last seconds (flush, no fsync)",
    ),
    Peer(
        "thingsboard-memory",
        "thingsboard-gateway 3.8.5 MemoryEventStorage, one reading an event",
        50_000,
        "nothing",
    ),
    Peer(
        "volttron",
        "VOLTTRON base historian 2.0.0rc4 BackupDatabase, batch 1000",
        10_000,
        "all (FULL, rollback journal)",
        5.0,
    ),
    Peer(
        "persist-queue",
        "persist-queue 1.1.0 SQLiteAckQueue, one reading an item",
        500,
        "all (FULL, WAL)",
        50.0,
    ),
)
HEAD = (
    "storage",
    "put, readings/s",
    "ours is",
    "goal",
    "met",
    "taken out and acknowledged, readings/s",
    "ours is",
    "file, B a reading",
    "survives a loss of power",
)


class Child:
    """One storage in its process and folder."""

    def __init__(self, command: list[str], folder: Path, *, ours: bool) -> None:
        folder.mkdir()
        self._errors = (folder.parent / f"{folder.name}.err").open("w+")
        self._child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={"PATH": "/usr/bin:/bin", **({"PYTHONPATH": str(ROOT)} if ours else {})},
        )
        self._answer()

    def round(self, readings: int) -> dict[str, float]:
        """Put so many in and take them out."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"readings": readings}) + "\n")
        self._child.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            self._errors.seek(0)
            last = self._errors.read().strip().splitlines()[-1:]
            raise RuntimeError(*last)
        answer: dict[str, float] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        """End it."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout, self._errors):
            if pipe is not None:
                pipe.close()


@dataclass(slots=True)
class Found:
    """Figures of one storage, a value a round."""

    put: list[float] = field(default_factory=list)  # readings/s
    taken: list[float] = field(default_factory=list)  # readings/s
    ahead: list[float] = field(default_factory=list)  # ours / its, put
    ahead_taken: list[float] = field(default_factory=list)
    size: list[float] = field(default_factory=list)  # bytes a reading
    failed: str = ""


def main() -> int:
    """Measure, print Markdown; exit 1 if goal 2 is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers", description=__doc__)
    parser.add_argument("--python", default="build/peers/bin/python", help="the peers' interpreter")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--into", type=Path, default=Path("build/peers.md"))
    asked = parser.parse_args()
    machine = table.environment(Path(tempfile.gettempdir()))
    found, floors = _measured(str(Path(asked.python).absolute()), rounds=asked.rounds)
    text, good = _written(found, floors, machine=machine)
    asked.into.parent.mkdir(exist_ok=True)
    asked.into.write_text(text)
    print(text)
    return 0 if good else 1


def _measured(python: str, *, rounds: int) -> tuple[dict[str, Found], list[float]]:
    found = {peer.name: Found() for peer in PEERS}
    floors: list[float] = []
    children: dict[str, Child] = {}
    with tempfile.TemporaryDirectory(prefix="bess-peers-") as name:
        folder = Path(name)
        try:
            for peer in PEERS:
                ours = peer.name == OURS
                stands_alone = str(Path(__file__).with_name("peer.py"))
                command = (
                    [sys.executable, "-m", "tests.bench.peers.ours"]
                    if ours
                    else [python, stands_alone, peer.name]
                )
                try:
                    children[peer.name] = Child(command, folder / peer.name, ours=ours)
                    children[peer.name].round(500)  # imports and files are warm
                except (OSError, RuntimeError) as error:
                    found[peer.name].failed = str(error) or "it ended without a word"
                    children.pop(peer.name, None)
            for number in range(rounds):
                print(f"round {number + 1} of {rounds}", file=sys.stderr)
                floors.append(floor.records_per_s(folder, for_s=0.5))
                _round(children, found)
        finally:
            for child in children.values():
                child.close()
    return found, floors


def _round(children: dict[str, Child], found: dict[str, Found]) -> None:
    for peer in PEERS:
        if peer.name not in children:
            continue
        try:
            told = children[peer.name].round(peer.readings)
        except RuntimeError as error:
            found[peer.name].failed = str(error)
            children.pop(peer.name).close()
            continue
        figures, ours = found[peer.name], found[OURS]
        figures.put.append(peer.readings / told["put_s"])
        figures.taken.append(peer.readings / told["take_s"])
        figures.ahead.append(ours.put[-1] / figures.put[-1])
        figures.ahead_taken.append(ours.taken[-1] / figures.taken[-1])
        figures.size.append(told["bytes"] / peer.readings)


def _written(found: dict[str, Found], floors: list[float], *, machine: str) -> tuple[str, bool]:
    to_floor = [ours / at for ours, at in zip(found[OURS].put, floors, strict=True)]
    rows = [
        (
            "append + fdatasync of 500 x 120 B: the floor",
            _rate(floors),
            _times(to_floor),
            *("",) * 4,
            "120",
            "all",
        )
    ]
    good = True
    for peer in PEERS:
        figures = found[peer.name]
        if figures.failed or not figures.put:
            rows.append((peer.what, f"not measured: {figures.failed}", *("",) * 7))
            good = good and peer.least is None
            continue
        met = peer.least is None or statistics.median(figures.ahead) >= peer.least
        good = good and met
        rows.append(
            (
                peer.what,
                _rate(figures.put),
                _times(figures.ahead),
                "" if peer.least is None else f">= {peer.least:g} x",
                "" if peer.least is None else "yes" if met else "NO",
                _rate(figures.taken),
                _times(figures.ahead_taken),
                f"{statistics.median(figures.size):.0f}",
                peer.kept,
            )
        )
    lines = [" | ".join(("", *row, "")).strip() for row in (HEAD, ("---",) * len(HEAD), *rows)]
    rounds = f"Medians and ranges of {len(floors)} interleaved rounds"
    lines += ["", f"{rounds}. Machine: {machine}.", ""]
    return "\n".join(lines), good


def _rate(values: list[float]) -> str:
    return table.spread(values, "").replace("  ", " ").strip()


def _times(ratios: list[float]) -> str:
    return table.spread(ratios, "x").partition(" (")[0]


if __name__ == "__main__":
    sys.exit(main())
